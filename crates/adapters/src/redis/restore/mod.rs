//! A restore: RDBs are replayed into a running server or cluster by commands.
//!
//! Small values go as RESTORE takes them, in the very bytes of the RDB; larger ones element by element, so that memory
//! stays bounded. Everything that can be known before is known before anything is overwritten: that the target answers
//! and is a master, that it reads this version of RDB, that the user may run every command that is needed, and, by a
//! rehearsal of the whole, that every RDB is sound to its end and fits. What fails until then leaves the target as it
//! was. A restore that ends after that leaves the keys that it came to; it can be run again.

mod commands;
mod elements;
mod filter;
mod link;
mod rehearsal;
mod stream;
mod target;

use std::io::Read;

use lifeboat_repository::Ctx;
use lifeboat_repository::clock::Clock;

use super::error::{RedisError, RedisErrorKind, Result};
use super::rdb::{Item, Key, Parser};
use crate::endpoint::Endpoint;
use commands::Stage;
use elements::replay_value;
pub use filter::KeyFilter;
use rehearsal::Rehearsal;
pub use rehearsal::rehearse;
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
/// source had, or none. `rdbs` opens them, twice: for a rehearsal of the whole, and then in earnest.
pub fn restore<R: Read>(
    rdbs: impl Fn() -> Result<Vec<R>>,
    endpoint: &Endpoint,
    options: &RestoreOptions<'_>,
    ctx: &Ctx,
) -> Result<RestoreSummary> {
    let prepared = prepare(&rdbs, endpoint, options, ctx);
    let (mut target, rdbs) =
        prepared.map_err(|error| error.adding(&format!("; nothing of {endpoint} was changed")))?;
    if options.filter.is_none() {
        target.empty(ctx)?;
    }
    let mut summary = RestoreSummary::default();
    for rdb in rdbs {
        Replay { stage: &mut target, options, summary: &mut summary }.all_of(rdb, ctx)?;
    }
    summary.lost_pending = target.finish()?;
    Ok(summary)
}

/// Does everything that can fail without the target being touched.
fn prepare<R: Read>(
    rdbs: &impl Fn() -> Result<Vec<R>>,
    endpoint: &Endpoint,
    options: &RestoreOptions<'_>,
    ctx: &Ctx,
) -> Result<(Target, Vec<Parser<R>>)> {
    let parsers = || rdbs()?.into_iter().map(|rdb| Ok(Parser::new(rdb)?)).collect::<Result<Vec<_>>>();
    let rehearsed = parsers()?;
    let newest = rehearsed.iter().map(Parser::version).max();
    let newest =
        newest.ok_or_else(|| RedisError::new(RedisErrorKind::InvalidInput, "there is no RDB to restore"))?;
    let overwrites = options.filter.is_none();
    let target = Target::open(endpoint, newest, overwrites, ctx)?;
    let mut rehearsal = Rehearsal::new(&target, ctx);
    for rdb in rehearsed {
        let summary = &mut RestoreSummary::default();
        Replay { stage: &mut rehearsal, options, summary }.all_of(rdb, ctx)?;
    }
    let needs = rehearsal.finish()?;
    // Asked anew: the rehearsal may have taken hours.
    let mut target = Target::open(endpoint, newest, overwrites, ctx)?;
    target.can_take(&needs, overwrites)?;
    Ok((target, parsers()?))
}

struct Replay<'a> {
    stage: &'a mut dyn Stage,
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
                    self.stage.function(&code)?;
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
        let version = self.stage.version().clone();
        match parser.capture_value(WHOLE_BYTES)? {
            Some(payload) => self.stage.whole(key, &payload)?,
            None => {
                let mut writer = self.stage.key(key)?;
                writer.simple(&["UNLINK"], &[])?;
                if let Some((kind, input)) = parser.value() {
                    replay_value(kind, input, &version, &mut *writer)?;
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
