//! Kill -9 at random moments: whatever was reported as saved is still there, and the vault is whole.
//!
//! Each round runs a command twice from the same state: unharmed on a copy, to learn how long it takes and how many
//! files of the vault it changes, and then to be killed, after a random part of that time or of those changes. Half
//! of the rounds leave the dead process's lock to the next command, half to `unlock`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_testkit::digest::Digest;
use lifeboat_testkit::random::Random;
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::soak;
use lifeboat_testkit::tree::{TreeOptions, build, mutate};
use serde_json::Value;

use crate::shared_vault::{SharedVault, digest, restored};

/// Snapshots are forgotten until this many are left, so that a long run does not drown;
const MOST_SNAPSHOTS: usize = 4;
/// nor in what they leave behind, which is removed once in so many rounds.
const ROUNDS_BETWEEN_PRUNES: u64 = 16;

/// What an unharmed run takes.
struct Unharmed {
    duration: Duration,
    changes: u64,
}

/// When to kill.
#[derive(Debug)]
enum Moment {
    After(Duration),
    /// When the vault holds this many files more or less than before.
    Changes(usize),
}

impl Moment {
    fn choose(random: &mut Random, unharmed: &Unharmed) -> Self {
        if random.one_in(2) {
            return Self::Changes(usize::try_from(1 + random.below(unharmed.changes.max(1))).unwrap());
        }
        // A little longer than it takes: a kill at the very end is one of the moments.
        let most = unharmed.duration.as_micros() * 11 / 10;
        Self::After(Duration::from_micros(random.below(u64::try_from(most).unwrap())))
    }
}

/// What a snapshot must bring back, and where it was.
#[derive(Clone)]
struct Saved {
    source: PathBuf,
    tree: Digest,
}

impl Saved {
    fn now(source: PathBuf) -> Self {
        Self { tree: digest(&source), source }
    }
}

/// A vault that commands are killed in, and all it has promised.
struct Victim {
    vault: SharedVault,
    random: Random,
    judges: Vec<Restic>,
    /// By id: those whose id was printed, and those found after a kill that promise to be whole.
    saved: BTreeMap<String, Saved>,
    rounds: u64,
    killed: u64,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let vault = SharedVault::new();
        let judges = vault.restic().judges();
        let mut victim =
            Self { vault, random: Random::new(seed), judges, saved: BTreeMap::new(), rounds: 0, killed: 0 };
        build(&victim.vault.source(), seed, &tree_options());
        for _ in 0..2 {
            victim.change();
            victim.back_up();
        }
        victim
    }

    fn judge(&mut self) -> Restic {
        self.random.pick(&self.judges).clone()
    }

    /// A day of work on the source, with enough new data for a pack or two.
    fn change(&mut self) {
        let seed = self.random.number();
        mutate(&self.vault.source(), seed, &tree_options());
        let content = self.random.bytes(6 << 20);
        fs::write(self.vault.source().join("large"), content).unwrap();
    }

    fn back_up(&mut self) {
        let summary = self.vault.back_up(&[]);
        self.note(&summary);
    }

    fn note(&mut self, summary: &Value) {
        let id = summary["snapshot_id"].as_str().unwrap().to_owned();
        self.saved.insert(id, Saved::now(self.vault.source()));
    }

    /// The ids of all but the latest snapshots.
    fn oldest_above(&self, keep: usize) -> Vec<String> {
        let listed = self.vault.snapshots();
        let ids = listed.iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned());
        ids.take(listed.len().saturating_sub(keep)).collect()
    }

    fn forget(&mut self, ids: &[String]) {
        if !ids.is_empty() {
            let names: Vec<&str> = ids.iter().map(String::as_str).collect();
            self.vault.lifeboat(&[&["forget"], &names[..]].concat()).ok();
            self.saved.retain(|id, _| !ids.contains(id));
        }
    }

    /// Takes note of snapshots that were copied from there. Returns how many of there have a copy here.
    fn adopt_copies_of(&mut self, origin: &Self) -> usize {
        let mut found = BTreeSet::new();
        for snapshot in self.vault.snapshots() {
            let (id, original) = (snapshot["id"].as_str().unwrap(), snapshot["original"].as_str());
            if let Some((original, saved)) = original.and_then(|id| origin.saved.get_key_value(id)) {
                found.insert(original);
                self.saved.insert(id.to_owned(), saved.clone());
            }
        }
        found.len()
    }

    /// How long the command takes, and how much it changes, on a copy.
    fn measure(&self, arguments: &[&str]) -> Unharmed {
        let copy = self.vault.sandbox.path("copy");
        let copied = Command::new("cp").arg("-a").arg(&self.vault.place).arg(&copy).status().unwrap();
        assert!(copied.success());
        let before = files(&copy);
        let began = Instant::now();
        let mut command = self.vault.command(arguments);
        let output = command.env("LIFEBOAT_VAULT", &copy).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let duration = began.elapsed();
        let changes = before.symmetric_difference(&files(&copy)).count() as u64;
        fs::remove_dir_all(copy).unwrap();
        Unharmed { duration, changes }
    }

    /// Runs the command and kills it at a random moment. Returns what it printed until then.
    fn kill(&mut self, arguments: &[&str]) -> String {
        let unharmed = self.measure(arguments);
        let moment = Moment::choose(&mut self.random, &unharmed);
        let before = files(&self.vault.place);
        let mut command = self.vault.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        match moment {
            Moment::After(time) => std::thread::sleep(time),
            Moment::Changes(count) => {
                while is_running(&mut child)
                    && before.symmetric_difference(&files(&self.vault.place)).count() < count
                {
                    std::thread::yield_now();
                }
            }
        }
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        self.killed += u64::from(output.status.signal().is_some());
        assert!(output.status.success() || output.status.signal().is_some(), "{command:?}: {output:?}");
        self.rounds += 1;
        String::from_utf8(output.stdout).unwrap()
    }

    /// What every kill must leave: a lock at most, which goes; a whole vault; all that was saved; room for more.
    fn recover(&mut self) {
        self.clear_locks();
        self.judge().check();
        let listed = self.vault.snapshots();
        let listed: BTreeSet<&str> = listed.iter().map(|snapshot| snapshot["id"].as_str().unwrap()).collect();
        for id in self.saved.keys() {
            assert!(listed.contains(id.as_str()), "snapshot {id} was saved and is gone");
        }
        let ids: Vec<_> = self.saved.keys().cloned().collect();
        if !ids.is_empty() {
            let id = self.random.pick(&ids).clone();
            self.restore(&id);
        }
        let new = self.vault.back_up(&[]);
        self.note(&new);
        self.restore(new["snapshot_id"].as_str().unwrap());
        if self.random.one_in(ROUNDS_BETWEEN_PRUNES) {
            self.vault.lifeboat(&["prune"]).ok();
        }
    }

    fn clear_locks(&mut self) {
        let locks = self.vault.files("locks").len();
        if self.random.one_in(2) {
            self.vault.lifeboat(&["unlock"]).ok();
        } else {
            let ran = self.vault.lifeboat(&["snapshots"]).ok();
            let told = ran.stderr.matches("removed a lock whose process is dead").count();
            assert_eq!(told, locks, "{}", ran.stderr);
        }
        assert_eq!(self.vault.files("locks").len(), 0);
    }

    fn restore(&mut self, id: &str) {
        let target = self.vault.sandbox.path("restored");
        if self.random.one_in(2) {
            self.judge().restore(id, &target);
        } else {
            self.vault.lifeboat(&["restore", id, "--quiet", "--target", target.to_str().unwrap()]).ok();
        }
        let saved = &self.saved[id];
        let back = digest(&restored(&target, &saved.source));
        saved.tree.assert_same(&back, &format!("snapshot {id}"));
        fs::remove_dir_all(target).unwrap();
    }

    /// The last word: everything saved comes back, and the kills were kills.
    fn finish(mut self) {
        for id in self.saved.keys().cloned().collect::<Vec<_>>() {
            self.restore(&id);
        }
        eprintln!("{} of {} rounds ended by the kill", self.killed, self.rounds);
        assert!(self.killed > 0, "every command was faster than its kill");
    }
}

fn tree_options() -> TreeOptions {
    TreeOptions { entries: 40, largest_file_bytes: 1 << 20, ..TreeOptions::default() }
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

/// The paths of all files of a vault. Files that come and go meanwhile may be among them or not.
fn files(vault: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![vault.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => drop(found.insert(entry.path())),
            }
        }
    }
    found
}

/// The rounds of one of the four commands.
fn rounds() -> usize {
    soak::count(30, "kills").div_ceil(4)
}

#[test]
fn killed_backups_lose_nothing_that_was_saved() {
    let mut victim = Victim::new(1);
    let source = victim.vault.sandbox.arg("source");
    for _ in 0..rounds() {
        victim.change();
        let printed = victim.kill(&["backup", "--json", "--no-progress", &source]);
        if let Some(line) = printed.lines().find(|line| line.contains("snapshot_id")) {
            victim.note(&serde_json::from_str(line).unwrap());
        }
        victim.recover();
        let old = victim.oldest_above(MOST_SNAPSHOTS);
        victim.forget(&old);
    }
    victim.finish();
}

#[test]
fn killed_forgets_lose_nothing_that_was_to_stay() {
    let mut victim = Victim::new(2);
    for _ in 0..rounds() {
        while victim.saved.len() < MOST_SNAPSHOTS {
            victim.change();
            victim.back_up();
        }
        for id in victim.oldest_above(1) {
            victim.saved.remove(&id);
        }
        victim.kill(&["forget", "--keep-last", "1"]);
        victim.recover();
    }
    victim.finish();
}

#[test]
fn killed_prunes_lose_nothing_that_is_in_use() {
    let mut victim = Victim::new(3);
    for _ in 0..rounds() {
        while victim.saved.len() < MOST_SNAPSHOTS {
            victim.change();
            victim.back_up();
        }
        let old = victim.oldest_above(1);
        victim.forget(&old);
        let limit = *victim.random.pick(&["--max-unused=0", "--max-unused=5%", "--repack-small"]);
        victim.kill(&["prune", limit]);
        victim.recover();
        if victim.random.one_in(2) {
            victim.vault.lifeboat(&["prune", limit]).ok();
            victim.judge().check();
        }
    }
    victim.finish();
}

#[test]
fn killed_copies_lose_nothing_and_go_on_where_they_were() {
    let (mut origin, mut victim) = (Victim::new(4), Victim::new(5));
    victim.vault.sandbox.write("from.password", "secret");
    let (from, password) = (origin.vault.place.clone(), victim.vault.sandbox.arg("from.password"));
    let copy = ["copy", "--from-vault", from.to_str().unwrap(), "--from-password-file", &password];
    for _ in 0..rounds() {
        origin.change();
        origin.back_up();
        victim.kill(&copy);
        victim.recover();
        victim.vault.lifeboat(&copy).ok();
        let copies = victim.adopt_copies_of(&origin);
        assert_eq!(copies, origin.saved.len());
        let old = origin.oldest_above(MOST_SNAPSHOTS);
        origin.forget(&old);
        let old = victim.oldest_above(2 * MOST_SNAPSHOTS);
        victim.forget(&old);
    }
    victim.finish();
}
