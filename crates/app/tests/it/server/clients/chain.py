"""Vault, plan, job, snapshot, restore: `… SIGNATURE SOURCE TARGET`."""

import sys

from hbr import built_in_client, client, ended_backup, ended_restore, models, new_vault, snapshots_of

signature, source, target = sys.argv[3:6]
hbr = client(signature)
vault_id = new_vault(hbr, f"vault-{signature}")
machine = built_in_client(hbr)
plan = models.CreateBackupPlanRequest(
    source_type="ECS_FILE",
    plan_name="documents",
    vault_id=vault_id,
    instance_id=machine.instance_id,
    schedule="I|1602673264|P1D",
    retention=7,
    path=[source],
)
plan_id = hbr.create_backup_plan(plan).body.plan_id
job_id = hbr.execute_backup_plan(models.ExecuteBackupPlanRequest(plan_id=plan_id)).body.job_id
job = ended_backup(hbr, job_id)
assert (job.status, job.progress, job.plan_id, job.vault_id) == ("COMPLETE", 10000, plan_id, vault_id), job
assert (job.files_total, job.files_done, job.bytes_done) == (2, 2, 6), job

[snapshot] = snapshots_of(hbr, vault_id, machine.instance_id)
assert (snapshot.job_id, snapshot.retention) == (job_id, 7), snapshot
restore = models.CreateRestoreJobRequest(
    restore_type="ECS_FILE",
    source_type="ECS_FILE",
    vault_id=vault_id,
    snapshot_id=snapshot.snapshot_id,
    snapshot_hash=snapshot.snapshot_hash,
    target_instance_id=machine.instance_id,
    target_path=target,
)
restored = ended_restore(hbr, hbr.create_restore_job(restore).body.restore_id)
assert (restored.status, restored.progress, restored.bytes_done) == ("COMPLETE", 10000, 6), restored
