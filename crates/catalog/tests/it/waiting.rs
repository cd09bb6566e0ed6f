//! Jobs that wait, that are given up, that nobody can take; and the reports about those that have ended.

use lifeboat_catalog::{Catalog, ClaimedJob, FinishedJob, NewJob, NewSnapshot, Place};
use lifeboat_model::id::{ClientId, SnapshotId};
use lifeboat_model::job::{JobCounters, JobKind, JobState, Outcome};
use lifeboat_model::time::Millis;

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, job};

on_both_databases! {
    whoever_waits_for_long_is_said_to_wait_in_line
    a_job_that_is_given_up_begins_again_and_one_that_was_to_stop_has_stopped
    a_job_of_a_client_that_is_gone_is_unavailable
    a_job_that_was_begun_does_not_expire
    a_job_over_several_sources_says_why_none_of_them_was_begun
    a_report_is_made_by_one_and_claimed_again_when_he_dies
    a_report_that_is_removed_is_forgotten_with_its_keys
}

const LEASE: i64 = 15_000;

async fn claim(catalog: &Catalog, now: Millis) -> Option<ClaimedJob> {
    catalog.claim_job("worker", now.plus(LEASE), now).await.unwrap()
}

async fn state(catalog: &Catalog, world: &World, new: &NewJob) -> JobState {
    catalog.job(world.account, &new.id).await.unwrap().unwrap().state
}

async fn whoever_waits_for_long_is_said_to_wait_in_line(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let (old, new) = (job(1, world.account, &world.vault), job(2, world.account, &world.vault));
    catalog.insert_job(&old, NOW).await.unwrap();
    catalog.insert_job(&new, NOW.plus(5)).await.unwrap();
    catalog.queue_waiting_jobs(NOW.plus(5), NOW.plus(6)).await.unwrap();
    assert_eq!(state(&catalog, &world, &old).await, JobState::Queued);
    assert_eq!(state(&catalog, &world, &new).await, JobState::Created);
    assert_eq!(claim(&catalog, NOW.plus(7)).await.unwrap().job.id, old.id);
    catalog.queue_waiting_jobs(NOW.plus(9), NOW.plus(9)).await.unwrap();
    assert_eq!(state(&catalog, &world, &old).await, JobState::Running);
}

async fn a_job_that_is_given_up_begins_again_and_one_that_was_to_stop_has_stopped(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let new = job(1, world.account, &world.vault);
    catalog.insert_job(&new, NOW).await.unwrap();
    let first = claim(&catalog, NOW).await.unwrap();
    assert!(catalog.release_job((&new.id, first.fence), NOW.plus(1)).await.unwrap());
    assert!(
        !catalog.release_job((&new.id, first.fence), NOW.plus(1)).await.unwrap(),
        "it is not his any more"
    );
    assert_eq!(state(&catalog, &world, &new).await, JobState::Queued);
    let second = claim(&catalog, NOW.plus(2)).await.unwrap();
    catalog.cancel_job((world.account, JobKind::Backup), &new.id, NOW.plus(3)).await.unwrap();
    assert!(catalog.release_job((&new.id, second.fence), NOW.plus(4)).await.unwrap());
    let seen = catalog.job(world.account, &new.id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.completed), (JobState::Canceled, Some(NOW.plus(4))));
    assert_eq!(seen.error_code.as_deref(), Some("CANCELED"));
}

async fn a_job_of_a_client_that_is_gone_is_unavailable(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let gone = ClientId::new(4711).to_string();
    let new = NewJob { client: Some(gone), ..job(1, world.account, &world.vault) };
    let there = job(2, world.account, &world.vault);
    catalog.insert_job(&new, NOW).await.unwrap();
    catalog.insert_job(&there, NOW).await.unwrap();
    assert_eq!(catalog.reap_jobs(NOW.plus(1)).await.unwrap(), 1);
    let seen = catalog.job(world.account, &new.id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.completed), (JobState::Unavailable, Some(NOW.plus(1))));
    assert_eq!(seen.error_code.as_deref(), Some("CLIENT_NOT_EXIST"));
    assert_eq!(state(&catalog, &world, &there).await, JobState::Created);
}

async fn a_job_that_was_begun_does_not_expire(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let new = NewJob { expires: NOW.plus(100), ..job(1, world.account, &world.vault) };
    catalog.insert_job(&new, NOW).await.unwrap();
    let first = claim(&catalog, NOW).await.unwrap();
    assert!(catalog.release_job((&new.id, first.fence), NOW.plus(200)).await.unwrap());
    assert_eq!(catalog.reap_jobs(NOW.plus(300)).await.unwrap(), 0);
    assert_eq!(claim(&catalog, NOW.plus(300)).await.unwrap().job.id, new.id);
}

async fn a_job_over_several_sources_says_why_none_of_them_was_begun(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let any = |number| job(number, world.account, &world.vault);
    let late = NewJob { expires: NOW.plus(100), ..any(1) };
    let orphaned = NewJob { client: Some(ClientId::new(4711).to_string()), ..any(1) };
    for (number, new, state, said) in [
        (10, late, JobState::Expired, ("EXPIRED", "nobody took the job in time")),
        (
            20,
            orphaned,
            JobState::Unavailable,
            ("CLIENT_NOT_EXIST", "the client that was to run the job is gone"),
        ),
    ] {
        let parent = NewJob { id: any(number).id, ..new.clone() };
        let child = |at| NewJob { id: any(number + at).id, parent: Some(parent.id.clone()), ..new.clone() };
        catalog.insert_family(&[parent.clone(), child(1), child(2)], NOW).await.unwrap();
        catalog.reap_jobs(NOW.plus(100)).await.unwrap();
        for id in [&parent.id, &child(1).id, &child(2).id] {
            let seen = catalog.job(world.account, id).await.unwrap().unwrap();
            assert_eq!((seen.state, seen.completed), (state, Some(NOW.plus(100))));
            assert_eq!(seen.error_code.as_deref().zip(seen.error_message.as_deref()), Some(said));
        }
    }
}

async fn ended(catalog: &Catalog, world: &World, number: u128, at: Millis) -> NewJob {
    let new = job(number, world.account, &world.vault);
    catalog.insert_job(&new, NOW).await.unwrap();
    let claimed = claim(catalog, NOW).await.unwrap();
    let snapshot = NewSnapshot {
        id: SnapshotId::new(number),
        hash: format!("hash-{number}"),
        parent_hash: None,
        completed: at,
        retention_days: None,
        keep_latest: false,
        detail: None,
    };
    let finished = FinishedJob {
        outcome: Outcome::PartialComplete,
        counters: JobCounters::default(),
        error_code: Some("PARTIAL_COMPLETE".to_owned()),
        error_message: None,
        error_file: Some("/temp/errors".to_owned()),
        snapshot: Some(snapshot),
        made: None,
    };
    assert!(catalog.finish_job((&new.id, claimed.fence), (&finished, 1), at).await.unwrap());
    new
}

async fn a_report_is_made_by_one_and_claimed_again_when_he_dies(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    assert!(catalog.claim_report(NOW.plus(60), NOW).await.unwrap().is_none());
    let (first, second) =
        (ended(&catalog, &world, 1, NOW.plus(1)).await, ended(&catalog, &world, 2, NOW.plus(2)).await);
    let report = async |new: &NewJob| {
        let seen = catalog.job(world.account, &new.id).await.unwrap().unwrap();
        (seen.report_state.unwrap(), seen.updated)
    };
    assert_eq!(report(&first).await, ("CREATED".to_owned(), NOW.plus(1)));
    let mut of_first = catalog.claim_report(NOW.plus(60), NOW.plus(3)).await.unwrap().unwrap();
    assert_eq!((&of_first.job, of_first.account), (&first.id, world.account));
    assert_eq!(report(&first).await, ("RUNNING".to_owned(), NOW.plus(3)));
    assert_eq!(catalog.claim_report(NOW.plus(60), NOW.plus(3)).await.unwrap().unwrap().job, second.id);
    assert!(catalog.claim_report(NOW.plus(60), NOW.plus(60)).await.unwrap().is_none());
    assert!(catalog.prolong_report(&mut of_first, NOW.plus(70)).await.unwrap());

    // Who made the second is not heard of any more; who took it over cannot make it.
    let again = catalog.claim_report(NOW.plus(200), NOW.plus(61)).await.unwrap().unwrap();
    assert_eq!(again.job, second.id);
    catalog.finish_report(&again, false, NOW.plus(62)).await.unwrap();
    assert_eq!(report(&second).await, ("FAILED".to_owned(), NOW.plus(62)));

    // The first is claimed by somebody else, and its former maker has no say.
    let taken = catalog.claim_report(NOW.plus(200), NOW.plus(71)).await.unwrap().unwrap();
    assert!(!catalog.prolong_report(&mut of_first, NOW.plus(300)).await.unwrap());
    catalog.finish_report(&of_first, false, NOW.plus(72)).await.unwrap();
    assert_eq!(report(&first).await.0, "RUNNING");
    catalog.finish_report(&taken, true, NOW.plus(73)).await.unwrap();
    assert_eq!(report(&first).await, ("COMPLETE".to_owned(), NOW.plus(73)));
    assert!(catalog.claim_report(NOW.plus(900), NOW.plus(800)).await.unwrap().is_none());
}

async fn a_report_that_is_removed_is_forgotten_with_its_keys(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let new = ended(&catalog, &world, 1, NOW.plus(1)).await;
    let snapshot = async || catalog.snapshot(world.account, &SnapshotId::new(1)).await.unwrap().unwrap();
    assert_eq!(snapshot().await.error_file.as_deref(), Some("/temp/errors"));
    catalog.forget_report(&new.id, NOW.plus(2)).await.unwrap();
    let seen = catalog.job(world.account, &new.id).await.unwrap().unwrap();
    assert_eq!((seen.report_state, seen.error_file, seen.updated), (None, None, NOW.plus(2)));
    assert_eq!(snapshot().await.error_file, None);
    catalog.forget_report(&new.id, NOW.plus(3)).await.unwrap();
    assert_eq!(catalog.job(world.account, &new.id).await.unwrap().unwrap().updated, NOW.plus(2));
}
