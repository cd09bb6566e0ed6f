//! What is counted for those who watch over a server.

use lifeboat_catalog::{Place, PlanRow};

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, job};

on_both_databases! {
    open_jobs_and_the_last_success_of_each_source_are_counted
}

async fn open_jobs_and_the_last_success_of_each_source_are_counted(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    catalog.insert_job(&job(1, world.account, &world.vault), NOW).await.unwrap();
    catalog.insert_job(&world.planned_job(2), NOW.plus(1)).await.unwrap();
    let jobs = catalog.open_jobs().await.unwrap();
    assert_eq!(jobs, [("backup".to_owned(), "CREATED".to_owned(), 2)]);
    let figures = catalog.source_figures().await.unwrap();
    assert_eq!(figures.len(), 1);
    assert_eq!((figures[0].id.as_str(), figures[0].last_success), (world.plan.as_str(), None));
    let plan = catalog.plan(world.account, &world.plan).await.unwrap().unwrap();
    let disabled = PlanRow { is_disabled: true, ..plan };
    assert!(catalog.update_plan(&disabled, &[], NOW).await.unwrap());
    assert!(catalog.source_figures().await.unwrap().is_empty(), "nobody expects anything of it");
}
