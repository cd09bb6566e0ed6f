//! Resources: an id is taken for everybody, and read by its own account alone.

use lifeboat_catalog::{CatalogErrorKind, NewResource, Place, ResourceFilter};
use lifeboat_model::filter::Page;
use lifeboat_model::id::AccountId;
use lifeboat_model::job::JobKind;
use lifeboat_model::resource::{Address, Engine, ResourceId, ResourceKind, ResourceState};

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, job};

on_both_databases! {
    an_id_is_taken_for_everybody_and_read_by_its_account_alone
    resources_are_filtered_and_counted
    a_resource_goes_when_no_job_of_it_is_under_way
    a_vault_that_a_resource_names_stays
}

pub(crate) fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

pub(crate) fn resource(name: &str, of: AccountId, engine: Engine) -> NewResource {
    let user = Some("ada".to_owned());
    let address = Address {
        scheme: engine.as_str().to_owned(),
        user,
        host: "db".to_owned(),
        port: engine.default_port(),
        database: None,
    };
    NewResource {
        id: id(name),
        account: of,
        engine,
        address,
        url: "sealed".to_owned(),
        is_cluster: false,
        vault: None,
        instance: None,
        state: ResourceState::Running,
    }
}

async fn an_id_is_taken_for_everybody_and_read_by_its_account_alone(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let new = NewResource {
        vault: Some(world.vault.clone()),
        instance: Some("{}".to_owned()),
        ..resource("rm-1", world.account, Engine::Mariadb)
    };
    let address = new.address.clone();
    catalog.insert_resource(new, NOW).await.unwrap();
    for who in [world.account, world.other] {
        let again = catalog.insert_resource(resource("rm-1", who, Engine::Postgresql), NOW).await;
        assert_eq!(again.unwrap_err().kind, CatalogErrorKind::Exists);
    }
    catalog.set_resource_version(&id("rm-1"), "10.11", NOW.plus(1)).await.unwrap();
    let found = catalog.resource(world.account, &id("rm-1")).await.unwrap().unwrap();
    assert_eq!(
        (found.engine, found.state, found.is_cluster),
        (Engine::Mariadb, ResourceState::Running, false)
    );
    assert_eq!((found.address, found.url.as_str()), (address, "sealed"));
    assert_eq!((found.vault, found.instance.as_deref()), (Some(world.vault), Some("{}")));
    assert_eq!((found.version.as_deref(), found.policy), (Some("10.11"), None));
    assert_eq!((found.created, found.updated), (NOW, NOW.plus(1)));
    assert!(catalog.resource(world.other, &id("rm-1")).await.unwrap().is_none());
    assert!(catalog.resource(world.account, &id("rm-2")).await.unwrap().is_none());
}

async fn resources_are_filtered_and_counted(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    for (number, (name, engine)) in
        [("rm-b", Engine::Postgresql), ("r-a", Engine::Redis), ("rm-a", Engine::Mariadb)]
            .into_iter()
            .enumerate()
    {
        let now = NOW.plus(i64::try_from(number).unwrap());
        catalog.insert_resource(resource(name, world.account, engine), now).await.unwrap();
    }
    let names = async |filter: ResourceFilter, page| {
        let listed = catalog.resources(world.account, &filter, page).await.unwrap();
        let names: Vec<_> = listed.rows.into_iter().map(|row| String::from(row.id)).collect();
        (names.join(" "), listed.total)
    };
    let page = Page { number: 1, size: 9 };
    let all = ResourceFilter::default();
    assert_eq!(names(all.clone(), page).await, ("rm-b r-a rm-a".to_owned(), 3));
    assert_eq!(names(all.clone(), Page { number: 2, size: 2 }).await, ("rm-a".to_owned(), 3));
    let databases = ResourceFilter { kind: Some(ResourceKind::Database), ..all.clone() };
    assert_eq!(names(databases.clone(), page).await, ("rm-b rm-a".to_owned(), 2));
    let some = ResourceFilter { ids: vec!["r-a".to_owned(), "rm-a".to_owned()], ..databases };
    assert_eq!(names(some, page).await, ("rm-a".to_owned(), 1));
    let mariadb = ResourceFilter { engine: Some(Engine::Mariadb), ..all.clone() };
    assert_eq!(names(mariadb, page).await, ("rm-a".to_owned(), 1));
    let failed = ResourceFilter { state: Some(ResourceState::Failed), ..all.clone() };
    assert_eq!(names(failed, page).await, (String::new(), 0));
    assert_eq!(catalog.resources(world.other, &all, page).await.unwrap().total, 0);
}

async fn a_resource_goes_when_no_job_of_it_is_under_way(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    catalog.insert_resource(resource("rm-1", world.account, Engine::Postgresql), NOW).await.unwrap();
    let new = job(1, world.account, &world.vault);
    let new = lifeboat_catalog::NewJob { instance: Some("rm-1".to_owned()), ..new };
    catalog.insert_job(&new, NOW).await.unwrap();
    assert!(!catalog.delete_resource(world.account, &id("rm-1")).await.unwrap());
    let claimed = catalog.claim_job("worker", NOW.plus(1000), NOW).await.unwrap().unwrap();
    assert!(!catalog.delete_resource(world.account, &id("rm-1")).await.unwrap());
    catalog.cancel_job((world.account, JobKind::Backup), &claimed.job.id, NOW).await.unwrap();
    catalog.reap_jobs(NOW.plus(2000)).await.unwrap();
    assert!(!catalog.delete_resource(world.other, &id("rm-1")).await.unwrap());
    assert!(catalog.delete_resource(world.account, &id("rm-1")).await.unwrap());
    assert!(!catalog.delete_resource(world.account, &id("rm-1")).await.unwrap());
}

async fn a_vault_that_a_resource_names_stays(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    catalog.set_vault_state(&world.vault, "CREATED", NOW).await.unwrap();
    let new = resource("rm-1", world.account, Engine::Postgresql);
    let new = NewResource { vault: Some(world.vault.clone()), ..new };
    catalog.insert_resource(new, NOW).await.unwrap();
    let naming = async |who| catalog.resource_naming_vault(who, &world.vault).await.unwrap();
    assert_eq!(naming(world.account).await, Some(id("rm-1")));
    assert_eq!(naming(world.other).await, None);
    assert!(!catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
    assert!(catalog.delete_resource(world.account, &id("rm-1")).await.unwrap());
    assert_eq!(naming(world.account).await, None);
    assert!(catalog.begin_vault_deletion(world.account, &world.vault, NOW).await.unwrap());
}
