//! Values that options take: sizes, durations, lists of tags, snapshots, moments.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Tags separated by commas; a snapshot has to bear all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TagList(pub(crate) Vec<String>);

impl FromStr for TagList {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.split(',').map(|tag| tag.trim().to_owned()).collect()))
    }
}

/// A number of bytes, with restic's suffixes: `10`, `10k`, `10M`, `10G`, `10T`, in powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl FromStr for ByteSize {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (number, factor) = match text.char_indices().next_back() {
            Some((at, 'b' | 'B')) => (text.get(..at), 1),
            Some((at, 'k' | 'K')) => (text.get(..at), 1 << 10),
            Some((at, 'm' | 'M')) => (text.get(..at), 1 << 20),
            Some((at, 'g' | 'G')) => (text.get(..at), 1 << 30),
            Some((at, 't' | 'T')) => (text.get(..at), 1_u64 << 40),
            _ => (Some(text), 1),
        };
        let number: u64 = number.unwrap_or_default().parse().context("not a size like 10M")?;
        number.checked_mul(factor).map(Self).context("the size is too large")
    }
}

/// A span of time such as `5m`, `1h30m` or `10s`.
pub(crate) fn parse_duration(text: &str) -> anyhow::Result<Duration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().context("not a duration like 1h30m")?;
        let unit = after.find(|char: char| char.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            "h" => Duration::from_secs(number.saturating_mul(3600)),
            _ => bail!("units are h, m, s and ms"),
        };
        total = total.saturating_add(part);
        rest = after;
    }
    if text.is_empty() { bail!("not a duration like 1h30m") } else { Ok(total) }
}

/// A moment as people type it: `2012-11-01`, `2012-11-01 22:08`, `2012-11-01 22:08:41` in the time zone here, or
/// RFC 3339 with an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Local(DateTime),
    Exact(Timestamp),
}

impl Moment {
    pub(crate) fn at(self, zone: &TimeZone) -> anyhow::Result<Timestamp> {
        match self {
            Self::Exact(time) => Ok(time),
            Self::Local(local) => Ok(zone.to_ambiguous_timestamp(local).compatible()?),
        }
    }
}

impl FromStr for Moment {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::Exact(time));
        }
        let local =
            text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
        local.map(Self::Local).context("not a time like 2012-11-01 22:08:41")
    }
}

/// Names a snapshot: the newest, or the beginning of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotName {
    Latest,
    /// Hex digits, lower case.
    Id(String),
}

impl FromStr for SnapshotName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.is_empty() || text.len() > 64 || !is_hex {
            bail!("neither \"latest\" nor the beginning of a snapshot's id");
        }
        Ok(Self::Id(text.to_ascii_lowercase()))
    }
}

/// A snapshot, or a folder in it: `latest:/home`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotPath {
    pub(crate) snapshot: SnapshotName,
    pub(crate) path: Option<String>,
}

impl FromStr for SnapshotPath {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (snapshot, path) = match text.split_once(':') {
            Some((snapshot, path)) => (snapshot, Some(path.to_owned())),
            None => (text, None),
        };
        Ok(Self { snapshot: snapshot.parse()?, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_1024() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("17b", 17), ("2k", 2048), ("3M", 3 << 20), ("1t", 1 << 40)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize(bytes));
        }
        for bad in ["", "k", "-1", "1.5M", "99999999999999T", "10Mi", "ä"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_add_their_units() {
        assert_eq!(parse_duration("1h30m5s20ms").unwrap(), Duration::from_millis(5_405_020));
        assert_eq!(parse_duration("0").unwrap(), Duration::ZERO);
        for bad in ["", "5", "m", "1d", "-1s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_without_an_offset_are_local() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2012-11-01 22:08:41", "2012-11-01T21:08:41Z"),
            ("2012-07-01", "2012-06-30T22:00:00Z"),
            ("2012-07-01 10:30", "2012-07-01T08:30:00Z"),
            ("2012-07-01T10:30:00+05:00", "2012-07-01T05:30:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.at(&berlin).unwrap().to_string(), expected);
        }
        assert!("yesterday".parse::<Moment>().is_err());
    }

    #[test]
    fn snapshots_are_named_by_latest_or_hex_digits() {
        let path: SnapshotPath = "latest:/a:b".parse().unwrap();
        assert_eq!((path.snapshot, path.path.as_deref()), (SnapshotName::Latest, Some("/a:b")));
        assert_eq!("ABcd".parse::<SnapshotName>().unwrap(), SnapshotName::Id("abcd".into()));
        for bad in ["", "xyz", "last", &"a".repeat(65)] {
            assert!(bad.parse::<SnapshotName>().is_err(), "{bad}");
        }
    }
}
