//! Kill -9 of the server at random moments of restores of databases and tables: each goes on and comes to its end, what
//! it had restored before is not taken for somebody else's, and nothing of it is left in the database or beside it.
//!
//! `LIFEBOAT_TEST_SEED` chooses the moments.

use std::fs;
use std::time::{Duration, Instant};

use lifeboat_testkit::mariadb::MariaDb;
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::random::Random;
use lifeboat_testkit::soak;

use super::asker::Asker;
use super::crashes::cut_off;
use super::{Server, seed_of_test, until};
use crate::sandbox::Sandbox;

/// Longer than a lease and two attempts take on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is restored into.
trait Target {
    fn resource(&self) -> (&'static str, String);

    /// Makes the database `shop` with the table `t`.
    fn fill(&self);

    /// How many rows there are in the table of a database; none where it is not.
    fn rows(&self, database: &str, table: &str) -> String;

    fn forget(&self, database: &str, table: &str);

    /// Databases that a restore makes for a while, and marks of such as are not whole.
    fn leftovers(&self) -> String;
}

#[test]
fn killed_restores_of_logical_sets_into_postgresql_go_on_and_leave_nothing() {
    run(31, "Logical", &Postgres::start());
}

#[test]
fn killed_restores_of_physical_sets_into_postgresql_go_on_and_leave_nothing() {
    run(32, "Physical", &Postgres::start());
}

#[test]
fn killed_restores_of_logical_sets_into_mariadb_go_on_and_leave_nothing() {
    run(33, "Logical", &MariaDb::start());
}

#[test]
fn killed_restores_of_physical_sets_into_mariadb_go_on_and_leave_nothing() {
    run(34, "Physical", &MariaDb::start());
}

fn run(seed: u64, method: &str, target: &impl Target) {
    let seed = seed_of_test(seed);
    let mut random = Random::new(seed);
    let sandbox = Sandbox::new();
    let instances = tempfile::tempdir_in("/tmp").unwrap();
    let root = instances.path().display();
    // As short as leases may be, so that the jobs of the dead are soon taken up.
    sandbox.write("config.toml", &format!("instance_root = \"{root}\"\n[limits]\nlease_seconds = 5\n"));
    let mut server = Server::start_in(sandbox, &["--config", "config.toml"]);
    target.fill();
    let (engine, url) = target.resource();
    server.ask(&["resource", "add", "database", "rm-shop", "--engine", engine, "--url", &url]).ok();
    let set = server.python("databases.py", &["v3", "database", "rm-shop", method]).ok().text();
    let mut asker = Asker::start(&server, &["begin-restores", "rm-shop", set.trim()]);
    let mut ask = |server: &Server, table: &str| {
        let tables = format!(r#"[{{"type": "table", "name": "t", "newname": "{table}"}}]"#);
        let whole = r#"{"type": "db", "name": "shop", "newname": "again"}"#;
        let meta =
            format!(r#"[{whole}, {{"type": "db", "name": "shop", "newname": "shop", "tables": {tables}}}]"#);
        asker.ask(server, &meta)
    };
    let began = ask(&server, "t0");
    assert_eq!(end(&server), ("COMPLETE".to_owned(), None), "{}", server.log());
    let life = u64::try_from(began.elapsed().as_millis()).unwrap();
    let mut cut = 0;
    for round in 1..=soak::count(4, "restore_kills") {
        target.forget("again", "t0");
        ask(&server, "t0");
        std::thread::sleep(Duration::from_millis(random.below(life)));
        server.signal("KILL");
        cut += cut_off(&server.log());
        server = Server::start_in(server.kill(), &["--config", "config.toml"]);
        assert_eq!(end(&server), ("COMPLETE".to_owned(), None), "round {round}: {}", server.log());
        for (database, table) in [("again", "t"), ("shop", "t0"), ("shop", "t")] {
            assert_eq!(target.rows(database, table), "30000", "{database}.{table} in round {round}");
        }
        assert_eq!(target.leftovers(), "");
        // Notes go after the end is known.
        let left = || fs::read_dir(instances.path()).unwrap().next().is_some();
        until(|| !left(), "files of the restore are left");
    }
    eprintln!("{method}: one restore takes {life} ms; {cut} cut off");
    // What is there and was restored by another job is not overwritten.
    ask(&server, "t0");
    assert_eq!(end(&server), ("FAILED".to_owned(), Some("TARGET_EXISTS".to_owned())));
}

/// How the newest restore has ended.
fn end(server: &Server) -> (String, Option<String>) {
    let began = Instant::now();
    loop {
        let listed = server.ask_json(&["job", "list", "--limit", "1000"]);
        let mut restores = listed.as_array().unwrap().iter().filter(|job| job["kind"] == "database_restore");
        let newest = restores.next().unwrap();
        let text = |name: &str| newest[name].as_str().map(str::to_owned);
        let state = text("state").unwrap();
        if !["CREATED", "QUEUED", "RUNNING"].contains(&&*state) {
            return (state, text("error_code"));
        }
        assert!(began.elapsed() < PATIENCE, "{newest} does not end: {}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Target for Postgres {
    fn resource(&self) -> (&'static str, String) {
        ("postgresql", self.url("shop"))
    }

    fn fill(&self) {
        drop(self.database("shop"));
        let table = "CREATE TABLE t AS SELECT n, md5(n::text) AS filling FROM generate_series(1, 30000) n";
        drop(self.query(
            "shop",
            &format!("{table}; CREATE INDEX ON t (filling); ALTER TABLE t ADD PRIMARY KEY (n)"),
        ));
    }

    fn rows(&self, database: &str, table: &str) -> String {
        self.query(database, &format!("SELECT count(*) FROM {table}")).trim().to_owned()
    }

    fn forget(&self, database: &str, table: &str) {
        drop(self.query("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")));
        drop(self.query("shop", &format!("DROP TABLE {table}")));
    }

    fn leftovers(&self) -> String {
        self.query("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'lifeboat%'")
            .trim()
            .to_owned()
    }
}

impl Target for MariaDb {
    fn resource(&self) -> (&'static str, String) {
        ("mariadb", self.url())
    }

    fn fill(&self) {
        self.execute(
            "CREATE DATABASE shop; USE shop; CREATE TABLE t (n INT PRIMARY KEY, filling CHAR(32), KEY (filling)); \
             INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_30000; CREATE VIEW v AS SELECT n FROM t",
        );
    }

    fn rows(&self, database: &str, table: &str) -> String {
        self.query(&format!("SELECT COUNT(*) FROM {database}.{table}")).trim().to_owned()
    }

    fn forget(&self, database: &str, table: &str) {
        self.execute(&format!("DROP DATABASE {database}; DROP TABLE shop.{table}"));
    }

    fn leftovers(&self) -> String {
        let left = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'lifeboat%' \
                    OR schema_comment <> ''";
        self.query(left).trim().to_owned()
    }
}
