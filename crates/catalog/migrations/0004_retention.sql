-- How long things live. Snapshots may come from a vault alone, and then much is not known of them.

ALTER TABLE snapshots RENAME TO snapshots_of_jobs;
CREATE TABLE snapshots (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    vault_id TEXT NOT NULL,
    -- the snapshot file in the vault, and of one that restic has rewritten the file it was first
    hash TEXT NOT NULL,
    original_hash TEXT,
    parent_hash TEXT,
    job_id TEXT,
    plan_id TEXT,
    -- the plan or the binding of a policy whose newest snapshot may outlive its retention
    series_id TEXT,
    client_id TEXT,
    instance_id TEXT,
    source_type TEXT NOT NULL,
    backup_type TEXT NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    error_file TEXT,
    bytes_total BIGINT,
    bytes_done BIGINT,
    bytes_actual BIGINT,
    items_total BIGINT,
    items_done BIGINT,
    items_actual BIGINT,
    retention_days BIGINT,
    keep_latest BIGINT NOT NULL,
    created_at BIGINT,
    started_at BIGINT NOT NULL,
    completed_at BIGINT NOT NULL,
    expires_at BIGINT,
    -- nobody sees it any more: its file goes with the next prune, then this row
    condemned_at BIGINT
);
INSERT INTO snapshots (id, account_id, vault_id, hash, parent_hash, job_id, plan_id, series_id, client_id, instance_id,
    source_type, backup_type, state, spec, error_file, bytes_total, bytes_done, bytes_actual, items_total, items_done, items_actual,
    retention_days, keep_latest, created_at, started_at, completed_at, expires_at)
    SELECT id, account_id, vault_id, hash, parent_hash, job_id, plan_id, plan_id, client_id, instance_id,
    source_type, backup_type, state, spec, error_file, bytes_total, bytes_done, bytes_actual, items_total, items_done, items_actual,
    retention_days, 0, created_at, started_at, completed_at, expires_at FROM snapshots_of_jobs;
DROP TABLE snapshots_of_jobs;
CREATE INDEX snapshots_by_vault ON snapshots (vault_id, completed_at, id);
CREATE UNIQUE INDEX snapshots_by_hash ON snapshots (vault_id, hash);
CREATE INDEX snapshots_by_job ON snapshots (job_id);
CREATE INDEX snapshots_by_expiry ON snapshots (expires_at);
CREATE INDEX snapshots_by_doom ON snapshots (condemned_at);

ALTER TABLE vaults ADD COLUMN is_worm BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;

-- The vault that a task makes, so that the next server can end what a dead one has begun.
ALTER TABLE tasks ADD COLUMN vault_id TEXT;

-- One row: when the clock was last looked at, and until when nothing expires because it had leapt.
CREATE TABLE clock_watch (
    id BIGINT PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    held_until BIGINT NOT NULL
);
