-- Rules of a plan: JSON. A plan without any has its own schedule at the most.
ALTER TABLE plans ADD COLUMN rules TEXT NOT NULL DEFAULT '[]';
CREATE UNIQUE INDEX plans_by_name ON plans (vault_id, source_type, name) WHERE is_deleted = 0;

-- What runs by itself, and when next. A series is a plan or a binding of a policy; the rule is '' for a plan's own schedule.
CREATE TABLE runs (
    series_id TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    schedule TEXT NOT NULL,
    next_run_at BIGINT NOT NULL,
    PRIMARY KEY (series_id, rule_id)
);
CREATE INDEX runs_by_time ON runs (next_run_at);
INSERT INTO runs (series_id, rule_id, schedule, next_run_at)
    SELECT id, '', schedule, next_run_at FROM plans
    WHERE schedule IS NOT NULL AND next_run_at IS NOT NULL AND is_disabled = 0 AND is_deleted = 0;
DROP INDEX plans_by_next_run;
ALTER TABLE plans DROP COLUMN next_run_at;

-- The jobs of a series run one after another.
ALTER TABLE jobs ADD COLUMN series_id TEXT;
ALTER TABLE jobs ADD COLUMN policy_id TEXT;
ALTER TABLE jobs ADD COLUMN rule_id TEXT;
-- How many jobs this one stands for; nobody works on one that stands for others.
ALTER TABLE jobs ADD COLUMN child_count BIGINT NOT NULL DEFAULT 0;
UPDATE jobs SET series_id = plan_id;
CREATE INDEX jobs_by_series ON jobs (series_id, created_at, id);

CREATE TABLE policies (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    rules TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX policies_by_account ON policies (account_id, created_at, id);

CREATE TABLE bindings (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    policy_id TEXT NOT NULL REFERENCES policies (id),
    source_type TEXT NOT NULL,
    data_source_id TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    description TEXT NOT NULL,
    -- what to back up, as asked for
    source TEXT NOT NULL,
    spec TEXT NOT NULL,
    is_disabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, data_source_id)
);
CREATE INDEX bindings_by_policy ON bindings (policy_id, created_at, id);
