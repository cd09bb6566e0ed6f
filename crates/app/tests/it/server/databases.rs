//! Databases through the commands and the official clients of RDS and Tair: backed up, followed, listed, restored, deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use lifeboat_testkit::mariadb::MariaDb;
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::redis::{Redis, RedisCluster, contents};

use serde_json::Value;

use super::Server;
use super::asker::Asker;
use crate::sandbox::Sandbox;

impl Server {
    /// Runs a step of the official Python clients; what it prints.
    fn client_step(&self, arguments: &[&str]) -> String {
        self.python("databases.py", arguments).ok().text().trim().to_owned()
    }

    /// Adds a resource, which must be ready to be backed up.
    fn add_resource(&self, kind: &[&str], url: &str) {
        self.ask(&[&["resource", "add"], kind, &["--url", url]].concat()).ok();
        let tested = self.ask(&["resource", "test", kind[1]]).ok().text();
        assert!(tested.contains("can be backed up"), "{tested}");
    }
}

#[test]
fn the_official_clients_back_up_a_redis_follow_it_and_bring_it_back() {
    let (server, redis) = (Server::start(), Redis::start(&["--requirepass", "geheim"]));
    let mut client = redis.client();
    let count = || redis.cli(&["DBSIZE"]).trim().to_owned();
    for number in 0..100 {
        client.run(&["SET", &format!("key-{number}"), "value"]);
    }
    server.add_resource(&["redis", "r-cache"], &redis.url());
    for signature in ["v3", "v2"] {
        let set = server.client_step(&[signature, "redis", "r-cache"]);
        client.run(&["FLUSHALL"]);
        client.run(&["SET", "other", "value"]);
        server.client_step(&[signature, "restore-redis", "r-cache", &set]);
        assert_eq!((count().as_str(), redis.cli(&["GET", "key-99"]).trim()), ("100", "value"));
    }
    server.python("core_tair.py", &["r-cache"]).ok();
    server.node("tair.js", &["r-cache"]).ok();
    let listed = server.ask_json(&["job", "list"]);
    let is_backup = |job: &&serde_json::Value| job["kind"] == "database_backup" && job["state"] == "COMPLETE";
    assert_eq!(listed.as_array().unwrap().iter().filter(is_backup).count(), 4);
    assert!(!server.log().contains("geheim"), "{}", server.log());
}

#[test]
fn the_official_clients_back_up_a_cluster_and_bring_it_back() {
    let (server, cluster) = (Server::start(), RedisCluster::start(3, &[]));
    let mut client = cluster.client();
    for number in 0..300 {
        client.run(&["SADD", &format!("key-{number}"), "a", "b", &number.to_string()]);
    }
    let held = || cluster.nodes.iter().map(|node| contents(&mut node.client())).collect::<Vec<_>>();
    let before = held();
    server.add_resource(&["redis", "r-shards", "--cluster"], &cluster.nodes[1].url());
    let set = server.client_step(&["v3", "redis", "r-shards", "3"]);
    let mut ids: Vec<_> = cluster.nodes.iter().map(|node| node.client().text(&["CLUSTER", "MYID"])).collect();
    let told = server.client_step(&["v3", "cluster", "r-shards"]);
    let mut told: Vec<_> = told.lines().collect();
    ids.sort();
    told.sort_unstable();
    assert_eq!(told, ids);
    client.run(&["DEL", "key-7"]);
    client.run(&["SET", "other", "value"]);
    server.client_step(&["v3", "restore-redis", "r-shards", &set]);
    assert_eq!(held(), before);
}

#[test]
fn the_official_clients_back_up_a_postgresql_and_bring_a_table_back() {
    let (server, postgres) = (Server::start(), Postgres::start());
    let url = postgres.database("shop");
    drop(postgres.query("shop", "CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n"));
    server.add_resource(&["database", "rm-shop", "--engine", "postgresql"], &url);
    let meta = r#"[{"type": "db", "name": "shop", "tables": [{"type": "table", "name": "orders", "newname": "again"}]}]"#;
    let set = server.client_step(&["v3", "database", "rm-shop", "Logical"]);
    server.client_step(&["v2", "restore-database", "rm-shop", &set, meta]);
    assert_eq!(postgres.query("shop", "SELECT sum(n) FROM again").trim(), "500500");
    server.client_step(&["v2", "database", "rm-shop", "Physical"]);
}

#[test]
fn the_official_clients_back_up_a_mariadb_and_bring_a_table_back() {
    let (server, mariadb) = (Server::start(), MariaDb::start());
    mariadb.execute("CREATE DATABASE shop; USE shop; CREATE TABLE orders SELECT seq AS n FROM seq_1_to_1000");
    server.add_resource(&["database", "rm-shop", "--engine", "mariadb"], &mariadb.url());
    let meta = r#"[{"type": "db", "name": "shop", "tables": [{"type": "table", "name": "orders", "newname": "again"}]}]"#;
    let set = server.client_step(&["v3", "database", "rm-shop", "Logical"]);
    server.client_step(&["v2", "restore-database", "rm-shop", &set, meta]);
    assert_eq!(mariadb.query("SELECT SUM(n) FROM shop.again").trim(), "500500");
    server.client_step(&["v2", "database", "rm-shop", "Physical"]);
}

#[test]
fn the_official_clients_are_refused_as_they_are_by_the_products() {
    let server = Server::start();
    let mut wrong = server.root();
    wrong["access_key_secret"] = "wrong".into();
    server.sandbox.write("wrong.json", &wrong.to_string());
    let branch = server.ask(&["account", "add", "branch"]).ok().text();
    server.sandbox.write("branch.json", &branch);
    let [wrong, branch] = ["wrong.json", "branch.json"].map(|name| server.sandbox.arg(name));
    // Neither comes to its end: one does not get its checkpoint, the other one's fork is told to wait.
    let (postgres, redis) = (Postgres::start(), Redis::start(&["--repl-diskless-sync-delay", "3600"]));
    postgres.hold_checkpoints();
    server.add_resource(&["database", "rm-shop", "--engine", "postgresql"], &postgres.url("postgres"));
    server.add_resource(&["redis", "r-cache"], &redis.url());
    for id in ["rm-shop", "r-cache"] {
        let method = if id == "rm-shop" { "Physical" } else { "" };
        Asker::start(&server, &["begin", id, method]).ask(&server, "");
        server.client_step(&["v3", "refusals", id, &wrong, &branch]);
    }
    postgres.release_checkpoints();
}

/// A folder that everybody may reach, as the user of a database must; the servers in it end with the test.
struct Instances(tempfile::TempDir);

impl Instances {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("lifeboat-own-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// The processes that run there, as they themselves have written down.
    fn process_ids(&self) -> Vec<String> {
        let mut folders = vec![self.0.path().to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|is| is == "pid") {
                    found.extend(fs::read_to_string(path).unwrap().lines().next().map(str::to_owned));
                }
            }
        }
        found
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        for id in self.process_ids() {
            drop(Command::new("kill").args(["-QUIT", &id]).status());
        }
    }
}

/// A server that keeps clones there, and its options.
fn server_with(instances: &Instances) -> (Server, [String; 2]) {
    let sandbox = Sandbox::new();
    let config = format!("instance_root = {:?}", PathBuf::from(instances.0.path()));
    sandbox.write("config.toml", &config);
    let options = ["--config".to_owned(), sandbox.arg("config.toml")];
    (Server::start_in(sandbox, &options.each_ref().map(String::as_str)), options)
}

/// What a clone answers, now and after a kill of the server; and it goes with its resource.
fn judge_clone(
    server: (Server, [String; 2]),
    (instances, clone): (&Instances, &str),
    (answer, ask): (&str, &dyn Fn(&Value) -> String),
) {
    let (server, options) = server;
    let asked = |server: &Server| ask(&server.ask_json(&["resource", "show", clone])["port"]);
    assert_eq!(asked(&server), answer);
    let server = Server::start_in(server.kill(), &options.each_ref().map(String::as_str));
    super::until(|| asked(&server) == answer, "the clone does not come back");
    server.ask(&["resource", "remove", clone]).ok();
    let is_empty = || fs::read_dir(instances.0.path()).unwrap().count() == 0;
    super::until(is_empty, "the clone does not go with its resource");
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_clone_of_a_postgresql_is_the_same_and_comes_back_after_a_kill() {
    let (instances, postgres) = (Instances::new(), Postgres::start());
    let (server, options) = server_with(&instances);
    let url = postgres.database("shop");
    drop(postgres.query("shop", "CREATE TABLE orders AS SELECT n FROM generate_series(1, 5000) n"));
    drop(postgres.query("shop", "CREATE ROLE ada LOGIN PASSWORD 'geheim' IN ROLE pg_read_all_data"));
    server.add_resource(&["database", "rm-shop", "--engine", "postgresql"], &url);
    let set = server.client_step(&["v3", "database", "rm-shop", "Physical"]);
    drop(postgres.query("shop", "DELETE FROM orders"));
    let clone = server.client_step(&["v3", "clone", "rm-shop", &set]);
    let sum = |port: &Value| {
        let url = format!("postgresql://ada:geheim@127.0.0.1:{port}/shop");
        printed("psql", &[&url, "-Atc", "SELECT sum(n) FROM orders"])
    };
    judge_clone((server, options), (&instances, &clone), ("12502500", &sum));
}

#[test]
fn a_clone_of_a_mariadb_is_the_same_and_comes_back_after_a_kill() {
    let (instances, mariadb) = (Instances::new(), MariaDb::start());
    let (server, options) = server_with(&instances);
    mariadb.execute("CREATE DATABASE shop; USE shop; CREATE TABLE orders SELECT seq AS n FROM seq_1_to_5000");
    mariadb.execute("CREATE USER ada IDENTIFIED BY 'geheim'; GRANT SELECT ON shop.* TO ada");
    server.add_resource(&["database", "rm-shop", "--engine", "mariadb"], &mariadb.url());
    let set = server.client_step(&["v3", "database", "rm-shop", "Physical"]);
    mariadb.execute("DELETE FROM shop.orders");
    let clone = server.client_step(&["v3", "clone", "rm-shop", &set]);
    let sum = |port: &Value| {
        let port = format!("--port={port}");
        let way = ["--no-defaults", "--host=127.0.0.1", &port, "--user=ada", "--password=geheim"];
        printed("mariadb", &[&way[..], &["-BNe", "SELECT SUM(n) FROM shop.orders"]].concat())
    };
    judge_clone((server, options), (&instances, &clone), ("12502500", &sum));
}
