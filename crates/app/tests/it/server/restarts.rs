//! What outlives a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lifeboat_testkit::postgres::Postgres;
use serde_json::Value;

use super::{Server, until};
use crate::sandbox::Sandbox;

#[test]
fn a_server_that_was_killed_starts_again_with_the_same_keys_and_vaults() {
    let server = Server::start();
    server.node("vaults.js", &["0"]).ok();
    server.python("vault.py", &["one"]).ok();
    let root = server.root();
    let sandbox = server.kill();
    let server = Server::start_in(sandbox, &[]);
    assert_eq!(server.root(), root);
    server.node("vaults.js", &["1"]).ok();
}

#[test]
fn the_keys_are_for_the_owner_alone_and_never_logged() {
    let server = Server::start();
    server.node("vaults.js", &["0"]).ok();
    for name in ["data/root.json", "data/server.key"] {
        let mode = std::fs::metadata(server.sandbox.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let secret = server.root()["access_key_secret"].as_str().unwrap().to_owned();
    assert!(!server.log().contains(&secret));
}

/// Names of whole files.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.contains("-tmp-")).collect()
}

#[test]
fn a_job_whose_server_is_killed_before_it_can_say_that_the_snapshot_is_there_makes_no_second_one() {
    let postgres = Postgres::start();
    let url = postgres.database("catalog");
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "some content");
    sandbox.write("config.toml", "[limits]\nlease_seconds = 5\n");
    let arguments = ["--config", "config.toml", "--database", &url];
    let server = Server::start_in(sandbox, &arguments);
    let vault = server.ask_json(&["vault", "create", "docs"])["vault_id"].as_str().unwrap().to_owned();
    let (source, gone) = (server.sandbox.arg("source"), server.sandbox.arg("gone"));
    let plan = server.ask_json(&["plan", "create", "p", &source, &gone, "--vault", "docs"]);
    let plan = plan["plan_id"].as_str().unwrap();
    let snapshots = server.sandbox.path("data/vaults").join(vault).join("snapshots");

    // While somebody else holds the table no job can end that has a snapshot.
    drop(postgres.query("catalog", "CREATE TABLE gate (is_open BIGINT)"));
    let hold = "LOCK TABLE snapshots IN SHARE ROW EXCLUSIVE MODE; DO $$ BEGIN LOOP \
        EXIT WHEN EXISTS (SELECT 1 FROM gate) OR clock_timestamp() > now() + INTERVAL '90 s'; PERFORM pg_sleep(0.02); END LOOP; END $$";
    let is_held = "SELECT COUNT(*) FROM pg_locks WHERE mode = 'ShareRowExclusiveLock' AND granted";
    let (job, sandbox) = std::thread::scope(|scope| {
        scope.spawn(|| drop(postgres.query("catalog", hold)));
        until(|| postgres.query("catalog", is_held).trim() == "1", "the table is not held");
        let job = server.ask_json(&["plan", "execute", plan])["job_id"].as_str().unwrap().to_owned();
        until(|| !names(&snapshots).is_empty(), "there is no snapshot");
        let sandbox = server.kill();
        drop(postgres.query("catalog", "INSERT INTO gate VALUES (1)"));
        (job, sandbox)
    });
    // Who reads the source again finds something else.
    sandbox.write("source/a", "other content than there was");
    sandbox.write("source/b", "more");

    let server = Server::start_in(sandbox, &arguments);
    server.ask(&["job", "watch", &job]).expect_code(3);
    let ended = server.ask_json(&["job", "show", &job]);
    let counted = ["state", "bytes_done", "bytes_total", "files_done", "items_total"];
    assert_eq!(
        Value::from_iter(counted.map(|name| ended[name].clone())),
        serde_json::json!(["PARTIAL_COMPLETE", 12, 12, 1, 3]),
        "{ended}"
    );
    let listed = server.ask_json(&["vault", "snapshots", "docs"]);
    let hashes: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["hash"].as_str().unwrap()).collect();
    assert_eq!(hashes, names(&snapshots));
    // What was noted of the entries is reported, too.
    let account = server.root()["account_id"].as_str().unwrap().to_owned();
    let report = server.sandbox.path(&format!("data/temp/report/{account}/{job}/{job}_total.csv"));
    until(|| report.is_file(), "there is no report");
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("/source/a,file,12,") && report.contains("/gone,"), "{report}");
}
