-- Times are milliseconds since 1970. Ids grow with time, so that every table is appended to, and the primary
-- key is the only index that most of them need. INTEGER PRIMARY KEY is the rowid itself.

CREATE TABLE organizations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX api_keys_organization ON api_keys (organization_id, id);

CREATE TABLE endpoints (
    id INTEGER PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    url TEXT NOT NULL,
    description TEXT,
    active BOOLEAN NOT NULL,
    disabled_reason TEXT,
    disabled_at BIGINT,
    events TEXT NOT NULL,
    filters TEXT,
    timeout_ms INTEGER NOT NULL,
    retry TEXT NOT NULL,
    retry_on TEXT NOT NULL,
    headers BLOB,
    rate_limit TEXT,
    max_in_flight INTEGER NOT NULL,
    ordered BOOLEAN NOT NULL,
    secret BLOB NOT NULL,
    previous_secret BLOB,
    previous_secret_expires_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    -- a deleted endpoint stays for the log of its deliveries
    deleted_at BIGINT
);
CREATE INDEX endpoints_organization ON endpoints (organization_id, id);

-- A row exists only while the endpoint is not healthy.
CREATE TABLE endpoint_health (
    endpoint_id INTEGER PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    failing_since BIGINT,
    probe_at BIGINT,
    pauses INTEGER NOT NULL,
    -- whether its owner was told
    failing_notified BOOLEAN NOT NULL
);

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    event_type TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    -- the event's deliveries are the ids in (id, last_delivery_id]: no index by event exists
    last_delivery_id BIGINT NOT NULL,
    delivery_count INTEGER NOT NULL,
    -- last, because it can be megabytes and most reads don't want it
    body BLOB NOT NULL
);
-- an entry of an index ends with its row's id by itself: named, the id would be in it twice
CREATE INDEX events_organization ON events (organization_id);
-- the log and the list of events by type: rare types are found without reading all others
CREATE INDEX events_type ON events (organization_id, event_type);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    endpoint_id BIGINT NOT NULL,
    event_id BIGINT NOT NULL,
    partition SMALLINT NOT NULL,
    -- 0 pending, 1 success, 2 failed, 3 cancelled
    status SMALLINT NOT NULL DEFAULT 0,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    -- its place in the endpoint's queue
    queued_at BIGINT NOT NULL,
    -- when its next attempt may be made
    due_at BIGINT NOT NULL,
    finished_at BIGINT,
    response_code INTEGER,
    error TEXT,
    -- how many attempts were made before it was last sent again
    attempts_before_round INTEGER NOT NULL DEFAULT 0,
    -- made by a replay: its id is not in its event's range
    replayed BOOLEAN NOT NULL DEFAULT FALSE,
    -- a first attempt that ends the delivery lives here: one insert and one update are all that it costs
    attempt_started_at BIGINT,
    attempt_duration_ms BIGINT,
    -- headers and answer, packed
    attempt_detail BLOB
);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id);
CREATE INDEX deliveries_pending ON deliveries (endpoint_id, queued_at) WHERE status = 0;
-- rows that people look for in the log and resend; costs nothing while deliveries succeed
CREATE INDEX deliveries_failed ON deliveries (organization_id) WHERE status = 2;
CREATE INDEX deliveries_failed_endpoint ON deliveries (endpoint_id) WHERE status = 2;
CREATE INDEX deliveries_cancelled ON deliveries (organization_id) WHERE status = 3;
CREATE INDEX deliveries_code ON deliveries (organization_id, response_code)
    WHERE response_code < 200 OR response_code > 299;
CREATE INDEX deliveries_code_endpoint ON deliveries (endpoint_id, response_code)
    WHERE response_code < 200 OR response_code > 299;
-- finds replayed deliveries by event and by organization
CREATE INDEX deliveries_replayed ON deliveries (organization_id) WHERE replayed;
CREATE INDEX deliveries_replayed_event ON deliveries (event_id) WHERE replayed;

-- Every attempt except one that was the first and last of its delivery.
CREATE TABLE attempts (
    delivery_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    organization_id BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    response_code INTEGER,
    error TEXT,
    -- headers and answer, packed
    detail BLOB NOT NULL,
    PRIMARY KEY (delivery_id, number)
) WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    organization_id BIGINT NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    event_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, key)
) WITHOUT ROWID;
-- only appended to, unlike the table: old keys are found without reading the others
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

-- Event types that an organization added to the built-in ones.
CREATE TABLE event_types (
    organization_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    schema TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, name)
) WITHOUT ROWID;

-- Results of deliveries, counted in periods of 5 minutes; endpoint 0 is the sum of its organization. By period
-- first: rows that are written together are stored together, and old ones are at the beginning.
CREATE TABLE delivery_statistics (
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
