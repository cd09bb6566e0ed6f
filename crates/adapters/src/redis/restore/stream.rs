//! Streams that are too large for one command: their entries, then their groups with what is pending.
//!
//! When a consumer was last seen is lost, and so is a pending entry that no longer exists (Redis forgets those itself
//! as soon as anybody claims them).

use std::io::Read;

use super::commands::Commands;
use super::elements::{MEMBER_BYTES, each, held};
use crate::redis::error::{RedisError, RedisErrorKind, Result};
use crate::redis::rdb::{
    GroupState, Input, Packed, PackedForm, Pending, Pieces, StreamId, StreamState, StreamVersion, Text,
    skip_consumer_times,
};
use crate::redis::server::Version;

/// Pending entries of one group are held, 32 bytes each.
const MOST_PENDING: u64 = 1 << 21;
const NAME_BYTES: u64 = 1 << 20;
const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

pub(super) fn replay_stream<R: Read>(
    of: StreamVersion,
    input: &mut Input<R>,
    version: &Version,
    to: &mut dyn Commands,
) -> Result<()> {
    let mut is_empty = true;
    each(input, |input| {
        let first = Text::open(input)?.hold(16, "the id of a node")?;
        let first = first.try_into().map_err(|_| input.damaged("the id of a node is not of 16 bytes"))?;
        let packed = Packed::open(Text::open(input)?, PackedForm::Listpack)?;
        is_empty &= node(StreamId::of(first), packed, to)? == 0;
        Ok(())
    })?;
    let state = StreamState::read(of, input)?;
    if is_empty {
        to.simple(&["XADD"], &[b"0-1", b"x", b"x"])?;
        to.simple(&["XDEL"], &[b"0-1"])?;
    }
    let last = state.last.to_string();
    match state.history.filter(|_| version.major >= 7) {
        Some((deleted, added)) => {
            let (deleted, added) = (deleted.to_string(), added.to_string());
            let history = [b"ENTRIESADDED", added.as_bytes(), b"MAXDELETEDID", deleted.as_bytes()];
            to.simple(&["XSETID"], &[&[last.as_bytes()][..], &history].concat())?;
        }
        None => to.simple(&["XSETID"], &[last.as_bytes()])?,
    }
    (0..state.groups).try_for_each(|_| group(of, input, version, to))
}

/// Adds the entries of one node and returns how many there are.
fn node<R: Read>(first: StreamId, mut packed: Packed<'_, R>, to: &mut dyn Commands) -> Result<u64> {
    let (live, deleted) = (packed.number()?, packed.number()?);
    let mut fields = Vec::new();
    let mut bytes = 0;
    for _ in 0..packed.number()? {
        packed.expect_next()?;
        bytes += packed.left();
        if bytes > MEMBER_BYTES {
            return Err(packed.unsupported("names of fields of more than 16 MiB").into());
        }
        fields.push(held(&mut packed)?);
    }
    packed.number()?;
    let mut added = 0;
    for _ in 0..live.saturating_add(deleted) {
        added += u64::from(entry(first, &fields, &mut packed, to)?);
    }
    if packed.next()? {
        return Err(packed.damaged("a node of a stream has more entries than it says").into());
    }
    packed.finish()?;
    Ok(added)
}

/// Adds one entry; false when it is a deleted one.
fn entry<R: Read>(
    first: StreamId,
    fields: &[Vec<u8>],
    packed: &mut Packed<'_, R>,
    to: &mut dyn Commands,
) -> Result<bool> {
    let flags = packed.number()?;
    let millis = first.millis.wrapping_add_signed(packed.number()?);
    let number = first.number.wrapping_add_signed(packed.number()?);
    let has_same_fields = flags & SAME_FIELDS != 0;
    let count = match has_same_fields {
        true => fields.len() as u64,
        false => {
            u64::try_from(packed.number()?).map_err(|_| packed.damaged("an entry of less than no fields"))?
        }
    };
    let is_live = flags & DELETED == 0;
    if is_live {
        to.begin(&["XADD"], 1 + 2 * count)?;
        to.part(StreamId { millis, number }.to_string().as_bytes())?;
    }
    let mut names = fields.iter();
    for _ in 0..count {
        if let Some(name) = names.next().filter(|_| has_same_fields) {
            if is_live {
                to.part(name)?;
            }
        } else {
            packed.expect_next()?;
            if is_live {
                to.pieces(packed)?;
            }
        }
        packed.expect_next()?;
        if is_live {
            to.pieces(packed)?;
        }
    }
    packed.number()?;
    if is_live {
        to.end()?;
    }
    Ok(is_live)
}

fn group<R: Read>(
    of: StreamVersion,
    input: &mut Input<R>,
    version: &Version,
    to: &mut dyn Commands,
) -> Result<()> {
    let name = Text::open(input)?.hold(NAME_BYTES, "the name of a group")?;
    let state = GroupState::read(of, input)?;
    let last = state.last.to_string();
    let mut parts: Vec<&[u8]> = vec![&name, last.as_bytes()];
    let read = state.entries_read.filter(|_| version.major >= 7).map(|read| read.cast_signed().to_string());
    if let Some(read) = &read {
        parts.extend([b"ENTRIESREAD", read.as_bytes()]);
    }
    to.simple(&["XGROUP", "CREATE"], &parts)?;
    if state.pending > MOST_PENDING {
        let what = format!(
            "a group of a large stream with {} pending entries, more than the {MOST_PENDING} that can be restored",
            state.pending
        );
        return Err(RedisError::new(RedisErrorKind::Unsupported, what));
    }
    let mut pending = Vec::new();
    for _ in 0..state.pending {
        pending.push(Pending::read(input)?);
    }
    // They are in the order of their ids when a server wrote them.
    pending.sort_by_key(|pending| pending.id);
    let knows_consumers = (version.major, version.minor) >= (6, 2);
    each(input, |input| {
        let consumer = Text::open(input)?.hold(NAME_BYTES, "the name of a consumer")?;
        skip_consumer_times(of, input)?;
        if knows_consumers {
            to.simple(&["XGROUP", "CREATECONSUMER"], &[&name, &consumer])?;
        }
        each(input, |input| {
            let id = StreamId::of(input.array()?);
            let found = pending.binary_search_by_key(&id, |pending| pending.id).ok();
            match found.and_then(|at| pending.get(at)) {
                Some(pending) => claim(&name, &consumer, pending, to),
                None => Err(input.damaged("a consumer has an entry that its group has not").into()),
            }
        })
    })
}

fn claim(group: &[u8], consumer: &[u8], pending: &Pending, to: &mut dyn Commands) -> Result<()> {
    let (id, time) = (pending.id.to_string(), pending.delivered_at.to_string());
    let count = pending.deliveries.to_string();
    let (id, time, count) = (id.as_bytes(), time.as_bytes(), count.as_bytes());
    to.simple(
        &["XCLAIM"],
        &[group, consumer, b"0", id, b"TIME", time, b"RETRYCOUNT", count, b"FORCE", b"JUSTID"],
    )
}
