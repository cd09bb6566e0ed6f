//! Kill -9 of databases and of the server at random moments of backups: every backup that was asked for comes to its end,
//! what is called complete is in the vault, once, and can be restored, nothing else is, and the database keeps no slot,
//! no lock and no replica.
//!
//! `LIFEBOAT_TEST_SEED` chooses the moments.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lifeboat_testkit::mariadb::MariaDb;
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::random::Random;
use lifeboat_testkit::redis::Redis;
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::soak;
use serde_json::Value;

use super::asker::Asker;
use super::crashes::cut_off;
use super::{Server, seed_of_test, until};
use crate::sandbox::Sandbox;

/// Longer than a lease and two attempts take on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A database that is killed while it is backed up.
trait Victim {
    /// Of the command that adds it, and the way of backing it up.
    fn resource(&self) -> (&'static [&'static str], &'static str, String);

    /// Puts another version of everything into it.
    fn change(&mut self, version: u64);

    fn kill(&mut self);

    fn restart(&mut self);

    /// Whether nothing of a backup is left in it.
    fn is_quiet(&self) -> bool;

    /// Panics unless what restic has restored is a whole backup of one version.
    fn judge(&self, restored: &Path);
}

#[test]
fn killed_backups_of_postgresql_leave_nothing_and_go_on() {
    run(21, PostgresVictim(Postgres::start()));
}

#[test]
fn killed_backups_of_mariadb_leave_nothing_and_go_on() {
    run(22, MariaDbVictim(MariaDb::start()));
}

#[test]
fn killed_backups_of_redis_leave_nothing_and_go_on() {
    run(23, RedisVictim(Redis::start(&[])));
}

/// What became of a backup.
#[derive(Debug)]
struct Job {
    id: String,
    state: String,
    code: Option<String>,
}

fn run(seed: u64, mut victim: impl Victim) {
    let seed = seed_of_test(seed);
    let mut random = Random::new(seed);
    let sandbox = Sandbox::new();
    // As short as leases may be, so that the jobs of the dead are soon taken up.
    sandbox.write("config.toml", "[limits]\nlease_seconds = 5\n");
    let mut server = Server::start_in(sandbox, &["--config", "config.toml"]);
    victim.change(0);
    let (kind, method, url) = victim.resource();
    server.ask(&[&["resource", "add"], kind, &["--url", &url]].concat()).ok();
    // How long one takes, from the answer on.
    let mut asker = Asker::start(&server, &["begin", kind[1], method]);
    let began = asker.ask(&server, "");
    let first = end(&server);
    assert_eq!(first.state, "COMPLETE", "{first:?}");
    let life = u64::try_from(began.elapsed().as_millis()).unwrap();
    let (mut cut, mut failed) = (0, 0);
    for round in 0..soak::count(5, "database_kills") as u64 {
        victim.change(1 + 2 * round);
        asker.ask(&server, "");
        std::thread::sleep(Duration::from_millis(random.below(life)));
        server.signal("KILL");
        cut += cut_off(&server.log());
        server = Server::start_in(server.kill(), &["--config", "config.toml"]);
        let job = end(&server);
        assert_eq!(job.state, "COMPLETE", "{job:?}: {}", server.log());
        until(|| victim.is_quiet(), "the killed server has left something in the database");

        victim.change(2 + 2 * round);
        asker.ask(&server, "");
        std::thread::sleep(Duration::from_millis(random.below(life)));
        victim.kill();
        let job = end(&server);
        let is_told = ["SOURCE_GONE", "SOURCE_UNREACHABLE"].map(Some).contains(&job.code.as_deref());
        assert!(job.state == "COMPLETE" || (job.state == "FAILED" && is_told), "{job:?}");
        failed += usize::from(job.state == "FAILED");
        victim.restart();
        until(|| victim.is_quiet(), "something of a backup is left in the database");
    }
    eprintln!("one backup takes {life} ms; {cut} jobs cut off, {failed} failed");
    assert!(cut + failed > 0, "every kill came when nothing was running");
    victim.change(u64::MAX);
    asker.ask(&server, "");
    let last = end(&server);
    assert_eq!(last.state, "COMPLETE", "{last:?}");
    judge(&server, &victim);
}

fn jobs(server: &Server) -> Vec<Job> {
    let listed = server.ask_json(&["job", "list", "--limit", "1000"]);
    let text = |job: &Value, name: &str| job[name].as_str().map(str::to_owned);
    let job = |job: &Value| Job {
        id: text(job, "job_id").unwrap(),
        state: text(job, "state").unwrap(),
        code: text(job, "error_code"),
    };
    listed.as_array().unwrap().iter().filter(|job| job["kind"] == "database_backup").map(job).collect()
}

/// The newest of the jobs, when all are over.
fn end(server: &Server) -> Job {
    let began = Instant::now();
    loop {
        let mut jobs = jobs(server);
        if jobs.iter().all(|job| ["COMPLETE", "FAILED"].contains(&&*job.state)) {
            return jobs.swap_remove(0);
        }
        assert!(began.elapsed() < PATIENCE, "{jobs:?} do not end: {}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Each backup that is complete has made one snapshot that can be restored, and the others have made none.
fn judge(server: &Server, victim: &impl Victim) {
    let vault = server.ask_json(&["vault", "list"])[0]["vault_id"].as_str().unwrap().to_owned();
    let words = ["vault", "password", &vault, "--data", "data", "--config", "config.toml"];
    let password = server.sandbox.run(&words).ok().text();
    let folder = server.sandbox.path("data/vaults").join(vault);
    let restic = Restic::new(&folder).with_password(password.trim());
    restic.run(["unlock", "--remove-all"]);
    restic.check();
    let listed: Value = serde_json::from_str(&restic.snapshots()).unwrap();
    let of_job = |snapshot: &Value| {
        let tags = snapshot["tags"].as_array().unwrap();
        tags.iter().find_map(|tag| tag.as_str()?.strip_prefix("job=")).unwrap().to_owned()
    };
    let mut made: Vec<_> = listed.as_array().unwrap().iter().map(of_job).collect();
    let complete = jobs(server).into_iter().filter(|job| job.state == "COMPLETE");
    let mut complete: Vec<_> = complete.map(|job| job.id).collect();
    made.sort();
    complete.sort();
    assert_eq!(made, complete);
    for snapshot in listed.as_array().unwrap() {
        let target = server.sandbox.path("judged");
        restic.restore(snapshot["id"].as_str().unwrap(), &target);
        victim.judge(&target.join(victim.resource().0[1]));
        fs::remove_dir_all(target).unwrap();
    }
}

struct PostgresVictim(Postgres);

impl Victim for PostgresVictim {
    fn resource(&self) -> (&'static [&'static str], &'static str, String) {
        (&["database", "rm-victim", "--engine", "postgresql"], "Physical", self.0.url("postgres"))
    }

    fn change(&mut self, version: u64) {
        let table =
            "CREATE TABLE t AS SELECT sha512(n::text::bytea) AS filling FROM generate_series(1, 150000) n";
        drop(self.0.query(
            "postgres",
            &format!("DROP TABLE IF EXISTS t; {table}; COMMENT ON TABLE t IS '{version}'"),
        ));
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn is_quiet(&self) -> bool {
        let left = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_replication) \
                    + (SELECT count(*) FROM pg_stat_progress_basebackup)";
        self.0.query("postgres", left).trim() == "0"
    }

    fn judge(&self, restored: &Path) {
        let verified = self.0.tool("pg_verifybackup").arg(restored.join("data")).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

struct MariaDbVictim(MariaDb);

impl Victim for MariaDbVictim {
    fn resource(&self) -> (&'static [&'static str], &'static str, String) {
        (&["database", "rm-victim", "--engine", "mariadb"], "Physical", self.0.url())
    }

    fn change(&mut self, version: u64) {
        self.0.execute(&format!(
            "CREATE DATABASE IF NOT EXISTS shop; USE shop; DROP TABLE IF EXISTS shop.t; \
             CREATE TABLE shop.t SELECT SHA2(seq, 512) AS filling FROM seq_1_to_100000; \
             ALTER TABLE shop.t COMMENT '{version}'"
        ));
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn is_quiet(&self) -> bool {
        let others = "SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'root'";
        self.0.query(others).trim() == "0"
    }

    fn judge(&self, restored: &Path) {
        let folder = format!("--target-dir={}", restored.join("data").display());
        let prepared =
            Command::new("mariadb-backup").args(["--no-defaults", "--prepare", &folder]).output().unwrap();
        let said = String::from_utf8_lossy(&prepared.stderr);
        assert!(prepared.status.success() && said.trim_end().ends_with("completed OK!"), "{said}");
    }
}

struct RedisVictim(Redis);

/// Enough of them to be under way for a moment.
const KEYS: usize = 30_000;

impl Victim for RedisVictim {
    fn resource(&self) -> (&'static [&'static str], &'static str, String) {
        (&["redis", "r-victim"], "", self.0.url())
    }

    fn change(&mut self, version: u64) {
        let set = |key: usize| ["SET".to_owned(), format!("key-{key}"), format!("{version:01000}")];
        let commands: Vec<Vec<String>> = (0..KEYS).map(|key| set(key).to_vec()).collect();
        self.0.client().run_all(&commands);
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn is_quiet(&self) -> bool {
        self.0.client().text(&["INFO"]).lines().any(|line| line == "connected_slaves:0")
    }

    fn judge(&self, restored: &Path) {
        let again = Redis::start(&["--dir", restored.to_str().unwrap()]);
        let mut client = again.client();
        assert_eq!(client.text(&["GET", "key-0"]), client.text(&["GET", &format!("key-{}", KEYS - 1)]));
        assert_eq!(again.cli(&["DBSIZE"]).trim(), KEYS.to_string());
    }
}
