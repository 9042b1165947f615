-- Several nodes on one database. Who is there: each node writes its own row every half second, without waiting for the disk.
CREATE TABLE cluster_nodes (
    -- the node bits of the ids that it makes
    slot SMALLINT PRIMARY KEY,
    -- random at each start
    incarnation BIGINT NOT NULL,
    -- grows; compared for change, never with a clock
    beat BIGINT NOT NULL,
    -- 0 joining, 1 live, 2 leaving, 3 fenced, 4 gone
    state SMALLINT NOT NULL,
    name TEXT NOT NULL,
    -- which process on which machine, for a successor on the same one
    process TEXT NOT NULL,
    -- where other nodes reach its API
    advertise TEXT,
    version TEXT NOT NULL,
    -- of what nodes tell each other
    protocol SMALLINT NOT NULL,
    started_at BIGINT NOT NULL,
    -- how long its beat may stand still before its rights may be ended, in milliseconds: what it goes by itself
    lease_ms BIGINT NOT NULL,
    -- grows when another node could not tell it something
    looks BIGINT NOT NULL DEFAULT 0,
    -- how many transactions it has written since it started: while these stand still, so do counts of rows
    writes BIGINT NOT NULL DEFAULT 0,
    -- for people: JSON
    report TEXT NOT NULL
) WITH (fillfactor = 10);

-- Who may write: every commit of a node share-locks its row, and writes nothing if the generation is not its own. Apart from
-- the beats, which would wait for commits.
CREATE TABLE cluster_fences (
    slot SMALLINT PRIMARY KEY,
    generation BIGINT NOT NULL
) WITH (fillfactor = 10);

-- Who delivers: the owner of each partition of the endpoints, or NULL.
CREATE TABLE cluster_partitions (
    partition SMALLINT PRIMARY KEY,
    slot SMALLINT,
    -- grows with each change of the owner
    epoch BIGINT NOT NULL,
    -- the node that is to be the next owner
    wanted SMALLINT
);
INSERT INTO cluster_partitions (partition, epoch) SELECT number, 0 FROM generate_series(0, 255) AS number;

-- Endpoints whose attempt in flight stayed behind when their partition got another owner.
CREATE TABLE cluster_pins (
    endpoint_id BIGINT PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    partition SMALLINT NOT NULL,
    slot SMALLINT NOT NULL
);

-- grows with each change of the partitions and pins
INSERT INTO counters (name, value) VALUES ('cluster_map', 0);

-- Each node adds to counts of its own; readers add them up.
ALTER TABLE delivery_statistics ADD COLUMN node SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE delivery_statistics DROP CONSTRAINT delivery_statistics_pkey;
ALTER TABLE delivery_statistics ADD PRIMARY KEY (period_start, organization_id, endpoint_id, node);
