//! Clusters whose time has come, and what a run does while they say nothing.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_catalog::{DatabaseJobFilter, JobRow, SetFilter, SetRow};
use lifeboat_model::database::{BackupMethod, DatabasePolicy};
use lifeboat_model::filter::Page;
use lifeboat_model::job::JobState;
use lifeboat_model::resource::{Engine, ResourceId};
use lifeboat_model::time::Millis;
use lifeboat_testkit::redis::{Redis, RedisCluster};

use crate::Secret;
use crate::dispatch::Dispatcher;
use crate::resources::NewResourceRequest;
use crate::testing::Bench;

fn at(text: &str) -> Millis {
    Millis::from(text.parse::<jiff::Timestamp>().unwrap())
}

/// A Redis that is backed up every night at two.
async fn nightly(bench: &Bench, id: &str, (port, is_cluster): (u16, bool)) -> ResourceId {
    let id: ResourceId = id.parse().unwrap();
    let request = NewResourceRequest {
        id: id.clone(),
        engine: Engine::Redis,
        url: Secret::new(format!("redis://127.0.0.1:{port}")),
        is_cluster,
        vault: None,
        account: None,
    };
    bench.service.add_resource(&bench.caller, request).await.unwrap();
    let policy = DatabasePolicy {
        weekdays: (0..7).collect(),
        from_minute: 120,
        to_minute: 180,
        retention_days: 7,
        method: BackupMethod::Physical,
    };
    bench.service.set_database_policy(&bench.caller, &id, &policy).await.unwrap();
    id
}

async fn tasks(bench: &Bench, id: &ResourceId) -> Vec<JobRow> {
    bench.service.database_tasks(&bench.caller, id, DatabaseJobFilter::default()).await.unwrap()
}

/// Runs what waits until all tasks of a resource have ended.
async fn ended(dispatcher: &mut Dispatcher, bench: &Bench, id: &ResourceId) -> Vec<JobRow> {
    loop {
        dispatcher.look().await.unwrap();
        let tasks = tasks(bench, id).await;
        if tasks.iter().all(|task| task.state.is_final()) {
            return tasks;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_says_nothing_has_a_failed_task_and_keeps_no_other_from_being_backed_up() {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let silent_server = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = nightly(&bench, "r-1-silent", (port(&silent_server), true)).await;
    let closed = port(&TcpListener::bind("127.0.0.1:0").unwrap());
    let nobody = nightly(&bench, "r-2-nobody", (closed, true)).await;
    let redis = Redis::start(&[]);
    let good = nightly(&bench, "r-3-good", (redis.port(), false)).await;
    bench.set_clock(at("2024-05-01T02:00:00Z"));
    let mut dispatcher = Dispatcher::new(bench.service.clone());
    dispatcher.look().await.unwrap();
    let task = tasks(&bench, &silent).await.remove(0);
    assert!(!task.state.is_final(), "nobody has waited for the silent one: {:?}", task.state);
    let states = |tasks: Vec<JobRow>| tasks.into_iter().map(|task| task.state).collect::<Vec<_>>();
    assert_eq!(states(ended(&mut dispatcher, &bench, &good).await), [JobState::Complete]);
    assert_eq!(states(ended(&mut dispatcher, &bench, &nobody).await), [JobState::Failed]);
    drop(silent_server.accept().unwrap());
    drop(silent_server);
    assert_eq!(states(ended(&mut dispatcher, &bench, &silent).await), [JobState::Failed]);
    for (id, says) in [(&silent, "does not answer"), (&nobody, "cannot reach")] {
        let (page, filter) = (Page { number: 1, size: 10 }, SetFilter::default());
        let listed = bench.service.backup_sets(&bench.caller, id, &filter, page).await.unwrap().rows;
        let [SetRow::Failed(task)] = listed.as_slice() else { panic!("{id}: {listed:?}") };
        assert_eq!(task.error_code.as_deref(), Some("SOURCE_UNREACHABLE"));
        let message = task.error_message.as_deref().unwrap();
        assert!(message.contains(says) && message.contains("127.0.0.1"), "{message}");
    }
    // The next night they are asked again.
    bench.set_clock(at("2024-05-02T02:00:00Z"));
    bench.service.start_due_runs().await.unwrap();
    assert_eq!(tasks(&bench, &nobody).await[0].state, JobState::Created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_time_has_come_is_backed_up_node_by_node_under_one_number() {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let cluster = RedisCluster::start(3, &[]);
    cluster.client().run(&["SET", "a", "1"]);
    let id = nightly(&bench, "r-1", (cluster.nodes[1].port(), true)).await;
    bench.set_clock(at("2024-05-01T02:00:00Z"));
    let mut dispatcher = Dispatcher::new(bench.service.clone());
    dispatcher.look().await.unwrap();
    let planned = tasks(&bench, &id).await.remove(0);
    let tasks = ended(&mut dispatcher, &bench, &id).await;
    let node = |task: &JobRow| task.node.clone().unwrap();
    let nodes: BTreeSet<_> = tasks.iter().map(node).collect();
    let ids = cluster.nodes.iter().map(|node| node.client().text(&["CLUSTER", "MYID"]));
    assert_eq!((tasks.len(), nodes), (3, ids.collect()));
    for task in &tasks {
        assert_eq!(task.state, JobState::Complete, "{:?}", task.error_message);
        assert_eq!((task.number, task.parent.as_deref()), (planned.number, Some(planned.id.as_str())));
        assert_eq!(task.trigger, "SCHEDULE");
    }
    let whole = bench.service.catalog.job(bench.caller.account, &planned.id).await.unwrap().unwrap();
    assert_eq!((whole.state, whole.children), (JobState::Complete, 3));
}
