-- What the Svix-compatible API needs beside what is there.

-- How the bodies of its events are built; 0: envelope; 1: verbatim
ALTER TABLE organizations ADD COLUMN body SMALLINT NOT NULL DEFAULT 0;
-- how requests to its new endpoints are signed; 0: as the contract says; 1: as Svix does
ALTER TABLE organizations ADD COLUMN header_style SMALLINT NOT NULL DEFAULT 0;
-- Of an application of the Svix API; '' for the deployment's own
ALTER TABLE organizations ADD COLUMN environment TEXT NOT NULL DEFAULT '';
-- of an application, in messages per second: kept, not enforced
ALTER TABLE organizations ADD COLUMN rate_limit INTEGER;
ALTER TABLE organizations ADD COLUMN updated_at BIGINT;
-- application tokens from before are refused
ALTER TABLE organizations ADD COLUMN tokens_valid_from BIGINT;
DROP INDEX organizations_by_uid;
CREATE UNIQUE INDEX organizations_by_uid ON organizations (environment, uid) WHERE uid IS NOT NULL;
CREATE INDEX organizations_environment ON organizations (environment, id) WHERE environment <> '';

ALTER TABLE endpoints ADD COLUMN uid TEXT;
-- a JSON object of strings
ALTER TABLE endpoints ADD COLUMN metadata TEXT;
-- 0: Ringback's; 1: those of Svix
ALTER TABLE endpoints ADD COLUMN header_style SMALLINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX endpoints_by_uid ON endpoints (organization_id, uid) WHERE uid IS NOT NULL AND deleted_at IS NULL;

-- kind 2 of a label: the publisher's own id of the event
CREATE INDEX event_labels_uid ON event_labels (organization_id, label, event_id) WHERE kind = 2;

CREATE TABLE svix_event_types (
    environment TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT NOT NULL,
    archived BOOLEAN NOT NULL,
    deprecated BOOLEAN NOT NULL,
    -- JSON, by version
    schemas TEXT,
    -- a JSON list of strings
    feature_flags TEXT,
    group_name TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (environment, name)
);

-- Answers to requests with an idempotency key.
CREATE TABLE svix_answers (
    -- SHA-256 of token, path and key
    key_hash BYTEA NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    status SMALLINT NOT NULL,
    -- encrypted: it can hold a secret
    body BYTEA NOT NULL
);
CREATE INDEX svix_answers_created ON svix_answers (created_at);

-- an older program can read neither delays of a webhook nor events without a body
UPDATE oldest_reader SET migration = '0014';
