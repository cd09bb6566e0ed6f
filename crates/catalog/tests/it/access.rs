//! Users, roles, documents and the audit log.

use lifeboat_catalog::{AuditRow, CatalogErrorKind, DocumentOwner, NewAccessKey, Place};
use lifeboat_model::filter::Page;

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World};

on_both_databases! {
    a_user_goes_with_his_keys_and_documents
    a_role_goes_with_its_documents
    the_audit_log_is_the_accounts_own
    a_managed_account_is_noted_once
}

async fn a_user_goes_with_his_keys_and_documents(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let key = |id: &str| NewAccessKey {
        id: id.to_owned(),
        account: world.account,
        user: Some("ada".to_owned()),
        secret: "sealed".to_owned(),
    };
    let early = catalog.insert_access_key(key("early"), NOW).await.unwrap_err();
    assert_eq!(early.kind, CatalogErrorKind::Conflict);
    catalog.insert_user(world.account, "ada", Some("hash"), NOW).await.unwrap();
    catalog.insert_user(world.account, "bob", None, NOW).await.unwrap();
    let twice = catalog.insert_user(world.account, "ada", None, NOW).await.unwrap_err();
    assert_eq!(twice.kind, CatalogErrorKind::Exists);
    catalog.insert_access_key(key("key"), NOW).await.unwrap();
    assert!(catalog.user(world.account, "ada").await.unwrap().unwrap().has_password);
    assert!(catalog.user(world.other, "ada").await.unwrap().is_none());
    let names: Vec<_> =
        catalog.users(world.account).await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["ada", "bob"]);

    let owner = (world.account, DocumentOwner::User("ada"));
    let attach = |name, document| catalog.attach_document(owner, (name, document), 2, NOW);
    attach("B", Some("{}")).await.unwrap();
    attach("A", None).await.unwrap();
    attach("B", Some("{1}")).await.unwrap();
    assert_eq!(attach("C", None).await.unwrap_err().kind, CatalogErrorKind::Conflict);
    let attached = catalog.attached_documents(owner.0, owner.1).await.unwrap();
    let attached: Vec<_> = attached.iter().map(|one| (one.name.as_str(), one.document.as_deref())).collect();
    assert_eq!(attached, [("A", None), ("B", Some("{1}"))]);
    assert!(catalog.detach_document(owner, "A").await.unwrap());
    assert!(!catalog.detach_document(owner, "A").await.unwrap());

    catalog.delete_user(world.account, "ada").await.unwrap();
    assert!(catalog.access_key("key").await.unwrap().is_none());
    assert!(catalog.attached_documents(owner.0, owner.1).await.unwrap().is_empty());
    let again = catalog.delete_user(world.account, "ada").await.unwrap_err();
    assert_eq!(again.kind, CatalogErrorKind::Conflict);
}

async fn a_role_goes_with_its_documents(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    catalog.insert_role(world.account, "backup", "{}", NOW).await.unwrap();
    assert_eq!(catalog.role(world.account, "backup").await.unwrap().unwrap().trust, "{}");
    assert!(catalog.role(world.other, "backup").await.unwrap().is_none());
    assert_eq!(catalog.roles(world.account).await.unwrap().len(), 1);
    let owner = (world.account, DocumentOwner::Role("backup"));
    catalog.attach_document(owner, ("A", None), 2, NOW).await.unwrap();
    catalog.delete_role(world.account, "backup").await.unwrap();
    assert!(catalog.attached_documents(owner.0, owner.1).await.unwrap().is_empty());
    let lost = catalog.attach_document(owner, ("A", None), 2, NOW).await.unwrap_err();
    assert_eq!(lost.kind, CatalogErrorKind::Conflict);
}

async fn the_audit_log_is_the_accounts_own(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let row = AuditRow {
        id: "1".to_owned(),
        account: world.account,
        user: None,
        access_key_id: "key".to_owned(),
        action: "hbr:CreateVault".to_owned(),
        source_ip: "127.0.0.1".to_owned(),
        subject: None,
        outcome: "STARTED".to_owned(),
        started: NOW,
        ended: None,
    };
    catalog.insert_audit(&row).await.unwrap();
    catalog.end_audit("1", "OK", Some("v-1"), NOW.plus(1)).await.unwrap();
    catalog.end_audit("1", "BadRequest", None, NOW.plus(2)).await.unwrap();
    let page = Page { number: 1, size: 10 };
    let log = catalog.audit(world.account, page).await.unwrap();
    assert_eq!((log.total, log.rows[0].outcome.as_str()), (1, "OK"));
    assert_eq!((log.rows[0].subject.as_deref(), log.rows[0].ended), (Some("v-1"), Some(NOW.plus(1))));
    assert_eq!(catalog.audit(world.other, page).await.unwrap().total, 0);
}

async fn a_managed_account_is_noted_once(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let names: Vec<_> = catalog.accounts().await.unwrap().into_iter().map(|account| account.name).collect();
    assert_eq!(names, ["mine", "other"]);
    let managed = (world.other, "role");
    catalog.upsert_cross_account(world.account, managed, None, NOW).await.unwrap();
    catalog.upsert_cross_account(world.account, managed, Some("alias"), NOW.plus(1)).await.unwrap();
    let page = Page { number: 1, size: 10 };
    let found = catalog.cross_accounts(world.account, page).await.unwrap();
    assert_eq!((found.total, found.rows[0].alias.as_deref()), (1, Some("alias")));
    assert_eq!((found.rows[0].created, found.rows[0].updated), (NOW, NOW.plus(1)));
    assert_eq!(catalog.cross_accounts(world.other, page).await.unwrap().total, 0);
    assert!(!catalog.delete_cross_account(world.other, managed).await.unwrap());
    assert!(catalog.delete_cross_account(world.account, managed).await.unwrap());
}
