//! A connection to one Redis server: commands go out, replies come back, by the protocol RESP 2.
//!
//! Replies are bounded before memory is taken, because a server is not to be trusted more than any other peer.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use lifeboat_repository::Ctx;

use super::dial::{Stream, dial};
use super::error::{RedisError, RedisErrorKind, Result};
use crate::endpoint::Endpoint;

/// One that does not answer the first words for so long is none, or expects TLS, or does not.
const GREETING: Duration = Duration::from_secs(20);
/// A server that says and takes nothing for so long is gone. One that forks, loads or deletes is silent for seconds.
const SILENCE: Duration = Duration::from_secs(120);
const READ_BYTES: usize = 1 << 16;
/// Of a reply in one line.
const LINE_BYTES: usize = 1 << 16;
/// Of a reply with a length: a list of the nodes of a cluster is among the longest.
const BULK_BYTES: usize = 16 << 20;
const ITEMS: usize = 1 << 16;

pub(super) struct Connection {
    stream: BufReader<Stream>,
    name: String,
    is_in_use: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Number(i64),
    Bulk(Vec<u8>),
    Nothing,
    Items(Vec<Reply>),
    Error(String),
}

impl Connection {
    /// Connects and says who we are.
    pub(super) fn open(endpoint: &Endpoint, ctx: &Ctx) -> Result<Self> {
        let stream = BufReader::with_capacity(READ_BYTES, dial(endpoint, GREETING, ctx)?);
        let mut connection = Self { stream, name: endpoint.to_string(), is_in_use: false };
        if let Some(password) = &endpoint.password {
            let mut auth = vec!["AUTH", password.expose()];
            if let Some(user) = &endpoint.user {
                auth.insert(1, user);
            }
            if let Reply::Error(answer) = connection.ask(&auth)? {
                // A server that does not know AUTH repeats what came with it.
                let word = answer.split(' ').next().unwrap_or_default();
                let refused = RedisError::of_reply("cannot log in", word);
                let what = format!("{} refuses the user or the password", connection.name);
                return Err(RedisError::new(RedisErrorKind::Authentication, what).because(refused));
            }
        }
        match connection.ask(&["PING"])? {
            Reply::Text(_) | Reply::Error(_) => {}
            _ => {
                let what = format!("{} does not answer as Redis does", connection.name);
                return Err(RedisError::new(RedisErrorKind::Unreachable, what));
            }
        }
        connection.stream.get_mut().set_silence(SILENCE);
        connection.is_in_use = true;
        Ok(connection)
    }

    /// The server, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Sends one command and waits for its reply, errors of the server included.
    pub(super) fn ask(&mut self, command: &[&str]) -> Result<Reply> {
        let parts: Vec<&[u8]> = command.iter().map(|part| part.as_bytes()).collect();
        let mut bytes = Vec::new();
        encode(&parts, &mut bytes);
        self.write(&bytes)?;
        self.reply()
    }

    /// The same where an error of the server is an error.
    pub(super) fn demand(&mut self, command: &[&str]) -> Result<Reply> {
        match self.ask(command)? {
            Reply::Error(answer) => Err(RedisError::of_reply(&self.cannot(command), &answer)),
            reply => Ok(reply),
        }
    }

    /// The same for a reply that is text.
    pub(super) fn text(&mut self, command: &[&str]) -> Result<String> {
        let text = match self.demand(command)? {
            Reply::Bulk(bytes) => String::from_utf8(bytes).ok(),
            Reply::Text(text) => Some(text),
            _ => None,
        };
        text.ok_or_else(|| self.strange(&format!("no text to {}", command.join(" "))))
    }

    fn cannot(&self, command: &[&str]) -> String {
        format!("cannot run {} on {}", command.join(" "), self.name)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush()).map_err(|error| self.broken(error))
    }

    pub(super) fn reply(&mut self) -> Result<Reply> {
        self.reply_within(2)
    }

    /// `depth` is how many lists may lie in each other.
    fn reply_within(&mut self, depth: u32) -> Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => rest.parse().map(Reply::Number).map_err(|_| self.strange(&line)),
            "$" if rest == "-1" => Ok(Reply::Nothing),
            "*" if rest == "-1" => Ok(Reply::Nothing),
            "$" => {
                let length = self.bounded(rest, BULK_BYTES)?;
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes).map_err(|error| self.broken(error))?;
                bytes.truncate(length);
                Ok(Reply::Bulk(bytes))
            }
            "*" if depth > 0 => {
                let count = self.bounded(rest, ITEMS)?;
                (0..count).map(|_| self.reply_within(depth - 1)).collect::<Result<_>>().map(Reply::Items)
            }
            _ => Err(self.strange(&line)),
        }
    }

    fn bounded(&self, digits: &str, most: usize) -> Result<usize> {
        digits.parse().ok().filter(|length| *length <= most).ok_or_else(|| self.strange(digits))
    }

    /// A line without its end, and without the empty lines before it that mean nothing but patience.
    pub(super) fn line(&mut self) -> Result<String> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(LINE_BYTES as u64).read_until(b'\n', &mut line);
            read.map_err(|error| self.broken(error))?;
            let Some(text) = line.strip_suffix(b"\n") else {
                let what = if line.is_empty() { "end of the connection" } else { "line without an end" };
                return Err(self.broken(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what)));
            };
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.is_empty() {
                return Ok(String::from_utf8_lossy(text).into_owned());
            }
        }
    }

    /// What follows, as it comes.
    pub(super) fn into_stream(self) -> BufReader<Stream> {
        self.stream
    }

    fn broken(&self, error: std::io::Error) -> RedisError {
        match self.is_in_use {
            true => {
                let what = format!("the connection to {} broke", self.name);
                RedisError::of_stream(RedisErrorKind::SourceGone, what, error)
            }
            false => {
                let what = format!("{} does not answer", self.name);
                RedisError::of_stream(RedisErrorKind::Unreachable, what, error)
            }
        }
    }

    pub(super) fn strange(&self, what: &str) -> RedisError {
        let shown: String = what.chars().take(100).collect();
        let what = format!("{} does not answer as Redis does: {shown:?}", self.name);
        RedisError::new(RedisErrorKind::Unreachable, what)
    }
}

/// A command as it goes over the wire.
pub(super) fn encode(parts: &[&[u8]], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
}
