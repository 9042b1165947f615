DELETE FROM dashboard_sessions WHERE role IS NOT NULL;
ALTER TABLE dashboard_sessions DROP COLUMN return_url;
ALTER TABLE dashboard_sessions DROP COLUMN name;
ALTER TABLE dashboard_sessions DROP COLUMN role;
DROP TABLE sign_in_links;
