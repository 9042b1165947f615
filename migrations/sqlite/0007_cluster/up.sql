-- On PostgreSQL each node adds to counts of its own. One file has one engine, whose node is 0.
CREATE TABLE new_statistics (
    period_start BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    endpoint_id BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    retried BIGINT NOT NULL,
    -- how long attempts took, packed
    latency BLOB NOT NULL,
    node SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (period_start, organization_id, endpoint_id, node)
) WITHOUT ROWID;
INSERT INTO new_statistics SELECT *, 0 FROM delivery_statistics;
DROP TABLE delivery_statistics;
ALTER TABLE new_statistics RENAME TO delivery_statistics;
