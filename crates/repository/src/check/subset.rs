//! Which packs a check reads: all, one group of several, or a random share. Spelled as restic spells it.

use std::str::FromStr;

use crate::id::{Id, PackId};

/// Which packs are read in full.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ReadData {
    #[default]
    None,
    All,
    /// Group `number` (from 1) of `of` groups, by the first byte of the packs' names: checks of all groups, one
    /// after another, read everything.
    Group {
        number: u16,
        of: u16,
    },
    /// A random share of the packs.
    Percent(f64),
    /// Random packs of about this size together.
    Bytes(u64),
}

/// Not a subset of the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither n/t (1 ≤ n ≤ t ≤ 256) nor a percentage such as 2.5% nor a size such as 500M")]
pub struct ParseReadDataError(String);

/// What follows `--read-data-subset`: `n/t`, `x%` or a size with an optional `K`, `M`, `G` or `T`.
impl FromStr for ReadData {
    type Err = ParseReadDataError;

    fn from_str(text: &str) -> Result<Self, ParseReadDataError> {
        let parsed = if let Some((number, of)) = text.split_once('/') {
            parse_group(number, of)
        } else if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
            percent.map(Self::Percent)
        } else {
            parse_bytes(text).map(Self::Bytes)
        };
        parsed.ok_or_else(|| ParseReadDataError(text.to_owned()))
    }
}

fn parse_group(number: &str, of: &str) -> Option<ReadData> {
    let (number, of) = (number.parse().ok()?, of.parse().ok()?);
    let is_one = number >= 1 && number <= of && of <= 256;
    is_one.then_some(ReadData::Group { number, of })
}

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (bytes > 0).then_some(bytes)
}

/// A pack that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) number: u32,
    pub(super) pack: PackId,
    pub(super) bytes: u64,
}

impl ReadData {
    /// Takes away the packs that are not to be read. The same seed makes the same random choice.
    pub(super) fn choose(self, packs: &mut Vec<Candidate>, seed: u64) {
        match self {
            Self::None => packs.clear(),
            Self::All => {}
            Self::Group { number, of } => packs.retain(|candidate| {
                let [first, ..] = *candidate.pack.as_bytes();
                u16::from(first) % of.max(1) + 1 == number
            }),
            Self::Percent(percent) => keep_random(packs, percent / 100.0, seed),
            Self::Bytes(bytes) => {
                let all: u64 = packs.iter().map(|candidate| candidate.bytes).sum();
                keep_random(packs, as_float(bytes) / as_float(all.max(1)), seed);
            }
        }
    }
}

/// Keeps this share of the packs, but at least one.
fn keep_random(packs: &mut Vec<Candidate>, share: f64, seed: u64) {
    packs.sort_by_cached_key(|candidate| {
        let text = [seed.to_le_bytes().as_slice(), candidate.pack.as_bytes()].concat();
        Id::of(&text)
    });
    let many = as_float(packs.len() as u64) * share;
    // Never more than there are, however large the share.
    let keep = (1..packs.len()).find(|keep| as_float(*keep as u64 + 1) > many);
    packs.truncate(keep.unwrap_or(packs.len()));
}

#[expect(clippy::cast_precision_loss, reason = "a share of the packs needs no fifteen digits")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(count: u32) -> Vec<Candidate> {
        let pack = |number: u32| PackId::new(Id::of(&number.to_le_bytes()));
        (0..count).map(|number| Candidate { number, pack: pack(number), bytes: 10 }).collect()
    }

    #[test]
    fn subsets_are_spelled_as_restic_does() {
        assert_eq!("2/5".parse(), Ok(ReadData::Group { number: 2, of: 5 }));
        assert_eq!("256/256".parse(), Ok(ReadData::Group { number: 256, of: 256 }));
        assert_eq!("2.5%".parse(), Ok(ReadData::Percent(2.5)));
        assert_eq!("100%".parse(), Ok(ReadData::Percent(100.0)));
        assert_eq!("50".parse(), Ok(ReadData::Bytes(50)));
        assert_eq!("3k".parse(), Ok(ReadData::Bytes(3 << 10)));
        assert_eq!("5G".parse(), Ok(ReadData::Bytes(5 << 30)));
        for bad in
            ["", "0/5", "6/5", "1/257", "1/0", "a/b", "0%", "101%", "-1%", "%", "0", "5X", "G", "99999999T"]
        {
            assert!(bad.parse::<ReadData>().is_err(), "{bad}");
        }
    }

    #[test]
    fn all_groups_together_are_all_packs() {
        let mut seen: Vec<u32> = Vec::new();
        for number in 1..=7 {
            let mut group = packs(100);
            ReadData::Group { number, of: 7 }.choose(&mut group, 0);
            seen.extend(group.iter().map(|candidate| candidate.number));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_random_share_has_its_size_and_follows_the_seed() {
        let choose = |read_data: ReadData, count, seed| {
            let mut packs = packs(count);
            read_data.choose(&mut packs, seed);
            packs
        };
        assert_eq!(choose(ReadData::Percent(10.0), 100, 1).len(), 10);
        assert_eq!(choose(ReadData::Percent(0.1), 100, 1).len(), 1);
        assert_eq!(choose(ReadData::Percent(100.0), 100, 1).len(), 100);
        assert_eq!(choose(ReadData::Bytes(250), 100, 1).len(), 25);
        assert_eq!(choose(ReadData::Bytes(1 << 40), 100, 1).len(), 100);
        assert_eq!(choose(ReadData::Percent(10.0), 0, 1), []);
        assert_eq!(choose(ReadData::Percent(10.0), 100, 1), choose(ReadData::Percent(10.0), 100, 1));
        assert_ne!(choose(ReadData::Percent(10.0), 100, 1), choose(ReadData::Percent(10.0), 100, 2));
    }
}
