-- Background tasks of the Svix-compatible API: what an endpoint is sent again, and how far that has come.
CREATE TABLE svix_tasks (
    id BIGINT NOT NULL PRIMARY KEY,
    -- '' for the default one
    environment TEXT COLLATE "C" NOT NULL,
    organization_id BIGINT NOT NULL,
    endpoint_id BIGINT NOT NULL,
    -- 0: messages that it never got; 1: messages that failed; 2: messages by a selection
    kind SMALLINT NOT NULL,
    -- 0: running; 1: finished; 2: failed
    status SMALLINT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    -- JSON; NULL: all
    selection TEXT,
    -- the id of the last row that it has looked at
    place BIGINT,
    sent BIGINT NOT NULL,
    -- why it failed
    failure TEXT,
    -- one more with each step: of two nodes that make the same step, one does
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX svix_tasks_environment ON svix_tasks (environment, id);
CREATE INDEX svix_tasks_organization ON svix_tasks (organization_id, id);
CREATE INDEX svix_tasks_running ON svix_tasks (id) WHERE status = 0;

-- Application tokens that were made before the first instant end at the second one.
ALTER TABLE organizations ADD COLUMN tokens_ending_before BIGINT;
ALTER TABLE organizations ADD COLUMN tokens_end_at BIGINT;
