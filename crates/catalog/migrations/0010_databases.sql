-- Backups of databases and of Redis. Their jobs have the resource as their instance.

-- The number by which the dialects call a job, that of the backup set it makes, and the node of a cluster it is about.
ALTER TABLE jobs ADD COLUMN number BIGINT;
ALTER TABLE jobs ADD COLUMN set_number BIGINT;
ALTER TABLE jobs ADD COLUMN node_id TEXT;
-- what it does, or did last
ALTER TABLE jobs ADD COLUMN phase TEXT;

ALTER TABLE snapshots ADD COLUMN resource_id TEXT;
ALTER TABLE snapshots ADD COLUMN number BIGINT;
ALTER TABLE snapshots ADD COLUMN set_number BIGINT;
ALTER TABLE snapshots ADD COLUMN node_id TEXT;
ALTER TABLE snapshots ADD COLUMN trigger_mode TEXT;
-- what is known of it besides its bytes, as JSON
ALTER TABLE snapshots ADD COLUMN detail TEXT;
CREATE INDEX snapshots_by_resource ON snapshots (resource_id, completed_at, id) WHERE resource_id IS NOT NULL;

-- One row: the last number that was given away.
CREATE TABLE numbers (
    id BIGINT PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO numbers (id, last) VALUES (1, 1000000);
