-- The newest failed attempt of each endpoint, for its page and its health: no index of attempts by endpoint exists.
CREATE TABLE endpoint_failures (
    endpoint_id INTEGER PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    response_code INTEGER,
    error TEXT,
    -- the beginning of the answer's body, as it came
    response_excerpt BLOB
);
-- old failures are found without reading the rest
CREATE INDEX endpoint_failures_failed_at ON endpoint_failures (failed_at);
