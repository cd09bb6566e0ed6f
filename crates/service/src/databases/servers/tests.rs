//! Servers of ours and of others, and what is left of restores.

use std::sync::mpsc;

use jiff::tz::TimeZone;
use lifeboat_catalog::{NewJob, NewResource};
use lifeboat_model::job::{JobKind, Outcome, Trigger};
use lifeboat_model::resource::Address;
use lifeboat_model::time::Millis;

use super::*;
use crate::testing::Bench;

const NOW: Millis = Millis(1_764_000_000_000);

fn job(bench: &Bench, id: &str) -> NewJob {
    NewJob {
        id: id.to_owned(),
        kind: JobKind::DatabaseRestore,
        account: bench.caller.account,
        vault: "v-1".to_owned(),
        region: String::new(),
        plan: None,
        parent: None,
        series: Some("rm-1".to_owned()),
        policy: None,
        rule: None,
        client: None,
        instance: Some("rm-1".to_owned()),
        source_type: "postgresql".to_owned(),
        edition: "STANDARD".to_owned(),
        name: "rm-1".to_owned(),
        backup_type: "PHYSICAL".to_owned(),
        trigger: Trigger::Manual,
        spec: "{}".to_owned(),
        snapshot: None,
        source_job: None,
        source_instance: None,
        numbers: None,
        expires: NOW.plus(1_000_000),
    }
}

#[tokio::test]
async fn a_server_that_another_lifeboat_runs_is_left_to_it() {
    let bench = Bench::new(NOW, TimeZone::UTC).await;
    let address = Address {
        scheme: "postgresql".to_owned(),
        user: None,
        host: "127.0.0.1".to_owned(),
        port: 1,
        database: None,
    };
    let own = OwnServer { port: 1, server: Some(bench.service.server.clone()) };
    let new = NewResource {
        id: "rm-1".parse().unwrap(),
        account: bench.caller.account,
        engine: Engine::Postgresql,
        address,
        url: String::new(),
        is_cluster: false,
        vault: None,
        instance: Some(serde_json::to_string(&own).unwrap()),
        state: ResourceState::Running,
    };
    bench.service.catalog.insert_resource(new, NOW).await.unwrap();
    let other = Service { server: "other".to_owned(), ..bench.service.clone() };
    let id = "rm-1".parse().unwrap();
    let row = async || bench.service.catalog.any_resource(&id).await.unwrap().unwrap();
    assert!(bench.service.resource_folder(&row().await).is_some());
    assert!(other.resource_folder(&row().await).is_none());
    other.start_servers().await.unwrap();
    other.stop_servers().await.unwrap();
    assert_eq!(row().await.state, ResourceState::Running);
    let refused = other.remove_resource(&bench.caller, &id).await.unwrap_err();
    assert!(matches!(refused, ServiceError::NotLocal(_)), "{refused}");
    let refused = other.test_resource(&bench.caller, &id).await.unwrap_err();
    assert!(matches!(refused, ServiceError::NotLocal(_)), "{refused}");
    // There are no files to start it from.
    bench.service.start_servers().await.unwrap();
    assert_eq!(row().await.state, ResourceState::Failed);
    bench.service.remove_resource(&bench.caller, &id).await.unwrap();
}

#[tokio::test]
async fn what_is_not_waited_for_any_more_gives_up() {
    let (tell, told) = mpsc::channel();
    let work = move |ctx: &Ctx| {
        while !ctx.cancel.is_cancelled() {
            std::thread::yield_now();
        }
        tell.send(()).unwrap();
        Ok(())
    };
    let refused = within(Duration::from_millis(1), work).await.unwrap_err();
    assert!(refused.to_string().contains("seconds"), "{refused}");
    told.recv().unwrap();
}

#[tokio::test]
async fn what_restores_have_left_goes_once_their_jobs_have_ended() {
    let bench = Bench::new(NOW, TimeZone::UTC).await;
    let root = bench.service.instance_root.clone();
    let [active, gone] = [1, 2].map(|number| RestoreId::new(number).to_string());
    bench.service.catalog.insert_job(&job(&bench, &active), NOW).await.unwrap();
    std::fs::create_dir_all(root.join("rm-1")).unwrap();
    for job in [&active, &gone] {
        std::fs::create_dir(root.join(format!(".{job}"))).unwrap();
        std::fs::write(root.join(format!(".{job}/file")), "").unwrap();
        std::fs::write(root.join(format!(".{job}.notes")), "").unwrap();
    }
    std::fs::write(root.join(".other"), "").unwrap();
    let names = || {
        let entries = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    bench.service.sweep_instances().await.unwrap();
    let (folder, notes) = (format!(".{active}"), format!(".{active}.notes"));
    assert_eq!(names(), [".other", &folder, &notes, "rm-1"]);
    let claimed = bench.claim().await.unwrap();
    bench.finish(claimed, Outcome::Failed, lifeboat_model::job::JobCounters::default()).await;
    bench.service.sweep_instances().await.unwrap();
    assert_eq!(names(), [".other", "rm-1"]);
}
