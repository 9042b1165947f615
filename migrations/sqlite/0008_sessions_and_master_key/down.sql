DROP TABLE dashboard_sessions;
DROP TABLE master_key;
