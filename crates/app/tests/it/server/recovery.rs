//! The server lost: what is done with the vault's folder and its password alone, and with the catalog's rebuild.

use lifeboat_testkit::restic::Restic;
use serde_json::Value;

use super::Server;

#[test]
fn a_vault_outlives_its_catalog_and_its_server() {
    let server = Server::start();
    server.sandbox.write("source/a", "some content");
    server.ask(&["vault", "create", "docs"]).ok();
    let plan =
        server.ask(&["plan", "create", "home", &server.sandbox.arg("source"), "--vault", "docs", "--json"]);
    let plan = plan.ok().json()["plan_id"].as_str().unwrap().to_owned();
    server.ask(&["plan", "execute", &plan, "--watch"]).ok();
    let snapshots = |server: &Server| server.ask(&["vault", "snapshots", "docs", "--json"]).ok().json();
    let before = snapshots(&server);
    let vault = before[0]["vault_id"].as_str().unwrap();

    // Beside the server that runs, by who may read its folder.
    let password = server.sandbox.run(&["vault", "password", vault, "--data", "data"]).ok().text();
    let told = server.ask(&["audit"]).ok().text();
    let rows =
        told.lines().filter(|line| line.contains("lifeboat:ReadVaultPassword") && line.contains(vault));
    assert_eq!(rows.count(), 1, "{told}");
    let folder = server.sandbox.path("data/vaults").join(vault);
    let restic = Restic::new(&folder).with_password(password.trim());
    restic.check();
    restic.restore("latest", &server.sandbox.path("back"));
    let source = server.sandbox.path("source/a");
    let back = server.sandbox.path("back").join(source.strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(back).unwrap(), "some content");
    let refused = server.sandbox.run(&["catalog", "rebuild", "--data", "data"]).expect_code(1);
    let data = server.sandbox.arg("data");
    let said = format!("another server works on {data}; stop it");
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    let nobody = server.sandbox.run(&["vault", "password", "v-nobodys", "--data", "data"]).expect_code(1);
    assert!(nobody.stderr.contains("no such Vault"), "{}", nobody.stderr);

    let sandbox = server.kill();
    for file in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        drop(std::fs::remove_file(sandbox.path("data").join(file)));
    }
    let told = sandbox.run(&["catalog", "rebuild", "--data", "data"]).ok().text();
    assert_eq!(told.trim(), format!("{vault}: 1 snapshot"));
    let server = Server::start_in(sandbox, &[]);
    let after = snapshots(&server);
    assert_eq!(after, before);
    assert_eq!(after[0]["plan_id"], Value::String(plan));

    // Another server, whose key opens nothing of this one.
    let sandbox = server.kill();
    std::fs::create_dir_all(sandbox.path("new/vaults")).unwrap();
    std::fs::rename(&folder, sandbox.path("new/vaults").join(vault)).unwrap();
    let left_out = sandbox.run(&["catalog", "rebuild", "--data", "new"]).expect_code(3);
    assert!(left_out.stderr.contains("none of the passwords"), "{}", left_out.stderr);
    sandbox.write("passwords", password.trim());
    let file = sandbox.arg("passwords");
    let told = sandbox.run(&["catalog", "rebuild", "--data", "new", "--vault-passwords", &file]).ok().text();
    assert_eq!(told.trim(), format!("{vault}: 1 snapshot"));
}
