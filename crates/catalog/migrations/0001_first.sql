-- Both databases read this text. Flags are 0 or 1, times are milliseconds since 1970, structures are JSON.

CREATE TABLE accounts (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE access_keys (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    -- sealed
    secret TEXT NOT NULL,
    is_active BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);

CREATE TABLE nonces (
    access_key_id TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (access_key_id, nonce)
);
CREATE INDEX nonces_by_expiry ON nonces (expires_at);

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    instance_id TEXT NOT NULL UNIQUE,
    hostname TEXT NOT NULL,
    version TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    heard_of_at BIGINT NOT NULL
);

CREATE TABLE vaults (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    region TEXT NOT NULL,
    redundancy TEXT NOT NULL,
    state TEXT NOT NULL,
    -- sealed
    password TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX vaults_by_account ON vaults (account_id, created_at, id);

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    progress BIGINT NOT NULL,
    result TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    completed_at BIGINT
);

CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    vault_id TEXT NOT NULL REFERENCES vaults (id),
    name TEXT NOT NULL,
    source_type TEXT NOT NULL,
    edition TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    instance_id TEXT,
    backup_type TEXT NOT NULL,
    spec TEXT NOT NULL,
    schedule TEXT,
    next_run_at BIGINT,
    keep_latest BIGINT NOT NULL,
    is_disabled BIGINT NOT NULL,
    is_deleted BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX plans_by_account ON plans (account_id, created_at, id);
CREATE INDEX plans_by_next_run ON plans (next_run_at);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    vault_id TEXT NOT NULL,
    region TEXT NOT NULL,
    plan_id TEXT,
    parent_id TEXT,
    client_id TEXT,
    instance_id TEXT,
    source_type TEXT NOT NULL,
    edition TEXT NOT NULL,
    name TEXT NOT NULL,
    backup_type TEXT NOT NULL,
    trigger_mode TEXT NOT NULL,
    spec TEXT NOT NULL,
    -- of a restore: what it restores, and where that came from
    snapshot_id TEXT,
    source_job_id TEXT,
    source_instance_id TEXT,
    state TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT,
    error_file TEXT,
    progress BIGINT NOT NULL,
    speed BIGINT NOT NULL,
    bytes_total BIGINT,
    items_total BIGINT,
    files_total BIGINT,
    bytes_done BIGINT NOT NULL,
    bytes_actual BIGINT NOT NULL,
    items_done BIGINT NOT NULL,
    items_actual BIGINT NOT NULL,
    files_done BIGINT NOT NULL,
    files_actual BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    completed_at BIGINT,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- who works on it, until when that is believed, and the how manieth he is
    worker TEXT,
    leased_until BIGINT,
    fence BIGINT NOT NULL
);
CREATE INDEX jobs_by_account ON jobs (account_id, kind, created_at, id);
CREATE INDEX jobs_by_plan ON jobs (plan_id, created_at);
CREATE INDEX jobs_by_vault ON jobs (vault_id, created_at);
CREATE INDEX jobs_by_state ON jobs (state, created_at, id);

CREATE TABLE snapshots (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    vault_id TEXT NOT NULL,
    -- the snapshot file in the vault
    hash TEXT NOT NULL,
    parent_hash TEXT,
    job_id TEXT NOT NULL,
    plan_id TEXT,
    client_id TEXT,
    instance_id TEXT,
    source_type TEXT NOT NULL,
    backup_type TEXT NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    error_file TEXT,
    bytes_total BIGINT NOT NULL,
    bytes_done BIGINT NOT NULL,
    bytes_actual BIGINT NOT NULL,
    items_total BIGINT NOT NULL,
    items_done BIGINT NOT NULL,
    items_actual BIGINT NOT NULL,
    retention_days BIGINT,
    created_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    completed_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX snapshots_by_vault ON snapshots (vault_id, completed_at, id);
CREATE INDEX snapshots_by_job ON snapshots (job_id);
