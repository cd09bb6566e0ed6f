//! Where the commands that make a key go: to a server, or nowhere when a restore is rehearsed.

use crate::redis::error::Result;
use crate::redis::rdb::{Key, Pieces};
use crate::redis::server::Version;

/// Takes the keys and functions of a replay.
pub(super) trait Stage {
    fn version(&self) -> &Version;

    /// The way to a key.
    fn key<'a>(&'a mut self, key: &'a Key) -> Result<Box<dyn Commands + 'a>>;

    /// Takes a value in the form that RESTORE takes.
    fn whole(&mut self, key: &Key, payload: &[u8]) -> Result<()>;

    fn function(&mut self, code: &[u8]) -> Result<()>;
}

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
