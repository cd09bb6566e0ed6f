//! Databases through the commands and the official clients of RDS and Tair: backed up, followed, listed, restored, deleted.

use lifeboat_testkit::mariadb::MariaDb;
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::redis::Redis;

use super::Server;

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
