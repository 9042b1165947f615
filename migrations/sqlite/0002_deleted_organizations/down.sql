DROP TABLE deleted_organizations;
