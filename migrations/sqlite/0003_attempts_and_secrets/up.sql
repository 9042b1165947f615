-- Rotated secrets before the one in previous_secret, sealed, with their ends: several are valid at once.
ALTER TABLE endpoints ADD COLUMN older_secrets BLOB;
-- A failure after this is the first of another streak.
ALTER TABLE endpoint_health ADD COLUMN streak_ends_at BIGINT;
-- Which secret the receiver took when another one was refused.
ALTER TABLE endpoint_health ADD COLUMN accepted_secret BIGINT;
