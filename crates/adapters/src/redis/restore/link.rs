//! Commands to one server, sent without waiting for each reply, as long as not too many are on their way.
//!
//! Replies are short, so those that nobody has read yet fit into the buffers of the system; each is looked at in the
//! end, and the first error ends the restore and names the command and the key.

use std::collections::VecDeque;
use std::rc::Rc;

use super::commands::Commands;
use crate::redis::connection::{Connection, Reply};
use crate::redis::error::{RedisError, Result};
use crate::redis::rdb::Pieces;

/// Sent as one.
const FLUSH_BYTES: usize = 1 << 16;
const MOST_UNANSWERED: usize = 1024;

/// A server that takes commands.
pub(super) struct Link {
    connection: Connection,
    out: Vec<u8>,
    unanswered: VecDeque<Sent>,
    /// The database that was selected last.
    pub(super) db: u64,
    /// Claims of entries that do not exist.
    pub(super) lost_pending: u64,
}

struct Sent {
    command: &'static str,
    /// For people.
    key: Rc<str>,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, out: Vec::new(), unanswered: VecDeque::new(), db: 0, lost_pending: 0 }
    }

    fn head(&mut self, kind: char, number: u64) {
        self.out.extend_from_slice(format!("{kind}{number}\r\n").as_bytes());
    }

    fn part(&mut self, bytes: &[u8]) -> Result<()> {
        self.head('$', bytes.len() as u64);
        self.content(bytes)?;
        self.content(b"\r\n")
    }

    fn content(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= FLUSH_BYTES {
            self.flush()?;
            return self.connection.write(bytes);
        }
        self.out.extend_from_slice(bytes);
        if self.out.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.connection.write(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn sent(&mut self, sent: Sent) -> Result<()> {
        self.unanswered.push_back(sent);
        if self.unanswered.len() >= MOST_UNANSWERED {
            self.answered_to(MOST_UNANSWERED / 2)?;
        }
        Ok(())
    }

    /// Reads replies until so many are left.
    fn answered_to(&mut self, left: usize) -> Result<()> {
        self.flush()?;
        while self.unanswered.len() > left {
            let Some(Sent { command, key }) = self.unanswered.pop_front() else { break };
            match self.connection.reply()? {
                Reply::Error(answer) => {
                    let what = format!("cannot run {command} on the key {key} of {}", self.connection.name());
                    return Err(RedisError::of_reply(&what, &answer));
                }
                Reply::Items(claimed) if command == "XCLAIM" && claimed.is_empty() => self.lost_pending += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits for everything that was sent.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.answered_to(0)
    }

    /// The connection, when nothing is on its way.
    pub(super) fn connection(&mut self) -> Result<&mut Connection> {
        self.settle()?;
        Ok(&mut self.connection)
    }
}

/// Commands about one key.
pub(super) struct Writer<'a> {
    link: &'a mut Link,
    key: &'a [u8],
    shown: Rc<str>,
    command: &'static str,
}

impl<'a> Writer<'a> {
    pub(super) fn new(link: &'a mut Link, key: &'a [u8]) -> Self {
        let start = key.get(..key.len().min(64)).unwrap_or_default();
        let shown = format!("{:?}", String::from_utf8_lossy(start)).into();
        Self { link, key, shown, command: "" }
    }
}

impl Commands for Writer<'_> {
    fn begin(&mut self, words: &[&'static str], parts: u64) -> Result<()> {
        self.command = words.first().copied().unwrap_or_default();
        self.link.head('*', parts.saturating_add(words.len() as u64 + 1));
        for word in words {
            self.link.part(word.as_bytes())?;
        }
        self.link.part(self.key)
    }

    fn part(&mut self, bytes: &[u8]) -> Result<()> {
        self.link.part(bytes)
    }

    fn pieces(&mut self, pieces: &mut dyn Pieces) -> Result<()> {
        self.link.head('$', pieces.left());
        while pieces.left() > 0 {
            self.link.content(pieces.piece(u64::MAX)?)?;
        }
        self.link.content(b"\r\n")
    }

    fn end(&mut self) -> Result<()> {
        self.link.sent(Sent { command: self.command, key: Rc::clone(&self.shown) })
    }
}
