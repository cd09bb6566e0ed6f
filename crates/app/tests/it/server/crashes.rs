//! Kill -9 of servers at random moments, while plans and a policy run each second and people ask for more: no job that
//! anybody was told of is lost, none is left running, no two of a series run at once, and what is called complete is in
//! the vault, once, as restic says.
//!
//! The sources change only while no server runs, so a snapshot must hold one of their versions, whole. The judgement is
//! passed on rows and vault, past every server. `LIFEBOAT_TEST_SEED` chooses the moments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lifeboat_model::filter::{Order, Page};
use lifeboat_model::id::AccountId;
use lifeboat_model::job::{JobKind, JobState};
use lifeboat_service::{Catalog, CatalogPlace, JobFilter, JobRow, SnapshotWindow};
use lifeboat_testkit::digest::Digest;
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::random::Random;
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::soak;
use lifeboat_testkit::tree::{TreeOptions, build, mutate};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Server, seed_of_test};
use crate::sandbox::Sandbox;
use crate::shared_vault::{digest, restored};

/// Sources with a plan each, the first of which is read slowly; the last is under the policy.
const SOURCES: usize = 4;
const EACH_SECOND: &str = "C|1602673264|* * * * * ?";
/// The server is killed at the latest after this.
const LONGEST_LIFE_MILLIS: u64 = 4000;
/// Longer than leases and the jobs that wait take on any machine.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn killed_servers_lose_no_job_on_sqlite() {
    Victim::new(11, None).run();
}

#[test]
fn killed_servers_lose_no_job_on_postgres() {
    let postgres = Postgres::start();
    Victim::new(12, Some(postgres.database("catalog"))).run();
}

/// What callers were told.
#[derive(Default)]
struct Told {
    jobs: BTreeSet<String>,
    /// Restores, and the folders they went to.
    restores: BTreeMap<String, PathBuf>,
}

/// Servers that are killed one after another, and what they promised.
struct Victim {
    sandbox: Sandbox,
    random: Random,
    database: Option<String>,
    vault: String,
    plans: Vec<String>,
    policy: String,
    /// Of each source, by what its file `version` says.
    versions: Vec<BTreeMap<String, Digest>>,
    told: Told,
    /// Jobs that a kill has cut off.
    cut: usize,
}

impl Victim {
    fn new(seed: u64, database: Option<String>) -> Self {
        let seed = seed_of_test(seed);
        let sandbox = Sandbox::new();
        // As short as leases may be, so that the jobs of the dead are soon taken up.
        let place = database.iter().map(|url| format!("database = {url:?}\n")).collect::<String>();
        sandbox.write("config.toml", &format!("{place}[limits]\nlease_seconds = 5\n"));
        let (vault, plans, policy) = (String::new(), Vec::new(), String::new());
        let versions = vec![BTreeMap::new(); SOURCES];
        let (random, told) = (Random::new(seed), Told::default());
        let mut victim = Self { sandbox, random, database, vault, plans, policy, versions, told, cut: 0 };
        for source in 0..SOURCES {
            let root = victim.source(source);
            fs::create_dir_all(&root).unwrap();
            build(&root, seed, &tree_options());
            victim.change(source);
        }
        victim.begin(|victim, server| victim.make_plans(server));
        victim
    }

    fn source(&self, number: usize) -> PathBuf {
        self.sandbox.path(&format!("source/{number}"))
    }

    /// A day of work on a source, while nobody backs it up.
    fn change(&mut self, number: usize) {
        let root = self.source(number);
        mutate(&root, self.random.number(), &tree_options());
        fs::write(root.join("large"), self.random.bytes(1 << 20)).unwrap();
        let version = self.versions[number].len().to_string();
        fs::write(root.join("version"), &version).unwrap();
        self.versions[number].insert(version, digest(&root));
    }

    /// Lends the sandbox to a server for one life of it, and kills it in the end.
    fn begin(&mut self, live: impl FnOnce(&mut Self, &Server)) {
        let sandbox = std::mem::replace(&mut self.sandbox, Sandbox::new());
        let server = Server::start_in(sandbox, &["--config", "config.toml"]);
        live(self, &server);
        server.signal("KILL");
        self.cut += cut_off(&server.log());
        self.sandbox = server.kill();
    }

    fn make_plans(&mut self, server: &Server) {
        let text = |made: &Value, field: &str| made[field].as_str().unwrap().to_owned();
        self.vault = text(&server.ask_json(&["vault", "create", "crashes"]), "vault_id");
        let source = |number: usize| server.sandbox.arg(&format!("source/{number}"));
        for number in 0..SOURCES - 1 {
            let (name, folder) = (format!("plan {number}"), source(number));
            let limit = if number == 0 { "0:24:512" } else { "0:24:65536" };
            let words = ["plan", "create", &name, &folder, "--vault", &self.vault, "--schedule", EACH_SECOND];
            let made = server.ask_json(&[&words[..], &["--speed-limit", limit]].concat());
            self.plans.push(text(&made, "plan_id"));
        }
        let words = ["policy", "create", "p", "--vault", &self.vault, "--schedule", EACH_SECOND];
        self.policy = text(&server.ask_json(&words), "policy_id");
        server.ask_json(&["policy", "bind", &self.policy, &source(SOURCES - 1)]);
    }

    fn run(mut self) {
        for _ in 0..soak::count(10, "crashes") {
            self.begin(Self::live_and_be_asked);
            for _ in 0..2 {
                let source = usize::try_from(self.random.below(SOURCES as u64)).unwrap();
                self.change(source);
            }
        }
        assert!(self.cut > 0, "every kill came when nothing was running");
        self.begin(Self::come_to_rest);
        self.judge();
    }

    /// One life, of random length, during which jobs are asked for; the kill comes in the middle of that.
    fn live_and_be_asked(&mut self, server: &Server) {
        let life = Duration::from_millis(self.random.below(LONGEST_LIFE_MILLIS));
        let mut random = Random::new(self.random.number());
        let is_killed = AtomicBool::new(false);
        let mut told = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut told = Told::default();
                while self.ask((server, &is_killed), &mut random, &mut told).is_some() {
                    std::thread::sleep(Duration::from_millis(random.below(1000)));
                }
                told
            });
            std::thread::sleep(life);
            is_killed.store(true, Ordering::SeqCst);
            server.signal("KILL");
            asking.join().unwrap()
        });
        self.told.jobs.append(&mut told.jobs);
        self.told.restores.append(&mut told.restores);
    }

    /// Asks for something, and notes what it was told; `None` when nobody answers because he was killed.
    fn ask(
        &self,
        (server, is_killed): (&Server, &AtomicBool),
        random: &mut Random,
        told: &mut Told,
    ) -> Option<()> {
        let ask = |words: &[&str]| {
            let ran = server.ask(&[words, &["--json", "--no-progress"]].concat());
            let may_fail = is_killed.load(Ordering::SeqCst);
            assert!(ran.code == Some(0) || may_fail, "{words:?}: {}", ran.stderr);
            (ran.code == Some(0)).then(|| ran.json())
        };
        let job = match random.below(4) {
            0 => ask(&["policy", "execute", &self.policy])?,
            1 => {
                let snapshots = ask(&["vault", "snapshots", &self.vault])?;
                let snapshots = snapshots.as_array().unwrap();
                if snapshots.is_empty() {
                    return Some(());
                }
                let snapshot = random.pick(snapshots)["snapshot_id"].as_str().unwrap();
                let folder = server.sandbox.path(&format!("back/{:x}", random.number()));
                fs::create_dir_all(&folder).unwrap();
                let made = ask(&["restore-job", "create", snapshot, "-t", folder.to_str().unwrap()])?;
                told.restores.insert(made["restore_id"].as_str().unwrap().to_owned(), folder);
                return Some(());
            }
            _ => ask(&["plan", "execute", random.pick(&self.plans).as_str()])?,
        };
        told.jobs.insert(job["job_id"].as_str().unwrap().to_owned());
        Some(())
    }

    /// Ends all schedules, and waits until nothing is left to do.
    fn come_to_rest(&mut self, server: &Server) {
        for plan in &self.plans {
            server.ask_json(&["plan", "disable", plan]);
        }
        let bound = server.ask_json(&["policy", "bindings", &self.policy]);
        let source = bound[0]["data_source_id"].as_str().unwrap();
        server.ask_json(&["policy", "unbind", &self.policy, source]);
        let began = Instant::now();
        let rows = Rows::of(&server.sandbox, self.database.as_deref());
        while let Some(open) = rows.jobs().into_values().find(|job| !job.state.is_final()) {
            assert!(began.elapsed() < PATIENCE, "{open:?} does not end: {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All that was promised is there and has ended well, and restic has to say the same.
    fn judge(&self) {
        let rows = Rows::of(&self.sandbox, self.database.as_deref());
        let jobs = rows.jobs();
        for id in self.told.jobs.iter().chain(self.told.restores.keys()) {
            assert!(jobs.contains_key(id), "job {id} is lost");
        }
        for job in jobs.values() {
            assert_eq!(job.state, JobState::Complete, "{job:?}");
        }
        for (id, folder) in &self.told.restores {
            self.judge_tree(&only_entry(folder), id);
        }
        let words = ["vault", "password", &self.vault, "--data", "data", "--config", "config.toml"];
        let password = self.sandbox.run(&words).ok().text();
        let vault = self.sandbox.arg(&format!("data/vaults/{}", self.vault));
        let restic = Restic::new(&vault).with_password(password.trim());
        restic.run(["unlock", "--remove-all"]);
        restic.check();
        let vault = [("LIFEBOAT_VAULT", vault.as_str()), ("LIFEBOAT_PASSWORD", password.trim())];
        let listed = self.sandbox.run_with(&vault, &["snapshots", "--json"]).ok().json();
        let snapshots: Vec<Snapshot> = listed.as_array().unwrap().iter().map(Snapshot::of).collect();
        judge_snapshots(&snapshots, &jobs, &rows.hashes());
        let by_tree: BTreeMap<_, _> = snapshots.iter().map(|one| (&one.tree, &one.id)).collect();
        for id in by_tree.values() {
            let target = self.sandbox.path("judged");
            restic.restore(id, &target);
            self.judge_tree(&only_entry(&restored(&target, &self.sandbox.path("source"))), id);
            fs::remove_dir_all(target).unwrap();
        }
        let (jobs, asked) = (jobs.len(), self.told.jobs.len());
        let (restores, trees, cut) = (self.told.restores.len(), by_tree.len(), self.cut);
        eprintln!("{jobs} jobs, {asked} asked for, and {restores} restores; {cut} cut off; {trees} trees");
    }

    /// A folder holds a version of the source of the same name.
    fn judge_tree(&self, folder: &Path, what: &str) {
        let source: usize = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let version = fs::read_to_string(folder.join("version")).unwrap();
        self.versions[source][&version].assert_same(&digest(folder), what);
    }
}

/// Each job that is complete has one snapshot, which the catalog knows; there are no others; and of one source none was
/// begun before the former one had ended.
fn judge_snapshots(
    snapshots: &[Snapshot],
    jobs: &BTreeMap<String, JobRow>,
    hashes: &BTreeMap<String, String>,
) {
    let of_jobs: BTreeMap<&str, &str> = snapshots.iter().map(|one| (&*one.job, &*one.id)).collect();
    assert_eq!(of_jobs.len(), snapshots.len(), "a job has several snapshots: {snapshots:#?}");
    let known: BTreeMap<&str, &str> = hashes.iter().map(|(job, hash)| (&**job, &**hash)).collect();
    assert_eq!(of_jobs, known);
    let backups = jobs.values().filter(|job| job.kind == JobKind::Backup.as_str() && job.children == 0);
    let backups: BTreeSet<&str> = backups.map(|job| &*job.id).collect();
    assert_eq!(of_jobs.into_keys().collect::<BTreeSet<_>>(), backups);
    let mut in_order: Vec<_> = snapshots.iter().collect();
    in_order.sort_by_key(|one| (&one.source, one.begun));
    for pair in in_order.windows(2).filter(|pair| pair[0].source == pair[1].source) {
        assert!(pair[0].ended <= pair[1].begun, "two of a series at once: {pair:#?}");
    }
}

/// A snapshot as its file tells.
#[derive(Debug)]
struct Snapshot {
    id: String,
    tree: String,
    source: String,
    job: String,
    begun: Timestamp,
    ended: Timestamp,
}

impl Snapshot {
    fn of(listed: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tags = listed["tags"].as_array().unwrap();
        let job = tags.iter().find_map(|tag| tag.as_str()?.strip_prefix("job=")).unwrap();
        let time = |name: &str| listed["summary"][name].as_str().unwrap().parse().unwrap();
        Self {
            id: text(&listed["id"]),
            tree: text(&listed["tree"]),
            source: text(&listed["paths"][0]),
            job: job.to_owned(),
            begun: time("backup_start"),
            ended: time("backup_end"),
        }
    }
}

/// What the catalog says, beside the server.
struct Rows {
    runtime: Runtime,
    catalog: Catalog,
    account: AccountId,
}

impl Rows {
    fn of(sandbox: &Sandbox, database: Option<&str>) -> Self {
        let sqlite = || CatalogPlace::Sqlite(sandbox.path("data/catalog.sqlite"));
        let place = database.map_or_else(sqlite, |url| CatalogPlace::Postgres(url.to_owned()));
        let runtime = Runtime::new().unwrap();
        let catalog = runtime.block_on(Catalog::open(&place)).unwrap();
        let root: Value = serde_json::from_slice(&fs::read(sandbox.path("data/root.json")).unwrap()).unwrap();
        let account = root["account_id"].as_str().unwrap().parse().unwrap();
        Self { runtime, catalog, account: AccountId::from_number(account).unwrap() }
    }

    /// All jobs, by their ids.
    fn jobs(&self) -> BTreeMap<String, JobRow> {
        let filter = JobFilter {
            kind: None,
            source_types: Vec::new(),
            edition: None,
            only_top_level: false,
            conditions: Vec::new(),
            order: Order::OldestFirst,
        };
        let page = Page { number: 1, size: u32::MAX };
        let found = self.runtime.block_on(self.catalog.jobs(self.account, &filter, None, page)).unwrap();
        found.rows.into_iter().map(|job| (job.id.clone(), job)).collect()
    }

    /// The snapshots of the jobs.
    fn hashes(&self) -> BTreeMap<String, String> {
        let window = SnapshotWindow { limit: u32::MAX.into(), ..SnapshotWindow::default() };
        let all = self.catalog.snapshots((self.account, None), &[], window);
        let rows = self.runtime.block_on(all).unwrap().rows;
        rows.into_iter().map(|row| (row.job.unwrap().to_string(), row.hash)).collect()
    }
}

fn tree_options() -> TreeOptions {
    TreeOptions { entries: 40, largest_file_bytes: 64 << 10, ..TreeOptions::default() }
}

/// The one thing in a folder.
fn only_entry(folder: &Path) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

/// How many jobs a server had claimed and not ended; panics where it claimed one that it was at.
pub(super) fn cut_off(log: &str) -> usize {
    let mut under_way = BTreeSet::new();
    for line in log.lines() {
        let about = |what: &str| line.split_once(what).and_then(|(_, rest)| rest.split_whitespace().next());
        if let Some(job) = about("claimed job ") {
            assert!(under_way.insert(job), "job {job} runs twice at once: {log}");
        } else if let Some(job) = about("finished job ").or_else(|| about("lost the lease of job ")) {
            under_way.remove(job);
        }
    }
    under_way.len()
}
