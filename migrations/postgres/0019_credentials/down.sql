UPDATE oldest_reader SET migration = '0014';

ALTER TABLE endpoints DROP COLUMN credentials;
