//! Databases and Redis servers under their ids: whose they are, and that nobody is told what opens them.

use std::net::TcpListener;

use lifeboat_model::database::BackupMethod;
use lifeboat_service::{NewDatabaseBackup, ServiceError};
use serde_json::{Value, json};

use super::native::{ask, ok};
use super::world::World;

const ONE: &str = "/resources/{resource}";
const SECRET: &str = "geh%21eim";

fn database(id: &str) -> Value {
    let url = format!("postgresql://ada:{SECRET}@db.example/shop?sslkey={SECRET}");
    json!({"resource_id": id, "engine": "postgresql", "url": url})
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_told_or_kept_shows_what_opens_a_resource() {
    let world = World::start().await;
    let added = ok(&world, ("POST", "/resources"), &[], &database("rm-shop")).await;
    let shown = ok(&world, ("GET", ONE), &["rm-shop"], &json!({})).await;
    assert_eq!(added, shown);
    for (field, value) in [
        ("scheme", json!("postgresql")),
        ("host", json!("db.example")),
        ("port", json!(5432)),
        ("user", json!("ada")),
        ("database", json!("shop")),
        ("engine", json!("postgresql")),
        ("kind", json!("database")),
        ("state", json!("RUNNING")),
        ("account_id", json!(world.caller().account.to_string())),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!((&shown["vault_id"], &shown["version"]), (&Value::Null, &Value::Null));
    let listed = ok(&world, ("GET", "/resources"), &[], &json!({})).await;
    assert_eq!((&listed["total"], &listed["rows"][0]), (&json!(1), &shown));
    let wrong = json!({"resource_id": "rm-x", "engine": "mariadb", "url": format!("redis://:{SECRET}@h")});
    let (status, refused) = ask(&world, ("POST", "/resources"), &[], &wrong).await;
    assert_eq!((status, &refused["code"]), (400, &json!("InvalidParameter.Url")));
    let audit = ok(&world, ("GET", "/audit"), &[], &json!({})).await;
    let id = "rm-shop".parse().unwrap();
    let row = world.catalog.resource(world.caller().account, &id).await.unwrap().unwrap();
    let all = format!("{added} {shown} {listed} {refused} {audit} {row:?}");
    assert!(!all.contains("geh"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_taken_for_everybody_and_nobody_is_told_by_whom() {
    let world = World::start().await;
    ok(&world, ("POST", "/resources"), &[], &database("rm-shop")).await;
    let other = world.other_account(2).await;
    let mut refusals = Vec::new();
    for who in [&world, &other] {
        let (status, mut refused) = ask(who, ("POST", "/resources"), &[], &database("rm-shop")).await;
        assert_eq!(status, 400, "{refused}");
        refused["request_id"] = Value::Null;
        refusals.push(refused);
    }
    assert_eq!(refusals[0], refusals[1]);
    assert!(refusals[0]["message"].as_str().unwrap().contains("rm-shop is taken on this server"));
    for (method, path) in [("GET", ONE), ("POST", "/resources/{resource}/test"), ("DELETE", ONE)] {
        let (theirs, there) = ask(&other, (method, path), &["rm-shop"], &json!({})).await;
        let (nobodys, absent) = ask(&other, (method, path), &["rm-none"], &json!({})).await;
        assert_eq!((theirs, nobodys, &there["code"]), (404, 404, &absent["code"]), "{method} {path}");
    }
    assert_eq!(ok(&other, ("GET", "/resources"), &[], &json!({})).await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_of_the_server_adds_for_another_account() {
    let world = World::start().await;
    let other = world.other_account(2).await;
    let account = other.caller().account.to_string();
    let mut new = database("rm-theirs");
    new["account_id"] = json!(account);
    assert_eq!(ok(&world, ("POST", "/resources"), &[], &new).await["account_id"], json!(account));
    assert_eq!(ok(&other, ("GET", ONE), &["rm-theirs"], &json!({})).await["resource_id"], "rm-theirs");
    assert_eq!(ask(&world, ("GET", ONE), &["rm-theirs"], &json!({})).await.0, 404);
    let mut new = database("rm-back");
    new["account_id"] = json!(world.caller().account.to_string());
    let (status, refused) = ask(&other, ("POST", "/resources"), &[], &new).await;
    assert_eq!((status, &refused["code"]), (403, &json!("NoPermission")));
    new["account_id"] = json!("77");
    let (status, refused) = ask(&world, ("POST", "/resources"), &[], &new).await;
    assert_eq!((status, &refused["code"]), (404, &json!("ResourceNotFound")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_what_would() {
    let world = World::start().await;
    for (field, value, said) in [
        ("resource_id", json!("db-1"), "must be rm- (a database)"),
        ("resource_id", json!("RM-1"), "must be rm- (a database)"),
        ("resource_id", json!("r-1"), "The id of a database begins with rm-."),
        ("engine", json!("oracle"), "unknown variant `oracle`"),
        ("url", json!("db.example:5432"), "this is not a URL"),
        ("url", json!("postgresql:///shop"), "neither a host nor a socket"),
        ("is_cluster", json!(true), "Only Redis has clusters"),
        ("vault_id", json!("v-none"), "The vault v-none does not exist."),
        ("vault_id", json!("x"), "is not an id that begins with"),
        ("account_id", json!("x"), "must be the number of an account"),
        ("password", json!("x"), "unknown field `password`"),
    ] {
        let mut new = database("rm-1");
        new[field] = value;
        let (status, refused) = ask(&world, ("POST", "/resources"), &[], &new).await;
        assert!([400, 404].contains(&status), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(said), "{field}: {refused}");
    }
    assert_eq!(ok(&world, ("GET", "/resources"), &[], &json!({})).await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_that_nobody_answers_and_a_removed_resource_is_gone() {
    let world = World::start().await;
    // Nobody listens there any more, and nobody else is given the port so soon.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let vault = world.vault("mine").await;
    let url = format!("redis://:{SECRET}@127.0.0.1:{port}");
    let new =
        json!({"resource_id": "r-1", "engine": "redis", "url": url, "is_cluster": true, "vault_id": vault});
    let added = ok(&world, ("POST", "/resources"), &[], &new).await;
    assert_eq!((&added["is_cluster"], &added["vault_id"]), (&json!(true), &json!(vault)));
    let tested = ok(&world, ("POST", "/resources/{resource}/test"), &["r-1"], &json!({})).await;
    assert_eq!(tested["is_ready"], false);
    assert!(tested["remarks"][0].as_str().unwrap().contains(&format!("127.0.0.1:{port}")), "{tested}");
    assert!(!tested.to_string().contains("geh"), "{tested}");

    let (status, code, _) = world.refused("DeleteVault", &[("VaultId", &vault)]).await;
    assert_eq!((status, code.as_str()), (400, "VaultBoundPolicyCannotBeDeleted"));
    ok(&world, ("DELETE", ONE), &["r-1"], &json!({})).await;
    assert_eq!(ask(&world, ("GET", ONE), &["r-1"], &json!({})).await.0, 404);
    assert_eq!(ask(&world, ("DELETE", ONE), &["r-1"], &json!({})).await.0, 404);
    world.ok("DeleteVault", &[("VaultId", &vault)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_this_machines_is_not_for_other_accounts() {
    let world = World::start().await;
    let other = world.other_account(2).await;
    for (number, engine, url) in [
        (1, "postgresql", "postgresql://ada@%2Frun%2Fpostgresql/shop"),
        (2, "mariadb", "mariadb://root@localhost/"),
        (3, "redis", "redis://localhost?socket=/run/redis.sock"),
        (4, "redis", "rediss://db?cacert=/etc/shadow"),
    ] {
        let prefix = if engine == "redis" { "r" } else { "rm" };
        let new = |whose: &str| json!({"resource_id": format!("{prefix}-{whose}{number}"), "engine": engine, "url": url});
        let (status, refused) = ask(&other, ("POST", "/resources"), &[], &new("their")).await;
        assert_eq!((status, &refused["code"]), (403, &json!("Forbidden")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains("name a host and a port"), "{refused}");
        // Nor does the owner of the server give them what would be theirs to use.
        let mut given = new("given");
        given["account_id"] = json!(other.caller().account.to_string());
        assert_eq!(ask(&world, ("POST", "/resources"), &[], &given).await.0, 403);
        ok(&world, ("POST", "/resources"), &[], &new("own")).await;
    }
    assert_eq!(ok(&other, ("GET", "/resources"), &[], &json!({})).await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_mariadb_of_another_account_no_files_are_read() {
    let world = World::start().await;
    let other = world.other_account(2).await;
    let new = json!({"resource_id": "rm-1", "engine": "mariadb", "url": "mariadb://ada@127.0.0.1:1/"});
    ok(&other, ("POST", "/resources"), &[], &new).await;
    let back_up = |method| NewDatabaseBackup { method, ..NewDatabaseBackup::default() };
    let id = "rm-1".parse().unwrap();
    let ask =
        async |method| other.service.create_database_backup(&other.caller(), &id, back_up(method)).await;
    let refused = ask(BackupMethod::Physical).await.unwrap_err();
    assert!(
        matches!(&refused, ServiceError::NotLocal(what) if what.contains("a logical backup")),
        "{refused}"
    );
    assert!(ask(BackupMethod::Logical).await.is_ok());
}
