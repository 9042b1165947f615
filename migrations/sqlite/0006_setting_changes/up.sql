-- Counters that are increased in the transaction that uses the number: without gaps, and in the order of commits.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('setting_changes', 0);

-- What an engine must read again before it stores an event of the organization. Only the newest are kept.
CREATE TABLE setting_changes (
    number INTEGER PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    -- 0 the organization was deleted, 1 an endpoint, 2 its event types
    kind SMALLINT NOT NULL,
    -- of an endpoint
    endpoint_id BIGINT
);
