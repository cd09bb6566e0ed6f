//! Values that are too large for one command: one command for each element, none of them held but members of sorted
//! sets, whose scores the RDB has behind them and Redis wants before them.

use std::io::Read;

use super::commands::Commands;
use super::stream::replay_stream;
use crate::redis::error::{RedisError, RedisErrorKind, Result};
use crate::redis::rdb::{Input, Packed, PackedForm, PackedKind, Pieces, Text, ValueKind, text_score};
use crate::redis::server::Version;

/// Of a member of a sorted set.
pub(super) const MEMBER_BYTES: u64 = 16 << 20;

/// Replays the whole of a value into its key, which does not exist.
pub(super) fn replay_value<R: Read>(
    kind: ValueKind,
    input: &mut Input<R>,
    version: &Version,
    to: &mut dyn Commands,
) -> Result<()> {
    match kind {
        ValueKind::String => texts(&["SET"], 1, input, to),
        ValueKind::List => each(input, |input| texts(&["RPUSH"], 1, input, to)),
        ValueKind::Set => each(input, |input| texts(&["SADD"], 1, input, to)),
        ValueKind::Hash => each(input, |input| texts(&["HSET"], 2, input, to)),
        ValueKind::SortedSet { is_text } => each(input, |input| {
            let member = Text::open(input)?.hold(MEMBER_BYTES, "a member of a sorted set")?;
            let score = if is_text {
                text_score(input)?
            } else {
                format!("{:e}", f64::from_le_bytes(input.array()?)).into_bytes()
            };
            to.simple(&["ZADD"], &[&score, &member])
        }),
        ValueKind::Packed(kind) => packed(kind, input, to),
        ValueKind::Quicklist { has_containers } => each(input, |input| {
            let form = match has_containers {
                true => [None, Some(PackedForm::Listpack)].get(container(input)?).copied().flatten(),
                false => Some(PackedForm::Ziplist),
            };
            match form {
                None => texts(&["RPUSH"], 1, input, to),
                Some(form) => entries(&["RPUSH"], 1, Packed::open(Text::open(input)?, form)?, to),
            }
        }),
        ValueKind::Stream(of) => replay_stream(of, input, version, to),
        ValueKind::ExpiringHash => Err(too_large("a hash with fields that expire")),
    }
}

/// Whether the node of a list is an element alone (0) or a listpack (1).
fn container<R: Read>(input: &mut Input<R>) -> Result<usize> {
    match input.length()? {
        1 => Ok(0),
        2 => Ok(1),
        other => Err(input.damaged(format!("a list with a container of the unknown kind {other}")).into()),
    }
}

fn packed<R: Read>(kind: PackedKind, input: &mut Input<R>, to: &mut dyn Commands) -> Result<()> {
    let (words, parts, form) = match kind {
        PackedKind::ListZiplist => (&["RPUSH"], 1, PackedForm::Ziplist),
        PackedKind::SetIntset => (&["SADD"], 1, PackedForm::Intset),
        PackedKind::SetListpack => (&["SADD"], 1, PackedForm::Listpack),
        PackedKind::HashZiplist => (&["HSET"], 2, PackedForm::Ziplist),
        PackedKind::HashListpack => (&["HSET"], 2, PackedForm::Listpack),
        PackedKind::SortedSetZiplist => return scored(PackedForm::Ziplist, input, to),
        PackedKind::SortedSetListpack => return scored(PackedForm::Listpack, input, to),
        PackedKind::HashZipmap => return Err(too_large("a hash of Redis before 2.6")),
        PackedKind::ExpiringHashListpack => return Err(too_large("a hash with fields that expire")),
    };
    entries(words, parts, Packed::open(Text::open(input)?, form)?, to)
}

fn too_large(what: &str) -> RedisError {
    let what = format!("{what} is larger than {} MiB, which cannot be restored", super::WHOLE_BYTES >> 20);
    RedisError::new(RedisErrorKind::Unsupported, what)
}

/// One command of the next strings.
fn texts<R: Read>(
    words: &[&'static str],
    count: u64,
    input: &mut Input<R>,
    to: &mut dyn Commands,
) -> Result<()> {
    to.begin(words, count)?;
    for _ in 0..count {
        let mut text = Text::open(input)?;
        to.pieces(&mut text)?;
        text.finish()?;
    }
    to.end()
}

/// One command for each so many entries.
fn entries<R: Read>(
    words: &[&'static str],
    count: u64,
    mut packed: Packed<'_, R>,
    to: &mut dyn Commands,
) -> Result<()> {
    while packed.next()? {
        to.begin(words, count)?;
        to.pieces(&mut packed)?;
        for _ in 1..count {
            packed.expect_next()?;
            to.pieces(&mut packed)?;
        }
        to.end()?;
    }
    Ok(packed.finish()?)
}

fn scored<R: Read>(form: PackedForm, input: &mut Input<R>, to: &mut dyn Commands) -> Result<()> {
    let mut packed = Packed::open(Text::open(input)?, form)?;
    while packed.next()? {
        let member = held(&mut packed)?;
        packed.expect_next()?;
        let score = held(&mut packed)?;
        to.simple(&["ZADD"], &[&score, &member])?;
    }
    Ok(packed.finish()?)
}

/// The bytes of an entry.
pub(super) fn held<R: Read>(packed: &mut Packed<'_, R>) -> Result<Vec<u8>> {
    if packed.left() > MEMBER_BYTES {
        return Err(packed.unsupported("an entry of more than 16 MiB that must be held").into());
    }
    let mut bytes = Vec::new();
    while packed.left() > 0 {
        bytes.extend_from_slice(packed.piece(u64::MAX)?);
    }
    Ok(bytes)
}

/// A count, and so many items.
pub(super) fn each<R: Read>(
    input: &mut Input<R>,
    mut item: impl FnMut(&mut Input<R>) -> Result<()>,
) -> Result<()> {
    let count = input.length()?;
    (0..count).try_for_each(|_| item(input))
}
