//! Policies against restic itself: many policies over one repository, decided by `restic forget --dry-run`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::retention::{
    CalendarSpan, Groups, Period, Policy, SnapshotKey, decide, sort_by_group,
};
use serde_json::Value;

use crate::rng::Rng;

const SNAPSHOTS: usize = 44;
const ZONE: &str = "America/New_York";

fn restic(vault: &Path) -> Command {
    let mut command = Command::new("restic");
    command.env("RESTIC_PASSWORD", "x").env("TZ", ZONE).args(["--no-cache", "--json", "-r"]).arg(vault);
    command
}

fn run(command: &mut Command) -> Value {
    let output = command.output().expect("restic must be installed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Snapshots in clusters of minutes, hours, days and months; the oldest years before all others, because
/// restic before 0.17 and after it differ on an oldest snapshot that shares its year with another.
fn times(rng: &mut Rng) -> Vec<String> {
    let mut time: Zoned = "2026-03-12T00:40:00[America/New_York]".parse().unwrap();
    let mut times = Vec::new();
    for _ in 0..SNAPSHOTS - 2 {
        times.push(time.strftime("%Y-%m-%d %H:%M:%S").to_string());
        let minutes = match rng.below(6) {
            0 => 17,
            1 => 75,
            2 => 60 * 9,
            3 => 60 * 24,
            4 => 60 * 24 * 6,
            _ => 60 * 24 * 33,
        };
        time = time.checked_sub(jiff::SignedDuration::from_mins(minutes)).unwrap();
    }
    times.extend(["2015-01-01 00:00:00".to_owned(), "2014-06-01 10:00:00".to_owned()]);
    times
}

fn make_vault(folder: &Path, rng: &mut Rng) -> std::path::PathBuf {
    let vault = folder.join("vault");
    run(restic(&vault).arg("init"));
    let source = folder.join("source");
    std::fs::write(&source, "content").unwrap();
    for (number, time) in times(rng).into_iter().enumerate() {
        let mut command = restic(&vault);
        command.args(["backup", "--time", &time]).arg(&source);
        let host = if number + 2 < SNAPSHOTS {
            ["here", "here", "there"][rng.below(3)]
        } else {
            ["here", "there"][number % 2]
        };
        command.args(["--host", host]);
        for tag in ["a", "b"] {
            if rng.below(4) == 0 {
                command.args(["--tag", tag]);
            }
        }
        run(&mut command);
    }
    vault
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    words.map(|word| word.as_str().unwrap().to_owned()).collect()
}

struct Listed {
    key: SnapshotKey,
    tags: Vec<String>,
}

fn listed(vault: &Path, groups: &mut Groups) -> Vec<Listed> {
    let list = run(restic(vault).arg("snapshots"));
    let key_of = |snapshot: &Value| {
        let time = snapshot["time"].as_str().unwrap();
        let pieces = jiff::fmt::temporal::Pieces::parse(time).unwrap();
        let tags = words(&snapshot["tags"]);
        let host = snapshot["hostname"].as_str().unwrap();
        let key = SnapshotKey {
            id: snapshot["id"].as_str().unwrap().parse().unwrap(),
            time: time.parse().unwrap(),
            offset: pieces.to_numeric_offset().unwrap_or(Offset::UTC),
            group: groups.number(host, &words(&snapshot["paths"]), &tags),
            tag_lists: 0,
        };
        Listed { key, tags }
    };
    list.as_array().unwrap().iter().map(key_of).collect()
}

fn random_policy(rng: &mut Rng) -> (Policy, Vec<String>) {
    let mut policy = Policy::default();
    let mut options = Vec::new();
    for period in Period::ALL {
        if rng.below(3) == 0 {
            // No "unlimited": restic took that up after 0.14.
            let count = [1, 2, 3, 5, 1000][rng.below(5)].to_string();
            *policy.counts.get_mut(period) = count.parse().unwrap();
            options.push(format!("--keep-{}={count}", period.name()));
        }
        if rng.below(5) == 0 && period != Period::Last {
            let span = ["5d", "40d3h", "3m", "1y2m", "13m11d"][rng.below(5)];
            *policy.within_each.get_mut(period) = span.parse::<CalendarSpan>().unwrap();
            options.push(format!("--keep-within-{}={span}", period.name()));
        }
    }
    if rng.below(3) == 0 || policy.is_empty() {
        let span = ["1d", "26h", "2m", "1y"][rng.below(4)];
        policy.within = span.parse().unwrap();
        options.push(format!("--keep-within={span}"));
    }
    if rng.below(3) == 0 {
        let list = ["a", "a,b", "b"][rng.below(3)];
        policy.tags.push(list.split(',').map(str::to_owned).collect());
        options.push(format!("--keep-tag={list}"));
    }
    (policy, options)
}

/// For each snapshot `matches` and `counters`, `None` when it goes.
type Outcome = BTreeMap<SnapshotId, Option<(Vec<String>, Value)>>;

fn decided_by_restic(vault: &Path, options: &[String]) -> Outcome {
    let groups = run(restic(vault).args(["forget", "--dry-run", "--group-by=host,paths"]).args(options));
    let mut outcome = Outcome::new();
    let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().parse().unwrap();
    for group in groups.as_array().unwrap() {
        let kept = group["keep"].as_array().into_iter().flatten();
        for (snapshot, reason) in kept.zip(group["reasons"].as_array().into_iter().flatten()) {
            let why = (words(&reason["matches"]), reason["counters"].clone());
            outcome.insert(id(snapshot), Some(why));
        }
        for snapshot in group["remove"].as_array().into_iter().flatten() {
            outcome.insert(id(snapshot), None);
        }
    }
    outcome
}

fn decided_by_us(listed: &[Listed], policy: &Policy) -> Outcome {
    let keyed =
        |listed: &Listed| SnapshotKey { tag_lists: policy.tag_lists_matching(&listed.tags), ..listed.key };
    let mut keys: Vec<_> = listed.iter().map(keyed).collect();
    sort_by_group(&mut keys);
    let zone = TimeZone::get(ZONE).unwrap();
    let now: Timestamp = "2026-03-13T00:00:00Z".parse().unwrap();
    let mut outcome = Outcome::new();
    for group in keys.chunk_by(|a, b| a.group == b.group) {
        for decision in decide(group, policy, now, &zone) {
            let why = decision.kept.map(|kept| {
                let describe = |&reason| policy.describe(reason).replace("oldest ", "");
                (kept.reasons.iter().map(describe).collect(), serde_json::to_value(kept.counters).unwrap())
            });
            outcome.insert(decision.id, why);
        }
    }
    outcome
}

#[test]
fn policies_keep_what_they_keep_in_restic() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(7);
    let vault = make_vault(folder.path(), &mut rng);
    let mut groups = Groups::new("host,paths".parse().unwrap());
    let listed = listed(&vault, &mut groups);
    assert_eq!(listed.len(), SNAPSHOTS);
    assert_eq!(groups.into_sorted().len(), 2);
    for _ in 0..16 {
        let (policy, options) = random_policy(&mut rng);
        let (ours, theirs) = (decided_by_us(&listed, &policy), decided_by_restic(&vault, &options));
        for (id, theirs) in &theirs {
            let key = listed.iter().find(|listed| listed.key.id == *id).unwrap().key;
            assert_eq!(ours.get(id), Some(theirs), "{options:?}: {} at {}", id.short(), key.time);
        }
        assert_eq!(ours.len(), theirs.len());
    }
}
