"""The official Python SDKs of RDS and Tair on a server: `ADDRESS ROOT_JSON SIGNATURE STEP INSTANCE …`.

`redis ID [NODES]` and `database ID METHOD` back up, follow the task and find its set, whose number is printed; `cluster ID`
prints the nodes of the only set of a cluster; `restore-redis ID SET`
and `restore-database ID SET TABLE_META` restore from it, wait, and delete it; `clone ID SET` makes a new instance of it, waits until
it runs, and prints its id; `begin ID METHOD` asks for backups only, of a Redis without a method: one for each line that it reads, of
the server whose address that is; `begin-restores ID SET` asks for restores of it, one for each line of an address and a TABLE_META;
`refusals ID WRONG_JSON OTHER_JSON` asks what is refused while the instance is backed up.
"""

import json
import sys

from alibabacloud_r_kvstore20150101 import models as tair_models
from alibabacloud_r_kvstore20150101.client import Client as Tair
from alibabacloud_rds20140815 import models as rds_models
from alibabacloud_rds20140815.client import Client as Rds
from alibabacloud_tea_openapi.models import Config
from hbr import until

TIMES = {"start_time": "2020-01-01T00:00Z", "end_time": "2099-01-01T00:00Z"}
STAGES = {"NoStart", "Preparing", "Waiting", "Uploading", "Checking", "Finished"}


def config(signature, credentials=None):
    with open(credentials or sys.argv[2]) as file:
        root = json.load(file)
    return Config(
        access_key_id=root["access_key_id"],
        access_key_secret=root["access_key_secret"],
        endpoint=sys.argv[1],
        protocol="http",
        region_id=root["region"],
        signature_algorithm="v2" if signature == "v2" else None,
    )


def refused(ask):
    """The code and the status that a call is refused with."""
    try:
        ask()
    except Exception as error:
        return error.code, error.status_code
    raise AssertionError("it was not refused")


def refusals(instance, wrong, other):
    """A backup of the instance is under way, and stays so."""
    if instance.startswith("rm-"):
        create = lambda found: Rds(found).create_backup(rds_models.CreateBackupRequest(dbinstance_id=instance))
        listed = lambda found: Rds(found).describe_dbinstances(rds_models.DescribeDBInstancesRequest()).body.items.dbinstance
        unknown = ("InvalidDBInstanceId.NotFound", 404)
    else:
        create = lambda found: Tair(found).create_backup(tair_models.CreateBackupRequest(instance_id=instance))
        listed = lambda found: Tair(found).describe_instances(tair_models.DescribeInstancesRequest()).body.instances.kvstore_instance
        unknown = ("InvalidInstanceId.NotFound", 404)
    for signature in ["v3", "v2"]:
        assert refused(lambda: create(config(signature))) == ("BackupJobExists", 400)
        assert refused(lambda: create(config(signature, wrong))) == ("SignatureDoesNotMatch", 400)
        nobody = config(signature)
        nobody.access_key_id = "nobody"
        assert refused(lambda: create(nobody)) == ("InvalidAccessKeyId.NotFound", 404)
        assert refused(lambda: create(config(signature, other))) == unknown
        assert (len(listed(config(signature))), listed(config(signature, other))) == (1, [])


def back_up_redis(client, instance, nodes=1):
    listed = client.describe_instances(tair_models.DescribeInstancesRequest(instance_ids=instance)).body
    row = listed.instances.kvstore_instance[0]
    assert (row.instance_id, row.instance_status, listed.total_count) == (instance, "Normal", 1), row
    made = client.create_backup(tair_models.CreateBackupRequest(instance_id=instance)).body
    assert isinstance(made.backup_job_id, str), made
    asked = tair_models.DescribeBackupTasksRequest(instance_id=instance, backup_job_id=made.backup_job_id)

    def tasks():
        body = client.describe_backup_tasks(asked).body
        assert body.instance_id == instance and body.access_denied_detail.auth_action == ""
        return body.backup_jobs

    is_finished = lambda row: row.backup_progress_status == "Finished"
    rows = until(tasks, lambda rows: len(rows) < int(nodes) or all(map(is_finished, rows)))
    assert len(rows) == int(nodes), "the backup failed"
    job = int(made.backup_job_id)
    for row in rows:
        assert row.backup_progress_status in STAGES and row.process == "100", row
        assert (row.backup_job_id, row.job_mode, row.task_action) == (job, "Manual", "TempBackupTask"), row
    asked = tair_models.DescribeBackupsRequest(instance_id=instance, backup_job_id=job, **TIMES)
    found = client.describe_backups(asked).body
    assert found.total_count == int(nodes), found
    for backup in found.backups.backup:
        assert (backup.backup_status, backup.backup_job_id) == ("Success", job) and backup.backup_size > 0, backup
    assert {backup.node_instance_id for backup in found.backups.backup} == {row.node_id for row in rows}
    wrong = tair_models.DescribeBackupTasksRequest(instance_id="r-none")
    assert refused(lambda: client.describe_backup_tasks(wrong)) == ("InvalidInstanceId.NotFound", 404)
    return found.backups.backup[0].backup_id


def list_cluster(client, instance):
    """The cluster's only set, with the nodes in it."""
    asked = tair_models.DescribeClusterBackupListRequest(instance_id=instance, **TIMES)
    [found] = client.describe_cluster_backup_list(asked).body.cluster_backups
    assert (found.cluster_backup_status, found.is_avail) == ("OK", 1), found
    return [backup.instance_name for backup in found.backups]


def restore_redis(client, instance, number):
    client.restore_instance(tair_models.RestoreInstanceRequest(instance_id=instance, backup_id=number))
    asked = tair_models.DescribeInstancesRequest(instance_ids=instance)
    status = lambda: client.describe_instances(asked).body.instances.kvstore_instance[0].instance_status
    until(status, lambda status: status == "Normal")
    client.delete_backup(tair_models.DeleteBackupRequest(instance_id=instance, backup_id=number))
    asked = tair_models.DescribeBackupsRequest(instance_id=instance, backup_id=int(number), **TIMES)
    assert client.describe_backups(asked).body.total_count == 0


def begin(instance, method):
    if method:
        asked = rds_models.CreateBackupRequest(dbinstance_id=instance, backup_method=method)
        Rds(config(signature)).create_backup(asked)
    else:
        Tair(config(signature)).create_backup(tair_models.CreateBackupRequest(instance_id=instance))


def begin_restore(instance, number, meta):
    asked = rds_models.RestoreTableRequest(dbinstance_id=instance, backup_id=number, table_meta=meta)
    Rds(config(signature)).restore_table(asked)


def back_up_database(client, instance, method):
    listed = client.describe_dbinstances(rds_models.DescribeDBInstancesRequest(dbinstance_id=instance)).body
    row = listed.items.dbinstance[0]
    assert (row.dbinstance_id, row.dbinstance_status, listed.total_record_count) == (instance, "Running", 1), row
    asked = rds_models.CreateBackupRequest(dbinstance_id=instance, backup_method=method)
    made = client.create_backup(asked).body
    assert isinstance(made.backup_job_id, str), made
    asked = rds_models.DescribeBackupTasksRequest(dbinstance_id=instance, backup_job_id=int(made.backup_job_id))

    def task():
        return client.describe_backup_tasks(asked).body.items.backup_job[0]

    row = until(task, lambda row: row.backup_status in ("Finished", "Failed"))
    assert (row.backup_status, row.backup_progress_status, row.process) == ("Finished", "Finished", "100"), row
    asked = rds_models.DescribeBackupsRequest(dbinstance_id=instance, backup_id=row.backup_id)
    found = client.describe_backups(asked).body
    backup = found.items.backup[0]
    assert (backup.backup_status, backup.backup_mode, found.total_record_count) == ("Success", "Manual", "1"), backup
    assert backup.backup_method == method, backup
    wrong = rds_models.DescribeBackupTasksRequest(dbinstance_id="rm-none")
    assert refused(lambda: client.describe_backup_tasks(wrong)) == ("InvalidDBInstanceId.NotFound", 404)
    return backup.backup_id


def restore_database(client, instance, number, meta):
    asked = rds_models.RestoreTableRequest(dbinstance_id=instance, backup_id=number, table_meta=meta)
    client.restore_table(asked)
    asked = rds_models.DescribeDBInstancesRequest(dbinstance_id=instance)
    status = lambda: client.describe_dbinstances(asked).body.items.dbinstance[0].dbinstance_status
    until(status, lambda status: status == "Running")
    client.delete_backup(rds_models.DeleteBackupRequest(dbinstance_id=instance, backup_id=number))
    asked = rds_models.DescribeBackupsRequest(dbinstance_id=instance, backup_id=number)
    assert client.describe_backups(asked).body.total_record_count == "0"


def clone_database(client, instance, number):
    asked = rds_models.CloneDBInstanceRequest(dbinstance_id=instance, backup_id=number, pay_type="Postpaid")
    made = client.clone_dbinstance(asked).body.dbinstance_id
    asked = rds_models.DescribeDBInstancesRequest(dbinstance_id=made)
    status = lambda: client.describe_dbinstances(asked).body.items.dbinstance[0].dbinstance_status
    assert until(status, lambda status: status != "Creating") == "Running"
    return made


if __name__ == "__main__":
    signature, step, *arguments = sys.argv[3:]
    if step == "redis":
        print(back_up_redis(Tair(config(signature)), *arguments))
    elif step == "cluster":
        print("\n".join(list_cluster(Tair(config(signature)), *arguments)))
    elif step == "restore-redis":
        restore_redis(Tair(config(signature)), *arguments)
    elif step == "database":
        print(back_up_database(Rds(config(signature)), *arguments))
    elif step == "refusals":
        refusals(*arguments)
    elif step == "begin":
        for line in sys.stdin:
            sys.argv[1] = line.strip()
            begin(*arguments)
            print("asked", flush=True)
    elif step == "begin-restores":
        for line in sys.stdin:
            sys.argv[1], meta = line.strip().split(" ", 1)
            begin_restore(*arguments, meta)
            print("asked", flush=True)
    elif step == "clone":
        print(clone_database(Rds(config(signature)), *arguments))
    else:
        restore_database(Rds(config(signature)), *arguments)
