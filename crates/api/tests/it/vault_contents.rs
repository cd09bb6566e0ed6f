//! Vaults that stock restic works on, too; and a catalog that is made anew of what the vaults hold.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_service::Dispatcher;
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::redis::Redis;
use serde_json::{Value, json};

use crate::native::ok;
use crate::world::World;

/// What names what is only known of snapshots that a job has made.
const OF_JOBS: [&str; 8] =
    ["JobId", "PlanId", "ClientId", "InstanceId", "CreatedTime", "Retention", "ExpireTime", "BytesTotal"];

impl World {
    /// Restores a snapshot, named by its id and its hash, and returns the row of the job that has ended.
    async fn bring_back(&self, vault: &str, (id, hash): (&str, &str), target: &str) -> Value {
        let params = [
            ("RestoreType", "ECS_FILE"),
            ("SourceType", "ECS_FILE"),
            ("VaultId", vault),
            ("SnapshotId", id),
            ("SnapshotHash", hash),
            ("TargetInstanceId", self.root.instance.as_str()),
            ("TargetPath", target),
        ];
        let made = self.ok("CreateRestoreJob", &params).await["RestoreId"].as_str().unwrap().to_owned();
        let filter = [("Filters.1.Key", "RestoreId"), ("Filters.1.Values.1", made.as_str())];
        self.until(async || {
            let found = self.ok("DescribeRestoreJobs2", &filter).await;
            let row = found["RestoreJobs"]["RestoreJob"][0].clone();
            row.get("CompleteTime").is_some().then_some(row)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_restic_makes_retags_and_forgets_are_seen_beside_the_others() {
    let world = World::start().await;
    let (vault, source) = (world.vault("v").await, world.files().join("src"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a"), "by restic").unwrap();
    let plan = world.plan(&vault, "p", &source).await;
    let ours = world.snapshot(&world.back_up(&plan).await).await;
    let restic = world.restic(&vault);
    restic.backup(&source, [&source]);

    let rows = world.snapshots(&vault).await;
    assert_eq!(rows.len(), 2);
    let theirs = rows.iter().find(|row| row["SnapshotId"] != ours["SnapshotId"]).unwrap();
    for name in OF_JOBS {
        assert!(theirs.get(name).is_none() && ours.get(name).is_some(), "{name} {theirs}");
    }
    assert_eq!(theirs["Paths"], json!({"Path": [source.to_str().unwrap()]}));
    assert_eq!((&theirs["Status"], &theirs["SourceType"]), (&json!("COMPLETE"), &json!("File")));

    // It can be restored like any other.
    let target = world.files().join("back");
    std::fs::create_dir(&target).unwrap();
    let restore =
        async |hash: &str, id: &str| world.bring_back(&vault, (id, hash), target.to_str().unwrap()).await;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let row = restore(&text(theirs, "SnapshotHash"), &text(theirs, "SnapshotId")).await;
    assert_eq!(row["Status"], "COMPLETE", "{row}");
    assert!(row.get("SourceInstanceId").is_none());
    assert_eq!(std::fs::read(target.join("src/a")).unwrap(), b"by restic");

    // Of a folder that restic was in when it was asked, what is in it.
    restic.backup(&source, ["."]);
    let latest = world.snapshots(&vault).await.pop().unwrap();
    let row = restore(&text(&latest, "SnapshotHash"), &text(&latest, "SnapshotId")).await;
    assert_eq!(row["Status"], "COMPLETE", "{row}");
    assert_eq!(std::fs::read(target.join("a")).unwrap(), b"by restic");
    restic.run(["forget", &text(&latest, "SnapshotHash")]);

    // Retagged it is the same snapshot under the name that restic has for it now; the old name is still good.
    for tag in ["kept", "twice"] {
        restic.run(["tag", "--add", tag]);
    }
    let again = world.snapshots(&vault).await;
    let ids = |rows: &[Value]| {
        let ids = rows.iter().map(|row| (text(row, "SnapshotId"), text(row, "SnapshotHash")));
        ids.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(ids(&again).keys().collect::<Vec<_>>(), ids(&rows).keys().collect::<Vec<_>>());
    assert!(ids(&again).values().all(|hash| !ids(&rows).values().any(|old| old == hash)));
    let ours_again = again.iter().find(|row| row["SnapshotId"] == ours["SnapshotId"]).unwrap();
    for name in OF_JOBS {
        assert_eq!(ours_again[name], ours[name], "{name}");
    }
    assert_eq!(restore(&text(&ours, "SnapshotHash"), &text(&ours, "SnapshotId")).await["Status"], "COMPLETE");

    restic.run(["forget", &text(ours_again, "SnapshotHash")]);
    let left = world.snapshots(&vault).await;
    assert_eq!(ids(&left).keys().collect::<Vec<_>>(), [&text(theirs, "SnapshotId")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_made_anew_of_the_vaults_says_the_same_or_nothing() {
    let world = World::start().await;
    let (vault, source) = (world.vault("v").await, world.files().join("src"));
    std::fs::create_dir(&source).unwrap();
    for number in 0..3 {
        std::fs::write(source.join("a"), number.to_string()).unwrap();
        let plan = world.plan(&vault, &format!("p{number}"), &source).await;
        world.clock.pass(std::time::Duration::from_secs(7));
        world.back_up(&plan).await;
    }
    world.restic(&vault).backup(&source, ["."]);
    world.restic(&vault).run(["tag", "--add", "hello", "latest"]);
    world.ok("UpdateVault", &[("VaultId", &vault), ("WormEnabled", "true"), ("Description", "d")]).await;
    world.service.end_what_is_over().await.unwrap();
    let before = world.snapshots(&vault).await;
    let vault_before = world.ok("DescribeVaults", &[("VaultId", &vault)]).await["Vaults"]["Vault"][0].clone();

    let world = world.without_catalog().await;
    for _ in 0..2 {
        let rebuilt = world.service.rebuild(world.root.account, &[]).await.unwrap();
        assert_eq!(rebuilt.vaults.into_values().collect::<Vec<_>>(), [4]);
        assert!(rebuilt.left_out.is_empty());
    }
    let after = world.snapshots(&vault).await;
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        same_or_absent(before, after);
        for name in ["SnapshotId", "SnapshotHash", "VaultId", "Status", "CompleteTime", "Paths", "SourceType"]
        {
            assert_eq!(after.get(name), before.get(name), "{name}");
        }
    }
    let kept =
        ["JobId", "PlanId", "ClientId", "InstanceId", "Retention", "ExpireTime", "CreatedTime", "StartTime"];
    for name in kept {
        assert_eq!(after[0].get(name), before[0].get(name), "{name}");
        assert!(after[0].get(name).is_some(), "{name}");
    }
    let vault_after = world.ok("DescribeVaults", &[("VaultId", &vault)]).await["Vaults"]["Vault"][0].clone();
    for name in
        ["VaultName", "Description", "WormEnabled", "CreatedTime", "SnapshotCount", "Status", "VaultOwnerId"]
    {
        assert_eq!(vault_after[name], vault_before[name], "{name}");
    }
    world.restic(&vault).check();
}

fn same_or_absent(before: &Value, after: &Value) {
    for (name, value) in after.as_object().unwrap() {
        assert_eq!(Some(value), before.get(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_of_another_server_is_taken_over_with_its_password() {
    let world = World::start().await;
    let vault = world.vault("v").await;
    std::fs::write(world.files().join("a"), "a").unwrap();
    let plan = world.plan(&vault, "p", &world.files()).await;
    let job = world.back_up(&plan).await;
    let password = world.restic(&vault);
    let spec = world.vault_folder(&vault).join("lifeboat.json");
    let opened: Value = serde_json::from_slice(&std::fs::read(&spec).unwrap()).unwrap();
    let secret = lifeboat_service::Sealer::new(&[7; 32])
        .open(&format!("vault {vault}"), opened["password"].as_str().unwrap())
        .unwrap();
    // The server's key is lost with the server: nothing opens what it has sealed.
    let mut foreign = opened;
    foreign["password"] = "AAAA".into();
    std::fs::write(&spec, foreign.to_string()).unwrap();

    let world = world.without_catalog().await;
    let rebuilt = world.service.rebuild(world.root.account, &["wrong".to_owned()]).await.unwrap();
    assert!(rebuilt.vaults.is_empty());
    assert!(rebuilt.left_out[&vault].contains("none of the passwords"), "{:?}", rebuilt.left_out);
    let passwords = ["wrong".to_owned(), secret];
    let rebuilt = world.service.rebuild(world.root.account, &passwords).await.unwrap();
    assert_eq!(rebuilt.vaults.into_values().collect::<Vec<_>>(), [1]);
    assert_eq!(world.snapshots(&vault).await[0]["JobId"], job["JobId"]);
    assert_eq!(password.snapshots(), world.restic(&vault).snapshots());
}

/// The sets of both dialects.
async fn sets(world: &World) -> [Value; 2] {
    let times = [("StartTime", "2000-01-01T00:00Z"), ("EndTime", "2099-01-01T00:00Z")];
    let asked = [&[("DBInstanceId", "rm-1")][..], &times].concat();
    let rds = world.ok("rds:DescribeBackups", &asked).await["Items"]["Backup"].clone();
    let asked = [&[("InstanceId", "r-1")][..], &times].concat();
    [rds, world.ok("kvstore:DescribeBackups", &asked).await["Backups"]["Backup"].clone()]
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_of_databases_say_the_same_or_nothing_once_their_catalog_was_made_anew() {
    let (world, redis, postgres) = (World::start().await, Redis::start(&[]), Postgres::start());
    redis.client().run(&["SET", "a", "1"]);
    let resources = [
        json!({"resource_id": "rm-1", "engine": "postgresql", "url": postgres.url("postgres")}),
        json!({"resource_id": "r-1", "engine": "redis", "url": redis.url()}),
    ];
    for resource in &resources {
        ok(&world, ("POST", "/resources"), &[], resource).await;
    }
    for method in ["Physical", "Logical"] {
        let began = async |action: &str, params: &[(&str, &str)]| {
            world.ok(action, params).await;
            let ended = async || {
                let listed = ok(&world, ("GET", "/jobs"), &[], &json!({})).await;
                (listed["rows"][0]["state"] == "COMPLETE").then_some(())
            };
            world.until(ended).await;
            // No two at the same moment.
            world.clock.pass(Duration::from_secs(60));
        };
        began("rds:CreateBackup", &[("DBInstanceId", "rm-1"), ("BackupMethod", method)]).await;
        began("kvstore:CreateBackup", &[("InstanceId", "r-1")]).await;
    }
    let before = sets(&world).await;

    let world = world.without_catalog().await;
    drop(tokio::spawn(Dispatcher::new(world.service.clone()).run()));
    world.service.rebuild(world.root.account, &[]).await.unwrap();
    for resource in &resources {
        ok(&world, ("POST", "/resources"), &[], resource).await;
    }
    let after = sets(&world).await;
    for (before, after) in before.iter().zip(&after) {
        let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
        assert_eq!((before.len(), after.len()), (2, 2));
        for (before, after) in before.iter().zip(after) {
            same_or_absent(before, after);
            assert_eq!(before["BackupId"], after["BackupId"]);
        }
    }
    redis.client().run(&["SET", "a", "2"]);
    let set = after[1][0]["BackupId"].to_string();
    world.ok("kvstore:RestoreInstance", &[("InstanceId", "r-1"), ("BackupId", set.trim_matches('"'))]).await;
    world.until(async || (redis.cli(&["GET", "a"]).trim() == "1").then_some(())).await;
}
