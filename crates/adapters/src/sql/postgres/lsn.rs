//! Positions in the write-ahead log, and the names of its files.

use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// This is no position in a log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a position in the log is written as two hexadecimal numbers with a slash between")]
pub struct NotLsn;

impl FromStr for Lsn {
    type Err = NotLsn;

    fn from_str(text: &str) -> Result<Self, NotLsn> {
        let (high, low) = text.split_once('/').ok_or(NotLsn)?;
        let half = |text: &str| u32::from_str_radix(text, 16).map(u64::from).map_err(|_| NotLsn);
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

/// Which timeline, and how long its files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    pub(super) timeline: u32,
    /// A power of two between 1 MiB and 1 GiB.
    pub(super) bytes: u64,
}

impl Segments {
    /// The start of the file that holds `lsn`.
    pub(super) fn start(&self, lsn: Lsn) -> Lsn {
        Lsn(lsn.0 - lsn.0 % self.bytes)
    }

    /// The name of the file that holds `lsn`.
    pub(super) fn name(&self, lsn: Lsn) -> String {
        let (number, each) = (lsn.0 / self.bytes, (1 << 32) / self.bytes);
        format!("{:08X}{:08X}{:08X}", self.timeline, number / each, number % each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_the_server_does() {
        let lsn: Lsn = "1A/2000028".parse().unwrap();
        assert_eq!((lsn.0, lsn.to_string().as_str()), (0x1A_0200_0028, "1A/2000028"));
        assert!("1A".parse::<Lsn>().is_err() && "1/123456789".parse::<Lsn>().is_err());
    }

    #[test]
    fn files_are_named_by_timeline_and_position() {
        let segments = Segments { timeline: 1, bytes: 16 << 20 };
        assert_eq!(segments.name(Lsn(0x1_0200_0028)), "000000010000000100000002");
        assert_eq!(segments.start(Lsn(0x1_0200_0028)), Lsn(0x1_0200_0000));
    }
}
