-- The response that a used key repeats: kept for a day, while its event is kept for the configured retention.
ALTER TABLE idempotency_keys ADD COLUMN event_type TEXT;
ALTER TABLE idempotency_keys ADD COLUMN occurred_at BIGINT;
ALTER TABLE idempotency_keys ADD COLUMN delivery_count INTEGER;
UPDATE idempotency_keys SET event_type = events.event_type, occurred_at = events.occurred_at,
    delivery_count = events.delivery_count
FROM events WHERE events.id = idempotency_keys.event_id;
-- their events were removed: they count as unused
DELETE FROM idempotency_keys WHERE event_type IS NULL;

-- Runs of ids that are ahead of the clock that the times of their rows come from: it was set back. From the
-- first id to before the last, and the time of the first row.
CREATE TABLE id_leads (
    first_id BIGINT PRIMARY KEY,
    until_id BIGINT NOT NULL,
    begins_at BIGINT NOT NULL
);

-- A deleted endpoint stays as a name in the log of its deliveries; nothing else of it is kept.
UPDATE endpoints SET url = '', description = NULL, events = '[]', filters = NULL, headers = NULL, secret = '',
    previous_secret = NULL, previous_secret_expires_at = NULL
WHERE deleted_at IS NOT NULL;
CREATE INDEX endpoints_deleted ON endpoints (id) WHERE deleted_at IS NOT NULL;
