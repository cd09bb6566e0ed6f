"""Policy, bindings, a run over two sources, what its children did; then plans that change: `… SIGNATURE SOURCE OTHER`."""

import json
import sys

from Tea.exceptions import TeaException

from hbr import built_in_client, client, ended_backup, models, new_vault, snapshots_of

signature, source, other = sys.argv[3:6]
hbr = client(signature)
vault_id = new_vault(hbr, f"vault-{signature}")
machine = built_in_client(hbr)


def refused(code, call, request):
    """The message with which the call is refused."""
    try:
        call(request)
    except TeaException as error:
        assert error.code == code, error
        return error.message
    raise AssertionError(f"{code} was expected")


def jobs(**keys):
    filters = [models.DescribeBackupJobs2RequestFilters(key=key, values=[value]) for key, value in keys.items()]
    return hbr.describe_backup_jobs_2(models.DescribeBackupJobs2Request(filters=filters)).body.backup_jobs.backup_job


def rule(**fields):
    return models.CreatePolicyV2RequestRules(**fields)


backup = dict(rule_type="BACKUP", backup_type="INCREMENTAL", vault_id=vault_id, schedule="C|1631685600|0 0 2 ? * 3,5,7")
weekly = models.CreatePolicyV2RequestRulesRetentionRules(advanced_retention_type="WEEKLY", retention=30, which_snapshot=1)
policy = models.CreatePolicyV2Request(
    policy_name="nightly",
    policy_description="all that counts",
    rules=[
        rule(retention=7, keep_latest_snapshots=1, **backup),
        rule(rule_type="TRANSITION", retention=9, retention_rules=[weekly]),
    ],
)
policy_id = hbr.create_policy_v2(policy).body.policy_id


def described():
    [found] = hbr.describe_policies_v2(models.DescribePoliciesV2Request(policy_id=policy_id)).body.policies
    return found


found = described()
assert (found.policy_name, found.policy_type, found.policy_binding_count) == ("nightly", "STANDARD", 0), found
rule_id = found.rules[0].rule_id
assert found.rules[0].schedule == "C|1631685600|0 0 2 ? * 3,5,7", found
assert (found.rules[1].retention, found.rules[1].retention_rules[0].advanced_retention_type) == (9, "WEEKLY"), found

for field, code in [
    (dict(rule_type="TAG"), "InvalidParameter.Rules.1.RuleType"),
    (dict(backup, schedule="C|0|0 0 2 30 2 ?"), "InvalidParameter.Rules.1.Schedule"),
    (dict(backup, retention=364636), "InvalidParameter.Rules.1.Retention"),
    (dict(rule_type="TRANSITION", archive_days=29), "ArchiveDaysTooShort"),
    (dict(rule_type="TRANSITION", archive_days=30, retention=89), "ArchiveRetentionDaysTooShort"),
    (dict(rule_type="TRANSITION", archive_days=30, retention=90), "InvalidParameter.Rules.1.ArchiveDays"),
    (dict(rule_type="TRANSITION", retention=90), "InvalidParameter.Rules"),
    (dict(backup, vault_id="v-0"), "VaultNotExist"),
]:
    refused(code, hbr.create_policy_v2, models.CreatePolicyV2Request(rules=[rule(**field)]))

execute = models.ExecutePolicyV2Request(policy_id=policy_id, rule_id=rule_id)
refused("BadRequest", hbr.execute_policy_v2, execute)


def binding(**fields):
    options = models.CreatePolicyBindingsRequestPolicyBindingListAdvancedOptions(
        file_detail=models.CreatePolicyBindingsRequestPolicyBindingListAdvancedOptionsFileDetail(use_vss=False)
    )
    return models.CreatePolicyBindingsRequestPolicyBindingList(advanced_options=options, **fields)


def bind(*bindings):
    request = models.CreatePolicyBindingsRequest(policy_id=policy_id, policy_binding_list=list(bindings))
    return hbr.create_policy_bindings(request)


bind(
    binding(source_type="ECS_FILE", data_source_id=machine.instance_id, source=source, exclude='["*.tmp"]'),
    binding(source_type="File", data_source_id=machine.client_id, source=json.dumps([other]), disabled="true"),
)
again = binding(source_type="ECS_FILE", data_source_id=machine.instance_id, source=source)
refused("BadRequest", lambda item: bind(item), again)

# One source that is not disabled: its job.
job = ended_backup(hbr, hbr.execute_policy_v2(execute).body.job_id)
assert (job.status, job.source_type, job.job_name, job.backup_type) == ("COMPLETE", "ECS_FILE", "nightly", "INCREMENTAL"), job
assert (job.files_total, job.exclude, job.trigger_mode, job.plan_id) == (2, '["*.tmp"]', "MANUAL", None), job
[snapshot] = snapshots_of(hbr, vault_id, machine.instance_id)
# Longer where it counts as the first of its week.
assert snapshot.job_id == job.job_id and snapshot.retention in (9, 30), snapshot

# Two of them: a job over both, which has a child for each.
hbr.update_policy_binding(
    models.UpdatePolicyBindingRequest(
        policy_id=policy_id, source_type="File", data_source_id=machine.client_id, disabled=False
    )
)
listed = hbr.describe_policy_bindings(models.DescribePolicyBindingsRequest(policy_id=policy_id)).body
assert [row.disabled for row in listed.policy_bindings] == [False, False] and listed.total_count == 2, listed
sources = {row.source_type: row.source for row in listed.policy_bindings}
assert sources == {"ECS_FILE": source, "File": json.dumps([other])}, listed
parent = ended_backup(hbr, hbr.execute_policy_v2(execute).body.job_id)
children = jobs(ParentId=parent.job_id)
assert sorted(child.source_type for child in children) == ["ECS_FILE", "File"], children
assert (parent.status, parent.progress) == ("COMPLETE", 10000), parent
for field in ["bytes_total", "bytes_done", "actual_bytes", "items_total", "items_done", "files_total", "files_done"]:
    assert getattr(parent, field) == sum(getattr(child, field) for child in children), (field, parent, children)
assert {row.job_id for row in jobs(VaultId=vault_id)} == {job.job_id, parent.job_id}

# A change is for what runs from now on; snapshots stay, also when the policy is gone.
change = dict(backup, rule_id=rule_id, retention=8, schedule="I|1631685600|PT1H")
rules = [models.UpdatePolicyV2RequestRules(**change)]
hbr.update_policy_v2(models.UpdatePolicyV2Request(policy_id=policy_id, policy_name="hourly", rules=rules))
found = described()
assert (found.policy_name, found.policy_binding_count, len(found.rules)) == ("hourly", 2, 1), found
assert (found.rules[0].rule_id, found.rules[0].schedule) == (rule_id, "I|1631685600|PT1H"), found
hbr.delete_policy_binding(
    models.DeletePolicyBindingRequest(policy_id=policy_id, source_type="File", data_source_ids=[machine.client_id])
)
assert described().policy_binding_count == 1
hbr.delete_policy_v2(models.DeletePolicyV2Request(policy_id=policy_id))
listed = hbr.describe_policy_bindings(models.DescribePolicyBindingsRequest(source_type="ECS_FILE")).body
assert listed.total_count == 0, listed
assert len(snapshots_of(hbr, vault_id, machine.instance_id)) == 2

# Plans of a machine that is no instance, with rules of their own.
daily, monthly = "C|0|0 30 1 * * ?", "C|0|0 30 1 L * ?"
plan_rules = [
    models.CreateBackupPlanRequestRule(rule_name="daily", schedule=daily, retention=3),
    models.CreateBackupPlanRequestRule(rule_name="monthly", schedule=monthly, retention=400),
]
plan = models.CreateBackupPlanRequest(
    source_type="File", plan_name="files", vault_id=vault_id, data_source_id=machine.client_id, path=[source], rule=plan_rules
)
plan_id = hbr.create_backup_plan(plan).body.plan_id
refused("BadRequest", hbr.create_backup_plan, plan)


def plans(key, value):
    filters = [models.DescribeBackupPlansRequestFilters(key=key, values=[value])]
    return hbr.describe_backup_plans(models.DescribeBackupPlansRequest(filters=filters)).body.backup_plans.backup_plan


[shown] = plans("planId", plan_id)
assert [(one.rule_name, one.retention) for one in shown.rules.rule] == [("daily", 3), ("monthly", 400)], shown
assert (shown.data_source_id, shown.instance_id, shown.disabled) == (machine.client_id, None, False), shown
run = models.ExecuteBackupPlanRequest(plan_id=plan_id, rule_id=shown.rules.rule[1].rule_id)
first, second = (hbr.execute_backup_plan(run).body.job_id for _ in range(2))
assert [ended_backup(hbr, job_id).status for job_id in (first, second)] == ["COMPLETE", "COMPLETE"]
update = models.UpdateBackupPlanRequest(plan_id=plan_id, plan_name="renamed", path=[other], update_paths=True, retention=11)
hbr.update_backup_plan(update)
hbr.disable_backup_plan(models.DisableBackupPlanRequest(plan_id=plan_id))
[shown] = plans("planName", "renamed")
assert (shown.paths.path, shown.retention, shown.disabled) == ([other], 11, True), shown
assert (shown.latest_execute_job_id, shown.latest_finish_job_id) == (second, second), shown
hbr.enable_backup_plan(models.EnableBackupPlanRequest(plan_id=plan_id))
assert not plans("PlanId", plan_id)[0].disabled
hbr.delete_backup_plan(models.DeleteBackupPlanRequest(plan_id=plan_id, require_no_running_jobs=True))
assert plans("vaultId", vault_id) == []
assert {row.job_id for row in jobs(PlanId=plan_id)} == {first, second}
print(json.dumps({"parent": parent.to_map(), "children": [child.to_map() for child in children]}, indent=1))
