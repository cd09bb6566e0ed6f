//! The commands that ask a server: the whole chain by them alone, and what they say when something is wrong.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::Server;
use crate::sandbox::{Ran, Sandbox};

impl Server {
    /// Runs a command against this server with the key of its root account.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Ran {
        let (url, root) = (format!("http://{}", self.address), self.sandbox.arg("data/root.json"));
        self.sandbox.run(&[arguments, &["--server", &url, "--credentials", &root]].concat())
    }

    pub(crate) fn ask_json(&self, arguments: &[&str]) -> Value {
        self.ask(&[arguments, &["--json", "--no-progress"]].concat()).ok().json()
    }
}

#[test]
fn commands_alone_back_up_and_bring_back() {
    let server = Server::start();
    server.sandbox.write("source/a", "some content");
    server.sandbox.write("source/b.tmp", "no");
    std::fs::create_dir(server.sandbox.path("back")).unwrap();
    let source = server.sandbox.arg("source");

    let vault = server.ask(&["vault", "create", "docs"]).ok().text();
    assert!(vault.starts_with("made vault v-"), "{vault}");
    let plan = server.ask_json(&["plan", "create", "home", &source, "--vault", "docs", "-e", "*.tmp"]);
    let plan = plan["plan_id"].as_str().unwrap();
    let watched = server.ask(&["plan", "execute", plan, "--watch"]).ok().text();
    assert!(watched.contains("is COMPLETE; 1 file, 12 B read, 12 B new to the vault"), "{watched}");

    let snapshots = server.ask_json(&["vault", "snapshots", "docs"]);
    let snapshot = snapshots[0]["snapshot_id"].as_str().unwrap();
    let back = server.sandbox.arg("back");
    let restored = server.ask(&["restore-job", "create", snapshot, "-t", &back, "--watch"]).ok().text();
    assert!(restored.contains("is COMPLETE; 1 file, 12 B written"), "{restored}");
    assert_eq!(std::fs::read_to_string(server.sandbox.path("back/source/a")).unwrap(), "some content");
    assert!(!server.sandbox.path("back/source/b.tmp").exists());

    let jobs = server.ask_json(&["job", "list"]);
    let kinds: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["restore", "backup"]);
    assert_eq!(server.ask_json(&["job", "list", "--plan", plan, "--state", "FAILED"]), Value::Array(vec![]));
    let shown = server.ask(&["job", "show", jobs[1]["job_id"].as_str().unwrap()]).ok().text();
    assert!(shown.contains("progress          100.00%"), "{shown}");
    server.ask(&["job", "watch", jobs[0]["job_id"].as_str().unwrap()]).ok();
    for list in [
        &["vault", "list"][..],
        &["plan", "list"],
        &["restore-job", "list"],
        &["client", "list"],
        &["resource", "list", "--protected"],
    ] {
        let lines = server.ask(list).ok().text().lines().count();
        assert_eq!(lines, 3, "{list:?}: headings, a rule and a row");
    }
}

#[test]
fn a_job_ends_the_watching_of_it_with_its_own_exit_code() {
    let server = Server::start();
    let gone = server.sandbox.arg("source/gone");
    server.ask(&["vault", "create", "docs"]).ok();
    let plan = server.ask_json(&["plan", "create", "p", &gone, "--vault", "docs"]);
    let ran = server.ask(&["plan", "execute", plan["plan_id"].as_str().unwrap(), "--watch", "--json"]);
    let job = ran.json();
    let code = match job["state"].as_str().unwrap() {
        "PARTIAL_COMPLETE" => 3,
        "FAILED" => 1,
        other => panic!("{other}"),
    };
    ran.expect_code(code);
    let ended = server.ask(&["job", "cancel", job["job_id"].as_str().unwrap()]).expect_code(1);
    assert!(ended.stderr.contains("has ended"), "{}", ended.stderr);
}

#[test]
fn whoever_asks_wrongly_is_told_what_to_do() {
    let sandbox = Sandbox::new();
    let no_credentials = sandbox.run(&["vault", "list"]).expect_code(1).stderr;
    assert!(no_credentials.contains("`lifeboat server`"), "{no_credentials}");
    sandbox.write("key.json", r#"{"access_key_id": "a", "access_key_secret": "b"}"#);
    let key = sandbox.arg("key.json");
    // Port 1 is nobody's.
    let nobody = sandbox.run(&["vault", "list", "--server", "http://127.0.0.1:1", "--credentials", &key]);
    let said = nobody.expect_code(1).stderr;
    assert!(said.contains("no server answers at 127.0.0.1:1; `lifeboat server` starts one"), "{said}");
    sandbox.run(&["snapshots", "--server", "http://127.0.0.1:1"]).expect_code(1);

    let server = Server::start_in(sandbox, &[]);
    let url = format!("http://{}", server.address);
    let stranger = server.sandbox.run(&["--server", &url, "--credentials", &key, "vault", "list"]);
    assert!(stranger.expect_code(1).stderr.contains("InvalidAccessKeyId.NotFound"));
    for (arguments, said) in [
        (&["vault", "show", "nothing"][..], "no vault is called nothing"),
        (&["vault", "show", "v-nothing"], "VaultNotExist"),
        (&["plan", "create", "p", "/x"], "say with --vault"),
        (&["plan", "create", "p", "x", "--vault", "v-x"], "\"x\" is not absolute"),
        (&["job", "cancel", "r-nothing"], "does not exist"),
    ] {
        let told = server.ask(arguments).expect_code(1).stderr;
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
}

#[test]
fn a_resource_is_added_without_its_url_in_a_list_of_processes_and_shown_without_its_password() {
    let server = Server::start();
    let (url, root) = (format!("http://{}", server.address), server.sandbox.arg("data/root.json"));
    let add = ["resource", "add", "database", "rm-shop", "--engine", "mariadb", "--url", "-"];
    let mut command =
        server.sandbox.command(&[&add[..], &["--server", &url, "--credentials", &root]].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"mysql://ada:geheim@127.0.0.1:1/shop\n").unwrap();
    assert_eq!(Ran::new(child.wait_with_output().unwrap()).ok().text(), "added resource rm-shop\n");

    let redis =
        ["resource", "add", "redis", "r-cache", "--cluster", "--server", &url, "--credentials", &root];
    let variables = [("LIFEBOAT_RESOURCE_URL", "redis://:geheim@127.0.0.1:1")];
    server.sandbox.run_with(&variables, &redis).ok();
    let said = server.sandbox.run(&redis).expect_code(1).stderr;
    assert!(said.contains("--url or LIFEBOAT_RESOURCE_URL"), "{said}");
    let said = server.sandbox.run_with(&variables, &redis).expect_code(1).stderr;
    assert!(said.contains("The id r-cache is taken on this server"), "{said}");

    let listed = server.ask(&["resource", "list"]).ok().text();
    assert!(listed.contains("mysql://ada@127.0.0.1:1/shop"), "{listed}");
    let shown = server.ask(&["resource", "show", "r-cache"]).ok().text();
    assert!(shown.contains("is cluster        yes"), "{shown}");
    let tested = server.ask(&["resource", "test", "r-cache"]).expect_code(1);
    assert!(tested.text().contains("r-cache cannot be backed up as it is"), "{}", tested.text());
    server.ask(&["resource", "remove", "rm-shop"]).ok();
    let rest = server.ask_json(&["resource", "list"]);
    assert_eq!((rest.as_array().unwrap().len(), &rest[0]["resource_id"]), (1, &"r-cache".into()));
    let log = server.log();
    let all = [listed, shown, tested.text(), tested.stderr, rest.to_string(), log].concat();
    assert!(!all.contains("geheim"), "{all}");
}
