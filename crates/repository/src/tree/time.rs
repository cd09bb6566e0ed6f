//! Times as Go writes and reads them: RFC 3339 in a zone, nanoseconds without trailing zeros.
//!
//! Any time a file system can hold is written: years outside 0 to 9999 are moved to the nearest of the two, as
//! restic does. Zone offsets are tabulated once, because every entry of every tree asks for three of them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::node::NodeTime;

const DAY_SECONDS: i64 = 86_400;
/// The Gregorian calendar, weekdays included, repeats after 400 years.
const CYCLE_SECONDS: i64 = 146_097 * DAY_SECONDS;
/// 2100-01-01: by now every zone follows a yearly rule or none.
const RULES_FROM: i64 = 4_102_444_800;
const RULES_UNTIL: i64 = RULES_FROM + CYCLE_SECONDS;
/// The longest text: `9999-12-31T23:59:59.999999999+00:00`.
const TIME_TEXT_BYTES: usize = 35;

/// The UTC offsets of one time zone, for any second there is.
#[derive(Clone, Debug)]
pub struct ZoneOffsets {
    /// The offset before the first change.
    first: i32,
    /// Each change: from which second on, and to which offset. Ascending, up to [`RULES_UNTIL`].
    changes: Vec<(i64, i32)>,
}

/// Seconds over which an offset stays the same: from `start` to before `end`.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: i64,
    end: i64,
    offset: i32,
}

impl Stretch {
    const NONE: Self = Self { start: 0, end: 0, offset: 0 };

    fn contains(&self, second: i64) -> bool {
        self.start <= second && second < self.end
    }
}

impl ZoneOffsets {
    pub fn new(zone: &TimeZone) -> Self {
        let first = zone.to_offset(Timestamp::MIN).seconds();
        let changes = zone
            .following(Timestamp::MIN)
            .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
            .take_while(|&(second, _)| second < RULES_UNTIL)
            .collect();
        Self { first, changes }
    }

    fn stretch_at(&self, second: i64) -> Stretch {
        if second < RULES_UNTIL {
            return self.tabulated(second);
        }
        let folded = RULES_FROM + (second - RULES_FROM) % CYCLE_SECONDS;
        let Stretch { start, end, offset } = self.tabulated(folded);
        let ahead = second - folded;
        Stretch { start: start.saturating_add(ahead), end: end.saturating_add(ahead), offset }
    }

    fn tabulated(&self, second: i64) -> Stretch {
        let after = self.changes.partition_point(|&(start, _)| start <= second);
        let end = self.changes.get(after).map_or(RULES_UNTIL, |&(start, _)| start);
        match after.checked_sub(1).and_then(|before| self.changes.get(before)) {
            Some(&(start, offset)) => Stretch { start, end, offset },
            None => Stretch { start: i64::MIN, end, offset: self.first },
        }
    }
}

/// Writes times in one zone; remembers the last stretch and the last text, since times come in crowds.
#[derive(Debug)]
pub(super) struct TimeWriter<'a> {
    zone: &'a ZoneOffsets,
    stretch: Stretch,
    last: NodeTime,
    text: Vec<u8>,
}

impl<'a> TimeWriter<'a> {
    pub(super) fn new(zone: &'a ZoneOffsets) -> Self {
        let text = Vec::with_capacity(TIME_TEXT_BYTES);
        let mut writer = Self { zone, stretch: Stretch::NONE, last: NodeTime::UNKNOWN, text };
        writer.render(NodeTime::UNKNOWN);
        writer
    }

    /// Appends the text of `time`, without quotes.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, time: NodeTime) {
        if time != self.last {
            self.render(time);
            self.last = time;
        }
        out.extend_from_slice(&self.text);
    }

    fn render(&mut self, time: NodeTime) {
        self.text.clear();
        let (local, offset) = if time == NodeTime::UNKNOWN {
            (time.seconds, 0)
        } else {
            let offset = self.offset_at(time.seconds);
            self.clamp(time.seconds.saturating_add(offset.into()), offset)
        };
        push_local(&mut self.text, local, time.nanoseconds);
        push_offset(&mut self.text, offset);
    }

    fn offset_at(&mut self, second: i64) -> i32 {
        if !self.stretch.contains(second) {
            self.stretch = self.zone.stretch_at(second);
        }
        self.stretch.offset
    }

    /// Moves a local time into the years that JSON can carry: same month, day and clock, and what offset the
    /// zone has then.
    fn clamp(&mut self, local: i64, offset: i32) -> (i64, i32) {
        let (year, month, day) = civil_from_days(local.div_euclid(DAY_SECONDS));
        if (0..=9999).contains(&year) {
            return (local, offset);
        }
        let days = days_from_civil(year.clamp(0, 9999), month, day);
        let moved = days * DAY_SECONDS + local.rem_euclid(DAY_SECONDS);
        // Like Go: guess the offset from the clock on the wall, and ask again if that leads elsewhere.
        let guess = self.zone.stretch_at(moved);
        let second = moved - i64::from(guess.offset);
        let offset = if guess.contains(second) { guess.offset } else { self.zone.stretch_at(second).offset };
        (moved - i64::from(guess.offset) + i64::from(offset), offset)
    }
}

fn push_local(out: &mut Vec<u8>, local: i64, nanoseconds: u32) {
    let (year, month, day) = civil_from_days(local.div_euclid(DAY_SECONDS));
    let clock = local.rem_euclid(DAY_SECONDS);
    push_digits(out, year, 4);
    for (mark, value) in
        [(b'-', month), (b'-', day), (b'T', clock / 3600), (b':', clock / 60 % 60), (b':', clock % 60)]
    {
        out.push(mark);
        push_digits(out, value, 2);
    }
    if nanoseconds > 0 {
        out.push(b'.');
        push_digits(out, nanoseconds.into(), 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Offsets have minutes on paper; Go cuts the seconds that old local times have.
fn push_offset(out: &mut Vec<u8>, offset: i32) {
    if offset == 0 {
        return out.push(b'Z');
    }
    let minutes = i64::from(offset / 60);
    out.push(if minutes < 0 { b'-' } else { b'+' });
    push_digits(out, minutes.abs() / 60, 2);
    out.push(b':');
    push_digits(out, minutes.abs() % 60, 2);
}

fn push_digits(out: &mut Vec<u8>, value: i64, digits: usize) {
    let mut text = [b'0'; 9];
    let mut rest = value.unsigned_abs();
    for digit in text.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(text.get(text.len() - digits..).unwrap_or_default());
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar extended both ways.
///
/// Years are counted from March, which puts the leap day last.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let from_0000_03_01 = days + 719_468;
    let era = from_0000_03_01.div_euclid(146_097);
    let day_of_era = from_0000_03_01.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`]; a 29 February of a common year is its 1 March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let march_year = year - i64::from(month <= 2);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The time in `zone` as Go's JSON has it.
pub fn format_time(time: NodeTime, zone: &ZoneOffsets) -> String {
    let mut text = Vec::with_capacity(TIME_TEXT_BYTES);
    TimeWriter::new(zone).push(&mut text, time);
    String::from_utf8(text).expect("digits and marks are ASCII")
}

/// Reads an RFC 3339 time. Digits beyond nanoseconds are dropped.
pub fn parse_time(text: &[u8]) -> Option<NodeTime> {
    let (date, rest) = text.split_first_chunk::<19>()?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', n1, n2, b':', s1, s2] =
        date
    else {
        return None;
    };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    if day == 0 || day > days_of_month(year, month)? {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanoseconds, rest) = parse_fraction(rest)?;
    let offset = parse_offset(rest)?;
    let seconds =
        days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
    Some(NodeTime { seconds, nanoseconds })
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(28 + i64::from(is_leap)),
        _ => None,
    }
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

fn parse_fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some((b'.', mut rest)) = text.split_first() else { return Some((0, text)) };
    let (mut nanoseconds, mut place) = (0, 100_000_000);
    let digits = rest.len();
    while let Some((&digit @ b'0'..=b'9', tail)) = rest.split_first() {
        nanoseconds += u32::from(digit - b'0') * place;
        place /= 10;
        rest = tail;
    }
    (rest.len() < digits).then_some((nanoseconds, rest))
}

fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, &[h1, h2, b':', m1, m2]) = text.split_first_chunk::<1>().and_then(|(sign, rest)| {
        let rest: &[u8; 5] = match rest {
            [] if matches!(sign, b"Z" | b"z") => b"00:00",
            _ => rest.try_into().ok()?,
        };
        Some((sign, rest))
    })?
    else {
        return None;
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b"-" => Some(-(hours * 3600 + minutes * 60)),
        b"+" | b"Z" | b"z" => Some(hours * 3600 + minutes * 60),
        _ => None,
    }
}
