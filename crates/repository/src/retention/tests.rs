//! What policies keep; the comparison with restic itself is in `tests/it`.

use super::*;
use crate::id::Id;

fn key(number: u8, time: &str) -> SnapshotKey {
    SnapshotKey {
        id: SnapshotId::new(Id::from_bytes([number; 32])),
        time: time.parse().unwrap(),
        offset: Offset::UTC,
        group: 0,
        tag_lists: 0,
    }
}

fn now() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

fn decisions(keys: &[SnapshotKey], policy: &Policy) -> Vec<Decision> {
    decide(keys, policy, now(), &TimeZone::UTC).collect()
}

/// For each snapshot the reasons it is kept for; empty when it goes.
fn reasons(keys: &[SnapshotKey], policy: &Policy) -> Vec<String> {
    let describe = |kept: Kept| {
        let words: Vec<_> = kept.reasons.iter().map(|&reason| policy.describe(reason)).collect();
        words.join("; ")
    };
    decisions(keys, policy)
        .into_iter()
        .map(|decision| decision.kept.map(describe).unwrap_or_default())
        .collect()
}

fn keep(last: &str, daily: &str, yearly: &str) -> Policy {
    let mut policy = Policy::default();
    policy.counts.last = last.parse().unwrap();
    policy.counts.daily = daily.parse().unwrap();
    policy.counts.yearly = yearly.parse().unwrap();
    policy
}

#[test]
fn the_newest_of_each_day_is_kept_while_days_are_left() {
    let keys = [
        key(1, "2026-06-14T20:00:00Z"),
        key(2, "2026-06-14T08:00:00Z"),
        key(3, "2026-06-12T20:00:00Z"),
        key(4, "2026-06-11T20:00:00Z"),
    ];
    let policy = keep("0", "2", "0");
    assert_eq!(reasons(&keys, &policy), ["daily snapshot", "", "daily snapshot", ""]);
    let counters: Vec<_> = decisions(&keys, &policy)
        .into_iter()
        .filter_map(|decision| decision.kept)
        .map(|kept| kept.counters.daily)
        .collect();
    assert_eq!(counters, [Count::Some(1), Count::None]);
}

#[test]
fn the_oldest_is_kept_while_a_count_is_not_used_up() {
    let keys =
        [key(1, "2026-06-14T20:00:00Z"), key(2, "2026-06-13T08:00:00Z"), key(3, "2026-01-01T00:00:00Z")];
    assert_eq!(reasons(&keys, &keep("0", "0", "3")), ["yearly snapshot", "", "oldest yearly snapshot"]);
}

#[test]
fn hours_and_days_are_those_of_the_offset_the_snapshot_was_made_at() {
    let mut west = key(1, "2026-06-14T02:00:00Z");
    west.offset = Offset::constant(-5);
    let keys = [key(2, "2026-06-14T03:00:00Z"), west, key(3, "2026-06-13T23:00:00Z")];
    assert_eq!(
        reasons(&keys, &keep("0", "5", "0")),
        ["daily snapshot", "daily snapshot", "oldest daily snapshot"]
    );
}

#[test]
fn a_span_counts_back_from_the_newest() {
    let keys =
        [key(1, "2026-01-31T12:00:00Z"), key(2, "2026-01-29T12:00:01Z"), key(3, "2026-01-29T12:00:00Z")];
    let policy = Policy { within: "2d".parse().unwrap(), ..Policy::default() };
    assert_eq!(reasons(&keys, &policy), ["within 2d", "within 2d", ""]);
    let mut policy = Policy::default();
    policy.within_each.daily = "3d".parse().unwrap();
    assert_eq!(reasons(&keys, &policy), ["daily within 3d", "daily within 3d", "oldest daily within 3d"]);
}

#[test]
fn tags_keep_without_being_counted() {
    let policy =
        Policy { tags: vec![vec!["a".into(), "b".into()], vec![String::new()]], ..keep("1", "0", "0") };
    let tagged = |number, time, tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(|&tag| tag.into()).collect();
        SnapshotKey { tag_lists: policy.tag_lists_matching(&tags), ..key(number, time) }
    };
    let keys = [
        tagged(1, "2026-06-14T04:00:00Z", &["b", "x", "a"]),
        tagged(2, "2026-06-14T03:00:00Z", &["a"]),
        tagged(3, "2026-06-14T02:00:00Z", &[]),
    ];
    assert_eq!(reasons(&keys, &policy), ["has tags [a, b]; last snapshot", "", "has tags []"]);
}

#[test]
fn a_snapshot_dated_in_the_future_neither_counts_nor_goes() {
    let keys =
        [key(1, "2099-01-01T00:00:00Z"), key(2, "2026-06-14T00:00:00Z"), key(3, "2026-06-13T00:00:00Z")];
    assert_eq!(reasons(&keys, &keep("1", "0", "0")), ["dated in the future", "last snapshot", ""]);
    let policy = Policy { within: "1d".parse().unwrap(), ..Policy::default() };
    assert_eq!(reasons(&keys, &policy), ["dated in the future", "within 1d", ""]);
    assert_eq!(latest(keys, now()).unwrap().id, keys[1].id);
    assert_eq!(latest(keys[..1].to_vec(), now()).unwrap().id, keys[0].id);
    assert_eq!(latest([], now()), None);
}

#[test]
fn unlimited_keeps_one_of_each_for_ever() {
    let keys = [
        key(1, "2026-06-14T20:00:00Z"),
        key(2, "2024-06-14T08:00:00Z"),
        key(3, "2024-06-13T08:00:00Z"),
        key(4, "2022-06-13T08:00:00Z"),
    ];
    let policy = keep("0", "0", "unlimited");
    assert_eq!(reasons(&keys, &policy), ["yearly snapshot", "yearly snapshot", "", "yearly snapshot"]);
    let last = decisions(&keys, &policy).pop().unwrap().kept.unwrap();
    assert_eq!(serde_json::to_string(&last.counters).unwrap(), r#"{"yearly":-1}"#);
}

#[test]
fn a_policy_prints_as_restic_prints_it() {
    let mut policy = Policy {
        tags: vec![vec!["a".into(), "b".into()]],
        within: "1y2h".parse().unwrap(),
        ..keep("3", "-1", "0")
    };
    policy.within_each.weekly = "7d".parse().unwrap();
    assert_eq!(
        policy.to_string(),
        "keep 3 latest, all daily snapshots, weekly snapshots within 7d and all snapshots with tags [[a, b]] \
         and all snapshots within 1y2h of the newest"
    );
    assert!(Policy::default().is_empty() && !policy.is_empty());
    assert_eq!(Policy::default().to_string(), "remove");
}

#[test]
fn counts_other_than_numbers_and_unlimited_are_refused() {
    assert_eq!("7".parse::<Count>().unwrap(), Count::Some(7));
    for bad in ["-2", "x", "", "1.5"] {
        assert!(bad.parse::<Count>().is_err(), "{bad}");
    }
}

#[test]
fn groups_are_numbered_by_what_they_share() {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut groups = Groups::new("host,paths".parse().unwrap());
    let first = groups.number("h", &words(&["/b", "/a"]), &words(&["x"]));
    assert_eq!(groups.number("h", &words(&["/a", "/b"]), &[]), first);
    assert_ne!(groups.number("g", &words(&["/a", "/b"]), &[]), first);
    let sorted = groups.into_sorted();
    assert_eq!(sorted[0].0.hostname, "g");
    assert_eq!(sorted[1].0.paths, Some(words(&["/a", "/b"])));
    assert!("host,user".parse::<GroupBy>().is_err());
    assert!("".parse::<GroupBy>().unwrap().is_nothing());
}
