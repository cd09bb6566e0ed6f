//! Jobs that wait, run, are stopped, or are left behind by a server that stops: what their rows say.

use std::time::Duration;

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
