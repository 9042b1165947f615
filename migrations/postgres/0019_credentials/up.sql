-- Client certificate and OAuth 2.0 of a webhook, encrypted; NULL: none.
ALTER TABLE endpoints ADD COLUMN credentials BYTEA;

-- An older program would deliver without them.
UPDATE oldest_reader SET migration = '0019';
