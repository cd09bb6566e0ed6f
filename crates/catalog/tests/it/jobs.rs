//! The life of a job: accepted, claimed by one, renewed, ended once, with its snapshot or not at all.

use lifeboat_catalog::{
    Catalog, CatalogErrorKind, ClaimedJob, FinishedJob, NewJob, NewSnapshot, Place, RunStart, SnapshotColumn,
    SnapshotCondition, SnapshotOperator, SnapshotValue, SnapshotWindow,
};
use lifeboat_model::id::{RestoreId, SnapshotId};
use lifeboat_model::job::{JobCounters, JobKind, JobState, Outcome};
use lifeboat_model::time::Millis;

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, job};

on_both_databases! {
    a_job_runs_and_leaves_a_snapshot
    a_lost_lease_puts_the_job_back_and_its_worker_writes_nothing_more
    a_cancel_reaches_a_job_wherever_it_is
    a_job_that_nobody_takes_expires
    jobs_of_a_plan_run_one_after_another
    many_workers_never_claim_the_same_job
    a_job_that_is_given_up_begins_again_at_once
    a_report_is_made_by_one_and_by_another_when_he_is_gone
    a_scheduled_run_is_left_out_while_the_former_has_not_ended
    snapshots_are_found_by_every_condition
}

const LEASE: i64 = 15_000;

async fn claim(catalog: &Catalog, worker: &str, now: Millis) -> Option<ClaimedJob> {
    catalog.claim_job(worker, now.plus(LEASE), now).await.unwrap()
}

fn counters() -> JobCounters {
    JobCounters {
        bytes_total: Some(4096),
        items_total: Some(3),
        files_total: Some(2),
        bytes_done: 2048,
        bytes_actual: 1024,
        items_done: 3,
        items_actual: 1,
        files_done: 2,
        files_actual: 1,
        bytes_handled: 2048,
    }
}

pub(crate) fn ended(outcome: Outcome, snapshot: Option<u128>) -> FinishedJob {
    FinishedJob {
        outcome,
        counters: counters(),
        error_code: None,
        error_message: None,
        error_file: None,
        snapshot: snapshot.map(|number| NewSnapshot {
            id: SnapshotId::new(number),
            hash: format!("hash-{number}"),
            parent_hash: None,
            completed: NOW,
            retention_days: Some(1),
            keep_latest: false,
            detail: None,
        }),
        made: None,
    }
}

async fn finish(catalog: &Catalog, claimed: &ClaimedJob, done: &FinishedJob, now: Millis) -> bool {
    let snapshot = done.snapshot.clone().map(|snapshot| NewSnapshot { completed: now, ..snapshot });
    let done = FinishedJob { snapshot, ..done.clone() };
    catalog.finish_job((&claimed.job.id, claimed.fence), (&done, 1000), now).await.unwrap()
}

async fn a_job_runs_and_leaves_a_snapshot(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let new = world.planned_job(1);
    catalog.insert_job(&new, NOW).await.unwrap();
    let again = catalog.insert_job(&new, NOW).await.unwrap_err();
    assert_eq!(again.kind, CatalogErrorKind::Exists);

    let claimed = claim(&catalog, "a", NOW.plus(10)).await.unwrap();
    assert_eq!((claimed.job.id.as_str(), claimed.job.state), (new.id.as_str(), JobState::Running));
    assert_eq!((claimed.fence, claimed.job.started), (1, Some(NOW.plus(10))));
    assert!(claim(&catalog, "b", NOW).await.is_none());
    let until = NOW.plus(LEASE);
    let lease = (claimed.job.id.as_str(), claimed.fence);
    let renewed = catalog.renew_job(lease, (&counters(), 1000), until, NOW.plus(20)).await.unwrap();
    assert_eq!(renewed, Some(false));
    let seen = catalog.job(world.account, &new.id).await.unwrap().unwrap();
    assert_eq!((seen.progress, seen.speed, seen.updated), (5000, 2, NOW.plus(20)));

    assert!(finish(&catalog, &claimed, &ended(Outcome::Complete, Some(1)), NOW.plus(30)).await);
    assert!(!finish(&catalog, &claimed, &ended(Outcome::Failed, None), NOW.plus(40)).await);
    let seen = catalog.job(world.account, &new.id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.progress, seen.completed), (JobState::Complete, 10_000, Some(NOW.plus(30))));
    assert_eq!(JobCounters { bytes_handled: 2048, ..seen.counters }, counters());

    let id = SnapshotId::new(1);
    let snapshot = catalog.snapshot(world.account, &id).await.unwrap().unwrap();
    assert_eq!((snapshot.job.unwrap().to_string(), snapshot.hash.as_str()), (new.id.clone(), "hash-1"));
    assert_eq!(snapshot.expires, Some(NOW.plus(30 + 86_400_000)));
    assert!(catalog.snapshot(world.other, &id).await.unwrap().is_none());
    let maker = catalog.job(world.account, &new.id).await.unwrap().unwrap();
    assert_eq!(maker.id, new.id);
    assert!(catalog.job(world.other, &new.id).await.unwrap().is_none());
    let by_hash = |hash| catalog.snapshot_of_hash((world.account, &world.vault), hash);
    assert_eq!(by_hash("hash-1").await.unwrap().unwrap().id, id);
    assert!(by_hash("hash-2").await.unwrap().is_none());
    let next = catalog.latest_snapshot_like(&maker).await.unwrap();
    assert_eq!(next.as_deref(), Some("hash-1"));
}

async fn a_lost_lease_puts_the_job_back_and_its_worker_writes_nothing_more(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    catalog.insert_job(&world.planned_job(1), NOW).await.unwrap();
    let first = claim(&catalog, "a", NOW).await.unwrap();
    assert_eq!(catalog.reap_jobs(NOW.plus(LEASE)).await.unwrap(), 0);
    assert_eq!(catalog.reap_jobs(NOW.plus(LEASE + 1)).await.unwrap(), 1);
    let seen = catalog.job(world.account, &first.job.id).await.unwrap().unwrap();
    assert_eq!(seen.state, JobState::Queued);
    let second = claim(&catalog, "b", NOW.plus(LEASE + 2)).await.unwrap();
    assert!(second.fence > first.fence);
    let lease = (first.job.id.as_str(), first.fence);
    let renewed = catalog.renew_job(lease, (&counters(), 1), NOW.plus(99_000), NOW).await.unwrap();
    assert_eq!(renewed, None);
    assert!(!finish(&catalog, &first, &ended(Outcome::Complete, Some(1)), NOW).await);
    assert!(catalog.snapshot(world.account, &SnapshotId::new(1)).await.unwrap().is_none());
    assert!(finish(&catalog, &second, &ended(Outcome::Complete, Some(2)), NOW).await);
}

async fn a_cancel_reaches_a_job_wherever_it_is(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let cancel = |number: u128, who| {
        let (id, catalog) = (job(number, world.account, &world.vault).id, &catalog);
        async move { catalog.cancel_job((who, JobKind::Backup), &id, NOW).await }
    };
    for number in 1..=2 {
        catalog.insert_job(&job(number, world.account, &world.vault), NOW).await.unwrap();
    }
    assert_eq!(cancel(1, world.other).await.unwrap_err().kind, CatalogErrorKind::Conflict);
    assert_eq!(cancel(1, world.account).await.unwrap(), JobState::Canceled);
    let running = claim(&catalog, "a", NOW).await.unwrap();
    assert_eq!(cancel(2, world.account).await.unwrap(), JobState::Canceling);
    let lease = (running.job.id.as_str(), running.fence);
    let renewed = catalog.renew_job(lease, (&counters(), 1), NOW, NOW).await.unwrap();
    assert_eq!(renewed, Some(true));
    assert!(finish(&catalog, &running, &ended(Outcome::Canceled, None), NOW).await);
    assert_eq!(cancel(2, world.account).await.unwrap_err().kind, CatalogErrorKind::Conflict);
}

async fn a_job_that_nobody_takes_expires(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let new = NewJob { expires: NOW.plus(100), ..job(1, world.account, &world.vault) };
    catalog.insert_job(&new, NOW).await.unwrap();
    assert!(claim(&catalog, "late", NOW.plus(100)).await.is_none());
    assert_eq!(catalog.reap_jobs(NOW.plus(99)).await.unwrap(), 0);
    assert_eq!(catalog.reap_jobs(NOW.plus(100)).await.unwrap(), 1);
    let seen = catalog.job(world.account, &new.id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.completed), (JobState::Expired, Some(NOW.plus(100))));
    assert!(catalog.job(world.other, &new.id).await.unwrap().is_none());
}

async fn jobs_of_a_plan_run_one_after_another(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    for number in 1..=2 {
        catalog.insert_job(&world.planned_job(number), NOW).await.unwrap();
    }
    let restore = NewJob {
        id: RestoreId::new(3).to_string(),
        kind: JobKind::Restore,
        series: None,
        ..world.planned_job(3)
    };
    let first = claim(&catalog, "a", NOW).await.unwrap();
    assert!(claim(&catalog, "b", NOW).await.is_none());
    catalog.insert_job(&restore, NOW).await.unwrap();
    assert_eq!(claim(&catalog, "b", NOW).await.unwrap().job.id, restore.id);
    assert!(finish(&catalog, &first, &ended(Outcome::Complete, None), NOW).await);
    assert!(claim(&catalog, "b", NOW).await.is_some());
}

async fn many_workers_never_claim_the_same_job(place: Place) {
    let catalogs = [open(&place).await, open(&place).await];
    let world = World::make(&catalogs[0]).await;
    for number in 0..40 {
        // Half of them are of one plan, of which one may run.
        let new = if number % 2 == 0 {
            world.planned_job(number)
        } else {
            job(number, world.account, &world.vault)
        };
        catalogs[0].insert_job(&new, NOW).await.unwrap();
    }
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let catalog = catalogs[worker % 2].clone();
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                // An empty answer may mean that another worker is looking at the only one left.
                for _ in 0..60 {
                    claimed.extend(claim(&catalog, &format!("worker {worker}"), NOW).await);
                }
                claimed
            })
        })
        .collect();
    let mut ids = Vec::new();
    for worker in workers {
        ids.extend(worker.await.unwrap().into_iter().map(|claimed| (claimed.job.id, claimed.job.plan)));
    }
    assert_eq!(ids.iter().filter(|(_, plan)| plan.is_some()).count(), 1);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 21);
}

async fn a_job_that_is_given_up_begins_again_at_once(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    for number in 1..=2 {
        catalog.insert_job(&job(number, world.account, &world.vault), NOW.plus(1)).await.unwrap();
    }
    catalog.queue_waiting_jobs(NOW.plus(1), NOW.plus(2)).await.unwrap();
    let state = |id: &str| {
        let (catalog, id) = (catalog.clone(), id.to_owned());
        async move { catalog.job(world.account, &id).await.unwrap().unwrap().state }
    };
    let first = claim(&catalog, "a", NOW).await.unwrap();
    let second = claim(&catalog, "a", NOW).await.unwrap();
    for claimed in [&first, &second] {
        assert_eq!(state(&claimed.job.id).await, JobState::Running);
    }
    catalog.cancel_job((world.account, JobKind::Backup), &second.job.id, NOW).await.unwrap();
    for (claimed, left) in [(&first, JobState::Queued), (&second, JobState::Canceled)] {
        let lease = (claimed.job.id.as_str(), claimed.fence);
        assert!(catalog.release_job(lease, NOW).await.unwrap());
        assert!(!catalog.release_job(lease, NOW).await.unwrap());
        assert_eq!(state(&claimed.job.id).await, left);
    }
    assert!(claim(&catalog, "b", NOW).await.unwrap().fence > first.fence);
    catalog.insert_job(&job(3, world.account, &world.vault), NOW).await.unwrap();
    catalog.queue_waiting_jobs(NOW.plus(1), NOW.plus(2)).await.unwrap();
    assert_eq!(state(&job(3, world.account, &world.vault).id).await, JobState::Queued);
}

async fn a_report_is_made_by_one_and_by_another_when_he_is_gone(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    assert!(catalog.claim_report(NOW.plus(10), NOW).await.unwrap().is_none());
    catalog.insert_job(&job(1, world.account, &world.vault), NOW).await.unwrap();
    let claimed = claim(&catalog, "a", NOW).await.unwrap();
    assert!(finish(&catalog, &claimed, &ended(Outcome::Complete, Some(1)), NOW).await);

    let mut first = catalog.claim_report(NOW.plus(10), NOW).await.unwrap().unwrap();
    assert_eq!((first.job.as_str(), first.account), (claimed.job.id.as_str(), world.account));
    assert!(catalog.claim_report(NOW.plus(20), NOW.plus(5)).await.unwrap().is_none());
    assert!(catalog.prolong_report(&mut first, NOW.plus(15)).await.unwrap());
    let second = catalog.claim_report(NOW.plus(30), NOW.plus(16)).await.unwrap().unwrap();
    assert!(!catalog.prolong_report(&mut first, NOW.plus(40)).await.unwrap());
    catalog.finish_report(&first, false, NOW).await.unwrap();
    catalog.finish_report(&second, true, NOW.plus(17)).await.unwrap();
    assert!(catalog.claim_report(NOW.plus(99), NOW.plus(98)).await.unwrap().is_none());
    catalog.forget_report(&claimed.job.id, NOW.plus(50)).await.unwrap();
    assert_eq!(catalog.job(world.account, &claimed.job.id).await.unwrap().unwrap().updated, NOW.plus(50));
}

async fn a_scheduled_run_is_left_out_while_the_former_has_not_ended(place: Place) {
    let (catalog, second) = (open(&place).await, open(&place).await);
    let world = World::make(&catalog).await;
    assert!(catalog.due_runs(NOW.plus(-1)).await.unwrap().is_empty());
    let due = catalog.due_runs(NOW).await.unwrap();
    let next = NOW.plus(3_600_000);
    let start = |catalog: &Catalog, number| {
        let (catalog, run, job) = (catalog.clone(), due[0].clone(), world.planned_job(number));
        async move { catalog.start_run(&run, Some(next), &[job], NOW).await.unwrap() }
    };
    assert_eq!(start(&catalog, 1).await, RunStart::Started);
    assert_eq!(start(&second, 2).await, RunStart::Gone);
    let due = second.due_runs(next).await.unwrap();
    let left_out = second.start_run(&due[0], None, &[world.planned_job(3)], next).await.unwrap();
    assert_eq!(left_out, RunStart::LeftOut);
    assert!(catalog.due_runs(Millis(i64::MAX)).await.unwrap().is_empty());
}

async fn snapshots_are_found_by_every_condition(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    for number in 1..=3 {
        catalog.insert_job(&world.planned_job(number), NOW).await.unwrap();
        let claimed = claim(&catalog, "a", NOW).await.unwrap();
        let now = NOW.plus(i64::try_from(number).unwrap() * 1000 + 7);
        assert!(finish(&catalog, &claimed, &ended(Outcome::Complete, Some(number)), now).await);
    }
    let text = |text: &str| vec![SnapshotValue::Text(text.to_owned())];
    let window =
        |limit, offset| SnapshotWindow { is_newest_first: true, limit, offset, ..SnapshotWindow::default() };
    let time = |seconds: i64| SnapshotValue::Time(NOW.plus(seconds * 1000));
    use SnapshotColumn as Column;
    use SnapshotOperator as Operator;
    let id = SnapshotId::new(2);
    for (column, operator, values, expected) in [
        (Column::SnapshotId, Operator::Match, text(id.as_str()), 1),
        (Column::JobId, Operator::In, text(&world.planned_job(1).id), 1),
        (Column::PlanId, Operator::Match, text(world.plan.as_str()), 3),
        (Column::InstanceId, Operator::NotIn, text("i-x"), 3),
        (Column::ClientId, Operator::Match, text("c-x"), 0),
        (Column::SourceType, Operator::Match, text("ECS_FILE"), 3),
        (Column::Status, Operator::NotIn, text("COMPLETE"), 0),
        (Column::CompleteTime, Operator::Greater, vec![time(1)], 2),
        (Column::CompleteTime, Operator::GreaterOrEqual, vec![time(1)], 3),
        (Column::CompleteTime, Operator::Less, vec![time(2)], 1),
        (Column::CompleteTime, Operator::LessOrEqual, vec![time(2)], 2),
        (Column::CreatedTime, Operator::Between, vec![time(0), time(2)], 3),
        (Column::CompleteTime, Operator::Match, vec![time(2)], 1),
        (Column::CompleteTime, Operator::Between, vec![time(2), time(2)], 1),
        (Column::CompleteTime, Operator::In, vec![time(1), time(3), time(4)], 2),
        (Column::CompleteTime, Operator::NotIn, vec![time(1)], 2),
    ] {
        let condition = SnapshotCondition { column, operator, values };
        let found = catalog
            .snapshots((world.account, Some(&world.vault)), &[condition], window(10, 0))
            .await
            .unwrap();
        assert_eq!(found.total, expected, "{column:?} {operator:?}");
        assert_eq!(found.rows.len() as u64, expected);
    }
    let page = catalog.snapshots((world.account, Some(&world.vault)), &[], window(1, 1)).await.unwrap();
    assert_eq!((page.total, page.rows[0].id.clone()), (3, id));
    let by_creation = SnapshotWindow { by_creation: true, limit: 1, ..SnapshotWindow::default() };
    let page = catalog.snapshots((world.account, Some(&world.vault)), &[], by_creation).await.unwrap();
    assert_eq!(page.rows[0].id, SnapshotId::new(1));
    let others = catalog.snapshots((world.other, Some(&world.vault)), &[], window(1, 0)).await.unwrap();
    assert_eq!(others.total, 0);
}
