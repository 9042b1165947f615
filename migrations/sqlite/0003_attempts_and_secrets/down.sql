ALTER TABLE endpoint_health DROP COLUMN accepted_secret;
ALTER TABLE endpoint_health DROP COLUMN streak_ends_at;
ALTER TABLE endpoints DROP COLUMN older_secrets;
