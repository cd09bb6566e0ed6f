-- Of the jobs of a series one runs at a time, however many servers claim at once.
CREATE UNIQUE INDEX jobs_running_of_series ON jobs (series_id) WHERE state IN ('RUNNING', 'CANCELING');

-- Everything listings are commonly filtered by, so that they and their totals are read from the index alone.
DROP INDEX jobs_by_account;
CREATE INDEX jobs_by_account ON jobs (account_id, kind, created_at, id, edition, source_type, state, parent_id, completed_at);
CREATE INDEX jobs_by_account_time ON jobs (account_id, created_at, id);
CREATE INDEX jobs_by_account_state ON jobs (account_id, kind, state, created_at, id);
CREATE INDEX jobs_by_account_completion ON jobs (account_id, kind, completed_at);
-- Plans and vaults have jobs of one account only.
DROP INDEX jobs_by_plan;
CREATE INDEX jobs_by_plan ON jobs (plan_id, kind, created_at, id, edition, source_type, state, parent_id, completed_at);
DROP INDEX jobs_by_vault;
CREATE INDEX jobs_by_vault ON jobs (vault_id, kind, created_at, id, edition, source_type, state, parent_id, completed_at);
CREATE INDEX jobs_by_parent ON jobs (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_by_source ON jobs (source_job_id, created_at, id) WHERE source_job_id IS NOT NULL;
CREATE INDEX jobs_by_instance ON jobs (instance_id, created_at, id) WHERE instance_id IS NOT NULL;

-- Where a listing began that is asked for page by page, so that jobs added meanwhile do not move its pages.
CREATE TABLE listings (
    access_key_id TEXT NOT NULL,
    query TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    job_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (access_key_id, query)
);
CREATE INDEX listings_by_expiry ON listings (expires_at);
