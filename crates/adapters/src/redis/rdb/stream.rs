//! Streams: packed nodes of entries, and the groups that read them with what they have not acknowledged.

use std::io::Read;

use super::error::Result;
use super::input::Input;
use super::text::skip_text;
use super::value::{StreamVersion, each};

/// The id of an entry: milliseconds and a number among those of the same millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId {
    pub(crate) millis: u64,
    pub(crate) number: u64,
}

impl StreamId {
    /// As two lengths.
    fn read<R: Read>(input: &mut Input<R>) -> Result<Self> {
        Ok(Self { millis: input.length()?, number: input.length()? })
    }

    /// As sixteen bytes.
    pub(crate) fn of(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        Self { millis: half(both >> 64), number: half(both) }
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// What is told of a stream behind its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamState {
    pub(crate) last: StreamId,
    /// The greatest id ever deleted, and how many entries were ever added: since Redis 7.
    pub(crate) history: Option<(StreamId, u64)>,
    pub(crate) groups: u64,
}

/// What is told of a group before its pending entries.
#[derive(Debug)]
pub(crate) struct GroupState {
    pub(crate) last: StreamId,
    /// Since Redis 7; all ones where it is not known.
    pub(crate) entries_read: Option<u64>,
    pub(crate) pending: u64,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) id: StreamId,
    pub(crate) delivered_at: u64,
    pub(crate) deliveries: u64,
}

impl StreamState {
    pub(crate) fn read<R: Read>(version: StreamVersion, input: &mut Input<R>) -> Result<Self> {
        input.length()?;
        let last = StreamId::read(input)?;
        let history = if version >= StreamVersion::V2 {
            StreamId::read(input)?;
            Some((StreamId::read(input)?, input.length()?))
        } else {
            None
        };
        Ok(Self { last, history, groups: input.length()? })
    }
}

impl GroupState {
    /// What follows the name.
    pub(crate) fn read<R: Read>(version: StreamVersion, input: &mut Input<R>) -> Result<Self> {
        let last = StreamId::read(input)?;
        let entries_read = if version >= StreamVersion::V2 { Some(input.length()?) } else { None };
        Ok(Self { last, entries_read, pending: input.length()? })
    }
}

impl Pending {
    pub(crate) fn read<R: Read>(input: &mut Input<R>) -> Result<Self> {
        let id = StreamId::of(input.array()?);
        let delivered_at = u64::from_le_bytes(input.array()?);
        Ok(Self { id, delivered_at, deliveries: input.length()? })
    }
}

/// What follows the name of a consumer, up to the count of its pending ids.
pub(crate) fn skip_consumer_times<R: Read>(version: StreamVersion, input: &mut Input<R>) -> Result<()> {
    input.skip(if version >= StreamVersion::V3 { 16 } else { 8 })
}

pub(super) fn skip_stream<R: Read>(version: StreamVersion, input: &mut Input<R>) -> Result<()> {
    each(input, |input| {
        skip_text(input)?;
        skip_text(input)
    })?;
    let state = StreamState::read(version, input)?;
    for _ in 0..state.groups {
        skip_text(input)?;
        let group = GroupState::read(version, input)?;
        for _ in 0..group.pending {
            Pending::read(input)?;
        }
        each(input, |input| {
            skip_text(input)?;
            skip_consumer_times(version, input)?;
            each(input, |input| input.skip(16))
        })?;
    }
    Ok(())
}
