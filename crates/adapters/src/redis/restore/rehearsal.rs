//! A restore that is only rehearsed: everything is read to its end by the rules of the restore itself, and nothing is sent.
//!
//! What is found here is found before anything of the target is touched: damage, also within packed values and at the very
//! end, modules, and what the target cannot take. It notes what can only be asked of the target.

use std::io::Read;

use lifeboat_repository::Ctx;

use super::commands::{Commands, Stage};
use super::elements::replay_value;
use super::target::{Needs, Target};
use crate::redis::error::{RedisError, RedisErrorKind, Result};
use crate::redis::rdb::{Item, Key, Parser, Pieces, captured};
use crate::redis::server::Version;

/// What may be a number takes less in memory than as text.
const NUMBER_BYTES: u64 = 32;
/// Names of keys that are asked about at once.
const ASK_BYTES: u64 = 1 << 20;

/// Goes through an RDB as a restore that sends every value element by element, and sends nothing. Returns how many
/// commands it would have sent. Finds what a parse to the end does not look for: damage within packed values.
pub fn rehearse(rdb: impl Read, version: &Version, ctx: &Ctx) -> Result<u64> {
    let (mut parser, mut nowhere) = (Parser::new(rdb)?, Nowhere::default());
    while let Some(item) = parser.next_item()? {
        ctx.cancel.check()?;
        if let (Item::Key(_), Some((kind, input))) = (item, parser.value()) {
            replay_value(kind, input, version, &mut nowhere)?;
        }
    }
    Ok(nowhere.commands)
}

/// The target as far as it is known without being changed.
pub(super) struct Rehearsal<'a> {
    target: &'a Target,
    nowhere: Nowhere,
    most_db: u64,
    /// Where the user may change some keys only: those that have not been asked about.
    names: Vec<Vec<u8>>,
    name_bytes: u64,
    ctx: &'a Ctx,
}

impl<'a> Rehearsal<'a> {
    pub(super) fn new(target: &'a Target, ctx: &'a Ctx) -> Self {
        Self { target, nowhere: Nowhere::default(), most_db: 0, names: Vec::new(), name_bytes: 0, ctx }
    }

    /// What the target must be able to take.
    pub(super) fn finish(mut self) -> Result<Needs> {
        self.ask_about_keys()?;
        Ok(Needs { most_db: self.most_db, bytes: self.nowhere.bytes, longest: self.nowhere.longest })
    }

    fn ask_about_keys(&mut self) -> Result<()> {
        self.name_bytes = 0;
        let names = std::mem::take(&mut self.names);
        if names.is_empty() { Ok(()) } else { self.target.may_change(&names, self.ctx) }
    }
}

impl Stage for Rehearsal<'_> {
    fn version(&self) -> &Version {
        self.target.version()
    }

    fn key<'a>(&'a mut self, key: &'a Key) -> Result<Box<dyn Commands + 'a>> {
        self.target.has_place_for(key)?;
        self.most_db = self.most_db.max(key.db);
        if self.target.has_forbidden_keys() {
            self.name_bytes += key.name.len() as u64;
            self.names.push(key.name.clone());
            if self.name_bytes >= ASK_BYTES {
                self.ask_about_keys()?;
            }
        }
        self.nowhere.bytes += key.name.len() as u64;
        Ok(Box::new(&mut self.nowhere))
    }

    /// RESTORE takes what replaying the elements would not, such as old types; what is damaged neither does.
    fn whole(&mut self, key: &Key, payload: &[u8]) -> Result<()> {
        let version = self.version().clone();
        self.key(key)?.simple(&["RESTORE"], &[payload])?;
        self.nowhere.bytes += payload.len() as u64;
        let (kind, mut input) = captured(payload)?;
        match replay_value(kind, &mut input, &version, &mut Nowhere::default()) {
            Err(error) if error.kind == RedisErrorKind::Damaged => {
                let start = key.name.get(..key.name.len().min(64)).unwrap_or_default();
                let what = format!("the value of the key {:?} is damaged", String::from_utf8_lossy(start));
                Err(RedisError::new(RedisErrorKind::Damaged, what).because(error))
            }
            _ => Ok(()),
        }
    }

    /// The server has no other language than Lua by itself.
    fn function(&mut self, code: &[u8]) -> Result<()> {
        self.nowhere.simple(&["FUNCTION", "LOAD"], &[code])?;
        let first = code.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
        if first.eq_ignore_ascii_case(b"#!lua") {
            return Ok(());
        }
        let what = "the backup has a library of functions that is not in Lua";
        Err(RedisError::new(RedisErrorKind::Unsupported, what))
    }
}

/// Takes commands and does nothing.
#[derive(Default)]
struct Nowhere {
    commands: u64,
    /// Announced and not written.
    parts_left: u64,
    /// That no server holds in less.
    bytes: u64,
    /// Of the parts.
    longest: u64,
}

impl Commands for &mut Nowhere {
    fn begin(&mut self, words: &[&'static str], parts: u64) -> Result<()> {
        (**self).begin(words, parts)
    }

    fn part(&mut self, bytes: &[u8]) -> Result<()> {
        (**self).part(bytes)
    }

    fn pieces(&mut self, pieces: &mut dyn Pieces) -> Result<()> {
        (**self).pieces(pieces)
    }

    fn end(&mut self) -> Result<()> {
        (**self).end()
    }
}

impl Commands for Nowhere {
    fn begin(&mut self, _words: &[&'static str], parts: u64) -> Result<()> {
        assert_eq!(self.parts_left, 0, "a command begins within another one");
        self.parts_left = parts;
        Ok(())
    }

    fn part(&mut self, bytes: &[u8]) -> Result<()> {
        self.longest = self.longest.max(bytes.len() as u64);
        self.parts_left = self.parts_left.checked_sub(1).expect("no more parts are written than announced");
        Ok(())
    }

    fn pieces(&mut self, pieces: &mut dyn Pieces) -> Result<()> {
        let mut left = pieces.left();
        self.longest = self.longest.max(left);
        if left > NUMBER_BYTES {
            self.bytes += left;
        }
        while left > 0 {
            left -= pieces.piece(left)?.len() as u64;
            assert_eq!(pieces.left(), left, "a part is as long as it says");
        }
        self.part(&[])
    }

    fn end(&mut self) -> Result<()> {
        assert_eq!(self.parts_left, 0, "a command ends without all of its parts");
        self.commands += 1;
        Ok(())
    }
}
