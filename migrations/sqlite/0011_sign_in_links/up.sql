-- Links that open the dashboard once. A used one stays until its end, to tell it from one that never was.
CREATE TABLE sign_in_links (
    -- SHA-256: whoever reads the table can't use it
    token_hash BLOB NOT NULL PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    role TEXT NOT NULL,
    -- of whoever it is for, as shown
    name TEXT,
    -- back to the product
    return_url TEXT,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
) WITHOUT ROWID;
CREATE INDEX sign_in_links_by_owner ON sign_in_links (organization_id, expires_at);
CREATE INDEX sign_in_links_by_end ON sign_in_links (expires_at);

-- Of a session that began with a link: it has no API key.
ALTER TABLE dashboard_sessions ADD COLUMN role TEXT;
ALTER TABLE dashboard_sessions ADD COLUMN name TEXT;
ALTER TABLE dashboard_sessions ADD COLUMN return_url TEXT;
