-- Older rotated secrets than previous_secret, sealed, with the ends of their validity: several are valid at
-- once.
ALTER TABLE endpoints ADD COLUMN older_secrets BYTEA;
-- A failure after this instant begins a new streak.
ALTER TABLE endpoint_health ADD COLUMN streak_ends_at BIGINT;
-- The secret that the receiver accepted after refusing another one.
ALTER TABLE endpoint_health ADD COLUMN accepted_secret BIGINT;
