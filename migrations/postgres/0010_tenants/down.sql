DELETE FROM api_keys WHERE organization_id = 0;
ALTER TABLE api_keys DROP COLUMN last_used_at;
DROP INDEX organizations_by_creation_key;
DROP INDEX organizations_by_uid;
ALTER TABLE organizations DROP COLUMN creation_request;
ALTER TABLE organizations DROP COLUMN creation_key;
ALTER TABLE organizations DROP COLUMN metadata;
ALTER TABLE organizations DROP COLUMN uid;
