CREATE TABLE old_statistics (
    period_start BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    endpoint_id BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    retried BIGINT NOT NULL,
    -- how long attempts took, packed
    latency BLOB NOT NULL,
    PRIMARY KEY (period_start, organization_id, endpoint_id)
) WITHOUT ROWID;
INSERT INTO old_statistics SELECT period_start, organization_id, endpoint_id, succeeded, failed, retried, latency FROM delivery_statistics;
DROP TABLE delivery_statistics;
ALTER TABLE old_statistics RENAME TO delivery_statistics;
