//! `docs/wire/rds.md` and `docs/wire/tair.md` against what is really read and sent: each field is seen with what it can hold,
//! and each parameter by itself makes a difference.

use std::collections::BTreeSet;

use lifeboat_api::alibaba::{KVSTORE_ACTIONS, RDS_ACTIONS};
use lifeboat_model::database::{Phase, SetDetail};
use lifeboat_model::job::Trigger;
use lifeboat_model::resource::Engine;
use serde_json::Value;

use crate::by_hand::detail;
use crate::dialects::resources;
use crate::page::PAGE;
use crate::registry::NONSENSE;
use crate::world::World;

const TIMES: [(&str, &str); 2] = [("StartTime", "2023-01-01T00:00Z"), ("EndTime", "2043-01-01T00:00:00Z")];

/// A request of an operation that makes sense.
fn good(action: &str) -> Vec<(&'static str, &'static str)> {
    let (_, name) = action.split_once(':').unwrap();
    let id = if action.starts_with("rds:") { ("DBInstanceId", "rm-1") } else { ("InstanceId", "r-1") };
    match name {
        "DescribeDBInstances" | "DescribeInstances" => Vec::new(),
        "DeleteBackup" | "CloneDBInstance" | "RestoreInstance" => vec![id, ("BackupId", "7")],
        "RestoreTable" => vec![id, ("BackupId", "7"), ("TableMeta", r#"[{"type": "db", "name": "shop"}]"#)],
        "ModifyBackupExpireTime" => vec![id, ("BackupId", "7"), ("ExpectExpireTime", "2043-01-01T00:00Z")],
        "DescribeClusterBackupList" => [&[("InstanceId", "r-2")], &TIMES[..]].concat(),
        "DescribeBackups" if id.1 == "r-1" => [&[id], &TIMES[..]].concat(),
        "ModifyBackupPolicy" => {
            vec![id, ("PreferredBackupTime", "18:00Z-19:00Z"), ("PreferredBackupPeriod", "Monday,Friday")]
        }
        _ => vec![id],
    }
}

#[test]
fn the_pages_list_the_operations_that_are_served() {
    for (product, actions) in [("rds:", RDS_ACTIONS), ("kvstore:", KVSTORE_ACTIONS)] {
        let served = actions.iter().map(|action| format!("{product}{action}")).collect::<BTreeSet<_>>();
        assert_eq!(PAGE.actions(product).map(str::to_owned).collect::<BTreeSet<_>>(), served);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pages_list_is_what_is_read_and_sent() {
    let world = World::start_stopped().await;
    resources(&world).await;
    tell(&world).await;
    let mut unproven = Vec::new();
    for action in PAGE.actions("rds:").chain(PAGE.actions("kvstore:")) {
        for parameter in PAGE.parameters(action) {
            unproven.extend(difference(&world, action, &parameter.name, parameter.is_mandatory).await);
        }
    }
    let seen = world.seen.lock().unwrap();
    unproven.extend(seen.unproven("rds:"));
    unproven.extend(seen.unproven("kvstore:"));
    assert!(unproven.is_empty(), "{}", unproven.join("\n"));
}

/// Lets each field have what it can have.
async fn tell(world: &World) {
    databases(world).await;
    let mut jobs = BTreeSet::new();
    for id in ["r-1", "r-3"] {
        jobs.insert(world.ok("kvstore:CreateBackup", &[("InstanceId", id)]).await["BackupJobID"].to_string());
        look(world).await;
    }
    assert_eq!(jobs.len(), 2);
    let (first, second) = (world.claim().await, world.claim().await);
    world.enter(&first, Phase::Preparing).await;
    world.enter(&second, Phase::Streaming).await;
    world.came(&second, 12).await;
    look(world).await;
    world.end(first, Some(detail("7.0.15")), Some(7)).await;
    world.end(second, None, None).await;
    for days in [None, Some(3)] {
        world.scheduled("r-1", Engine::Redis, &[]).await;
        let job = world.claim().await;
        world.end(job, Some(detail(if days.is_some() { "6.2.1" } else { "" })), days).await;
    }
    clusters(world).await;
    for (product, id) in [("rds", ("DBInstanceId", "rm-1")), ("kvstore", ("InstanceId", "r-1"))] {
        let action = format!("{product}:ModifyBackupPolicy");
        let later =
            [id, ("PreferredBackupTime", "03:00Z-04:00Z"), ("PreferredBackupPeriod", "Sunday,Monday")];
        for params in [good(&action), [&later[..], &[("BackupRetentionPeriod", "30")]].concat()] {
            world.ok(&action, &params).await;
            look(world).await;
        }
    }
    let rds =
        [("DBInstanceId", "rm-2"), ("BackupMethod", "Logical"), ("PreferredBackupTime", "03:00Z-04:00Z")];
    let rds = [&rds[..], &[("PreferredBackupPeriod", "Sunday,Monday")]].concat();
    world.ok("rds:ModifyBackupPolicy", &rds).await;
    look(world).await;
    let listed = world.ok("rds:DescribeBackups", &[("DBInstanceId", "rm-3")]).await;
    let set = listed["Items"]["Backup"][0]["BackupId"].as_str().unwrap();
    for _ in 0..2 {
        world.ok("rds:CloneDBInstance", &[("DBInstanceId", "rm-3"), ("BackupId", set)]).await;
    }
}

async fn databases(world: &World) {
    let mut jobs = Vec::new();
    for id in ["rm-1", "rm-3"] {
        let made = world.ok("rds:CreateBackup", &[("DBInstanceId", id)]).await;
        jobs.push((id, made["BackupJobId"].as_str().unwrap().to_owned()));
        look(world).await;
        let job = world.claim().await;
        look(world).await;
        world.came(&job, 33).await;
        world.enter(&job, Phase::ReadingBack).await;
        look(world).await;
        let (version, days) = if id == "rm-1" { ("15.18", 7) } else { ("10.11.19", 9) };
        world.end(job, Some(detail(version)), Some(days)).await;
    }
    for (id, job) in &jobs {
        world.ok("rds:DescribeBackupTasks", &[("DBInstanceId", *id), ("BackupJobId", job)]).await;
    }
    for detail in [None, Some(SetDetail::default())] {
        world.scheduled("rm-1", Engine::Postgresql, &[]).await;
        look(world).await;
        let job = world.claim().await;
        world.end(job, detail, None).await;
    }
}

async fn clusters(world: &World) {
    for (ends, days) in [([true, true], Some(7)), ([true, false], None), ([true, true], Some(9))] {
        let trigger = if days.is_some() { Trigger::Schedule } else { Trigger::Manual };
        world.jobs("r-2", Engine::Redis, (&["aaa", "bbb"], trigger)).await;
        look(world).await;
        let (first, second) = (world.claim().await, world.claim().await);
        world.came(&first, 50).await;
        look(world).await;
        world.came(&second, if days.is_some() { 10 } else { 90 }).await;
        let version = if days == Some(9) { "7.0.15" } else { "6.2.1" };
        world.end(first, Some(detail(if days.is_some() { version } else { "" })), days).await;
        look(world).await;
        world.end(second, ends[1].then(|| detail(version)), days).await;
    }
    look(world).await;
}

/// Asks everything that only looks, of every instance, page by page.
async fn look(world: &World) {
    for action in PAGE.actions("rds:").chain(PAGE.actions("kvstore:")) {
        let (_, name) = action.split_once(':').unwrap();
        if !name.starts_with("Describe") {
            continue;
        }
        let ids = if action.starts_with("rds:") { ["rm-1", "rm-2", "rm-3"] } else { ["r-1", "r-2", "r-3"] };
        for id in ids {
            let mut params = good(action);
            for (name, value) in &mut params {
                if name.ends_with("InstanceId") {
                    *value = id;
                }
            }
            world.ok(action, &params).await;
            for (name, value) in [("PageNumber", "2"), ("PageSize", "50"), ("NoShardBackup", "True")] {
                if PAGE.parameters(action).iter().any(|parameter| parameter.name == name) {
                    world.ok(action, &[&params[..], &[(name, value)]].concat()).await;
                }
            }
        }
    }
}

/// What is wrong with a parameter: a value that is none is refused by name, or leaves another answer.
async fn difference(world: &World, action: &str, name: &str, is_mandatory: bool) -> Option<String> {
    let ask = async |params: &[(&str, &str)]| {
        let (status, mut body) = world.call(action, params).await;
        body.as_object_mut().unwrap().remove("RequestId");
        (status.as_u16(), body)
    };
    let good = good(action);
    let without: Vec<_> = good.iter().copied().filter(|(given, _)| *given != name).collect();
    let is_named = |body: &Value| body["Code"].to_string().contains(name);
    if is_mandatory {
        let (status, body) = ask(&without).await;
        if status == 200 || !is_named(&body) {
            return Some(format!("{action} does not miss {name}: {body}"));
        }
    }
    let (status, body) = ask(&[&without[..], &[(name, NONSENSE)]].concat()).await;
    let is_read = match status {
        // The set is not there, and nothing behind it was looked at.
        404 if name == "FilterKey" => true,
        200 => ask(&good).await != (status, body.clone()),
        _ => is_named(&body),
    };
    (!is_read).then(|| format!("{action} does not read {name}: {status} {body}"))
}
