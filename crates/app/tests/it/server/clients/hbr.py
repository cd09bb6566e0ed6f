"""The official Python SDK on a server: `ADDRESS ROOT_JSON SIGNATURE …` as the program's arguments."""

import json
import sys
import time

from alibabacloud_hbr20170908 import models
from alibabacloud_hbr20170908.client import Client
from alibabacloud_tea_openapi.models import Config

ENDED = {"COMPLETE", "PARTIAL_COMPLETE", "FAILED", "CANCELED", "EXPIRED", "UNAVAILABLE"}


def client(signature="v3", credentials=None):
    """A client with the keys of `credentials`, a path, or else of the root account."""
    with open(credentials or sys.argv[2]) as file:
        root = json.load(file)
    config = Config(
        access_key_id=root["access_key_id"],
        access_key_secret=root["access_key_secret"],
        endpoint=sys.argv[1],
        protocol="http",
        region_id=root["region"],
        # The SDK's name for its older signature, in the parameters; the newer one is its default.
        signature_algorithm="v2" if signature == "v2" else None,
    )
    return Client(config)


def until(look, is_enough, seconds=60):
    """What `look` returns once it is enough."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if is_enough(seen):
            return seen
        assert time.monotonic() < end, f"still {seen} after {seconds} s"
        time.sleep(0.05)


def new_vault(hbr, name):
    made = hbr.create_vault(models.CreateVaultRequest(vault_name=name, vault_region_id="cn-hangzhou")).body
    look = lambda: hbr.describe_vaults(models.DescribeVaultsRequest(vault_id=made.vault_id)).body.vaults.vault[0]
    until(look, lambda vault: vault.status == "CREATED")
    return made.vault_id


def built_in_client(hbr):
    request = models.DescribeBackupClientsRequest(client_type="ECS_CLIENT")
    return hbr.describe_backup_clients(request).body.clients[0]


def backup_job(hbr, job_id):
    """The job as it is listed."""
    filters = [models.DescribeBackupJobs2RequestFilters(key="JobId", operator="EQUAL", values=[job_id])]
    listed = hbr.describe_backup_jobs_2(models.DescribeBackupJobs2Request(filters=filters)).body
    assert listed.total_count == 1, listed
    return listed.backup_jobs.backup_job[0]


def ended_backup(hbr, job_id):
    return until(lambda: backup_job(hbr, job_id), lambda job: job.status in ENDED)


def restore_job(hbr, restore_id):
    filters = [models.DescribeRestoreJobs2RequestFilters(key="RestoreId", values=[restore_id])]
    listed = hbr.describe_restore_jobs_2(models.DescribeRestoreJobs2Request(filters=filters)).body
    return listed.restore_jobs.restore_job[0]


def ended_restore(hbr, restore_id):
    return until(lambda: restore_job(hbr, restore_id), lambda job: job.status in ENDED)


def snapshots_of(hbr, vault_id, instance_id):
    query = [
        {"field": "VaultId", "value": vault_id, "operation": "MATCH_TERM"},
        {"field": "InstanceId", "value": instance_id, "operation": "MATCH_TERM"},
    ]
    request = models.SearchHistoricalSnapshotsRequest(source_type="ECS_FILE", query=query)
    return hbr.search_historical_snapshots(request).body.snapshots.snapshot
