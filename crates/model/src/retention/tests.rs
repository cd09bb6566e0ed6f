//! How long snapshots live, compared with a model that knows no calendar arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const HOUR: i64 = 3_600_000;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Millis {
    Millis::from(text.parse::<Timestamp>().unwrap())
}

/// Father, son and all: what a user thinks of when he writes the four rules.
fn generations() -> Retention {
    let rule = |period, days| RetentionRule { period, days };
    let rules = vec![
        rule(Period::Day, 7),
        rule(Period::Week, 31),
        rule(Period::Month, 400),
        rule(Period::Year, 3650),
    ];
    Retention { days: Some(1), rules, keep_latest: false }
}

/// The same by hand: all snapshots in one heap for each period, told apart by text, and the earliest of each heap.
fn naive(times: &[Millis], retention: &Retention, zone: &TimeZone) -> Vec<Option<u32>> {
    let label = |time: Millis, period| {
        let local = Timestamp::from(time).to_zoned(zone.clone());
        match period {
            Period::Day => local.strftime("%Y-%m-%d").to_string(),
            Period::Week => local.strftime("%G-%V").to_string(),
            Period::Month => local.strftime("%Y-%m").to_string(),
            Period::Year => local.strftime("%Y").to_string(),
        }
    };
    let mut longest: BTreeMap<Millis, u32> =
        times.iter().map(|time| (*time, retention.days.unwrap())).collect();
    for rule in &retention.rules {
        let mut heaps: BTreeMap<String, BTreeSet<Millis>> = BTreeMap::new();
        for time in times {
            heaps.entry(label(*time, rule.period)).or_default().insert(*time);
        }
        for heap in heaps.values() {
            let days = longest.get_mut(heap.first().unwrap()).unwrap();
            *days = rule.days.max(*days);
        }
    }
    times.iter().map(|time| Some(longest[time])).collect()
}

fn decided(times: &[Millis], retention: &Retention, zone: &TimeZone) -> Vec<Option<u32>> {
    let before = std::iter::once(None).chain(times.iter().copied().map(Some));
    times.iter().zip(before).map(|(time, previous)| retention.days_of(*time, previous, zone)).collect()
}

#[test]
fn generations_are_those_of_a_naive_model_over_years_of_leap_days_and_daylight_saving() {
    for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "UTC"] {
        let zone = zone(name);
        // Steps that do not fit into a day, so that runs wander over midnights, changes of the clock and new years.
        for hours in [1, 5, 7, 23, 24, 25, 61, 167] {
            let start = at("2023-12-28T22:30:00Z");
            let runs = 6 * 366 * 24 / hours;
            let times: Vec<_> = (0..runs).map(|run| start.plus(run * hours * HOUR)).collect();
            let expected = naive(&times, &generations(), &zone);
            assert_eq!(decided(&times, &generations(), &zone), expected, "{name}, every {hours} hours");
        }
    }
}

#[test]
fn the_first_of_a_leap_day_and_of_a_day_with_a_changed_clock_is_the_first_of_that_day() {
    let zone = zone("Europe/Berlin");
    let daily = Retention { days: Some(1), rules: generations().rules[..1].to_vec(), ..Retention::default() };
    let leap = [at("2024-02-28T22:59:59Z"), at("2024-02-28T23:00:00Z"), at("2024-02-29T22:59:59Z")];
    assert_eq!(decided(&leap, &daily, &zone), [Some(7), Some(7), Some(1)]);
    // 31 March 2024 has 23 hours there: 23:00Z of the day before to 22:00Z.
    let short = [at("2024-03-30T23:00:00Z"), at("2024-03-31T21:59:59Z"), at("2024-03-31T22:00:00Z")];
    assert_eq!(decided(&short, &daily, &zone), [Some(7), Some(1), Some(7)]);
}

#[test]
fn a_rule_never_shortens_and_for_ever_stays_for_ever() {
    let long = Retention { days: Some(5000), ..generations() };
    assert_eq!(long.days_of(at("2024-01-01T12:00:00Z"), None, &TimeZone::UTC), Some(5000));
    let ever = Retention { days: None, ..generations() };
    assert_eq!(ever.days_of(at("2024-01-01T12:00:00Z"), None, &TimeZone::UTC), None);
}

#[test]
fn a_day_of_retention_is_24_hours() {
    assert_eq!(expiry(at("2024-03-30T12:00:00Z"), 1), at("2024-03-31T12:00:00Z"));
    assert_eq!(expiry(Millis(i64::MAX - 1), u32::MAX), Millis(i64::MAX));
}

/// Looks at the clock every minute for `hours`.
fn minutes(mut watch: ClockWatch, hours: i64) -> ClockWatch {
    for _ in 0..hours * 60 {
        watch = watch.look(watch.seen.plus(60_000));
    }
    watch
}

#[test]
fn a_clock_that_leaps_a_year_ahead_expires_nothing_for_a_day() {
    let watch = minutes(ClockWatch::first(at("2024-01-01T00:00:00Z")), 48);
    assert!(watch.may_expire());
    let leapt = watch.look(at("2025-01-03T00:00:00Z"));
    assert!(!leapt.may_expire());
    assert!(!minutes(leapt, 23).may_expire());
    assert!(minutes(leapt, 24).may_expire());
    // Leaping on and on does not wear the hold down.
    assert!(!leapt.look(leapt.seen.plus(300 * 24 * HOUR)).may_expire());
}

#[test]
fn a_clock_that_is_set_right_again_is_believed_after_a_day() {
    let watch = minutes(ClockWatch::first(at("2024-01-01T00:00:00Z")), 1);
    let right = watch.look(at("2034-01-01T00:00:00Z")).look(at("2024-01-01T01:02:00Z"));
    assert!(!right.may_expire());
    assert!(minutes(right, 24).may_expire());
}

#[test]
fn a_night_without_the_server_holds_nothing_back() {
    let watch = ClockWatch::first(at("2024-01-01T18:00:00Z"));
    assert!(watch.look(at("2024-01-02T09:00:00Z")).may_expire());
    assert!(!watch.look(at("2024-01-15T09:00:00Z")).may_expire());
}
