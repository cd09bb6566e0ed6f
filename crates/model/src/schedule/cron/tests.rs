//! Due times over ten years, compared with a model that watches the clock on the wall.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};

use super::*;

fn cron(text: &str) -> Cron {
    Cron::parse("0", text).unwrap_or_else(|| panic!("{text:?} is refused"))
}

fn at(text: &str) -> Millis {
    Millis::from(text.parse::<Timestamp>().unwrap())
}

/// Rules that need no data of the machine's.
fn zone(rule: &str) -> TimeZone {
    TimeZone::posix(rule).unwrap()
}

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";
/// Half an hour of daylight saving.
const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
const KOLKATA: &str = "IST-5:30";

#[test]
fn weekdays_count_from_sunday_and_have_names() {
    // 2021-09-15 was a Wednesday.
    let start = at("2021-09-15T06:00:00Z").seconds().to_string();
    for text in ["0 0 2 ? * 3,5,7", "0 0 2 ? * TUE,THU,SAT", "0 0 2 * * tue,Thu,SAT *", "0 0 2 ? * 3-7/2"] {
        let cron = Cron::parse(&start, text).unwrap_or_else(|| panic!("{text}"));
        let first = cron.next_after(Millis(0), &TimeZone::UTC).unwrap();
        let second = cron.next_after(first, &TimeZone::UTC).unwrap();
        assert_eq!([first, second], [at("2021-09-16T02:00:00Z"), at("2021-09-18T02:00:00Z")], "{text}");
    }
}

#[test]
fn nothing_runs_before_the_start_and_the_start_itself_does() {
    let start = at("2024-05-01T02:00:00Z");
    let cron = Cron::parse(&start.seconds().to_string(), "0 0 2 * * ?").unwrap();
    assert_eq!(cron.next_after(Millis(0), &TimeZone::UTC), Some(start));
    assert_eq!(cron.next_after(start.plus(-1), &TimeZone::UTC), Some(start));
    assert_eq!(cron.next_after(start, &TimeZone::UTC), Some(at("2024-05-02T02:00:00Z")));
}

#[test]
fn hours_are_those_of_the_zone() {
    let nightly = cron("0 30 2 * * ?");
    let winter = at("2024-01-10T12:00:00Z");
    assert_eq!(nightly.next_after(winter, &zone(BERLIN)), Some(at("2024-01-11T01:30:00Z")));
    assert_eq!(nightly.next_after(winter, &zone(NEW_YORK)), Some(at("2024-01-11T07:30:00Z")));
    assert_eq!(nightly.next_after(winter, &zone(KOLKATA)), Some(at("2024-01-10T21:00:00Z")));
}

#[test]
fn a_moment_that_the_clock_leaps_over_is_due_right_after_and_one_shown_twice_once() {
    let (berlin, nightly) = (zone(BERLIN), cron("0 30 2 * * ?"));
    // At 02:00 the clock leaps to 03:00, which is 01:00 in UTC.
    assert_eq!(nightly.next_after(at("2024-03-30T12:00:00Z"), &berlin), Some(at("2024-03-31T01:00:00Z")));
    assert_eq!(nightly.next_after(at("2024-03-31T01:00:00Z"), &berlin), Some(at("2024-04-01T00:30:00Z")));
    // It shows 02:30 at 00:30 and again at 01:30 in UTC.
    assert_eq!(nightly.next_after(at("2024-10-26T12:00:00Z"), &berlin), Some(at("2024-10-27T00:30:00Z")));
    assert_eq!(nightly.next_after(at("2024-10-27T00:30:00Z"), &berlin), Some(at("2024-10-28T01:30:00Z")));
    assert_eq!(nightly.next_after(at("2024-10-27T01:10:00Z"), &berlin), Some(at("2024-10-28T01:30:00Z")));
}

#[test]
fn leap_days_come_every_four_years_but_in_2100() {
    let leap = cron("0 0 0 29 2 ?");
    let mut now = at("2095-01-01T00:00:00Z");
    let mut days = Vec::new();
    for _ in 0..2 {
        now = leap.next_after(now, &TimeZone::UTC).unwrap();
        days.push(now);
    }
    assert_eq!(days, [at("2096-02-29T00:00:00Z"), at("2104-02-29T00:00:00Z")]);
}

#[test]
fn what_is_no_quartz_is_refused() {
    for text in [
        "",
        "0 0 2 * *",
        "0 0 2 * * ? * *",
        "60 0 2 * * ?",
        "0 0 24 * * ?",
        "0 0 2 1 * 2",
        "0 0 2 ? * 8",
        "0 0 2 ? * 0",
        "0 0 2 30 2 ?",
        "0 0 2 ? * SUNMON",
        "0 0 2 ? JANFEB 1",
        "JAN 0 2 * * ?",
        "0 0 2 ?1 * *",
        "@daily",
        "0 0 2 * * +2",
        "0 0 2 * * ?|x",
        "0 0 2 * * ? 1960",
        "0/0 0 2 * * ?",
        "0 0 2 5-3 * ?",
        "0 0 2 ? * 2#6",
    ] {
        assert!(Cron::parse("0", text).is_none(), "{text}");
    }
    assert!(Cron::parse("-1", "0 0 2 * * ?").is_none());
    assert!(Cron::parse("x", "0 0 2 * * ?").is_none());
    assert!(Cron::parse("0", &format!("{} 0 2 * * ?", "1,".repeat(200) + "1")).is_none());
}

#[test]
fn last_days_and_numbered_weekdays_are_known() {
    let after = at("2024-01-31T12:00:00Z");
    for (text, due) in [
        ("0 0 2 L * ?", "2024-02-29T02:00:00Z"),
        ("0 0 2 ? * 6L", "2024-02-23T02:00:00Z"),
        ("0 0 2 ? * FRI#2", "2024-02-09T02:00:00Z"),
        ("0 0 2 15W 6 ?", "2024-06-14T02:00:00Z"),
        ("0 0/20 2 1 * ?", "2024-02-01T02:00:00Z"),
        ("0 0 2 29 FEB ? 2028", "2028-02-29T02:00:00Z"),
    ] {
        assert_eq!(cron(text).next_after(after, &TimeZone::UTC), Some(at(due)), "{text}");
    }
}

/// What is due is known without any rule of time zones: somebody looks at the clock on the wall every five
/// minutes.
struct Watch {
    due: BTreeMap<&'static str, Vec<Millis>>,
}

type IsDue = fn(DateTime) -> bool;

const PATTERNS: [(&str, IsDue); 7] = [
    ("0 30 2 * * ?", |t| (t.hour(), t.minute()) == (2, 30)),
    ("0 0/15 * * * ?", |t| t.minute() % 15 == 0),
    ("0 15 1,2,3 * * ?", |t| matches!(t.hour(), 1..=3) && t.minute() == 15),
    ("0 0 2 ? * SUN", |t| (t.hour(), t.minute()) == (2, 0) && weekday(t.date()) == 0),
    ("0 45 1 29 2 ?", |t| (t.month(), t.day(), t.hour(), t.minute()) == (2, 29, 1, 45)),
    ("0 10 2 31 * ?", |t| (t.day(), t.hour(), t.minute()) == (31, 2, 10)),
    ("0 55 2 ? 3,10,11 2-6", |t| {
        matches!(t.month(), 3 | 10 | 11)
            && (t.hour(), t.minute()) == (2, 55)
            && matches!(weekday(t.date()), 1..=5)
    }),
];

/// Days since Sunday, counted from 1970-01-01, which was a Thursday.
fn weekday(date: Date) -> i32 {
    let days = date.since(Date::constant(1970, 1, 1)).unwrap().get_days();
    (days + 4).rem_euclid(7)
}

impl Watch {
    fn over(years: std::ops::Range<i16>, zone: &TimeZone) -> Self {
        let utc = |year: i16| DateTime::constant(year, 1, 1, 0, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap();
        let (mut now, end) = (utc(years.start).timestamp(), utc(years.end).timestamp());
        let step = jiff::SignedDuration::from_mins(5);
        let mut last_shown = zone.to_datetime(now - step);
        let mut due: BTreeMap<_, Vec<_>> = PATTERNS.map(|(text, _)| (text, Vec::new())).into();
        while now < end {
            let shown = zone.to_datetime(now);
            // All that the clock has leapt over, and what it shows; nothing when it shows that again.
            while last_shown < shown {
                last_shown += step;
                for (text, is_due) in PATTERNS {
                    let times = due.get_mut(text).unwrap();
                    if is_due(last_shown) && times.last() != Some(&now.into()) {
                        times.push(now.into());
                    }
                }
            }
            now += step;
        }
        Self { due }
    }
}

#[test]
fn in_ten_years_each_moment_is_due_exactly_once_whatever_daylight_saving_does() {
    for rule in [BERLIN, NEW_YORK, LORD_HOWE, KOLKATA] {
        let zone = zone(rule);
        let watch = Watch::over(2023..2033, &zone);
        for (text, expected) in watch.due {
            let cron = cron(text);
            let first = at("2023-01-01T00:00:00Z").plus(-1);
            let mut now = first;
            let mut found = Vec::new();
            while let Some(next) =
                cron.next_after(now, &zone).filter(|next| *next < at("2033-01-01T00:00:00Z"))
            {
                assert!(next > now, "{rule} {text}");
                found.push(next);
                now = next;
            }
            assert!(expected.len() >= 2, "{rule} {text}");
            assert_eq!(found, expected, "{rule} {text}");
        }
    }
}
