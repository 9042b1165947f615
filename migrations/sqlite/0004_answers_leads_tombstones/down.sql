DROP INDEX endpoints_deleted;
DROP TABLE id_leads;
ALTER TABLE idempotency_keys DROP COLUMN delivery_count;
ALTER TABLE idempotency_keys DROP COLUMN occurred_at;
ALTER TABLE idempotency_keys DROP COLUMN event_type;
