//! Where the commands that make a key go: to a server, or nowhere when a restore is rehearsed.

use std::io::Read;

use lifeboat_repository::Ctx;

use super::elements::replay_value;
use crate::redis::error::Result;
use crate::redis::rdb::{Item, Parser, Pieces};
use crate::redis::server::Version;

/// Takes commands about one key.
pub(super) trait Commands {
    /// Begins a command of which so many parts follow the key.
    fn begin(&mut self, words: &[&'static str], parts: u64) -> Result<()>;

    fn part(&mut self, bytes: &[u8]) -> Result<()>;

    /// A part that is never held.
    fn pieces(&mut self, pieces: &mut dyn Pieces) -> Result<()>;

    /// Ends a command of which all parts are written.
    fn end(&mut self) -> Result<()>;

    fn simple(&mut self, words: &[&'static str], parts: &[&[u8]]) -> Result<()> {
        self.begin(words, parts.len() as u64)?;
        parts.iter().try_for_each(|part| self.part(part))?;
        self.end()
    }
}

/// Goes through an RDB as a restore that sends every value element by element, and sends nothing. Returns how many
/// commands it would have sent. Finds what a parse to the end does not look for: damage within packed values.
pub fn rehearse(rdb: impl Read, version: &Version, ctx: &Ctx) -> Result<u64> {
    let (mut parser, mut rehearsal) = (Parser::new(rdb)?, Rehearsal::default());
    while let Some(item) = parser.next_item()? {
        ctx.cancel.check()?;
        if let (Item::Key(_), Some((kind, input))) = (item, parser.value()) {
            replay_value(kind, input, version, &mut rehearsal)?;
        }
    }
    Ok(rehearsal.commands)
}

#[derive(Default)]
struct Rehearsal {
    commands: u64,
    /// Announced and not written.
    parts_left: u64,
}

impl Commands for Rehearsal {
    fn begin(&mut self, _words: &[&'static str], parts: u64) -> Result<()> {
        assert_eq!(self.parts_left, 0, "a command begins within another one");
        self.parts_left = parts;
        Ok(())
    }

    fn part(&mut self, _bytes: &[u8]) -> Result<()> {
        self.parts_left = self.parts_left.checked_sub(1).expect("no more parts are written than announced");
        Ok(())
    }

    fn pieces(&mut self, pieces: &mut dyn Pieces) -> Result<()> {
        let mut left = pieces.left();
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
