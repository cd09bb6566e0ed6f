//! How long things live, seen through the API: snapshots, immutable vaults, vaults that are deleted.

use std::time::Duration;

use lifeboat_model::filter::{Order, Page};
use lifeboat_model::job::{JobKind, JobState};
use lifeboat_service::{Caller, JobFilter, JobRow};
use serde_json::{Value, json};

use crate::native;
use crate::world::World;

const HOURS: u64 = 3600;

impl World {
    /// Lets days pass on a server that is there all the while, and in which no prune fails.
    pub(crate) async fn live(&self, days: u64) {
        for _ in 0..days * 2 {
            self.clock.pass(Duration::from_secs(12 * HOURS));
            self.service.end_what_is_over().await.unwrap();
            let ended = self.until(async || {
                let prunes = self.prunes().await;
                prunes.iter().all(|job| job.state.is_final()).then_some(prunes)
            });
            for job in ended.await {
                assert_eq!(job.state, JobState::Complete, "{:?} {:?}", job.error_code, job.error_message);
            }
        }
    }

    async fn prunes(&self) -> Vec<JobRow> {
        let caller =
            Caller { account: self.root.account, user: None, access_key_id: self.root.access_key_id.clone() };
        let prunes = JobFilter {
            kind: Some(JobKind::Prune),
            source_types: Vec::new(),
            edition: None,
            only_top_level: false,
            conditions: Vec::new(),
            order: Order::NewestFirst,
        };
        self.service.jobs(&caller, &prunes, Page { number: 1, size: 99 }).await.unwrap().rows
    }

    /// The ids of a vault's snapshots, oldest first.
    pub(crate) async fn snapshots(&self, vault: &str) -> Vec<Value> {
        let query = format!(r#"[{{"field":"VaultId","value":"{vault}"}}]"#);
        let found = self
            .ok(
                "SearchHistoricalSnapshots",
                &[("Query", &query), ("Limit", "100"), ("SourceType", "ECS_FILE")],
            )
            .await;
        found["Snapshots"]["Snapshot"].as_array().unwrap().clone()
    }

    pub(crate) fn snapshot_files(&self, vault: &str) -> usize {
        std::fs::read_dir(self.vault_folder(vault).join("snapshots")).unwrap().count()
    }

    /// What a prune has left, in the vault and of jobs.
    async fn assert_pruned_to(&self, vault: &str, files: usize) {
        let prunes = self.prunes().await;
        assert!(!prunes.is_empty());
        for prune in prunes {
            let shown = native::ok(self, ("GET", "/jobs/{job}"), &[&prune.id], &json!({})).await;
            assert_eq!(shown["kind"], "prune");
        }
        assert_eq!(self.snapshot_files(vault), files);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_snapshots_leave_the_vault_and_harm_no_other() {
    let world = World::start().await;
    let (vault, source) = (world.vault("v").await, world.files().join("src"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("shared"), vec![1; 50_000]).unwrap();
    let plan = world.plan(&vault, "p", &source).await;
    std::fs::write(source.join("old"), (0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>())
        .unwrap();
    let old = world.back_up(&plan).await;
    std::fs::remove_file(source.join("old")).unwrap();
    world.live(1).await;
    world.back_up(&plan).await;
    let snapshot = world.snapshot(&old).await;
    let days = |from: &str, to: &str| {
        (snapshot[to].as_i64().unwrap() - snapshot[from].as_i64().unwrap()) / (24 * 3600)
    };
    assert_eq!(days("CompleteTime", "ExpireTime"), 7);

    world.live(5).await;
    assert_eq!(world.snapshots(&vault).await.len(), 2);
    let size = async || {
        world.service.end_what_is_over().await.unwrap();
        let found = world.ok("DescribeVaults", &[("VaultId", &vault)]).await;
        found["Vaults"]["Vault"][0]["StorageSize"].as_i64().unwrap()
    };
    let before = size().await;
    world.live(1).await;
    let left = world.snapshots(&vault).await;
    assert_eq!(left.len(), 1);
    assert_ne!(left[0]["SnapshotId"], snapshot["SnapshotId"]);
    world.assert_pruned_to(&vault, 1).await;
    assert!(size().await < before / 2, "{before}");
    world.restic(&vault).check();
    // The parent of the next one is gone, which costs nothing but time.
    assert_eq!(world.back_up(&plan).await["Status"], "COMPLETE");
    world.restic(&vault).check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_deleted_by_its_owner_goes_even_if_the_prune_died_behind_its_file() {
    let world = World::start().await;
    let (vault, source) = (world.vault("v").await, world.files());
    std::fs::write(source.join("a"), "a").unwrap();
    let plan = world.plan(&vault, "p", &source).await;
    let job = world.back_up(&plan).await;
    world.back_up(&plan).await;
    let snapshot = world.snapshot(&job).await;
    let id = snapshot["SnapshotId"].as_str().unwrap();
    let named = [("SnapshotId", id), ("VaultId", vault.as_str()), ("SourceType", "ECS_FILE")];
    let wrong = [&named[..], &[("InstanceId", "i-other")]].concat();
    assert_eq!(world.refused("DeleteSnapshot", &wrong).await.0, 404);
    assert_eq!(world.refused("DeleteSnapshot", &[("SnapshotId", "s-nobodys")]).await.0, 404);
    world.ok("DeleteSnapshot", &[&named[..], &[("InstanceId", world.root.instance.as_str())]].concat()).await;
    assert_eq!(world.snapshots(&vault).await.len(), 1);
    assert_eq!(world.refused("DeleteSnapshot", &named).await.0, 404);
    let hash = snapshot["SnapshotHash"].as_str().unwrap();
    std::fs::remove_file(world.vault_folder(&vault).join("snapshots").join(hash)).unwrap();
    world.live(1).await;
    world.assert_pruned_to(&vault, 1).await;
    world.restic(&vault).check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_leaps_a_year_expires_nothing_until_it_has_gone_on_for_a_day() {
    let world = World::start().await;
    let vault = world.vault("v").await;
    std::fs::write(world.files().join("a"), "a").unwrap();
    let plan = world.plan(&vault, "p", &world.files()).await;
    world.back_up(&plan).await;
    world.service.end_what_is_over().await.unwrap();
    world.clock.pass(Duration::from_secs(365 * 24 * HOURS));
    world.service.end_what_is_over().await.unwrap();
    assert_eq!(world.snapshots(&vault).await.len(), 1);
    world.live(1).await;
    assert_eq!(world.snapshots(&vault).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_vault_lets_nothing_go_before_its_time() {
    let world = World::start().await;
    let vault = world.vault("v").await;
    std::fs::write(world.files().join("a"), "a").unwrap();
    let plan = world.plan(&vault, "p", &world.files()).await;
    let job = world.back_up(&plan).await;
    let id = world.snapshot(&job).await["SnapshotId"].as_str().unwrap().to_owned();
    world.ok("UpdateVault", &[("VaultId", &vault), ("WormEnabled", "true")]).await;
    let (status, code, message) =
        world.refused("UpdateVault", &[("VaultId", &vault), ("WormEnabled", "false")]).await;
    assert_eq!((status, code.as_str()), (400, "InvalidParameter.WormEnabled"));
    assert!(message.contains("stays so"), "{message}");
    for (action, param) in [("DeleteSnapshot", ("SnapshotId", &id)), ("DeleteVault", ("VaultId", &vault))] {
        let (status, code, message) = world.refused(action, &[(param.0, param.1)]).await;
        assert_eq!((status, code.as_str()), (400, "BadRequest"), "{action}");
        assert!(message.contains("immutable"), "{message}");
    }
    // Renaming is no way out, and backups go on.
    world.ok("UpdateVault", &[("VaultId", &vault), ("VaultName", "renamed"), ("Description", "")]).await;
    let shown = world.ok("DescribeVaults", &[("VaultId", &vault)]).await["Vaults"]["Vault"][0].clone();
    assert_eq!((&shown["WormEnabled"], &shown["VaultName"]), (&true.into(), &"renamed".into()));
    assert_eq!(world.back_up(&plan).await["Status"], "COMPLETE");
    // What restic has stored there has no end.
    world.restic(&vault).backup(&world.files(), ["a"]);
    world.live(8).await;
    world.assert_pruned_to(&vault, 1).await;
    let left = world.snapshots(&vault).await;
    assert_eq!((left.len(), left[0].get("JobId")), (1, None));
    assert_eq!(world.refused("DeleteVault", &[("VaultId", &vault)]).await.1, "BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_vault_takes_its_plans_jobs_snapshots_and_folder_along() {
    let world = World::start().await;
    let (vault, other) = (world.vault("v").await, world.vault("other").await);
    std::fs::write(world.files().join("a"), "a").unwrap();
    let plan = world.plan(&vault, "p", &world.files()).await;
    world.back_up(&plan).await;
    let stays = world.plan(&other, "p", &world.files()).await;
    let kept = world.back_up(&stays).await;
    world.ok("DeleteVault", &[("VaultId", &vault)]).await;
    assert_eq!(world.ok("DescribeVaults", &[]).await["TotalCount"], 1);
    assert_eq!(world.refused("ExecuteBackupPlan", &[("PlanId", &plan)]).await.0, 404);
    assert_eq!(world.refused("DeleteVault", &[("VaultId", &vault)]).await.1, "VaultNotExist");
    world.service.end_what_is_over().await.unwrap();
    assert!(!world.vault_folder(&vault).exists());
    let jobs = world.ok("DescribeBackupJobs2", &[]).await;
    assert_eq!(
        (&jobs["TotalCount"], &jobs["BackupJobs"]["BackupJob"][0]["JobId"]),
        (&1.into(), &kept["JobId"])
    );
    assert_eq!(world.ok("DescribeBackupPlans", &[]).await["TotalCount"], 1);
    assert_eq!(world.snapshots(&other).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_keeps_the_first_of_a_day_longer_and_its_vault_from_being_deleted() {
    let world = World::start().await;
    let (vault, source) = (world.vault("v").await, world.files());
    std::fs::write(source.join("a"), "a").unwrap();
    let rules = json!([
        {"RuleType": "BACKUP", "BackupType": "INCREMENTAL", "VaultId": vault, "Retention": 7,
         "Schedule": "C|1631685600|0 0 2 ? * 3,5,7"},
        {"RuleType": "TRANSITION", "Retention": 9,
         "RetentionRules": [{"AdvancedRetentionType": "DAILY", "WhichSnapshot": 1, "Retention": 30}]},
    ]);
    let made = world.ok("CreatePolicyV2", &[("PolicyName", "p"), ("Rules", &rules.to_string())]).await;
    let policy = made["PolicyId"].as_str().unwrap().to_owned();
    let found = world.ok("DescribePoliciesV2", &[("PolicyId", &policy)]).await;
    let rule = found["Policies"][0]["Rules"][0]["RuleId"].as_str().unwrap().to_owned();
    let instance = world.root.instance.as_str();
    let bound =
        json!([{"SourceType": "ECS_FILE", "DataSourceId": instance, "Source": source.to_str().unwrap()}]);
    let named = ("PolicyId", policy.as_str());
    world.ok("CreatePolicyBindings", &[named, ("PolicyBindingList", &bound.to_string())]).await;
    for _ in 0..2 {
        world.clock.pass(Duration::from_secs(60));
        let job = world.ok("ExecutePolicyV2", &[named, ("RuleId", &rule)]).await["JobId"].clone();
        world
            .until(async || {
                let row = world.backup_job(job.as_str().unwrap()).await;
                row.get("CompleteTime").is_some().then_some(())
            })
            .await;
    }
    let rows = world.snapshots(&vault).await;
    let kept: Vec<_> = rows.iter().map(|row| row["Retention"].as_i64().unwrap()).collect();
    assert_eq!(kept, [30, 9]);

    let (status, code, message) = world.refused("DeleteVault", &[("VaultId", &vault)]).await;
    assert_eq!((status, code.as_str()), (400, "VaultBoundPolicyCannotBeDeleted"));
    assert!(message.contains(&policy), "{message}");
    // Without its policy the snapshots are there as before.
    world.ok("DeletePolicyV2", &[named]).await;
    assert_eq!(world.snapshots(&vault).await, rows);
    world.ok("DeleteVault", &[("VaultId", &vault)]).await;
}
