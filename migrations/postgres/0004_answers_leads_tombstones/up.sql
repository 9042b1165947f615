-- The answer that a used key gives again: it is remembered for a day, its event for as long as the settings say.
ALTER TABLE idempotency_keys ADD COLUMN event_type TEXT;
ALTER TABLE idempotency_keys ADD COLUMN occurred_at BIGINT;
ALTER TABLE idempotency_keys ADD COLUMN delivery_count INTEGER;
UPDATE idempotency_keys SET event_type = events.event_type, occurred_at = events.occurred_at,
    delivery_count = events.delivery_count
FROM events WHERE events.id = idempotency_keys.event_id;
-- their events are gone: they counted as never used
DELETE FROM idempotency_keys WHERE event_type IS NULL;

-- Ids that are ahead of the clock that their rows have their times from: it was set back. From the first of them to
-- before the other, and the time of the first.
CREATE TABLE id_leads (
    first_id BIGINT PRIMARY KEY,
    until_id BIGINT NOT NULL,
    begins_at BIGINT NOT NULL
);

-- A deleted endpoint is a name in the log of its deliveries, and nothing else of it is kept.
UPDATE endpoints SET url = '', description = NULL, events = '[]', filters = NULL, headers = NULL, secret = '',
    previous_secret = NULL, previous_secret_expires_at = NULL
WHERE deleted_at IS NOT NULL;
CREATE INDEX endpoints_deleted ON endpoints (id) WHERE deleted_at IS NOT NULL;
