DROP TABLE idempotency_keys;
DROP TABLE attempts;
DROP TABLE deliveries;
DROP TABLE events;
DROP TABLE endpoint_health;
DROP TABLE endpoints;
DROP TABLE api_keys;
DROP TABLE organizations;
