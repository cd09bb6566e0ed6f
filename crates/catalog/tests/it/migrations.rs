//! The tables of an older Lifeboat, with rows in them; those of a newer one; two servers that start at once.

use lifeboat_catalog::{Catalog, CatalogErrorKind, Place};
use lifeboat_model::id::VaultId;
use lifeboat_model::job::JobState;

use crate::databases::{execute, on_both_databases, open};
use crate::rows::account;

on_both_databases! {
    rows_of_the_first_tables_are_still_there
    tables_of_a_newer_lifeboat_are_refused
    servers_that_start_at_once_wait_for_each_other
}

/// What the first release's tables are made by, and what it could have written.
const FIRST_STEP: &str = include_str!("../../migrations/0001_first.sql");
const FIRST_ROWS: &str = include_str!("../fixtures/first_rows.sql");

async fn rows_of_the_first_tables_are_still_there(place: Place) {
    let steps = "CREATE TABLE schema_steps (step BIGINT PRIMARY KEY); INSERT INTO schema_steps VALUES (1);";
    execute(&place, format!("{FIRST_STEP};{steps};{FIRST_ROWS}")).await;
    let catalog = open(&place).await;
    let owner = account(1001);
    assert_eq!(catalog.account(owner).await.unwrap().unwrap().name, "root");
    assert!(catalog.access_key("LTAIold").await.unwrap().unwrap().is_active);
    let vault: VaultId = "v-old".parse().unwrap();
    assert_eq!(catalog.vault(owner, &vault).await.unwrap().unwrap().snapshots, 1);
    let plan = catalog.plan(owner, &"plan-old".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(plan.spec.files.paths, ["/srv"]);
    let job = catalog.job(owner, "job-old").await.unwrap().unwrap();
    assert_eq!((job.state, job.counters.bytes_done), (JobState::Complete, 10));
    let snapshot = catalog.snapshot(owner, &"s-old".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((snapshot.hash.as_str(), snapshot.retention_days), ("cafe", Some(7)));
    // Of the job that was running nothing is known any more but that it is to be done again.
    assert_eq!(catalog.reap_jobs(crate::rows::NOW).await.unwrap(), 1);
    assert_eq!(catalog.job(owner, "job-running").await.unwrap().unwrap().state, JobState::Queued);
}

async fn tables_of_a_newer_lifeboat_are_refused(place: Place) {
    drop(open(&place).await);
    execute(&place, "INSERT INTO schema_steps VALUES (9999)".to_owned()).await;
    let Err(error) = Catalog::open(&place).await else { panic!("it was opened") };
    assert_eq!(error.kind, CatalogErrorKind::Conflict);
    assert!(error.to_string().contains("newer Lifeboat"), "{error}");
}

async fn servers_that_start_at_once_wait_for_each_other(place: Place) {
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let place = place.clone();
            tokio::spawn(async move { Catalog::open(&place).await })
        })
        .collect();
    for start in starts {
        let catalog = start.await.unwrap().unwrap();
        catalog.ping().await.unwrap();
    }
}
