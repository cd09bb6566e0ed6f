//! What ends, what stays, and what is found in vaults.

use lifeboat_catalog::{Catalog, FinishedJob, NewJob, NewSnapshot, Place, SnapshotWindow, VaultChange};
use lifeboat_model::id::SnapshotId;
use lifeboat_model::job::{JobCounters, JobKind, JobState, Outcome};
use lifeboat_model::time::Millis;

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, job};

on_both_databases! {
    a_snapshot_ends_when_its_time_is_over_and_not_before
    the_newest_of_a_plan_that_keeps_it_outlives_its_retention
    a_snapshot_dated_in_the_future_is_no_newer_one
    a_snapshot_that_is_being_restored_does_not_end
    nothing_of_an_immutable_vault_is_condemned_before_its_time
    a_prune_has_its_vault_for_itself
    a_job_over_several_sources_ends_with_its_vault
    a_vault_being_deleted_is_seen_by_nobody_and_leaves_nothing
}

const DAY: i64 = 86_400_000;

/// A snapshot of the world's plan, complete at `completed`, kept for one day.
async fn snapshot(
    (catalog, world): (&Catalog, &World),
    number: u128,
    completed: Millis,
    keep_latest: bool,
) -> SnapshotId {
    let new = NewJob { expires: completed.plus(DAY), ..world.planned_job(number) };
    catalog.insert_job(&new, NOW).await.unwrap();
    let claimed = catalog.claim_job("worker", completed, NOW).await.unwrap().unwrap();
    let id = SnapshotId::new(number);
    let snapshot = NewSnapshot {
        id: id.clone(),
        hash: format!("hash-{number}"),
        parent_hash: None,
        completed,
        retention_days: Some(1),
        keep_latest,
        detail: None,
    };
    let done = FinishedJob {
        outcome: Outcome::Complete,
        counters: JobCounters::default(),
        error_code: None,
        error_message: None,
        error_file: None,
        snapshot: Some(snapshot),
        made: None,
    };
    assert!(catalog.finish_job((&claimed.job.id, claimed.fence), (&done, 1), completed).await.unwrap());
    id
}

async fn left(catalog: &Catalog, world: &World) -> Vec<SnapshotId> {
    let page = catalog
        .snapshots(
            (world.account, Some(&world.vault)),
            &[],
            SnapshotWindow { limit: 100, ..SnapshotWindow::default() },
        )
        .await
        .unwrap();
    page.rows.into_iter().map(|row| row.id).collect()
}

async fn a_snapshot_ends_when_its_time_is_over_and_not_before(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let one = snapshot((&catalog, &world), 1, NOW, false).await;
    let two = snapshot((&catalog, &world), 2, NOW.plus(10), false).await;
    assert_eq!(catalog.condemn_expired(NOW.plus(DAY - 1)).await.unwrap(), 0);
    assert_eq!(catalog.condemn_expired(NOW.plus(DAY)).await.unwrap(), 1);
    assert_eq!(left(&catalog, &world).await, [two]);
    assert!(catalog.snapshot(world.account, &one).await.unwrap().is_none());
    catalog.set_vault_state(&world.vault, "CREATED", NOW).await.unwrap();
    let pruned = catalog.vaults_to_prune(NOW).await.unwrap();
    assert!(pruned.len() == 1 && pruned[0].id == world.vault);
    let condemned = catalog.condemned_snapshots(&world.vault).await.unwrap();
    assert_eq!(condemned, [(one.clone(), "hash-1".to_owned())]);
    catalog.forget_snapshots(&world.vault, &[one]).await.unwrap();
    assert!(catalog.vaults_to_prune(NOW).await.unwrap().is_empty());
    assert_eq!(catalog.known_snapshots(&world.vault).await.unwrap().len(), 1);
}

async fn the_newest_of_a_plan_that_keeps_it_outlives_its_retention(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    snapshot((&catalog, &world), 1, NOW, true).await;
    let two = snapshot((&catalog, &world), 2, NOW.plus(10), true).await;
    assert_eq!(catalog.condemn_expired(NOW.plus(100 * DAY)).await.unwrap(), 1);
    assert_eq!(left(&catalog, &world).await, [two]);
    assert_eq!(catalog.condemn_expired(NOW.plus(1000 * DAY)).await.unwrap(), 0);
    let three = snapshot((&catalog, &world), 3, NOW.plus(1000 * DAY), true).await;
    assert_eq!(catalog.condemn_expired(NOW.plus(1000 * DAY)).await.unwrap(), 1);
    assert_eq!(left(&catalog, &world).await, [three]);
}

async fn a_snapshot_dated_in_the_future_is_no_newer_one(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let real = snapshot((&catalog, &world), 1, NOW, true).await;
    let bogus = snapshot((&catalog, &world), 2, NOW.plus(3650 * DAY), true).await;
    assert_eq!(catalog.condemn_expired(NOW.plus(2 * DAY)).await.unwrap(), 0);
    assert_eq!(left(&catalog, &world).await, [real, bogus]);
}

async fn a_snapshot_that_is_being_restored_does_not_end(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let id = snapshot((&catalog, &world), 1, NOW, false).await;
    let restore = NewJob {
        kind: JobKind::Restore,
        snapshot: Some(id.to_string()),
        expires: NOW.plus(10 * DAY),
        ..job(9, world.account, &world.vault)
    };
    catalog.insert_job(&restore, NOW).await.unwrap();
    let later = NOW.plus(2 * DAY);
    assert_eq!(catalog.condemn_expired(later).await.unwrap(), 0);
    assert!(!catalog.condemn_snapshot(world.account, &id, later).await.unwrap());
    assert!(catalog.is_being_restored(&id).await.unwrap());
    catalog.cancel_job((world.account, JobKind::Restore), &restore.id, later).await.unwrap();
    assert_eq!(catalog.condemn_expired(later).await.unwrap(), 1);
}

async fn nothing_of_an_immutable_vault_is_condemned_before_its_time(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    catalog.set_vault_state(&world.vault, "CREATED", NOW).await.unwrap();
    let id = snapshot((&catalog, &world), 1, NOW, false).await;
    let worm = VaultChange { make_worm: true, ..VaultChange::default() };
    assert!(!catalog.update_vault(world.other, &world.vault, &worm, NOW).await.unwrap());
    assert!(catalog.update_vault(world.account, &world.vault, &worm, NOW).await.unwrap());
    // No change takes it back.
    let name = VaultChange { name: Some("new".to_owned()), ..VaultChange::default() };
    assert!(catalog.update_vault(world.account, &world.vault, &name, NOW).await.unwrap());
    let vault = catalog.vault(world.account, &world.vault).await.unwrap().unwrap();
    assert_eq!((vault.is_worm, vault.name.as_str()), (true, "new"));
    assert!(!catalog.condemn_snapshot(world.account, &id, NOW.plus(2 * DAY)).await.unwrap());
    assert!(!catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
    assert_eq!(catalog.condemn_expired(NOW.plus(DAY)).await.unwrap(), 1);
    // As long as its file may be there it is.
    assert!(!catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
    catalog.forget_snapshots(&world.vault, &[id]).await.unwrap();
    assert!(catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
}

async fn a_prune_has_its_vault_for_itself(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let prune = NewJob { kind: JobKind::Prune, ..job(1, world.account, &world.vault) };
    let claim = async || {
        let claimed = catalog.claim_job("worker", NOW.plus(10), NOW.plus(9)).await.unwrap();
        claimed.map(|claimed| claimed.job.id)
    };
    catalog.insert_job(&job(2, world.account, &world.vault), NOW).await.unwrap();
    catalog.insert_job(&prune, NOW.plus(1)).await.unwrap();
    catalog.insert_job(&job(3, world.account, &world.vault), NOW.plus(2)).await.unwrap();
    assert_eq!(claim().await.unwrap(), job(2, world.account, &world.vault).id);
    // The prune waits for the one that runs; the other backup does not.
    assert_eq!(claim().await.unwrap(), job(3, world.account, &world.vault).id);
    assert_eq!(claim().await, None);
    for number in [2, 3] {
        let id = job(number, world.account, &world.vault).id;
        catalog.cancel_job((world.account, JobKind::Backup), &id, NOW).await.unwrap();
    }
    assert_eq!(claim().await, None);
    assert_eq!(catalog.reap_jobs(NOW.plus(20)).await.unwrap(), 2);
    assert_eq!(claim().await.unwrap(), prune.id);
    catalog.insert_job(&job(4, world.account, &world.vault), NOW.plus(3)).await.unwrap();
    assert_eq!(claim().await, None);
}

async fn a_job_over_several_sources_ends_with_its_vault(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    catalog.set_vault_state(&world.vault, "CREATED", NOW).await.unwrap();
    let parent = job(10, world.account, &world.vault);
    let child = |number: u128| NewJob {
        parent: Some(parent.id.clone()),
        series: Some(format!("pd-{number}")),
        ..job(10 + number, world.account, &world.vault)
    };
    catalog.insert_family(&[parent.clone(), child(1), child(2)], NOW).await.unwrap();
    let claimed = catalog.claim_job("worker", NOW.plus(DAY), NOW).await.unwrap().unwrap();
    let done = crate::jobs::ended(lifeboat_model::job::Outcome::Complete, Some(1));
    assert!(catalog.finish_job((&claimed.job.id, claimed.fence), (&done, 1), NOW).await.unwrap());
    // One is done and one waits: nobody is left to say that the whole is over.
    assert!(catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
    let seen = catalog.job(world.account, &parent.id).await.unwrap().unwrap();
    assert!(seen.state.is_final() && seen.completed.is_some(), "{:?}", seen.state);
    let child = catalog.job(world.account, &child(2).id).await.unwrap().unwrap();
    assert_eq!((child.state, child.error_code.as_deref()), (JobState::Canceled, Some("CANCELED")));
    assert_eq!(catalog.deleting_vaults().await.unwrap().len(), 1);
}

async fn a_vault_being_deleted_is_seen_by_nobody_and_leaves_nothing(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    assert!(!catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
    catalog.set_vault_state(&world.vault, "CREATED", NOW).await.unwrap();
    snapshot((&catalog, &world), 1, NOW, false).await;
    let running = world.planned_job(2);
    catalog.insert_job(&running, NOW).await.unwrap();
    let claimed = catalog.claim_job("worker", NOW.plus(DAY), NOW).await.unwrap().unwrap();
    assert!(!catalog.begin_vault_deletion(world.other, &world.vault, NOW).await.unwrap());
    assert!(catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
    assert!(!catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
    assert!(catalog.vault(world.account, &world.vault).await.unwrap().is_none());
    assert!(catalog.plan(world.account, &world.plan).await.unwrap().is_none());
    assert!(catalog.due_runs(NOW.plus(DAY)).await.unwrap().is_empty());
    // Its job is asked to stop, and waited for.
    assert!(catalog.deleting_vaults().await.unwrap().is_empty());
    let lease = (claimed.job.id.as_str(), claimed.fence);
    let asked = catalog.renew_job(lease, (&JobCounters::default(), 1), NOW.plus(DAY), NOW).await.unwrap();
    assert_eq!(asked, Some(true));
    assert!(catalog.reap_jobs(NOW.plus(2 * DAY)).await.unwrap() > 0);
    assert_eq!(catalog.deleting_vaults().await.unwrap().len(), 1);
    catalog.finish_vault_deletion(&world.vault).await.unwrap();
    assert!(catalog.deleting_vaults().await.unwrap().is_empty());
    assert!(catalog.job(world.account, &running.id).await.unwrap().is_none());
    assert!(catalog.known_snapshots(&world.vault).await.unwrap().is_empty());
}
