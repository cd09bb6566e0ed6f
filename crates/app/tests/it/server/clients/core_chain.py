"""Vault, plan, job, snapshot, a look inside, restore through the old core: `… METHOD FORMAT SOURCE TARGET`."""

import json
import os
import sys

from core import Core, rows
from hbr import ENDED, until

method, form, source, target = sys.argv[3:7]
core = Core(method, form)


def job(action, box, key, job_id):
    kind = box[:-1]
    look = lambda: rows(core.call(action, Filters__1__Key=key, Filters__1__Values__1=job_id), box, kind)[0]
    return until(look, lambda row: row["Status"] in ENDED)


made = core.call("CreateVault", VaultName=f"{method} {form} ä*~/+", VaultRegionId="cn-hangzhou")
vault_id = made["VaultId"]
vaults = lambda: rows(core.call("DescribeVaults", VaultId=vault_id), "Vaults", "Vault")
[vault] = until(vaults, lambda found: found[0]["Status"] == "CREATED")
assert vault["VaultName"] == f"{method} {form} ä*~/+", vault
task = core.call("DescribeTask", TaskId=made["TaskId"])
assert (str(task["Progress"]), task["Description"]) == ("100", "completed"), task

clients = core.call("DescribeBackupClients", ClientType="ECS_CLIENT")["Clients"]
machine = clients if isinstance(clients, dict) else clients[0]
plan_id = core.call(
    "CreateBackupPlan",
    SourceType="ECS_FILE",
    PlanName="documents",
    VaultId=vault_id,
    InstanceId=machine["InstanceId"],
    Schedule="I|1602673264|P1D",
    Retention="7",
    Path__1=source,
)["PlanId"]
job_id = core.call("ExecuteBackupPlan", PlanId=plan_id)["JobId"]
done = job("DescribeBackupJobs2", "BackupJobs", "jobId", job_id)
assert (done["Status"], str(done["Progress"]), done["PlanId"]) == ("COMPLETE", "10000", plan_id), done

terms = {"VaultId": vault_id, "InstanceId": machine["InstanceId"], "JobId": job_id}
query = json.dumps([{"field": field, "operation": "MATCH_TERM", "value": value} for field, value in terms.items()])
found = core.call("SearchHistoricalSnapshots", SourceType="ECS_FILE", Query=query)
[snapshot] = rows(found, "Snapshots", "Snapshot")

inside = core.call(
    "BrowseFiles", VaultId=vault_id, SnapshotHash=snapshot["SnapshotHash"], AbsolutePath=source, PageSize="99"
)
names = [node["Name"] for node in rows(inside, "Nodes", "Node")]
assert names == sorted(os.listdir(source)), inside

restore_id = core.call(
    "CreateRestoreJob",
    RestoreType="ECS_FILE",
    SourceType="ECS_FILE",
    VaultId=vault_id,
    SnapshotId=snapshot["SnapshotId"],
    SnapshotHash=snapshot["SnapshotHash"],
    TargetInstanceId=machine["InstanceId"],
    TargetPath=target,
)["RestoreId"]
done = job("DescribeRestoreJobs2", "RestoreJobs", "restoreId", restore_id)
assert (done["Status"], str(done["Progress"])) == ("COMPLETE", "10000"), done
