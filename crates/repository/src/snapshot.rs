//! Snapshot files: the root of one backup, as the JSON that restic writes.
//!
//! A snapshot is written last, when all it leads to is stored and indexed; a crash before leaves no trace of it.
//! Fields that are not known (newer restic, rustic) stay, so that a snapshot can be copied or retagged.

use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::ser::Formatter;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::id::{BlobId, SnapshotId};
use crate::tree::{NodeTime, ZoneOffsets, format_time, parse_time};

/// One backup: when, what, by whom, and the tree that holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFile {
    pub time: SnapshotTime,
    /// The snapshot that unchanged files were taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    pub tree: BlobId,
    #[serde(default, deserialize_with = "or_default")]
    pub paths: Vec<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub uid: u32,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub gid: u32,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The snapshot this one was made of, by copying or retagging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SnapshotSummary>,
    /// Fields that other programs wrote.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Lifeboat's own field of a summary: how many entries are missing in the snapshot. restic passes over it.
pub const ITEMS_LOST: &str = "items_lost";

/// What the backup did, as the snapshot remembers it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotSummary {
    pub backup_start: SnapshotTime,
    pub backup_end: SnapshotTime,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs_new: u64,
    pub dirs_changed: u64,
    pub dirs_unmodified: u64,
    pub data_blobs: u64,
    pub tree_blobs: u64,
    /// Bytes of the blobs added, before compression.
    pub data_added: u64,
    /// Bytes those blobs take in packs.
    pub data_added_packed: u64,
    pub total_files_processed: u64,
    pub total_bytes_processed: u64,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl SnapshotFile {
    /// A snapshot of `tree` taken at `time`, with all else empty.
    pub fn new(time: SnapshotTime, tree: BlobId) -> Self {
        Self {
            time,
            parent: None,
            tree,
            paths: Vec::new(),
            hostname: String::new(),
            username: String::new(),
            uid: 0,
            gid: 0,
            excludes: Vec::new(),
            tags: Vec::new(),
            original: None,
            program_version: String::new(),
            summary: None,
            unknown: Map::new(),
        }
    }

    /// Reads the plaintext of a snapshot file.
    pub fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|error| Error::damaged("cannot read a snapshot").because(error))
    }

    /// The plaintext of the snapshot file, byte for byte as restic writes one.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, GoFormatter);
        self.serialize(&mut serializer).expect("a snapshot has nothing that JSON cannot hold");
        json
    }
}

/// A point in time with the text that says it, whose zone offset is the local time of whoever wrote it.
///
/// Compared and ordered by the instant alone.
#[derive(Clone, Debug)]
pub struct SnapshotTime {
    instant: Timestamp,
    text: String,
}

impl SnapshotTime {
    /// `instant` as it is written in `zone`.
    pub fn new(instant: Timestamp, zone: &TimeZone) -> Self {
        let whole = instant.as_second() - i64::from(instant.subsec_nanosecond() < 0);
        let nanoseconds = instant.subsec_nanosecond().rem_euclid(1_000_000_000).unsigned_abs();
        let text = format_time(NodeTime { seconds: whole, nanoseconds }, &ZoneOffsets::new(zone));
        Self { instant, text }
    }

    /// Reads an RFC 3339 time.
    pub fn parse(text: &str) -> Option<Self> {
        let NodeTime { seconds, nanoseconds } = parse_time(text.as_bytes())?;
        // The last hours of the year 9999 are beyond jiff.
        let seconds = seconds.min(Timestamp::MAX.as_second() - 1);
        let instant = Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()?;
        Some(Self { instant, text: text.to_owned() })
    }

    pub fn instant(&self) -> Timestamp {
        self.instant
    }

    /// RFC 3339, as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Go's zero time.
impl Default for SnapshotTime {
    fn default() -> Self {
        Self::parse("0001-01-01T00:00:00Z").expect("Go's zero time is a time")
    }
}

impl PartialEq for SnapshotTime {
    fn eq(&self, other: &Self) -> bool {
        self.instant == other.instant
    }
}

impl Eq for SnapshotTime {}

impl PartialOrd for SnapshotTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SnapshotTime {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.instant.cmp(&other.instant)
    }
}

impl std::fmt::Display for SnapshotTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for SnapshotTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for SnapshotTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is not a time")))
    }
}

/// Go writes empty lists as `null`, which here means empty again.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Compact JSON with what Go escapes so that it can stand in HTML.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let escaped = |char| matches!(char, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        for part in text.split_inclusive(escaped) {
            let mut chars = part.chars();
            match chars.next_back().filter(|&last| escaped(last)) {
                Some(last) => write!(writer, "{}\\u{:04x}", chars.as_str(), u32::from(last))?,
                None => writer.write_all(part.as_bytes())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::{SnapshotFile, SnapshotSummary, SnapshotTime};
    use crate::id::{BlobId, Id, SnapshotId};

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn snapshot(json: &str) -> SnapshotFile {
        SnapshotFile::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_snapshot_is_laid_out_as_restic_does_it() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let time = SnapshotTime::new(Timestamp::new(1_711_846_800, 120_000_000).unwrap(), &zone);
        let mut snapshot = SnapshotFile::new(time.clone(), BlobId::of(b""));
        assert_eq!(
            String::from_utf8(snapshot.to_json()).unwrap(),
            format!(r#"{{"time":"2024-03-31T03:00:00.12+02:00","tree":"{EMPTY}","paths":[]}}"#)
        );
        let other = SnapshotId::new(Id::of(b""));
        snapshot.parent = Some(other);
        snapshot.paths = vec!["/a<b>&\"\\\u{2028}".to_owned()];
        snapshot.hostname = "host".to_owned();
        snapshot.username = "user".to_owned();
        snapshot.uid = 1;
        snapshot.gid = 2;
        snapshot.excludes = vec!["*.o".to_owned()];
        snapshot.tags = vec!["<".to_owned(), "\u{8}\u{1f}".to_owned()];
        snapshot.original = Some(other);
        snapshot.program_version = "lifeboat 0.1.0".to_owned();
        snapshot.summary = Some(SnapshotSummary { backup_start: time, files_new: 3, ..Default::default() });
        let expected = [
            &format!(r#"{{"time":"2024-03-31T03:00:00.12+02:00","parent":"{EMPTY}","tree":"{EMPTY}","#),
            r#""paths":["/a\u003cb\u003e\u0026\"\\\u2028"],"hostname":"host","username":"user","uid":1,"gid":2,"#,
            &format!(r#""excludes":["*.o"],"tags":["\u003c","\b\u001f"],"original":"{EMPTY}","#),
            r#""program_version":"lifeboat 0.1.0","summary":{"backup_start":"2024-03-31T03:00:00.12+02:00","#,
            r#""backup_end":"0001-01-01T00:00:00Z","files_new":3,"files_changed":0,"files_unmodified":0,"#,
            r#""dirs_new":0,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":0,"tree_blobs":0,"data_added":0,"#,
            r#""data_added_packed":0,"total_files_processed":0,"total_bytes_processed":0}}"#,
        ]
        .concat();
        assert_eq!(String::from_utf8(snapshot.to_json()).unwrap(), expected);
        assert_eq!(super::SnapshotFile::parse(expected.as_bytes()).unwrap(), snapshot);
    }

    #[test]
    fn what_is_missing_or_null_is_empty() {
        let json = format!(
            r#"{{"time":"2015-01-02T03:04:05Z","tree":"{EMPTY}","paths":null,"tags":null,"hostname":null,"uid":null,
                "parent":null,"summary":null}}"#
        );
        let bare = format!(r#"{{"time":"2015-01-02T03:04:05Z","tree":"{EMPTY}"}}"#);
        assert_eq!(snapshot(&json), snapshot(&bare));
        for bad in
            ["", "{}", "null", "[]", &bare.replace("2015", "x"), &bare.replace(EMPTY, "12"), &bare[1..]]
        {
            let error = SnapshotFile::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Damaged, "{bad}");
        }
    }

    #[test]
    fn unknown_fields_and_the_text_of_times_survive_a_rewrite() {
        let json = format!(
            "{}{EMPTY}{}",
            r#"{"time":"2015-01-02T03:04:05.120+05:30","tree":""#,
            r#"","paths":["/"],"tags":["t"],"summary":{"backup_start":"2015-01-02T03:04:05Z","command":"x \u003c"},"#
        ) + r#""delete":{"after":1.5},"label":"l"}"#;
        let again = String::from_utf8(snapshot(&json).to_json()).unwrap();
        assert!(again.contains(r#""time":"2015-01-02T03:04:05.120+05:30""#), "{again}");
        assert!(again.contains(r#""command":"x \u003c"}"#), "{again}");
        assert!(again.ends_with(r#","delete":{"after":1.5},"label":"l"}"#), "{again}");
        assert_eq!(snapshot(&again), snapshot(&json));
    }

    #[test]
    fn times_are_ordered_by_the_instant() {
        let time = |text| SnapshotTime::parse(text).unwrap();
        assert!(time("2024-01-01T12:00:00+02:00") < time("2024-01-01T11:00:00Z"));
        assert_eq!(time("2024-01-01T12:00:00+01:00"), time("2024-01-01T11:00:00.0Z"));
        assert_eq!(time("2024-01-01T12:00:00+01:00").to_string(), "2024-01-01T12:00:00+01:00");
        assert!(time("9999-12-31T23:59:59.999999999-23:59") > time("9999-01-01T00:00:00Z"));
        assert!(time("0000-01-01T00:00:00+23:59") < SnapshotTime::default());
    }

    proptest! {
        #[test]
        fn a_time_comes_back_as_it_was(nanoseconds in -5_000_000_000_000_000_000..9_000_000_000_000_000_000_i128) {
            let instant = Timestamp::from_nanosecond(nanoseconds).unwrap();
            let time = SnapshotTime::new(instant, &TimeZone::UTC);
            prop_assert_eq!(time.instant(), instant);
            prop_assert_eq!(SnapshotTime::parse(time.as_str()).unwrap().instant(), instant);
        }

        #[test]
        fn damaged_snapshots_never_panic(at in 0..200_usize, byte in any::<u8>()) {
            let mut json = SnapshotFile::new(SnapshotTime::default(), BlobId::of(b"")).to_json();
            if let Some(old) = json.get_mut(at) {
                *old = byte;
            }
            if let Ok(snapshot) = SnapshotFile::parse(&json) {
                prop_assert_eq!(SnapshotFile::parse(&snapshot.to_json()).unwrap(), snapshot);
            }
        }
    }
}
