-- What listings look at beside what an index leads them to is in it, so that a page far down and the rows of a time are
-- passed over without reading each job. Who owns a job is part of it: nobody is shown another's, whatever he asks for.
DROP INDEX jobs_by_plan;
CREATE INDEX jobs_by_plan ON jobs (plan_id, kind, created_at, id, account_id, edition, source_type, state, parent_id, completed_at, backup_type);
DROP INDEX jobs_by_vault;
CREATE INDEX jobs_by_vault ON jobs (vault_id, kind, created_at, id, account_id, edition, source_type, state, parent_id, completed_at, backup_type);
DROP INDEX jobs_by_instance;
CREATE INDEX jobs_by_instance ON jobs (instance_id, kind, created_at, id, account_id, edition, source_type, state, parent_id, completed_at, backup_type)
    WHERE instance_id IS NOT NULL;
DROP INDEX jobs_by_account_completion;
CREATE INDEX jobs_by_account_completion ON jobs (account_id, kind, completed_at, created_at, id, edition, source_type, state, parent_id);
DROP INDEX jobs_by_account_state;
CREATE INDEX jobs_by_account_state ON jobs (account_id, kind, state, created_at, id, edition, source_type, parent_id, completed_at);
DROP INDEX jobs_by_account;
CREATE INDEX jobs_by_account ON jobs (account_id, kind, created_at, id, edition, source_type, state, parent_id, completed_at, backup_type);
