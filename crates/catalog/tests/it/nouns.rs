//! Everything that is no job: what is written is read, by its account alone.

use lifeboat_catalog::{
    CatalogErrorKind, LabelFilter, Labels, NewAccessKey, NonceUse, Place, PlanRow, VaultFilter,
};
use lifeboat_model::filter::Page;
use lifeboat_model::id::{ClientId, InstanceId, PlanId, TaskId};
use lifeboat_model::plan::{PlanCondition, PlanField};
use lifeboat_model::tag::{ResourceKind, Tag};

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, account, plan, run, vault};

on_both_databases! {
    accounts_and_keys_are_read_as_they_were_written
    a_nonce_is_good_once_until_it_is_forgotten
    clients_belong_to_one_account
    vaults_are_listed_page_by_page_and_counted
    a_task_ends_once
    plans_are_filtered_and_counted
    a_plan_changes_as_it_was_read_and_hides_when_it_is_deleted
    labels_are_written_on_all_things_or_on_none
}

async fn accounts_and_keys_are_read_as_they_were_written(place: Place) {
    let catalog = open(&place).await;
    catalog.ping().await.unwrap();
    catalog.insert_account(account(7), "seven", NOW).await.unwrap();
    assert_eq!(catalog.account(account(7)).await.unwrap().unwrap().name, "seven");
    assert!(catalog.account(account(8)).await.unwrap().is_none());
    let again = catalog.insert_account(account(7), "again", NOW).await.unwrap_err();
    assert_eq!(again.kind, CatalogErrorKind::Exists);

    catalog.insert_access_key(key("key", 7), NOW).await.unwrap();
    let found = catalog.access_key("key").await.unwrap().unwrap();
    assert_eq!((found.account, found.secret.as_str(), found.is_active), (account(7), "sealed", true));
    assert!(catalog.access_key("other").await.unwrap().is_none());
    assert!(catalog.insert_access_key(key("lost", 9), NOW).await.is_err());
    for (seconds, noted) in [(0, 0), (60, 0), (61, 61)] {
        catalog.note_use("key", NOW.plus(seconds * 1000)).await.unwrap();
        let keys = catalog.access_keys(account(7)).await.unwrap();
        assert_eq!((keys.len(), keys[0].last_used), (1, Some(NOW.plus(noted * 1000))));
    }
    assert!(!catalog.set_access_key_active(account(8), "key", false).await.unwrap());
    assert!(catalog.set_access_key_active(account(7), "key", false).await.unwrap());
    assert!(!catalog.access_key("key").await.unwrap().unwrap().is_active);
    assert!(!catalog.delete_access_key(account(8), "key").await.unwrap());
    assert!(catalog.delete_access_key(account(7), "key").await.unwrap());
    assert!(catalog.access_keys(account(7)).await.unwrap().is_empty());
}

fn key(id: &str, of: i64) -> NewAccessKey {
    NewAccessKey { id: id.to_owned(), account: account(of), user: None, secret: "sealed".to_owned() }
}

async fn a_nonce_is_good_once_until_it_is_forgotten(place: Place) {
    let catalog = open(&place).await;
    let expires = NOW.plus(1000);
    let one =
        |key: &str, nonce: &str| NonceUse { access_key_id: key.to_owned(), nonce: nonce.to_owned(), expires };
    // Groups that meet, each with the nonce twice and one of its own.
    let groups: Vec<_> =
        (0..8).map(|n| [one("key", "same"), one("key", &format!("{n}")), one("key", "same")]).collect();
    let burnt = all_at_once(groups.iter().map(|group| catalog.burn_nonces(group))).await;
    let burnt: Vec<_> = burnt.into_iter().map(Result::unwrap).collect();
    assert!(burnt.iter().all(|group| group[1] && !group[2]));
    assert_eq!(burnt.iter().filter(|group| group[0]).count(), 1);
    assert_eq!(catalog.burn_nonces(&[one("other", "same")]).await.unwrap(), [true]);
    assert!(catalog.burn_nonces(&[]).await.unwrap().is_empty());
    assert_eq!(catalog.delete_expired_nonces(expires).await.unwrap(), 0);
    assert_eq!(catalog.delete_expired_nonces(expires.plus(1)).await.unwrap(), 10);
    assert_eq!(catalog.burn_nonces(&[one("key", "same")]).await.unwrap(), [true]);
}

/// Runs all of them at once.
async fn all_at_once<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().map(|(_, output)| output.unwrap()).collect()
}

async fn clients_belong_to_one_account(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let mut changed = world.client.clone();
    changed.hostname = "new".to_owned();
    (changed.heard_of, changed.is_protected) = (NOW.plus(5), true);
    catalog.upsert_client(&changed).await.unwrap();
    changed.heard_of = NOW.plus(6);
    catalog.hear_of_client(&changed.id, changed.heard_of).await.unwrap();
    assert_eq!(catalog.clients(world.account).await.unwrap(), [changed.clone()]);
    assert_eq!(catalog.clients(world.other).await.unwrap(), []);
    let by_id = |who| catalog.client(who, &changed.id);
    assert_eq!(by_id(world.account).await.unwrap(), Some(changed.clone()));
    assert_eq!(by_id(world.other).await.unwrap(), None);
    let by_instance = |who| catalog.client_of_instance(who, &changed.instance);
    assert_eq!(by_instance(world.account).await.unwrap(), Some(changed.clone()));
    assert_eq!(by_instance(world.other).await.unwrap(), None);
    assert_eq!(catalog.client(world.account, &ClientId::new(9)).await.unwrap(), None);
    assert_eq!(catalog.client_of_instance(world.account, &InstanceId::new(9)).await.unwrap(), None);
}

async fn vaults_are_listed_page_by_page_and_counted(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    for number in 2..=5 {
        let now = NOW.plus(i64::try_from(number).unwrap());
        catalog.insert_vault(vault(number, world.account), 5, now).await.unwrap();
    }
    let full = catalog.insert_vault(vault(6, world.account), 5, NOW).await.unwrap_err();
    assert_eq!(full.kind, CatalogErrorKind::Conflict);
    assert_eq!(catalog.unfinished_vaults().await.unwrap().len(), 5);
    catalog.set_vault_state(&world.vault, "CREATED", NOW.plus(9)).await.unwrap();
    assert_eq!(catalog.unfinished_vaults().await.unwrap().len(), 4);

    let found = catalog.vault(world.account, &world.vault).await.unwrap().unwrap();
    assert_eq!((found.state.as_str(), found.updated), ("CREATED", NOW.plus(9)));
    assert_eq!((found.snapshots, found.description.as_str()), (0, "ä \u{1f680}"));
    assert!(catalog.vault(world.other, &world.vault).await.unwrap().is_none());

    let page = Page { number: 2, size: 2 };
    let listed = catalog.vaults(world.account, &VaultFilter::default(), page).await.unwrap();
    let names: Vec<_> = listed.rows.iter().map(|vault| vault.name.as_str()).collect();
    assert_eq!((listed.total, names), (5, vec!["vault 3", "vault 4"]));
    let page = Page { number: 1, size: 9 };
    let wanted = VaultFilter {
        id: Some(world.vault.to_string()),
        name: Some("vault 1".to_owned()),
        state: Some("CREATED".to_owned()),
        ..VaultFilter::default()
    };
    assert_eq!(catalog.vaults(world.account, &wanted, page).await.unwrap().total, 1);
    assert_eq!(
        catalog
            .vaults(world.account, &VaultFilter { state: Some("ERROR".to_owned()), ..wanted }, page)
            .await
            .unwrap()
            .total,
        0
    );
    assert_eq!(catalog.vaults(world.other, &VaultFilter::default(), page).await.unwrap().total, 0);
}

async fn a_task_ends_once(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let id = TaskId::new(1);
    catalog.insert_task(world.account, &id, ("InitVault", Some(&world.vault)), NOW).await.unwrap();
    let found = catalog.task(world.account, &id).await.unwrap().unwrap();
    assert_eq!((found.state.as_str(), found.completed), ("created", None));
    assert_eq!(catalog.task_of_vault(&world.vault).await.unwrap(), Some(id.clone()));
    catalog.finish_task(&id, 100, NOW.plus(1)).await.unwrap();
    assert_eq!(catalog.task_of_vault(&world.vault).await.unwrap(), None);
    catalog.finish_task(&id, -1, NOW.plus(2)).await.unwrap();
    let found = catalog.task(world.account, &id).await.unwrap().unwrap();
    assert_eq!((found.state.as_str(), found.progress), ("completed", 100));
    assert_eq!(found.completed, Some(NOW.plus(1)));
    assert!(catalog.task(world.other, &id).await.unwrap().is_none());
}

async fn plans_are_filtered_and_counted(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    for number in 2..=4 {
        let new = plan(number, world.account, &world.vault, &world.client);
        catalog.insert_plan(new, &[], NOW.plus(i64::try_from(number).unwrap())).await.unwrap();
    }
    let found = catalog.plan(world.account, &world.plan).await.unwrap().unwrap();
    assert_eq!(found.spec, crate::rows::backup_spec());
    assert_eq!((found.vault, found.instance), (world.vault, Some(world.client.instance)));
    assert!(!found.is_disabled && found.schedule == Some(crate::rows::schedule()));
    let by_run = catalog.plan_of_run(&world.plan).await.unwrap();
    assert_eq!(by_run.unwrap().account, world.account);
    assert!(catalog.plan(world.other, &world.plan).await.unwrap().is_none());
    assert!(catalog.plan(world.account, &PlanId::new(99)).await.unwrap().is_none());

    let page = Page { number: 1, size: 2 };
    let listed = catalog.plans(world.account, &[], page).await.unwrap();
    let names: Vec<_> = listed.rows.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!((listed.total, names), (4, vec!["plan 4", "plan 3"]));
    let wanted = [PlanCondition {
        field: PlanField::Id,
        values: vec![world.plan.to_string(), "plan-none".to_owned()],
    }];
    assert_eq!(catalog.plans(world.account, &wanted, page).await.unwrap().total, 1);
    assert_eq!(catalog.plans(world.other, &wanted, page).await.unwrap().total, 0);
}

async fn a_plan_changes_as_it_was_read_and_hides_when_it_is_deleted(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let read = catalog.plan(world.account, &world.plan).await.unwrap().unwrap();
    let renamed = PlanRow { name: "new".to_owned(), ..read };
    assert!(catalog.update_plan(&renamed, &[run()], NOW).await.unwrap());
    assert!(!catalog.update_plan(&renamed, &[run()], NOW).await.unwrap());
    assert_eq!(catalog.plan(world.account, &world.plan).await.unwrap().unwrap().name, "new");
    catalog.insert_job(&world.planned_job(1), NOW).await.unwrap();
    assert!(!catalog.delete_plan(world.account, &world.plan, true, NOW).await.unwrap());
    assert!(!catalog.delete_plan(world.other, &world.plan, false, NOW).await.unwrap());
    assert_eq!(catalog.due_runs(NOW).await.unwrap().len(), 1);
    assert!(catalog.delete_plan(world.account, &world.plan, false, NOW).await.unwrap());
    assert!(catalog.due_runs(NOW).await.unwrap().is_empty());
    assert!(catalog.plan(world.account, &world.plan).await.unwrap().is_none());
}

async fn labels_are_written_on_all_things_or_on_none(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let of = |who| (who, ResourceKind::Vault);
    let (id, tag) = (world.vault.to_string(), Tag::new("a", "b").unwrap());
    let both = [id.clone(), "v-none".to_owned()];
    let unknown = catalog.tag(of(world.account), &both, std::slice::from_ref(&tag)).await.unwrap();
    assert_eq!(unknown.as_deref(), Some("v-none"));
    assert!(catalog.labels(world.account, &[&id]).await.unwrap().is_empty());
    let unknown = catalog.tag(of(world.other), &both[..1], std::slice::from_ref(&tag)).await.unwrap();
    assert_eq!(unknown.as_deref(), Some(id.as_str()));
    assert_eq!(catalog.tag(of(world.account), &both[..1], std::slice::from_ref(&tag)).await.unwrap(), None);
    assert_eq!(catalog.set_resource_group(of(world.account), &id, "rg").await.unwrap(), None);
    let labels = catalog.labels(world.account, &[&id]).await.unwrap();
    assert_eq!(labels[&id], Labels { tags: vec![tag], group: Some("rg".to_owned()) });
    let wanted = LabelFilter { tags: vec![("a".to_owned(), None)], group: Some("rg".to_owned()) };
    let filter = VaultFilter { labels: wanted, ..VaultFilter::default() };
    let page = Page { number: 1, size: 9 };
    assert_eq!(catalog.vaults(world.account, &filter, page).await.unwrap().total, 1);
    assert_eq!(catalog.untag(of(world.account), &both[..1], &["a".to_owned()]).await.unwrap(), None);
    assert_eq!(catalog.vaults(world.account, &filter, page).await.unwrap().total, 0);
}
