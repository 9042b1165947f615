-- Deleted organizations whose events and deliveries are still being removed.
CREATE TABLE deleted_organizations (
    id INTEGER PRIMARY KEY,
    deleted_at BIGINT NOT NULL
);
