//! The types of values, and how to get over a value without holding it.

use std::io::Read;

use super::error::Result;
use super::input::Input;
use super::stream::skip_stream;
use super::text::skip_text;

/// The type byte of a value that can be read, by the structure behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    String,
    List,
    Set,
    /// With scores of eight bytes, or as text by Redis before 4.
    SortedSet {
        is_text: bool,
    },
    Hash,
    /// One string that holds all elements.
    Packed(PackedKind),
    /// Nodes of ziplists, or of listpacks and plain strings.
    Quicklist {
        has_containers: bool,
    },
    Stream(StreamVersion),
    /// A hash with fields that expire, of Redis 7.4.
    ExpiringHash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PackedKind {
    HashZipmap,
    ListZiplist,
    SetIntset,
    SortedSetZiplist,
    HashZiplist,
    HashListpack,
    SortedSetListpack,
    SetListpack,
    ExpiringHashListpack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StreamVersion {
    V1,
    V2,
    V3,
}

impl ValueKind {
    /// Of the type byte that was just read.
    pub(super) fn of<R: Read>(byte: u8, input: &mut Input<R>) -> Result<Self> {
        Ok(match byte {
            0 => Self::String,
            1 => Self::List,
            2 => Self::Set,
            3 => Self::SortedSet { is_text: true },
            5 => Self::SortedSet { is_text: false },
            4 => Self::Hash,
            9 => Self::Packed(PackedKind::HashZipmap),
            10 => Self::Packed(PackedKind::ListZiplist),
            11 => Self::Packed(PackedKind::SetIntset),
            12 => Self::Packed(PackedKind::SortedSetZiplist),
            13 => Self::Packed(PackedKind::HashZiplist),
            14 => Self::Quicklist { has_containers: false },
            15 => Self::Stream(StreamVersion::V1),
            16 => Self::Packed(PackedKind::HashListpack),
            17 => Self::Packed(PackedKind::SortedSetListpack),
            18 => Self::Quicklist { has_containers: true },
            19 => Self::Stream(StreamVersion::V2),
            20 => Self::Packed(PackedKind::SetListpack),
            21 => Self::Stream(StreamVersion::V3),
            24 => Self::ExpiringHash,
            25 => Self::Packed(PackedKind::ExpiringHashListpack),
            22 | 23 => return Err(input.unsupported("a hash of a release candidate of Redis 7.4")),
            6 => return Err(input.unsupported("a value of a module of Redis 4 before its release")),
            _ => return Err(input.damaged(format!("the unknown type {byte} of a value"))),
        })
    }
}

/// Reads over a value. Strings are counted and passed, not looked into.
pub(crate) fn skip_value<R: Read>(kind: ValueKind, input: &mut Input<R>) -> Result<()> {
    match kind {
        ValueKind::String => skip_text(input),
        ValueKind::List | ValueKind::Set => each(input, skip_text),
        ValueKind::Hash => each(input, |input| {
            skip_text(input)?;
            skip_text(input)
        }),
        ValueKind::SortedSet { is_text } => each(input, |input| {
            skip_text(input)?;
            if is_text { text_score(input).map(drop) } else { input.skip(8) }
        }),
        ValueKind::Packed(PackedKind::ExpiringHashListpack) => {
            input.skip(8)?;
            skip_text(input)
        }
        ValueKind::Packed(_) => skip_text(input),
        ValueKind::Quicklist { has_containers } => each(input, |input| {
            if has_containers {
                input.length()?;
            }
            skip_text(input)
        }),
        ValueKind::Stream(version) => skip_stream(version, input),
        ValueKind::ExpiringHash => {
            input.skip(8)?;
            each(input, |input| {
                input.length()?;
                skip_text(input)?;
                skip_text(input)
            })
        }
    }
}

/// A count, and so many items.
pub(crate) fn each<R: Read>(
    input: &mut Input<R>,
    mut item: impl FnMut(&mut Input<R>) -> Result<()>,
) -> Result<()> {
    let count = input.length()?;
    (0..count).try_for_each(|_| item(input))
}

/// A score as Redis before 4 wrote it.
pub(crate) fn text_score<R: Read>(input: &mut Input<R>) -> Result<Vec<u8>> {
    Ok(match input.byte()? {
        255 => b"-inf".to_vec(),
        254 => b"+inf".to_vec(),
        253 => return Err(input.damaged("a score that is no number")),
        length => {
            let mut text = Vec::new();
            for _ in 0..length {
                text.push(input.byte()?);
            }
            text
        }
    })
}
