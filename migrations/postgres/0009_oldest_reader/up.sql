-- The migration that a program has to know to use this database. Those after it only add, so that nodes of an older version go on
-- during an upgrade; a migration that changes or removes what older versions use sets this to its own number.
CREATE TABLE oldest_reader (
    id SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    migration TEXT NOT NULL
);
INSERT INTO oldest_reader (id, migration) VALUES (1, '0009');
