//! Who may do what, by commands alone: accounts, users, keys, roles, and the log of it all.

use super::Server;
use crate::sandbox::Ran;

impl Server {
    /// Runs a command with the credentials in a file of the sandbox.
    fn ask_as(&self, credentials: &str, arguments: &[&str]) -> Ran {
        let url = format!("http://{}", self.address);
        let file = self.sandbox.arg(credentials);
        self.sandbox.run(&[arguments, &["--server", &url, "--credentials", &file]].concat())
    }

    fn refused(&self, credentials: &str, arguments: &[&str]) -> String {
        self.ask_as(credentials, arguments).expect_code(1).stderr
    }
}

#[test]
fn commands_alone_say_who_may_do_what() {
    let server = Server::start();
    server.ask(&["vault", "create", "docs"]).ok();
    server.sandbox.write("password", "a good password\n");
    let password = server.sandbox.arg("password");
    server.ask(&["user", "add", "alice", "--password-file", &password]).ok();
    let key = server.ask(&["access-key", "create", "--user", "alice"]).ok().text();
    server.sandbox.write("alice.json", &key);
    assert!(
        server
            .refused("alice.json", &["vault", "list"])
            .contains("alice is not allowed to do hbr:DescribeVaults")
    );
    server.ask(&["user", "attach", "alice", "ReadOnlyAccess"]).ok();
    server.ask_as("alice.json", &["vault", "list"]).ok();
    assert!(server.refused("alice.json", &["vault", "create", "more"]).contains("NoPermission"));
    assert!(server.refused("alice.json", &["user", "add", "bob"]).contains("ram:CreateUser"));
    server.sandbox.write(
        "none.json",
        r#"{"Version": "1", "Statement": [{"Effect": "Deny", "Action": "hbr:*", "Resource": "*"}]}"#,
    );
    let document = format!("@{}", server.sandbox.arg("none.json"));
    server.ask(&["user", "attach", "alice", &document]).ok();
    assert!(server.refused("alice.json", &["vault", "list"]).contains("NoPermission"));
    server.ask(&["user", "detach", "alice", "none"]).ok();
    server.ask_as("alice.json", &["vault", "list"]).ok();
    server
        .sandbox
        .write("wrong.json", r#"{"Version": "1", "Statement": [{"Effect": "Deny", "Action": "hbr:*"}]}"#);
    let document = format!("@{}", server.sandbox.arg("wrong.json"));
    let wrong = server.ask(&["user", "attach", "alice", &document]).expect_code(1).stderr;
    assert!(wrong.contains("missing field `Resource`"), "{wrong}");

    let keys = server.ask(&["access-key", "list", "--user", "alice", "--json"]).ok().json();
    let id = keys[0]["access_key_id"].as_str().unwrap();
    assert!(keys[0]["last_used"].is_string() && keys[0].get("access_key_secret").is_none(), "{keys}");
    server.ask(&["access-key", "disable", id]).ok();
    assert!(server.refused("alice.json", &["vault", "list"]).contains("InvalidAccessKeyId.Inactive"));
    server.ask(&["access-key", "enable", id]).ok();
    server.ask_as("alice.json", &["vault", "list"]).ok();
    server.ask(&["access-key", "delete", id]).ok();
    assert!(server.refused("alice.json", &["vault", "list"]).contains("InvalidAccessKeyId.NotFound"));

    let log = server.log();
    let secret = serde_json::from_str::<serde_json::Value>(&key).unwrap()["access_key_secret"].clone();
    assert!(!log.contains(secret.as_str().unwrap()) && !log.contains("a good password"), "{log}");
}

#[test]
fn another_account_sees_nothing_of_the_first() {
    let server = Server::start();
    server.ask(&["vault", "create", "docs"]).ok();
    let branch = server.ask(&["account", "add", "branch"]).ok().text();
    server.sandbox.write("branch.json", &branch);
    let vaults = server.ask_as("branch.json", &["vault", "list", "--json"]).ok().json();
    assert_eq!(vaults, serde_json::json!([]));
    assert!(server.refused("branch.json", &["vault", "show", "docs"]).contains("no vault is called"));
    assert!(server.refused("branch.json", &["account", "add", "more"]).contains("NoPermission"));
    assert!(server.refused("branch.json", &["account", "list"]).contains("NoPermission"));
    server.ask_as("branch.json", &["vault", "create", "own"]).ok();
    assert_eq!(server.ask(&["vault", "list"]).ok().text().lines().count(), 3);

    server.sandbox.write(
        "trust.json",
        r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"RAM": "acs:ram::1234567890123456:root"}}]}"#,
    );
    let trust = server.sandbox.arg("trust.json");
    server.ask(&["role", "add", "backup", "--trust", &trust]).ok();
    server.ask(&["role", "attach", "backup", "AdministratorAccess"]).ok();
    assert_eq!(server.ask(&["role", "documents", "backup"]).ok().text().lines().count(), 3);
    assert_eq!(server.ask(&["role", "list"]).ok().text().lines().count(), 3);
    assert_eq!(server.ask_as("branch.json", &["role", "list"]).ok().text().lines().count(), 2);

    let log = server.ask_as("branch.json", &["audit", "--json"]).ok().json();
    let told: Vec<_> = log.as_array().unwrap().iter().map(|row| (&row["action"], &row["outcome"])).collect();
    let pair = |action: &str, outcome: &str| format!("{action} {outcome}");
    let told: Vec<_> = told
        .iter()
        .map(|(action, outcome)| pair(action.as_str().unwrap(), outcome.as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        ["hbr:CreateVault OK", "ram:ListAccounts NoPermission", "ram:CreateAccount NoPermission"]
    );
}
