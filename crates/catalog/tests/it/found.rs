//! What was found in vaults and written into the catalog again, and what is looked up past the accounts.

use lifeboat_catalog::{Place, SnapshotRow};
use lifeboat_model::id::{JobId, SnapshotId, VaultId};
use lifeboat_model::job::JobState;

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, vault};

on_both_databases! {
    vaults_and_snapshots_that_were_found_are_added_once
    the_clock_is_looked_at_and_remembered
}

async fn vaults_and_snapshots_that_were_found_are_added_once(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let id = VaultId::new(9);
    assert!(catalog.insert_found_vault(vault(9, world.account), NOW, NOW).await.unwrap());
    assert!(!catalog.insert_found_vault(vault(9, world.account), NOW, NOW).await.unwrap());
    catalog.set_vault_size(&id, 77).await.unwrap();
    assert_eq!(catalog.any_vault(&id).await.unwrap().unwrap().account, world.account);
    assert!(catalog.any_vault(&VaultId::new(99)).await.unwrap().is_none());
    // The other one is still being made.
    assert_eq!(catalog.all_vaults().await.unwrap().len(), 1);
    assert_eq!(catalog.policy_naming_vault(world.account, &id).await.unwrap(), None);

    catalog.insert_job(&world.planned_job(1), NOW).await.unwrap();
    let claimed = catalog.claim_job("a", NOW.plus(1), NOW).await.unwrap().unwrap();
    assert_eq!(catalog.state_of_job(&claimed.job.id).await.unwrap(), Some(JobState::Running));
    assert_eq!(catalog.state_of_job(JobId::new(99).as_str()).await.unwrap(), None);
    let done = crate::jobs::ended(lifeboat_model::job::Outcome::Complete, Some(1));
    assert!(catalog.finish_job((&claimed.job.id, claimed.fence), (&done, 1), NOW).await.unwrap());
    let made = catalog.snapshot(world.account, &SnapshotId::new(1)).await.unwrap().unwrap();
    let found = SnapshotRow { id: SnapshotId::new(2), hash: "found".to_owned(), ..made };
    assert!(catalog.insert_found(world.account, &found).await.unwrap());
    assert!(!catalog.insert_found(world.account, &found).await.unwrap());
    assert!(catalog.rename_snapshot(&found.id, "found", "renamed").await.unwrap());
    assert!(!catalog.rename_snapshot(&found.id, "found", "again").await.unwrap());
    let renamed =
        SnapshotRow { hash: "renamed".to_owned(), original_hash: Some("found".to_owned()), ..found.clone() };
    assert_eq!(catalog.snapshot(world.account, &found.id).await.unwrap().unwrap(), renamed);

    let of_series = (world.vault.as_str(), world.plan.as_str());
    assert_eq!(catalog.time_of_snapshot_before(of_series, NOW).await.unwrap(), None);
    assert_eq!(catalog.time_of_snapshot_before(of_series, NOW.plus(1)).await.unwrap(), Some(NOW));
    assert!(!catalog.protected_resources(world.account).await.unwrap().is_empty());
    assert!(catalog.protected_resources(world.other).await.unwrap().is_empty());
}

async fn the_clock_is_looked_at_and_remembered(place: Place) {
    let catalog = open(&place).await;
    let first = catalog.look_at_clock(NOW).await.unwrap();
    assert_eq!(first.seen, NOW);
    let second = catalog.look_at_clock(NOW.plus(1000)).await.unwrap();
    assert_eq!(second.seen, NOW.plus(1000));
}
