-- What applications of the management environment are still to be told about webhooks of other organizations: written with what it
-- tells, removed when it is published.
CREATE TABLE svix_notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- who is told
    application_id BIGINT NOT NULL,
    -- whose webhook it is about: they take turns
    organization_id BIGINT NOT NULL,
    -- each is told once
    cause TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    -- JSON
    facts TEXT NOT NULL
);
CREATE INDEX svix_notices_turns ON svix_notices (organization_id, id);
