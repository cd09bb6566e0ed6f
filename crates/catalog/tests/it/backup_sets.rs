//! Jobs of databases and the sets they make: numbered, one at a time, listed with what failed.

use std::collections::HashSet;

use lifeboat_catalog::{
    Catalog, CatalogErrorKind, DatabaseJobFilter, FinishedJob, JobNumbers, MadeInstance, NewJob, NewResource,
    NewSnapshot, Place, RunStart, RunningFilter, SetFilter, SetRow,
};
use lifeboat_model::database::{Phase, SetDetail};
use lifeboat_model::filter::Page;
use lifeboat_model::id::SnapshotId;
use lifeboat_model::job::{JobCounters, JobKind, JobState, Outcome, Trigger};
use lifeboat_model::resource::{Engine, ResourceId, ResourceState};

use crate::databases::{on_both_databases, open};
use crate::jobs::ended;
use crate::resources::{id, resource};
use crate::rows::{NOW, World, job, run};

on_both_databases! {
    of_two_backups_at_once_one_is_made
    a_phase_is_written_only_by_who_holds_the_lease
    sets_and_failures_are_listed_together
    a_set_is_kept_longer_and_never_shorter
    all_nodes_of_a_cluster_are_kept_as_long
    a_policy_starts_the_jobs_of_a_whole_cluster
    a_job_that_runs_is_split_only_by_who_holds_it
    a_server_of_ours_is_found_again
    a_job_that_comes_while_resources_settle_is_seen
    a_server_to_be_made_comes_with_its_job
}

const NONE: [i64; 0] = [];
const ALL: Page = Page { number: 1, size: 100 };

fn database_job(number: i64, world: &World, name: &str) -> NewJob {
    NewJob {
        kind: JobKind::DatabaseBackup,
        series: Some(name.to_owned()),
        instance: Some(name.to_owned()),
        source_type: "postgresql".to_owned(),
        numbers: Some(JobNumbers { number, set: number + 1, node: None }),
        ..job(u128::try_from(number).unwrap(), world.account, &world.vault)
    }
}

async fn with_resource(catalog: &Catalog) -> (World, ResourceId) {
    let world = World::make(catalog).await;
    catalog.insert_resource(resource("rm-1", world.account, Engine::Postgresql), NOW).await.unwrap();
    (world, id("rm-1"))
}

/// Runs the next job to its end.
async fn finish(catalog: &Catalog, outcome: Outcome, at: i64) -> String {
    let claimed = catalog.claim_job("w", NOW.plus(1_000_000), NOW.plus(at)).await.unwrap().unwrap();
    let snapshot = (outcome == Outcome::Complete).then(|| NewSnapshot {
        id: SnapshotId::of_job(&claimed.job.id),
        hash: format!("{:064x}", claimed.job.set_number.unwrap()),
        parent_hash: None,
        completed: NOW.plus(at + 1),
        retention_days: Some(7),
        keep_latest: false,
        detail: Some(SetDetail { engine_version: "15.8".to_owned(), ..SetDetail::default() }),
    });
    let done = FinishedJob {
        outcome,
        counters: JobCounters { bytes_done: 10, ..JobCounters::default() },
        error_code: None,
        error_message: None,
        error_file: None,
        snapshot,
        made: None,
    };
    let lease = (claimed.job.id.as_str(), claimed.fence);
    assert!(catalog.finish_job(lease, (&done, 1), NOW.plus(at + 1)).await.unwrap());
    claimed.job.id
}

async fn of_two_backups_at_once_one_is_made(place: Place) {
    let (catalog, other) = (open(&place).await, open(&place).await);
    let (world, resource) = with_resource(&catalog).await;
    let mut numbers = HashSet::new();
    for round in 0..5 {
        let (one, two) = tokio::join!(catalog.next_numbers(2, NOW), other.next_numbers(2, NOW));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!([one, one + 1, two, two + 1].into_iter().all(|number| numbers.insert(number)));
        let (jobs, others) = ([database_job(one, &world, "rm-1")], [database_job(two, &world, "rm-1")]);
        let (first, second) = tokio::join!(
            catalog.insert_resource_jobs(&resource, &jobs, None, NOW),
            other.insert_resource_jobs(&resource, &others, None, NOW)
        );
        assert_eq!([first.unwrap(), second.unwrap()].into_iter().filter(|was_added| *was_added).count(), 1);
        assert!(catalog.is_resource_busy(&resource).await.unwrap());
        finish(&catalog, Outcome::Failed, round).await;
        assert!(!catalog.is_resource_busy(&resource).await.unwrap());
    }
    assert_eq!(catalog.count_database_jobs((world.account, &resource), NOW).await.unwrap(), 5);
    assert_eq!(catalog.count_database_jobs((world.account, &resource), NOW.plus(1)).await.unwrap(), 0);
    let nobody = database_job(99, &world, "rm-9");
    assert!(!catalog.insert_resource_jobs(&id("rm-9"), &[nobody], None, NOW).await.unwrap());
}

async fn a_phase_is_written_only_by_who_holds_the_lease(place: Place) {
    let catalog = open(&place).await;
    let (world, resource) = with_resource(&catalog).await;
    catalog.insert_resource_jobs(&resource, &[database_job(1, &world, "rm-1")], None, NOW).await.unwrap();
    let list = async |filter: DatabaseJobFilter| {
        let found = catalog.database_jobs((world.account, &resource), &filter).await.unwrap();
        found.into_iter().map(|job| (job.number.unwrap(), job.phase)).collect::<Vec<_>>()
    };
    let of = |running| DatabaseJobFilter { running: Some(running), ..DatabaseJobFilter::default() };
    assert_eq!(list(of(RunningFilter::Waits)).await, [(1, None)]);
    let claimed = catalog.claim_job("w", NOW.plus(10), NOW).await.unwrap().unwrap();
    let lease = (claimed.job.id.as_str(), claimed.fence);
    assert!(catalog.note_phase(lease, Phase::Streaming, NOW).await.unwrap());
    assert!(!catalog.note_phase((lease.0, lease.1 - 1), Phase::Checking, NOW).await.unwrap());
    assert_eq!(list(of(RunningFilter::Runs)).await, [(1, Some(Phase::Streaming))]);
    assert_eq!(list(of(RunningFilter::Waits)).await, []);
    catalog.reap_jobs(NOW.plus(11)).await.unwrap();
    assert!(!catalog.note_phase(lease, Phase::ReadingBack, NOW).await.unwrap());
    finish(&catalog, Outcome::Failed, 20).await;
    let filter = |filter: DatabaseJobFilter| DatabaseJobFilter { number: Some(1), ..filter };
    assert_eq!(list(filter(DatabaseJobFilter::default())).await, [(1, None)]);
    let late = DatabaseJobFilter { ended_since: Some(NOW.plus(22)), ..DatabaseJobFilter::default() };
    assert_eq!(list(filter(late)).await, []);
    let scheduled = DatabaseJobFilter { trigger: Some(Trigger::Schedule), ..DatabaseJobFilter::default() };
    assert_eq!(list(scheduled).await, []);
    let others =
        catalog.database_jobs((world.other, &resource), &DatabaseJobFilter::default()).await.unwrap();
    assert!(others.is_empty());
}

async fn sets_and_failures_are_listed_together(place: Place) {
    let catalog = open(&place).await;
    let (world, resource) = with_resource(&catalog).await;
    for (number, outcome) in [(1, Outcome::Complete), (3, Outcome::Failed), (5, Outcome::Complete)] {
        let job = database_job(number, &world, "rm-1");
        catalog.insert_resource_jobs(&resource, &[job], None, NOW.plus(number)).await.unwrap();
        finish(&catalog, outcome, number).await;
    }
    let list = async |filter: SetFilter| {
        let found = catalog.backup_sets((world.account, &resource), &filter, ALL).await.unwrap();
        assert_eq!(found.total, found.rows.len() as u64);
        let number = |row: SetRow| match row {
            SetRow::Good(set) => set.set.unwrap().set_number,
            SetRow::Failed(job) => {
                assert_eq!(job.state, JobState::Failed);
                -job.set_number.unwrap()
            }
        };
        found.rows.into_iter().map(number).collect::<Vec<_>>()
    };
    let any = SetFilter::default;
    assert_eq!(list(any()).await, [6, -4, 2]);
    assert_eq!(list(SetFilter { is_good: Some(true), ..any() }).await, [6, 2]);
    assert_eq!(list(SetFilter { is_good: Some(false), ..any() }).await, [-4]);
    assert_eq!(list(SetFilter { set_number: Some(4), ..any() }).await, [-4]);
    assert_eq!(list(SetFilter { number: Some(5), ..any() }).await, [6]);
    assert_eq!(list(SetFilter { trigger: Some(Trigger::Schedule), ..any() }).await, NONE);
    assert_eq!(list(SetFilter { from: Some(NOW.plus(3)), to: Some(NOW.plus(4)), ..any() }).await, [-4]);
    let of = async |account, numbers: &[i64]| {
        catalog.sets_of_numbers((account, &resource), numbers).await.unwrap()
    };
    let sets = of(world.account, &[2, 4, 6]).await;
    let set = sets.first().unwrap().set.clone().unwrap();
    assert_eq!((sets.len(), set.resource.as_str(), set.number), (2, "rm-1", 5));
    assert_eq!((set.trigger.as_str(), set.detail.engine_version.as_str()), ("MANUAL", "15.8"));
    assert!(of(world.other, &[2, 6]).await.is_empty());
    let one = catalog.set_of_number(world.account, 6).await.unwrap().unwrap();
    assert_eq!(catalog.sets_of_job(world.account, 5).await.unwrap(), [one]);
    assert_eq!(catalog.set_of_number(world.other, 6).await.unwrap(), None);
    let second = Page { number: 2, size: 2 };
    let page = catalog.backup_sets((world.account, &resource), &any(), second).await.unwrap();
    assert_eq!((page.rows.len(), page.total), (1, 3));
    catalog.pass_over_numbers(NOW.seconds() + 2_000_000).await.unwrap();
    catalog.pass_over_numbers(7).await.unwrap();
    assert_eq!(catalog.next_numbers(1, NOW).await.unwrap(), NOW.seconds() + 2_000_001);
}

async fn a_set_is_kept_longer_and_never_shorter(place: Place) {
    let catalog = open(&place).await;
    let (world, resource) = with_resource(&catalog).await;
    catalog.insert_resource_jobs(&resource, &[database_job(1, &world, "rm-1")], None, NOW).await.unwrap();
    finish(&catalog, Outcome::Complete, 1).await;
    let set = catalog.sets_of_numbers((world.account, &resource), &[2]).await.unwrap().remove(0);
    let expires = set.expires.unwrap();
    assert!(!catalog.extend_set(world.account, &set.id, expires.plus(-1)).await.unwrap());
    assert!(!catalog.extend_set(world.other, &set.id, expires.plus(1)).await.unwrap());
    assert!(catalog.extend_set(world.account, &set.id, expires.plus(1)).await.unwrap());
    let set = catalog.sets_of_numbers((world.account, &resource), &[2]).await.unwrap().remove(0);
    assert_eq!(set.expires, Some(expires.plus(1)));
}

async fn all_nodes_of_a_cluster_are_kept_as_long(place: Place) {
    let catalog = open(&place).await;
    let (world, resource) = with_resource(&catalog).await;
    let parent = database_job(1, &world, "rm-1");
    let child = |number: i64| {
        let node = database_job(number, &world, "rm-1");
        let numbers = node.numbers.clone().map(|numbers| JobNumbers { number: 1, ..numbers });
        NewJob { parent: Some(parent.id.clone()), series: Some(format!("rm-1/{number}")), numbers, ..node }
    };
    let family = [parent.clone(), child(3), child(5)];
    assert!(catalog.insert_resource_jobs(&resource, &family, None, NOW).await.unwrap());
    let other = database_job(7, &world, "rm-1");
    for _ in 0..2 {
        finish(&catalog, Outcome::Complete, 1).await;
    }
    assert!(catalog.insert_resource_jobs(&resource, &[other], None, NOW).await.unwrap());
    finish(&catalog, Outcome::Complete, 1).await;
    let expiries = async || {
        let sets = catalog.sets_of_numbers((world.account, &resource), &[4, 6, 8]).await.unwrap();
        let mut found: Vec<_> =
            sets.into_iter().map(|set| (set.set.unwrap().set_number, set.id, set.expires.unwrap())).collect();
        found.sort_by_key(|(number, ..)| *number);
        found
    };
    let before = expiries().await;
    let until = before[0].2.plus(5);
    assert!(catalog.extend_set(world.account, &before[0].1, until).await.unwrap());
    let after: Vec<_> = expiries().await.into_iter().map(|(_, _, expires)| expires).collect();
    assert_eq!(after, [until, until, before[2].2]);
}

async fn a_policy_starts_the_jobs_of_a_whole_cluster(place: Place) {
    let catalog = open(&place).await;
    let (world, resource) = with_resource(&catalog).await;
    let own = (world.account, &resource);
    assert_eq!(catalog.next_run_of("rm-1").await.unwrap(), None);
    assert!(!catalog.set_resource_policy((world.other, &resource), "{}", &[run()], NOW).await.unwrap());
    assert!(catalog.set_resource_policy(own, r#"{"a":1}"#, &[run()], NOW).await.unwrap());
    assert_eq!(catalog.next_run_of("rm-1").await.unwrap(), Some(NOW));
    let row = catalog.any_resource(&resource).await.unwrap().unwrap();
    assert_eq!(row.policy.as_deref(), Some(r#"{"a":1}"#));
    let due = catalog.due_runs(NOW).await.unwrap().into_iter().find(|run| run.series == "rm-1").unwrap();
    let parent = database_job(1, &world, "rm-1");
    let child = |number: i64| NewJob {
        parent: Some(parent.id.clone()),
        series: Some(format!("rm-1/{number}")),
        ..database_job(number, &world, "rm-1")
    };
    let family = [parent.clone(), child(3), child(5)];
    let started = catalog.start_run(&due, Some(NOW.plus(60)), &family, NOW).await.unwrap();
    assert_eq!(started, RunStart::Started);
    let jobs = catalog.database_jobs(own, &DatabaseJobFilter::default()).await.unwrap();
    assert_eq!(jobs.len(), 2);
    let due = catalog.due_runs(NOW.plus(60)).await.unwrap();
    let due = due.into_iter().find(|run| run.series == "rm-1").unwrap();
    let again = catalog.start_run(&due, None, &[database_job(7, &world, "rm-1")], NOW).await.unwrap();
    assert_eq!(again, RunStart::LeftOut);
    finish(&catalog, Outcome::Failed, 1).await;
    finish(&catalog, Outcome::Failed, 1).await;
    assert!(catalog.set_resource_policy(own, "{}", &[run()], NOW).await.unwrap());
    assert!(catalog.delete_resource(world.account, &resource).await.unwrap());
    assert_eq!(catalog.next_run_of("rm-1").await.unwrap(), None);
}

async fn a_job_that_runs_is_split_only_by_who_holds_it(place: Place) {
    let catalog = open(&place).await;
    let (world, resource) = with_resource(&catalog).await;
    let tasks = async || {
        catalog.database_jobs((world.account, &resource), &DatabaseJobFilter::default()).await.unwrap()
    };
    for (at, is_cancelled) in [(1, true), (20, false)] {
        let parent = database_job(at, &world, "rm-1");
        let child = |number: i64| NewJob {
            parent: Some(parent.id.clone()),
            series: Some(format!("rm-1/{number}")),
            ..database_job(number, &world, "rm-1")
        };
        let children = [child(at + 2), child(at + 4)];
        assert!(
            catalog.insert_resource_jobs(&resource, std::slice::from_ref(&parent), None, NOW).await.unwrap()
        );
        let id = parent.id.as_str();
        assert!(!catalog.split_job((id, 1), &children, NOW).await.unwrap(), "nobody has begun it");
        let fence = catalog.claim_job("w", NOW.plus(1_000), NOW).await.unwrap().unwrap().fence;
        assert!(!catalog.split_job((id, fence + 1), &children, NOW).await.unwrap(), "somebody else's");
        if is_cancelled {
            let kind = JobKind::DatabaseBackup;
            catalog.cancel_job((world.account, kind), id, NOW).await.unwrap();
            assert!(!catalog.split_job((id, fence), &children, NOW).await.unwrap(), "it is to stop");
            assert!(catalog.release_job((id, fence), NOW).await.unwrap());
            continue;
        }
        assert!(catalog.split_job((id, fence), &children, NOW).await.unwrap());
        assert!(!catalog.split_job((id, fence), &children, NOW).await.unwrap(), "once is enough");
        let counters = JobCounters::default();
        let heard = catalog.renew_job((id, fence), (&counters, 1), NOW.plus(1_000), NOW).await.unwrap();
        assert_eq!(heard, None, "whoever split it has nothing to say any more");
        // A parent has no lease that could end.
        catalog.reap_jobs(NOW.plus(2_000)).await.unwrap();
        assert!(catalog.is_resource_busy(&resource).await.unwrap());
        let shown: HashSet<_> = tasks().await.into_iter().filter_map(|job| job.parent).collect();
        assert_eq!(shown, HashSet::from([parent.id.clone()]));
        finish(&catalog, Outcome::Complete, 1).await;
        assert!(catalog.is_resource_busy(&resource).await.unwrap());
        finish(&catalog, Outcome::Complete, 2).await;
        assert!(!catalog.is_resource_busy(&resource).await.unwrap());
        let ended = catalog.job(world.account, id).await.unwrap().unwrap();
        assert_eq!(
            (ended.state, ended.children, ended.completed),
            (JobState::Complete, 2, Some(NOW.plus(3)))
        );
    }
}

async fn a_server_of_ours_is_found_again(place: Place) {
    let catalog = open(&place).await;
    let (world, resource) = with_resource(&catalog).await;
    assert!(catalog.resources_with_instances().await.unwrap().is_empty());
    assert_eq!(catalog.settle_resources(NOW).await.unwrap(), 0);
    for (held, settled) in
        [(ResourceState::Restoring, ResourceState::Running), (ResourceState::Creating, ResourceState::Failed)]
    {
        let number = catalog.next_numbers(2, NOW).await.unwrap();
        let job = [database_job(number, &world, "rm-1")];
        assert!(catalog.insert_resource_jobs(&resource, &job, Some(held), NOW).await.unwrap());
        assert_eq!(catalog.settle_resources(NOW).await.unwrap(), 0);
        finish(&catalog, Outcome::Failed, 1).await;
        assert_eq!(catalog.settle_resources(NOW).await.unwrap(), 1);
        assert_eq!(catalog.any_resource(&resource).await.unwrap().unwrap().state, settled);
    }
    catalog.set_resource_state(&resource, ResourceState::Creating, NOW).await.unwrap();
    let row = catalog.any_resource(&resource).await.unwrap().unwrap();
    assert_eq!(row.state, ResourceState::Creating);
    let made = MadeInstance {
        address: row.address,
        url: "sealed again".to_owned(),
        instance: r#"{"port":1}"#.to_owned(),
        version: "15.8".to_owned(),
    };
    let number = catalog.next_numbers(2, NOW).await.unwrap();
    let job = [database_job(number, &world, "rm-1")];
    assert!(catalog.insert_resource_jobs(&resource, &job, None, NOW).await.unwrap());
    let claimed = catalog.claim_job("w", NOW.plus(1_000_000), NOW.plus(1)).await.unwrap().unwrap();
    let done = FinishedJob { made: Some((resource.clone(), made)), ..ended(Outcome::Complete, None) };
    let stale = (claimed.job.id.as_str(), claimed.fence - 1);
    assert!(!catalog.finish_job(stale, (&done, 1), NOW.plus(2)).await.unwrap());
    assert!(catalog.resources_with_instances().await.unwrap().is_empty(), "a lost lease notes no server");
    assert!(catalog.finish_job((stale.0, claimed.fence), (&done, 1), NOW.plus(2)).await.unwrap());
    let found = catalog.resources_with_instances().await.unwrap().remove(0);
    assert_eq!((found.state, found.url.as_str()), (ResourceState::Running, "sealed again"));
}

async fn a_job_that_comes_while_resources_settle_is_seen(place: Place) {
    let (catalog, other) = (open(&place).await, open(&place).await);
    let (world, resource) = with_resource(&catalog).await;
    for _ in 0..20 {
        let number = catalog.next_numbers(2, NOW).await.unwrap();
        catalog.set_resource_state(&resource, ResourceState::Restoring, NOW).await.unwrap();
        let job = [database_job(number, &world, "rm-1")];
        let held = Some(ResourceState::Restoring);
        let (inserted, settled) = tokio::join!(
            catalog.insert_resource_jobs(&resource, &job, held, NOW),
            other.settle_resources(NOW)
        );
        assert!(inserted.unwrap());
        settled.unwrap();
        assert_eq!(catalog.any_resource(&resource).await.unwrap().unwrap().state, ResourceState::Restoring);
        finish(&catalog, Outcome::Failed, 1).await;
    }
}

async fn a_server_to_be_made_comes_with_its_job(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let creating = || NewResource {
        state: ResourceState::Creating,
        instance: Some("{}".to_owned()),
        ..resource("rm-2", world.account, Engine::Postgresql)
    };
    let (job, again) = (database_job(1, &world, "rm-2"), database_job(3, &world, "rm-2"));
    catalog.insert_resource_with_job(creating(), &job, NOW).await.unwrap();
    assert_eq!(catalog.settle_resources(NOW).await.unwrap(), 0);
    let taken = catalog.insert_resource_with_job(creating(), &again, NOW).await.unwrap_err();
    assert_eq!(taken.kind, CatalogErrorKind::Exists);
    assert!(
        catalog.is_job_active(&job.id).await.unwrap() && !catalog.is_job_active(&again.id).await.unwrap()
    );
    finish(&catalog, Outcome::Failed, 1).await;
    assert!(!catalog.is_job_active(&job.id).await.unwrap());
    assert_eq!(catalog.settle_resources(NOW).await.unwrap(), 1);
}
