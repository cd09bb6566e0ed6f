//! `docs/wire/hbr.md` against what is really sent: one story through every operation, each answer of it compared with
//! the page, and each field of the page with the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::time::Duration;

use lifeboat_api::alibaba::HBR_ACTIONS;
use serde_json::{Map, Value, json};

use crate::page::{Absent, Page};
use crate::world::World;

/// Fields that this story does not bring to two values, and the test that does.
const ELSEWHERE: &[(&str, &str)] = &[
    ("DescribeBackupJobs2 BackupJobs.BackupJob.CrossAccount", "crossing"),
    ("DescribeBackupJobs2 BackupJobs.BackupJob.ParentId", "runs of policies"),
    ("DescribeRestoreJobs2 RestoreJobs.RestoreJob.CrossAccount", "crossing"),
    ("DescribeRestoreJobs2 RestoreJobs.RestoreJob.ErrorFile", "reports"),
    ("DescribeBackupPlans BackupPlans.BackupPlan.CrossAccount", "crossing"),
    ("DescribeCrossAccounts CrossAccounts.CrossAccount", "crossing"),
    ("DescribeTask Result", "none: no operation has anything to say yet"),
    ("DescribeVaults Vaults.Vault.StorageSize", "retention"),
    ("DescribeVaults Vaults.Vault.WormEnabled", "retention"),
    ("DescribeVaults Vaults.Vault.ChargeType", "retention"),
    ("DescribeVaults Vaults.Vault.SearchEnabled", "retention"),
    ("DescribeVaults Vaults.Vault.Index", "retention"),
    ("DescribeVaults Vaults.Vault.SourceTypes", "retention"),
    ("DescribeVaults Vaults.Vault.BackupPlanStatistics", "retention"),
];

/// Operations that other stories are about, and which.
const TOLD_ELSEWHERE: &[(&str, &str)] = &[
    ("CreatePolicyV2", "policies"),
    ("UpdatePolicyV2", "policies"),
    ("DeletePolicyV2", "policies"),
    ("DescribePoliciesV2", "policies"),
    ("ExecutePolicyV2", "policies"),
    ("CreatePolicyBindings", "policies"),
    ("UpdatePolicyBinding", "policies"),
    ("DeletePolicyBinding", "policies"),
    ("DescribePolicyBindings", "policies"),
    ("UpdateVault", "retention"),
    ("DeleteVault", "retention"),
    ("DeleteSnapshot", "retention"),
    ("ListProtectedResources", "retention"),
    ("ListSnapshots", "retention"),
];

fn is_told_elsewhere(action: &str) -> bool {
    TOLD_ELSEWHERE.iter().any(|(name, _)| *name == action)
}

/// What was seen of each field, and what was wrong.
#[derive(Default)]
struct Seen {
    values: BTreeMap<(String, String), BTreeSet<String>>,
    wrong: BTreeSet<String>,
}

impl Seen {
    fn look(&mut self, page: &Page, action: &str, path: &str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.look(page, action, path, item)),
            Value::Object(fields) => self.look_into(page, action, path, fields),
            _ => {}
        }
    }

    fn look_into(&mut self, page: &Page, action: &str, path: &str, fields: &Map<String, Value>) {
        for (name, value) in fields {
            let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if !page.fields(action).any(|field| field.path == full) {
                self.wrong.insert(format!("{action} sends {full}, which is not listed"));
            }
            self.values.entry((action.to_owned(), full.clone())).or_default().insert(value.to_string());
            self.look(page, action, &full, value);
        }
        let parent = |field: &str| field.rsplit_once('.').map_or("", |(parent, _)| parent).to_owned();
        for field in page.fields(action).filter(|field| parent(&field.path) == path) {
            let name = field.path.rsplit('.').next().unwrap_or_default();
            let is_there = fields.contains_key(name);
            let row = Value::from(fields.clone());
            let must_be_absent = field.absent.is_met(fields);
            let is_wrong = match &field.absent {
                Absent::Never => !is_there,
                Absent::When { is_exact: true, .. } => is_there == must_be_absent,
                Absent::When { is_exact: false, .. } => is_there && must_be_absent,
            };
            if is_wrong {
                let how = if is_there { "is there" } else { "is absent" };
                self.wrong.insert(format!("{action} {} {how}, against its rule: {row}", field.path));
            }
        }
    }

    /// Fields that are not constant, and were.
    fn constant(&self, page: &Page) -> Vec<String> {
        let mut found = Vec::new();
        for (action, field) in page.all().filter(|(action, _)| !is_told_elsewhere(action)) {
            let count = self.values.get(&(action.to_owned(), field.path.clone())).map_or(0, BTreeSet::len);
            let needed = if field.is_constant || field.is_box { 1 } else { 2 };
            let named = format!("{action} {}", field.path);
            if count < needed && !ELSEWHERE.iter().any(|(name, _)| named.starts_with(name)) {
                found.push(format!("{named} was seen with {count} values"));
            }
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_what_the_page_says() {
    let page = Page::read();
    let world = World::start().await;
    let other = world.other_account(4_000_000_000_000_001).await;
    tell(&world).await;
    vaults_that_cannot_be_made(&world).await;
    tell_of_another_account(&other).await;
    let (mut seen, mut called) = (Seen::default(), BTreeSet::new());
    for (action, body) in world.answers() {
        if body["Success"] == true {
            seen.look(&page, &action, "", &body);
        }
        called.insert(action);
    }
    let listed: BTreeSet<_> = page.actions().collect();
    let unlisted: Vec<_> = HBR_ACTIONS.iter().filter(|action| !listed.contains(*action)).collect();
    assert!(unlisted.is_empty(), "served, and not listed: {unlisted:?}");
    let silent = listed.iter().filter(|action| !called.contains(**action) && !is_told_elsewhere(action));
    let silent: Vec<_> = silent.collect();
    assert!(silent.is_empty(), "listed, and never called: {silent:?}");
    let wrong: Vec<_> = seen.wrong.iter().cloned().chain(seen.constant(&page)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The folders that are backed up.
struct Folders {
    small: String,
    large: String,
    endless: String,
    missing: String,
    target: String,
}

impl Folders {
    fn make(world: &World) -> Self {
        let folder = world.files();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        for name in ["small/below", "large", "endless", "target"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("small/a.txt"), "one").unwrap();
        fs::write(path("small/b.log"), "two").unwrap();
        fs::write(path("small/below/c.txt"), "three").unwrap();
        std::os::unix::fs::symlink("a.txt", path("small/link")).unwrap();
        let random = lifeboat_testkit::random::Random::new(1).bytes(20 << 20);
        fs::write(path("large/file"), random).unwrap();
        File::create(path("endless/file")).unwrap().set_len(1 << 40).unwrap();
        Self {
            small: path("small"),
            large: path("large"),
            endless: path("endless"),
            missing: path("missing"),
            target: path("target"),
        }
    }
}

type Params<'a> = Vec<(&'a str, &'a str)>;

async fn made(world: &World, action: &str, id: &str, params: &[(&str, &str)]) -> String {
    world.ok(action, params).await[id].as_str().unwrap().to_owned()
}

async fn tell(world: &World) {
    let folders = Folders::make(world);
    let (one, two) = vaults(world).await;
    let (client, instance) = (world.root.client.as_str(), world.root.instance.as_str());
    let first: Params<'_> = vec![
        ("SourceType", "ECS_FILE"),
        ("VaultId", &one),
        ("InstanceId", instance),
        ("PlanName", "first"),
        ("Path.1", &folders.small),
        ("Include", "[\"*.txt\"]"),
        ("Exclude", "[\"*.log\"]"),
        ("Options", "{\"UseVSS\":false}"),
        ("SpeedLimit", "0:24:500000"),
        ("Schedule", "I|1602673264|P1D"),
        ("Retention", "7"),
    ];
    let first = made(world, "CreateBackupPlan", "PlanId", &first).await;
    world.clock.pass(Duration::from_secs(10));
    let second: Params<'_> = vec![
        ("SourceType", "File"),
        ("VaultId", &two),
        ("DataSourceId", client),
        ("PlanName", "second"),
        ("Path.1", &folders.large),
        ("Path.2", &folders.missing),
        ("Include", "[\"*\"]"),
        ("Exclude", "[\"*.none\"]"),
        ("Options", "{}"),
        ("SpeedLimit", "0:12:600000"),
        ("KeepLatestSnapshots", "1"),
        ("Retention", "30"),
        ("Rule.1.RuleName", "daily"),
        ("Rule.1.Schedule", "I|1602673264|P1D"),
        ("Rule.1.BackupType", "COMPLETE"),
        ("Rule.1.Retention", "3"),
        ("Rule.2.RuleName", "nightly"),
        ("Rule.2.Schedule", "C|1602673264|0 0 2 ? * 1"),
        ("Rule.2.BackupType", "INCREMENTAL"),
        ("Rule.2.Retention", "5"),
        ("Rule.2.Disabled", "true"),
        ("Disabled", "true"),
    ];
    let second = made(world, "CreateBackupPlan", "PlanId", &second).await;
    world.ok("DescribeBackupPlans", &[]).await;
    label(world, [("plan", &first), ("plan", &second), ("client", client)]).await;
    run(world, [&first, &second]).await;
    change(world, &first, &folders).await;
    look_around(world, [(&one, &first), (&two, &second)], &folders).await;
    world.ok("DeleteBackupPlan", &[("PlanId", &second)]).await;
    world.call("CreateBackupJob", &[("SourceType", "ECS_FILE")]).await;
    let nobody = [("CrossAccountUserId", "1"), ("CrossAccountRoleName", "nobody")];
    world.call("AddCrossAccount", &nobody).await;
    world.call("DeleteCrossAccount", &nobody).await;
    world.ok("DescribeCrossAccounts", &[]).await;
    world.ok("DescribeCrossAccounts", &[("PageNumber", "2"), ("PageSize", "20")]).await;
    world.ok("OpenHbrService", &[]).await;
}

/// Two vaults, labelled.
async fn vaults(world: &World) -> (String, String) {
    let one = world.vault("one").await;
    let params = [
        ("VaultName", "two"),
        ("VaultRegionId", "cn-hangzhou"),
        ("Description", "second"),
        ("RedundancyType", "ZRS"),
    ];
    world.clock.pass(Duration::from_secs(1));
    let made = world.ok("CreateVault", &params).await;
    let two = made["VaultId"].as_str().unwrap().to_owned();
    world
        .until(async || {
            let task = world.ok("DescribeTask", &[("TaskId", made["TaskId"].as_str().unwrap())]).await;
            (task["Progress"] == 100).then_some(())
        })
        .await;
    label(world, [("vault", &one), ("vault", &two)]).await;
    for (id, group) in [(&one, "rg-1"), (&two, "rg-2")] {
        let to = [("ResourceType", "vault"), ("ResourceId", id.as_str()), ("NewResourceGroupId", group)];
        world.ok("ChangeResourceGroup", &to).await;
    }
    world.ok("DescribeVaults", &[("PageSize", "1")]).await;
    world.ok("DescribeVaults", &[("PageNumber", "2"), ("PageSize", "1")]).await;
    (one, two)
}

/// Two tags on each, then none.
async fn label<const N: usize>(world: &World, things: [(&str, &str); N]) {
    for (kind, id) in things {
        let here = [("ResourceType", kind), ("ResourceId.1", id)];
        for (key, value) in [("team", "red"), ("cost", "blue")] {
            let tag = [here[0], here[1], ("Tag.1.Key", key), ("Tag.1.Value", value)];
            world.ok("TagResources", &tag).await;
        }
        world.ok("DescribeVaults", &[]).await;
        world.ok("DescribeBackupPlans", &[]).await;
        world.ok("DescribeBackupClients", &[("ClientType", "ECS_CLIENT")]).await;
        world.ok("UntagResources", &[here[0], here[1], ("All", "true")]).await;
    }
}

/// Runs plans, one of them by its schedule, too; one job ends in part.
async fn run(world: &World, plans: [&str; 2]) {
    for plan in plans {
        let job = world.back_up(plan).await;
        let job = job["JobId"].as_str().unwrap();
        let report = world
            .until(async || {
                let report = world.backup_job(job).await["Report"].clone();
                (report["ReportTaskStatus"] == "COMPLETE").then_some(report)
            })
            .await;
        let key = report["TotalFiles"].as_str().unwrap();
        world.ok("GetTempFileDownloadLink", &[("TempFileKey", key)]).await;
        world.ok("DescribeBackupPlans", &[]).await;
        world.clock.pass(Duration::from_secs(5));
    }
    world.clock.pass(Duration::from_secs(24 * 3600));
    let filter = [("Filters.1.Key", "PlanId"), ("Filters.1.Values.1", plans[0])];
    world
        .until(async || {
            let found = world.ok("DescribeBackupJobs2", &filter).await;
            let rows = found["BackupJobs"]["BackupJob"].as_array().unwrap().clone();
            let is_over = |row: &Value| row["TriggerMode"] == "SCHEDULE" && row["Status"] == "COMPLETE";
            rows.iter().any(is_over).then_some(())
        })
        .await;
    let disabled = [("PlanId", plans[0])];
    world.ok("DisableBackupPlan", &disabled).await;
    world.ok("DescribeBackupPlans", &[]).await;
    world.ok("EnableBackupPlan", &disabled).await;
}

/// A plan that finds nothing, and one that does not end until it is cancelled.
async fn change(world: &World, plan: &str, folders: &Folders) {
    world.ok("UpdateBackupPlan", &[("PlanId", plan), ("Path.1", &folders.missing)]).await;
    assert_eq!(world.back_up(plan).await["Status"], "FAILED");
    let endless =
        [("PlanId", plan), ("Path.1", folders.endless.as_str()), ("Include", "[]"), ("Exclude", "[]")];
    world.ok("UpdateBackupPlan", &endless).await;
    let job = made(world, "ExecuteBackupPlan", "JobId", &[("PlanId", plan)]).await;
    world.until(async || (world.backup_job(&job).await["Progress"].as_u64()? > 0).then_some(())).await;
    world.ok("CancelBackupJob", &[("JobId", &job)]).await;
    world.until(async || (world.backup_job(&job).await["Status"] == "CANCELED").then_some(())).await;
}

/// Snapshots, what is in them, restores and clients.
async fn look_around(world: &World, vaults: [(&str, &str); 2], folders: &Folders) {
    for (vault, plan) in vaults {
        let query = json!([{"field": "VaultId", "value": vault, "operation": "MATCH_TERM"},
            {"field": "PlanId", "value": plan, "operation": "MATCH_TERM"}])
        .to_string();
        for limit in ["1", "10"] {
            world.ok("SearchHistoricalSnapshots", &[("Query", &query), ("Limit", limit)]).await;
        }
        let found = world.ok("SearchHistoricalSnapshots", &[("Query", &query), ("Order", "DESC")]).await;
        let snapshot = &found["Snapshots"]["Snapshot"][0];
        let text = |name: &str| snapshot[name].as_str().unwrap().to_owned();
        browse(world, &[("SnapshotId", &text("SnapshotId"))], folders).await;
        restore(world, snapshot, folders).await;
    }
    for more in [&[][..], &[("PageSize", "20")], &[("PageNumber", "2")]] {
        world.ok("DescribeBackupClients", &[&[("ClientType", "ECS_CLIENT")], more].concat()).await;
        world.ok("DescribeClients", more).await;
        world.ok("DescribeBackupPlans", more).await;
        world.ok("DescribeBackupJobs2", more).await;
        world.ok("DescribeRestoreJobs2", more).await;
    }
}

async fn browse(world: &World, here: &[(&str, &str)], folders: &Folders) {
    let found = world.ok("BrowseFiles", &[here, &[("PageSize", "2")]].concat()).await;
    assert_eq!(found["TotalCount"], 1);
    world.ok("BrowseFiles", &[here, &[("PageNumber", "2")]].concat()).await;
    let (_, mut body) = world
        .call(
            "BrowseFiles",
            &[here, &[("AbsolutePath", folders.small.as_str()), ("MaxResults", "1")]].concat(),
        )
        .await;
    while let Some(next) = body.get("NextToken").and_then(Value::as_str).map(str::to_owned) {
        let more = [("AbsolutePath", folders.small.as_str()), ("NextToken", &next), ("MaxResults", "1")];
        body = world.ok("BrowseFiles", &[here, &more].concat()).await;
    }
    world.call("BrowseFiles", &[here, &[("AbsolutePath", &folders.small)]].concat()).await;
}

async fn restore(world: &World, snapshot: &Value, folders: &Folders) {
    let text = |name: &str| snapshot[name].as_str().unwrap();
    let source = text("SourceType");
    let here = [
        ("RestoreType", source),
        ("SourceType", source),
        ("SnapshotId", text("SnapshotId")),
        ("SnapshotHash", text("SnapshotHash")),
        ("VaultId", text("VaultId")),
    ];
    let missing = [("TargetPath", folders.missing.as_str())];
    let there = [
        ("TargetPath", folders.target.as_str()),
        ("TargetInstanceId", world.root.client.as_str()),
        ("Include", "[\"*\"]"),
        ("Exclude", "[\"*.none\"]"),
        ("Options", "{\"ConflictPolicy\":\"OVERWRITE_EXISTING\"}"),
    ];
    let again = [("Include", "[\"*.txt\"]"), ("Exclude", "[\"*.log\"]"), ("Options", "{}")];
    for more in [&missing[..], &there, &again] {
        let id = made(world, "CreateRestoreJob", "RestoreId", &[&here, more].concat()).await;
        let filter = [("Filters.1.Key", "RestoreId"), ("Filters.1.Values.1", id.as_str())];
        world
            .until(async || {
                let found = world.ok("DescribeRestoreJobs2", &filter).await;
                found["RestoreJobs"]["RestoreJob"][0].get("CompleteTime").map(|_| ())
            })
            .await;
        world.clock.pass(Duration::from_secs(2));
    }
    let (status, _) = world.call("CancelRestoreJob", &[("RestoreId", "r-none")]).await;
    assert_eq!(status, 404);
}

/// Vaults cannot be made where their folder is none.
async fn vaults_that_cannot_be_made(world: &World) {
    let (folder, aside) = (world.files().with_file_name("vaults"), world.files().with_file_name("aside"));
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "").unwrap();
    let made = world.ok("CreateVault", &[("VaultName", "bad"), ("VaultRegionId", "cn-hangzhou")]).await;
    world
        .until(async || {
            let task = world.ok("DescribeTask", &[("TaskId", made["TaskId"].as_str().unwrap())]).await;
            (task["Progress"] == -1).then_some(())
        })
        .await;
    world.ok("DescribeVaults", &[("Status", "ERROR")]).await;
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
}

/// Another account, another client.
async fn tell_of_another_account(world: &World) {
    let vault = world.vault("other").await;
    let plan = world.plan(&vault, "other", &world.files().join("small")).await;
    let job = world.back_up(&plan).await;
    let snapshot = world.snapshot(&job).await;
    let folders = world.files();
    let target = folders.join("target").to_str().unwrap().to_owned();
    let params = [
        ("RestoreType", "ECS_FILE"),
        ("SourceType", "ECS_FILE"),
        ("SnapshotId", snapshot["SnapshotId"].as_str().unwrap()),
        ("TargetPath", &target),
    ];
    let id = made(world, "CreateRestoreJob", "RestoreId", &params).await;
    let filter = [("Filters.1.Key", "RestoreId"), ("Filters.1.Values.1", id.as_str())];
    world
        .until(async || {
            let found = world.ok("DescribeRestoreJobs2", &filter).await;
            found["RestoreJobs"]["RestoreJob"][0].get("CompleteTime").map(|_| ())
        })
        .await;
    world.ok("DescribeBackupPlans", &[]).await;
    world.ok("DescribeBackupClients", &[("ClientType", "ECS_CLIENT")]).await;
    world.ok("DescribeClients", &[]).await;
}
