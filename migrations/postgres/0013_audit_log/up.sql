-- Who changed what, written in the transaction of the change. Entries of the deployment have the organization 0.
CREATE TABLE audit_log (
    id BIGINT NOT NULL PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- 0: the admin key; 1: a key; 2: a sign-in link
    actor SMALLINT NOT NULL,
    actor_key_id BIGINT,
    actor_role TEXT,
    -- of whoever came by a link
    actor_name TEXT,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- JSON: the changed fields, without secrets
    before TEXT,
    after TEXT
);
CREATE INDEX audit_log_organization ON audit_log (organization_id, id);
