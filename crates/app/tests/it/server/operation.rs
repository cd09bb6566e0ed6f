//! The server as its operator sees it: configuration, TLS, figures, the log, stops.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use lifeboat_testkit::postgres::Postgres;
use serde_json::Value;

use super::{Server, until};
use crate::sandbox::Sandbox;

const OPERATION: &str = include_str!("../../../../../docs/operation.md");

impl Server {
    /// What it answers to a request as it stands.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address))
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the log says something.
    fn wait_for_log(&self, text: &str) {
        until(|| self.log().contains(text), &format!("the log does not say {text:?}"));
    }

    fn wait_for_end(&mut self) -> Option<i32> {
        let mut ended = None;
        until(
            || {
                ended = self.child.try_wait().unwrap();
                ended.is_some()
            },
            "the server does not end",
        );
        ended.unwrap().code()
    }
}

#[test]
fn a_configuration_is_checked_without_starting_anything() {
    let sandbox = Sandbox::new();
    sandbox.write("good.toml", "data = \"served\"\nlisten = \"127.0.0.1:0\"\n[limits]\njobs_at_once = 2\n");
    sandbox.run(&["server", "--config", "good.toml", "--check-config"]).ok();
    assert!(!sandbox.path("served").exists());
    sandbox.write("bad.toml", "data = \"served\"\n\n[limits]\njobs_at_once = 2\nvaults = 3\n");
    let said = sandbox.run(&["server", "--config", "bad.toml", "--check-config"]).expect_code(1).stderr;
    assert!(said.contains("line 5") && said.contains("unknown field `vaults`"), "{said}");
    sandbox.write("tls.toml", "[tls]\ncertificate = \"none.pem\"\nkey = \"none.pem\"\n");
    let said = sandbox.run(&["server", "--config", "tls.toml", "--check-config"]).expect_code(1).stderr;
    assert!(said.contains("cannot read the certificate") && said.contains("none.pem"), "{said}");
    sandbox.write("open.toml", "listen = \"0.0.0.0:0\"\n");
    let said = sandbox.run(&["server", "--config", "open.toml"]).expect_code(1).stderr;
    assert!(said.contains("without TLS") && said.contains("--insecure"), "{said}");
    sandbox.run(&["server", "--config", "open.toml", "--insecure", "--check-config"]).ok();
}

#[test]
fn the_configuration_in_the_manual_is_right() {
    let sandbox = Sandbox::new();
    let toml = OPERATION.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let (plain, tls) = toml.split_once("[tls]").unwrap();
    let limits = tls.split_once("[limits]").unwrap().1;
    sandbox.write("manual.toml", &format!("{plain}[limits]{limits}"));
    sandbox.run(&["server", "--config", "manual.toml", "--check-config"]).ok();
}

#[test]
fn one_server_works_on_a_folder_and_keeps_its_region() {
    let server = Server::start_in(Sandbox::new(), &["--region", "eu-central-1"]);
    assert_eq!(server.root()["region"], "eu-central-1");
    let second = ["server", "--data", "data", "--listen", "127.0.0.1:0"];
    let said = server.sandbox.run(&second).expect_code(1).stderr;
    assert!(said.contains("another server works on"), "{said}");
    let sandbox = server.kill();
    let said = sandbox.run(&[&second[..], &["--region", "cn-hangzhou"]].concat()).expect_code(1).stderr;
    assert!(said.contains("says eu-central-1"), "{said}");
}

/// A certificate for this machine in `NAME.pem` and `cert.pem`, and its key.
fn certify(sandbox: &Sandbox, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    sandbox.write(&format!("{name}.pem"), &made.cert.pem());
    sandbox.write("key.pem", &made.signing_key.serialize_pem());
    std::fs::copy(sandbox.path(&format!("{name}.pem")), sandbox.path("cert.pem")).unwrap();
}

#[test]
fn who_may_do_something_only_through_tls_may_not_do_it_without() {
    let server = Server::start();
    server.ask(&["user", "add", "alice"]).ok();
    let key = server.ask(&["access-key", "create", "--user", "alice"]).ok().text();
    server.sandbox.write("alice.json", &key);
    server.sandbox.write(
        "secure.json",
        r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "hbr:*", "Resource": "*",
            "Condition": {"Bool": {"acs:SecureTransport": "true"}}}]}"#,
    );
    let document = format!("@{}", server.sandbox.arg("secure.json"));
    server.ask(&["user", "attach", "alice", &document]).ok();
    let list = |server: &Server, scheme: &str| {
        let url = format!("{scheme}://{}", server.address);
        let asked =
            ["vault", "list", "--server", &url, "--credentials", "alice.json", "--ca-file", "cert.pem"];
        server.sandbox.run(&asked)
    };
    certify(&server.sandbox, "first");
    assert!(list(&server, "http").expect_code(1).stderr.contains("NoPermission"));
    let server = Server::start_in(server.kill(), &["--tls-certificate", "cert.pem", "--tls-key", "key.pem"]);
    list(&server, "https").ok();
}

#[test]
fn a_certificate_is_served_and_read_again_on_a_hangup() {
    let sandbox = Sandbox::new();
    certify(&sandbox, "first");
    let server = Server::start_in(sandbox, &["--tls-certificate", "cert.pem", "--tls-key", "key.pem"]);
    let (url, root) = (format!("https://{}", server.address), server.sandbox.arg("data/root.json"));
    let list = |more: &[&str]| {
        let all = [&["vault", "list", "--server", &url, "--credentials", &root], more].concat();
        server.sandbox.run(&all)
    };
    list(&["--ca-file", "first.pem"]).ok();
    let stranger = list(&[]).expect_code(1).stderr;
    assert!(stranger.contains("cannot speak TLS") && stranger.contains("--ca-file"), "{stranger}");

    server.sandbox.write("key.pem", "no key");
    server.signal("HUP");
    server.wait_for_log("the former one stays");
    list(&["--ca-file", "first.pem"]).ok();
    certify(&server.sandbox, "second");
    server.signal("HUP");
    server.wait_for_log("read the certificate again");
    list(&["--ca-file", "second.pem"]).ok();
    list(&["--ca-file", "first.pem"]).expect_code(1);
}

#[test]
fn every_figure_is_in_the_manual_and_tells_what_happened() {
    let server = Server::start();
    server.sandbox.write("source/a", "some content");
    server.ask(&["vault", "create", "docs"]).ok();
    let plan =
        server.ask(&["plan", "create", "p", &server.sandbox.arg("source"), "--vault", "docs"]).ok().text();
    let plan = plan.trim().rsplit(' ').next().unwrap();
    let before = server.get("/metrics");
    let last = format!("lifeboat_source_last_success_timestamp_seconds{{source_id=\"{plan}\"");
    let of_plan = |text: &str| text.lines().find(|line| line.starts_with(&last)).unwrap().to_owned();
    assert!(of_plan(&before).ends_with("} 0"), "{before}");
    server.ask(&["plan", "execute", plan, "--watch"]).ok();
    let after = server.get("/metrics");
    assert!(!of_plan(&after).ends_with("} 0"), "{after}");
    for line in [
        "lifeboat_jobs_ended_total{kind=\"backup\",state=\"COMPLETE\"} 1",
        "lifeboat_job_bytes_total{kind=\"backup\",state=\"COMPLETE\",of=\"done\"} 12",
        "lifeboat_api_requests_total{action=\"CreateVault\",status=\"200\"} 1",
    ] {
        assert!(after.lines().any(|is| is == line), "{line} is not in\n{after}");
    }
    let named = |text: &str, before: &str| -> BTreeSet<String> {
        let rest = text.lines().filter_map(|line| line.strip_prefix(before));
        rest.map(|rest| rest.split([' ', '`']).next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        named(&after, "# TYPE "),
        named(OPERATION, "| `lifeboat_").iter().map(|name| format!("lifeboat_{name}")).collect()
    );

    let server = Server::start_in(server.kill(), &["--metrics", "nobody"]);
    assert!(server.get("/metrics").starts_with("HTTP/1.1 403"));
}

#[test]
fn each_request_has_a_line_in_the_log_and_no_secret_has_one() {
    let server = Server::start_in(Sandbox::new(), &["--log-format", "json"]);
    let root = server.root();
    let (id, secret) = (root["access_key_id"].as_str().unwrap(), root["access_key_secret"].as_str().unwrap());
    server.ask(&["vault", "create", "docs"]).ok();
    let wrong = format!(r#"{{"access_key_id": "{id}", "access_key_secret": "wrong-secret"}}"#);
    server.sandbox.write("wrong.json", &wrong);
    let url = format!("http://{}", server.address);
    server.sandbox.run(&["vault", "list", "--server", &url, "--credentials", "wrong.json"]).expect_code(1);
    server.get("/temp/report/1/job-1/job-1_total.csv?Expires=1&Signature=not-ours");
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |action: &str| lines.iter().find(|line| line["action"] == action).unwrap();
    let created = of("CreateVault");
    assert_eq!((&created["access_key.id"], &created["code"]), (&root["access_key_id"], &"OK".into()));
    assert_eq!(created["account.id"].to_string(), root["account_id"].as_str().unwrap());
    let refused = lines.iter().find(|line| line["code"] == "SignatureDoesNotMatch").unwrap();
    assert_eq!((&refused["status"], &refused["access_key.id"]), (&400.into(), &Value::Null));
    let fetched = of("FetchTempFile");
    assert_eq!((&fetched["status"], &fetched["code"]), (&403.into(), &"LinkForged".into()));
    assert!(!log.contains(secret) && !log.contains("wrong-secret") && !log.contains("not-ours"));
}

#[test]
fn whatever_is_asked_has_an_answer_that_says_something() {
    let server = Server::start();
    let too_long = |target: &str| {
        let length = 2 << 20;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        server.raw(&(head + &"x".repeat(1 << 20) + "x"))
    };
    for (answer, status, code) in [
        (server.get("/nothing"), 404, "InvalidApi.NotFound"),
        (server.get("/api/v1/nothing"), 404, "InvalidApi.NotFound"),
        (server.get("/api/v1/vaults"), 400, "MissingAuthorization"),
        (
            server.raw("POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            404,
            "InvalidApi.NotFound",
        ),
        (too_long("/"), 413, "<HostId>x</HostId><Message>The body is longer than 1048576 bytes"),
        (too_long("/"), 413, "<Code>RequestBodyTooLarge</Code>"),
        (too_long("/?Format=JSON"), 413, "\"Code\":\"RequestBodyTooLarge\""),
        (too_long("/api/v1/vaults"), 413, "\"code\":\"RequestBodyTooLarge\""),
    ] {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(code), "{answer}");
    }
    let document = server.get("/api/v1/openapi.json");
    let document: Value = serde_json::from_str(document.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn it_is_ready_as_long_as_its_catalog_answers() {
    let postgres = Postgres::start();
    let sandbox = Sandbox::new();
    sandbox.write("server.toml", &format!("database = {:?}\n", postgres.database("ready")));
    let server = Server::start_in(sandbox, &["--config", "server.toml"]);
    until(|| server.get("/readyz").starts_with("HTTP/1.1 200"), "the server does not get ready");
    assert!(server.root()["access_key_secret"].is_string());
    drop(postgres);
    let refused = server.get("/readyz");
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("catalog"), "{refused}");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_key_that_opens_nothing_is_told_of_at_the_start() {
    let sandbox = Server::start().kill();
    std::fs::remove_file(sandbox.path("data/server.key")).unwrap();
    let failed = sandbox.run(&["server", "--data", "data", "--listen", "127.0.0.1:0"]).expect_code(1);
    assert!(failed.stderr.contains("another server.key"), "{}", failed.stderr);
}

#[test]
fn jobs_keep_to_the_folders_of_the_configuration_and_vaults_to_their_age() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.write("elsewhere/b", "b");
    sandbox.write(
        "server.toml",
        &format!("client_paths = [{:?}]\n[limits]\nvault_deletion_minutes = 120\n", sandbox.arg("source")),
    );
    let server = Server::start_in(sandbox, &["--config", "server.toml"]);
    server.ask(&["vault", "create", "docs"]).ok();
    let run = |name: &str| {
        let source = server.sandbox.arg(name);
        let plan = server.ask(&["plan", "create", name, &source, "--vault", "docs", "--json"]).ok().json();
        server.ask(&["plan", "execute", plan["plan_id"].as_str().unwrap(), "--watch"])
    };
    let failed = run("elsewhere").expect_code(1);
    assert!((failed.text() + &failed.stderr).contains("outside the folders"), "{}", failed.text());
    run("source").ok();
    let snapshots = server.ask(&["vault", "snapshots", "docs", "--json"]).ok().json();
    let snapshot = snapshots[0]["snapshot_id"].as_str().unwrap();
    let target = server.sandbox.arg("elsewhere");
    let failed = server.ask(&["restore-job", "create", snapshot, "-t", &target, "--watch"]).expect_code(1);
    assert!((failed.text() + &failed.stderr).contains("outside the folders"), "{}", failed.stderr);
    assert!(!server.sandbox.path("elsewhere/source").exists());

    let refused = server.ask(&["vault", "delete", "docs"]).expect_code(1).stderr;
    assert!(refused.contains("less than 120 minutes ago"), "{refused}");
    let server = Server::start_in(server.kill(), &[]);
    server.ask(&["vault", "delete", "docs"]).ok();
}

#[test]
fn a_stop_waits_for_requests_and_a_second_one_does_not() {
    let mut server = Server::start();
    server.signal("TERM");
    assert_eq!(server.wait_for_end(), Some(0));
    let mut server = Server::start_in(server.kill(), &[]);
    let mut half = TcpStream::connect(&server.address).unwrap();
    half.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    // A whole one behind it is answered only when the half one was accepted.
    server.get("/healthz");
    server.signal("TERM");
    server.wait_for_log("stopping");
    server.signal("TERM");
    assert_eq!(server.wait_for_end(), Some(130));
}

#[test]
fn a_job_that_a_stop_breaks_off_goes_on_at_the_next_start() {
    let sandbox = Sandbox::new();
    let content: String = (0_u64..300_000).map(|number| format!("{:x}", number * 2_654_435_761)).collect();
    sandbox.write("source/a", &content);
    // The lease is longer than any test, so only who puts the job back lets it go on.
    sandbox.write("slow.toml", "[limits]\nstop_seconds = 0\nlease_seconds = 3600\n");
    let mut server = Server::start_in(sandbox, &["--config", "slow.toml"]);
    server.ask(&["vault", "create", "docs"]).ok();
    let source = server.sandbox.arg("source");
    let slow = ["plan", "create", "slow", &source, "--vault", "docs", "--speed-limit", "0:24:1"];
    let plan = server.ask(&slow).ok().text().trim().rsplit(' ').next().unwrap().to_owned();
    let job =
        server.ask(&["plan", "execute", &plan]).ok().text().trim().rsplit(' ').next().unwrap().to_owned();
    let state = |server: &Server| server.ask(&["job", "show", &job, "--json"]).ok().json()["state"].clone();
    until(|| state(&server) == "RUNNING", "the job does not begin");
    server.signal("TERM");
    assert_eq!(server.wait_for_end(), Some(0));
    let server = Server::start_in(server.kill(), &["--config", "slow.toml"]);
    until(|| state(&server) == "RUNNING", "the job does not go on");
    server.ask(&["job", "cancel", &job]).ok();
    server.ask(&["job", "watch", &job]).expect_code(130);
}
