-- The reports about what became of each entry of a job, made after its end: CREATED, RUNNING, COMPLETE or FAILED, and
-- until when who makes them is believed to do so.
ALTER TABLE jobs ADD COLUMN report_state TEXT;
ALTER TABLE jobs ADD COLUMN report_until BIGINT;
CREATE INDEX jobs_by_report ON jobs (completed_at) WHERE report_state IN ('CREATED', 'RUNNING');
