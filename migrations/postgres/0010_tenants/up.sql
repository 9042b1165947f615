-- The publisher's own ids of organizations, what it keeps with them, and by which idempotency key they were made.
ALTER TABLE organizations ADD COLUMN uid TEXT;
-- a JSON object of strings
ALTER TABLE organizations ADD COLUMN metadata TEXT;
-- SHA-256 of the key and of the request
ALTER TABLE organizations ADD COLUMN creation_key BYTEA;
ALTER TABLE organizations ADD COLUMN creation_request BYTEA;
CREATE UNIQUE INDEX organizations_by_uid ON organizations (uid) WHERE uid IS NOT NULL;
CREATE UNIQUE INDEX organizations_by_creation_key ON organizations (creation_key) WHERE creation_key IS NOT NULL;

-- Keys of the deployment have the organization 0.
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;

-- Types of the catalogue have the organization 0.
ALTER TABLE event_types ADD COLUMN sample TEXT;
-- 0: offered; 1: archived; 2: a built-in type that was removed
ALTER TABLE event_types ADD COLUMN state SMALLINT NOT NULL DEFAULT 0;
