//! A restore: RDBs are replayed into a running server or cluster by commands.
//!
//! Small values go as RESTORE takes them, in the very bytes of the RDB; larger ones element by element, so that memory
//! stays bounded. Everything that can be known before is known before anything is overwritten: that the target answers
//! and is a master, that it reads this version of RDB, and that the user may run every command that is needed. A
//! restore that ends in the middle leaves the keys that it came to; it can be run again.

mod commands;
mod elements;
mod filter;
mod link;
mod stream;
mod target;

use std::io::Read;

use lifeboat_repository::Ctx;
use lifeboat_repository::clock::Clock;

use super::error::{RedisError, RedisErrorKind, Result};
use super::rdb::{Item, Key, Parser};
use crate::endpoint::Endpoint;
use commands::Commands;
pub use commands::rehearse;
use elements::replay_value;
pub use filter::KeyFilter;
use link::{Link, Writer};
use target::Target;

/// Values up to this length go in one command.
const WHOLE_BYTES: usize = 16 << 20;

pub struct RestoreOptions<'a> {
    /// Without one everything that the target holds is deleted first. With one, only these keys are replaced.
    pub filter: Option<KeyFilter>,
    /// Tells which keys have expired meanwhile.
    pub clock: &'a dyn Clock,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreSummary {
    pub restored_keys: u64,
    /// Left out, because they would be gone by now.
    pub expired_keys: u64,
    /// Left out by the filter.
    pub other_keys: u64,
    /// Libraries of functions; with a filter, none.
    pub functions: u64,
    /// Pending entries of groups of very large streams that were not made again, because the entry itself is deleted.
    pub lost_pending: u64,
}

/// Replays the RDBs of all data nodes of one backup, one after the other. The target may have other shards than the
/// source had, or none.
pub fn restore<R: Read>(
    rdbs: Vec<R>,
    endpoint: &Endpoint,
    options: &RestoreOptions<'_>,
    ctx: &Ctx,
) -> Result<RestoreSummary> {
    let parsers: Vec<Parser<R>> = rdbs.into_iter().map(Parser::new).collect::<Result<_, _>>()?;
    let newest = parsers.iter().map(Parser::version).max();
    let newest =
        newest.ok_or_else(|| RedisError::new(RedisErrorKind::InvalidInput, "there is no RDB to restore"))?;
    let mut target = Target::open(endpoint, newest, options.filter.is_none(), ctx)?;
    if options.filter.is_none() {
        target.empty(ctx)?;
    }
    let mut summary = RestoreSummary::default();
    for parser in parsers {
        Replay { target: &mut target, options, summary: &mut summary }.all_of(parser, ctx)?;
    }
    summary.lost_pending = target.finish()?;
    Ok(summary)
}

struct Replay<'a> {
    target: &'a mut Target,
    options: &'a RestoreOptions<'a>,
    summary: &'a mut RestoreSummary,
}

impl Replay<'_> {
    fn all_of<R: Read>(&mut self, mut parser: Parser<R>, ctx: &Ctx) -> Result<()> {
        while let Some(item) = parser.next_item()? {
            match item {
                Item::Key(key) => {
                    ctx.cancel.check()?;
                    self.key(&key, &mut parser)?;
                }
                Item::Function(code) if self.options.filter.is_none() => {
                    self.target.load_function(&code)?;
                    self.summary.functions += 1;
                }
                Item::Function(_) | Item::Aux { .. } | Item::End { .. } => {}
            }
        }
        Ok(())
    }

    fn key<R: Read>(&mut self, key: &Key, parser: &mut Parser<R>) -> Result<()> {
        if self.options.filter.as_ref().is_some_and(|filter| !filter.matches(&key.name)) {
            self.summary.other_keys += 1;
            return Ok(());
        }
        let now = u64::try_from(self.options.clock.now().as_millisecond()).unwrap_or(0);
        if key.expires_at.is_some_and(|at| at <= now) {
            self.summary.expired_keys += 1;
            return Ok(());
        }
        let version = self.target.version().clone();
        let link = self.target.link_of(key)?;
        match parser.capture_value(WHOLE_BYTES)? {
            Some(payload) => restore_whole(key, &payload, link)?,
            None => {
                let mut writer = Writer::new(link, &key.name);
                writer.simple(&["UNLINK"], &[])?;
                if let Some((kind, input)) = parser.value() {
                    replay_value(kind, input, &version, &mut writer)?;
                }
                if let Some(at) = key.expires_at {
                    writer.simple(&["PEXPIREAT"], &[at.to_string().as_bytes()])?;
                }
            }
        }
        self.summary.restored_keys += 1;
        Ok(())
    }
}

fn restore_whole(key: &Key, payload: &[u8], link: &mut Link) -> Result<()> {
    let expires_at = key.expires_at.unwrap_or(0).to_string();
    let mut parts: Vec<&[u8]> = vec![expires_at.as_bytes(), payload, b"REPLACE", b"ABSTTL"];
    let used = match (key.idle, key.frequency) {
        (Some(idle), _) => Some(("IDLETIME", idle)),
        (None, Some(frequency)) => Some(("FREQ", frequency.into())),
        (None, None) => None,
    };
    let used = used.map(|(name, number)| (name, number.to_string()));
    if let Some((name, number)) = &used {
        parts.extend([name.as_bytes(), number.as_bytes()]);
    }
    Writer::new(link, &key.name).simple(&["RESTORE"], &parts)
}
