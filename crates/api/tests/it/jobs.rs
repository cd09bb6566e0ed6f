//! Jobs that wait, run, are stopped, or are left behind by a server that stops: what their rows say.

use std::time::{Duration, Instant};

use lifeboat_service::Dispatcher;
use serde_json::Value;

use crate::world::World;

/// A plan whose jobs take an hour at a kibibyte a second.
async fn slow_plan(world: &World, vault: &str, name: &str) -> String {
    let folder = world.files().join("slow");
    std::fs::create_dir_all(&folder).unwrap();
    let noise: Vec<u8> =
        (0..1_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(folder.join("noise"), noise).unwrap();
    let params = [
        ("SourceType", "ECS_FILE"),
        ("VaultId", vault),
        ("InstanceId", world.root.instance.as_str()),
        ("PlanName", name),
        ("Schedule", "I|1602673264|P1D"),
        ("Retention", "7"),
        ("Path.1", folder.to_str().unwrap()),
        ("SpeedLimit", "0:24:1"),
    ];
    world.ok("CreateBackupPlan", &params).await["PlanId"].as_str().unwrap().to_owned()
}

async fn execute(world: &World, plan: &str) -> String {
    world.ok("ExecuteBackupPlan", &[("PlanId", plan)]).await["JobId"].as_str().unwrap().to_owned()
}

async fn until_is(world: &World, job: &str, state: &str) -> Value {
    world
        .until(async || {
            let row = world.backup_job(job).await;
            (row["Status"] == state).then_some(row)
        })
        .await
}

async fn cancel(world: &World, vault: &str, job: &str) {
    world.ok("CancelBackupJob", &[("VaultId", vault), ("JobId", job)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_in_line_for_the_former_one_of_its_plan_and_both_take_a_cancel() {
    let world = World::start().await;
    let vault = world.vault("v").await;
    let plan = slow_plan(&world, &vault, "p").await;
    let first = execute(&world, &plan).await;
    let running = until_is(&world, &first, "RUNNING").await;
    assert!(running["StartTime"].is_i64() && running.get("CompleteTime").is_none());
    assert!(running.get("ErrorMessage").is_none() && running.get("Report").is_none());
    let second = execute(&world, &plan).await;
    world.clock.pass(Duration::from_secs(1));
    until_is(&world, &second, "QUEUED").await;

    cancel(&world, &vault, &second).await;
    let row = world.backup_job(&second).await;
    assert_eq!([&row["Status"], &row["ErrorMessage"]], ["CANCELED", "CANCELED: the job was canceled."]);
    assert!(row.get("StartTime").is_none() && row["CompleteTime"].is_i64());
    cancel(&world, &vault, &first).await;
    let row = until_is(&world, &first, "CANCELED").await;
    assert_eq!(row["ErrorMessage"], "CANCELED: the job was canceled.");
    assert!(row["Progress"].as_i64().unwrap() < 10_000);
    let (status, code, _) = world.refused("CancelBackupJob", &[("VaultId", &vault), ("JobId", &first)]).await;
    assert_eq!((status, code.is_empty()), (400, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_all_slots_taken_waits_in_line_until_its_time_is_over() {
    let world = World::start().await;
    let vault = world.vault("v").await;
    let mut running = Vec::new();
    // As many as run at once.
    for name in ["a", "b", "c", "d"] {
        let job = execute(&world, &slow_plan(&world, &vault, name).await).await;
        until_is(&world, &job, "RUNNING").await;
        running.push(job);
    }
    let waiting = execute(&world, &slow_plan(&world, &vault, "e").await).await;
    world.clock.pass(Duration::from_secs(1));
    let row = until_is(&world, &waiting, "QUEUED").await;
    assert!(row.get("StartTime").is_none() && row.get("ErrorMessage").is_none());
    world.clock.pass(Duration::from_secs(24 * 3600));
    let row = until_is(&world, &waiting, "EXPIRED").await;
    assert_eq!(row["ErrorMessage"], "EXPIRED: nobody took the job in time.");
    assert!(row["CompleteTime"].is_i64() && row.get("StartTime").is_none());
    // Those that had begun do not expire. Nobody waits for their end but who wants to leave.
    for job in running {
        assert_ne!(world.backup_job(&job).await["Status"], "EXPIRED");
        cancel(&world, &vault, &job).await;
        until_is(&world, &job, "CANCELED").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_taken_whichever_server_was_asked_for_it() {
    let world = World::start().await;
    let other = world.restarted().await;
    let vault = world.vault("v").await;
    let plan = slow_plan(&world, &vault, "p").await;
    for (asked, who) in [(&world, "the server that runs the job"), (&other, "another server")] {
        let job = execute(&world, &plan).await;
        until_is(&world, &job, "RUNNING").await;
        let began = Instant::now();
        cancel(asked, &vault, &job).await;
        until_is(&world, &job, "CANCELED").await;
        eprintln!("a cancel that {who} was asked for is taken after {} ms", began.elapsed().as_millis());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_gives_its_jobs_to_the_next() {
    let world = World::start_stopped().await;
    let dispatcher = Dispatcher::new(world.service.clone());
    let stop = dispatcher.stop_handle();
    let server = tokio::spawn(dispatcher.run());
    let vault = world.vault("v").await;
    let job = execute(&world, &slow_plan(&world, &vault, "p").await).await;
    let row = until_is(&world, &job, "RUNNING").await;
    stop.notify_one();
    server.await.unwrap();
    let left = world.backup_job(&job).await;
    assert_eq!(left["Status"], "QUEUED", "not running, and not ended: {left}");
    assert_eq!(left["StartTime"], row["StartTime"]);

    let next = world.restarted().await;
    drop(tokio::spawn(Dispatcher::new(next.service.clone()).run()));
    until_is(&next, &job, "RUNNING").await;
    cancel(&next, &vault, &job).await;
    until_is(&next, &job, "CANCELED").await;
}
