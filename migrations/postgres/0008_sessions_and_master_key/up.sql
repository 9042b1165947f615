-- Who is signed in to the dashboard: sessions survive a restart, and every node knows them.
CREATE TABLE dashboard_sessions (
    -- SHA-256: whoever reads the table can't sign in with it
    token_hash BYTEA NOT NULL PRIMARY KEY,
    -- 0 for the admin
    organization_id BIGINT NOT NULL,
    -- of the API key, which is looked up again with every page
    key_hash BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX dashboard_sessions_by_owner ON dashboard_sessions (organization_id, expires_at);
CREATE INDEX dashboard_sessions_by_end ON dashboard_sessions (expires_at);

-- With which master key the database is used, from the first start on, also before there is a secret: the beginning of its SHA-256.
CREATE TABLE master_key (
    id SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    key_id TEXT NOT NULL
);
