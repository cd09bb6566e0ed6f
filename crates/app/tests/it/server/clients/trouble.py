"""A job that is cancelled, and jobs that end in part or not at all: `… BIG SOURCE MISSING TARGET`."""

import sys

from Tea.exceptions import TeaException
from hbr import backup_job, built_in_client, client, ended_backup, ended_restore, models, new_vault, snapshots_of, until

big, source, missing, target = sys.argv[3:7]
hbr = client()
vault_id = new_vault(hbr, "trouble")
machine = built_in_client(hbr)


def run(name, *paths):
    """Makes a plan, runs it, and returns the id of its job."""
    plan = models.CreateBackupPlanRequest(
        source_type="ECS_FILE",
        plan_name=name,
        vault_id=vault_id,
        instance_id=machine.instance_id,
        schedule="I|1602673264|P1D",
        path=list(paths),
    )
    plan_id = hbr.create_backup_plan(plan).body.plan_id
    return hbr.execute_backup_plan(models.ExecuteBackupPlanRequest(plan_id=plan_id)).body.job_id


job_id = run("big", big)
until(lambda: backup_job(hbr, job_id), lambda job: job.status == "RUNNING" and job.bytes_done)
cancel = models.CancelBackupJobRequest(job_id=job_id, vault_id=vault_id)
assert hbr.cancel_backup_job(cancel).body.success
job = ended_backup(hbr, job_id)
assert job.status == "CANCELED" and 0 <= job.progress < 10000 and job.complete_time, job
try:
    hbr.cancel_backup_job(cancel)
    raise AssertionError("a job that has ended is cancelled")
except TeaException as error:
    assert error.code == "BadRequest" and job_id in error.message, error
assert snapshots_of(hbr, vault_id, machine.instance_id) == []

job = ended_backup(hbr, run("partial", source, missing))
assert (job.status, job.progress) == ("PARTIAL_COMPLETE", 10000), job
assert job.error_message.startswith("PARTIAL_COMPLETE"), job
job = ended_backup(hbr, run("nothing", missing))
assert job.status == "FAILED" and job.error_message.startswith("SOURCE_NOT_EXIST"), job

[snapshot] = snapshots_of(hbr, vault_id, machine.instance_id)
assert snapshot.status == "PARTIAL_COMPLETE", snapshot
restore = models.CreateRestoreJobRequest(
    restore_type="ECS_FILE",
    source_type="ECS_FILE",
    vault_id=vault_id,
    snapshot_id=snapshot.snapshot_id,
    snapshot_hash=snapshot.snapshot_hash,
    target_instance_id=machine.instance_id,
    target_path=missing,
)
restored = ended_restore(hbr, hbr.create_restore_job(restore).body.restore_id)
assert restored.status == "FAILED" and restored.error_message.startswith("TARGET_NOT_EXIST"), restored
restore.target_path = target
restored = ended_restore(hbr, hbr.create_restore_job(restore).body.restore_id)
assert restored.status == "COMPLETE", restored
