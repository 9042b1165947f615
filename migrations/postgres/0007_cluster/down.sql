DELETE FROM delivery_statistics WHERE node <> 0;
ALTER TABLE delivery_statistics DROP CONSTRAINT delivery_statistics_pkey;
ALTER TABLE delivery_statistics DROP COLUMN node;
ALTER TABLE delivery_statistics ADD PRIMARY KEY (period_start, organization_id, endpoint_id);
DELETE FROM counters WHERE name = 'cluster_map';
DROP TABLE cluster_pins;
DROP TABLE cluster_partitions;
DROP TABLE cluster_fences;
DROP TABLE cluster_nodes;
