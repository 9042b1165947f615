DROP INDEX endpoints_by_svix_id;
ALTER TABLE endpoints DROP COLUMN svix_id;
DROP INDEX organizations_by_svix_id;
ALTER TABLE organizations DROP COLUMN svix_id;
