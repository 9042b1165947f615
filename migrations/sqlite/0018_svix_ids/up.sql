-- Ids of applications and endpoints that were brought over from Svix's server, without what they begin with.
ALTER TABLE organizations ADD COLUMN svix_id TEXT;
CREATE UNIQUE INDEX organizations_by_svix_id ON organizations (environment, svix_id) WHERE svix_id IS NOT NULL;
ALTER TABLE endpoints ADD COLUMN svix_id TEXT;
CREATE UNIQUE INDEX endpoints_by_svix_id ON endpoints (organization_id, svix_id) WHERE svix_id IS NOT NULL AND deleted_at IS NULL;
