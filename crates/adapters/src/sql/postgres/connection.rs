//! One connection: login, messages, simple queries, and a look whether something has come without waiting for it.
//!
//! Dropped in the middle of a command it tells the server to stop that, so that no backend works on for nobody. After
//! a `kill -9` the server learns of the end when it next sends, and ends the session with all that belongs to it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;
use lifeboat_repository::{Cancel, Ctx};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::messages::{Fields, Frame, Row, ServerError, garbled, row};
use super::stream::{Address, Stream};
use crate::endpoint::{Endpoint, Password};
use crate::patience;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// Longer messages are refused before memory is taken for them.
const MOST_FRAME_BYTES: usize = 16 << 20;
/// More than this is not taken as the answer to a query.
const MOST_ANSWER_BYTES: usize = 64 << 20;
const READ_BYTES: usize = 128 << 10;
/// What is set for a replication session. The server looks by itself whether our machine still lives, so our silence
/// while the vault is slow is no reason for it to give up.
const REPLICATION_SETTINGS: &str = "-c wal_sender_timeout=0 -c statement_timeout=0 -c tcp_keepalives_idle=60 \
                                    -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6";

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose<'a> {
    /// Statements in this database.
    Sql(&'a str),
    /// Commands of physical replication.
    Replication,
}

/// A session of a server.
pub(super) struct Connection {
    stream: Stream,
    input: BytesMut,
    scratch: Vec<u8>,
    cancel: Cancel,
    address: Address,
    /// For messages.
    server: String,
    key: Option<(i32, i32)>,
    /// A command is running.
    is_busy: bool,
    /// The first number of the server's version.
    major: u32,
}

impl Connection {
    /// Connects and logs in.
    pub(super) fn open(endpoint: &Endpoint, purpose: Purpose<'_>, ctx: &Ctx) -> Result<Self> {
        let mut connection = Self {
            stream: Stream::open(endpoint, ctx)?,
            input: BytesMut::new(),
            scratch: vec![0; READ_BYTES],
            cancel: ctx.cancel.clone(),
            address: Address::of(endpoint),
            server: endpoint.to_string(),
            key: None,
            is_busy: false,
            major: 0,
        };
        connection.log_in(endpoint, purpose).map_err(|error| match error.kind {
            SqlErrorKind::SourceGone => {
                let text = format!("{endpoint} does not let anybody in now");
                SqlError::new(SqlErrorKind::Unreachable, text).because(error)
            }
            _ => error,
        })?;
        Ok(connection)
    }

    fn log_in(&mut self, endpoint: &Endpoint, purpose: Purpose<'_>) -> Result<()> {
        let user = user(endpoint);
        let mut parameters =
            vec![("user", user), ("client_encoding", "UTF8"), ("application_name", "lifeboat")];
        match purpose {
            Purpose::Sql(database) => parameters.push(("database", database)),
            Purpose::Replication => {
                parameters.extend([("replication", "true"), ("options", REPLICATION_SETTINGS)]);
            }
        }
        self.send(|out| frontend::startup_message(parameters, out))?;
        self.authenticate(user, endpoint.password.as_ref())?;
        loop {
            let frame = self.next("log in")?;
            match frame.tag {
                b'K' => {
                    let mut fields = Fields(&frame.body);
                    self.key = Some((fields.i32()?, fields.i32()?));
                }
                b'Z' => return Ok(()),
                // A newer minor version of the protocol was asked for than the server has; not by us.
                b'v' => {}
                _ => return Err(garbled()),
            }
        }
    }

    fn authenticate(&mut self, user: &str, password: Option<&Password>) -> Result<()> {
        let mut scram = None;
        loop {
            let frame = self.next("log in")?;
            let mut fields = Fields(&frame.body);
            if frame.tag != b'R' {
                return Err(garbled());
            }
            let way = fields.i32()?;
            match way {
                0 => return Ok(()),
                3 => {
                    let password = self.password(password)?;
                    if !self.stream.is_private() {
                        return Err(self.refuse(
                            "asks for the password in the clear; say sslmode=require, or let it use scram-sha-256",
                        ));
                    }
                    self.send(|out| frontend::password_message(password.as_bytes(), out))?;
                }
                5 => {
                    let password = self.password(password)?;
                    let hash = md5_hash(user.as_bytes(), password.as_bytes(), fields.array()?);
                    self.send(|out| frontend::password_message(hash.as_bytes(), out))?;
                }
                10 => {
                    let is_offered =
                        fields.0.split(|byte| *byte == 0).any(|name| name == SCRAM_SHA_256.as_bytes());
                    if !is_offered {
                        return Err(self.refuse("asks for a way to log in that is not scram-sha-256"));
                    }
                    let password = self.password(password)?;
                    let begun = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    self.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), out))?;
                    scram = Some(begun);
                }
                11 | 12 => {
                    let scram = scram.as_mut().ok_or_else(garbled)?;
                    let step = if way == 11 { scram.update(fields.0) } else { scram.finish(fields.0) };
                    step.map_err(|error| {
                        let text = format!("{} does not know the password itself", self.server);
                        SqlError::new(SqlErrorKind::Authentication, text).because(error)
                    })?;
                    if way == 11 {
                        self.send(|out| frontend::sasl_response(scram.message(), out))?;
                    }
                }
                _ => return Err(self.refuse("asks for a way to log in that is not known here")),
            }
        }
    }

    fn password<'a>(&self, password: Option<&'a Password>) -> Result<&'a str> {
        password.map(Password::expose).ok_or_else(|| self.refuse("asks for a password, and the URL has none"))
    }

    fn refuse(&self, why: &str) -> SqlError {
        SqlError::new(SqlErrorKind::Authentication, format!("{} {why}", self.server))
    }

    /// Writes one message.
    pub(super) fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<()> {
        let mut message = BytesMut::new();
        let written = write(&mut message);
        written
            .map_err(|error| SqlError::new(SqlErrorKind::InvalidInput, "a text holds NUL").because(error))?;
        self.stream.write_all(&message).and_then(|()| self.stream.flush()).map_err(|error| self.gone(error))
    }

    /// Begins a command; what it answers is for [`Connection::next`].
    pub(super) fn command(&mut self, sql: &str) -> Result<()> {
        self.send(|out| frontend::query(sql, out))?;
        self.is_busy = true;
        Ok(())
    }

    /// Runs one statement and gives its rows.
    pub(super) fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.command(sql)?;
        let (mut rows, mut bytes, mut failed) = (Vec::new(), 0, None);
        loop {
            match self.next_frame()? {
                Frame { tag: b'D', body } => {
                    bytes += body.len();
                    if bytes > MOST_ANSWER_BYTES {
                        return Err(SqlError::new(SqlErrorKind::Unsupported, "the answer is too long"));
                    }
                    rows.push(row(&body)?);
                }
                Frame { tag: b'E', body } => {
                    let error = ServerError::parse(&body);
                    let is_last = error.severity != "ERROR";
                    failed = Some(error.into_error(format!("{} has refused a statement", self.server)));
                    if is_last {
                        break;
                    }
                }
                Frame { tag: b'Z', .. } => break,
                _ => {}
            }
        }
        self.is_busy = false;
        failed.map_or(Ok(rows), Err)
    }

    /// The next message that is neither an error nor news about the session.
    pub(super) fn next(&mut self, op: &str) -> Result<Frame> {
        let frame = self.next_frame()?;
        self.not_an_error(frame, op)
    }

    /// The next message if it has come.
    pub(super) fn next_if_here(&mut self, op: &str) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return self.not_an_error(frame, op).map(Some);
            }
            if !self.take_decrypted()? {
                if !is_readable(&self.stream).map_err(|error| self.gone(error))? {
                    return Ok(None);
                }
                self.fill()?;
            }
        }
    }

    /// True when a message, or the part of one, is in memory already.
    pub(super) fn has_input(&mut self) -> Result<bool> {
        Ok(self.take_decrypted()? || has_frame(&self.input)?)
    }

    fn not_an_error(&mut self, frame: Frame, op: &str) -> Result<Frame> {
        if frame.tag != b'E' {
            return Ok(frame);
        }
        let error = ServerError::parse(&frame.body);
        Err(error.into_error(format!("{} has refused to {op}", self.server)))
    }

    fn next_frame(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            if !self.take_decrypted()? {
                self.fill()?;
            }
        }
    }

    /// A message out of what was read. Notices and news about the session are passed over.
    fn take_frame(&mut self) -> Result<Option<Frame>> {
        while has_frame(&self.input)? {
            let (tag, len) = header(&self.input)?.ok_or_else(garbled)?;
            let mut message = self.input.split_to(len + 1);
            let body = message.split_off(5).freeze();
            match tag {
                // What spoils a backup is said again in an error at its end.
                b'N' | b'A' => {}
                b'S' => self.learn(&body),
                b'Z' => {
                    self.is_busy = false;
                    return Ok(Some(Frame { tag, body }));
                }
                _ => return Ok(Some(Frame { tag, body })),
            }
        }
        Ok(None)
    }

    /// Takes what a parameter of the session says.
    fn learn(&mut self, body: &[u8]) {
        let mut texts = body.split(|byte| *byte == 0).map(|text| str::from_utf8(text).unwrap_or_default());
        if texts.next() == Some("server_version") {
            let version = texts.next().unwrap_or_default();
            let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
            self.major = digits.parse().unwrap_or_default();
        }
    }

    fn take_decrypted(&mut self) -> Result<bool> {
        let read = self.stream.read_decrypted(&mut self.scratch).map_err(|error| self.gone(error))?;
        self.input.extend_from_slice(self.scratch.get(..read).unwrap_or_default());
        Ok(read > 0)
    }

    fn fill(&mut self) -> Result<()> {
        let read = match self.stream.read(&mut self.scratch) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            read => read,
        };
        let read = read.map_err(|error| self.gone(error))?;
        self.input.extend_from_slice(self.scratch.get(..read).unwrap_or_default());
        Ok(())
    }

    /// Why there is nothing more to be had from the server.
    fn gone(&self, error: io::Error) -> SqlError {
        if patience::is_cancelled(&error) {
            return SqlError::new(SqlErrorKind::Cancelled, "the operation was cancelled");
        }
        SqlError::new(SqlErrorKind::SourceGone, format!("the connection to {} is lost", self.server))
            .because(error)
    }

    /// The first number of the server's version: 15 of 15.14.
    pub(super) fn major(&self) -> u32 {
        self.major
    }

    /// The process of the server that serves this session.
    pub(super) fn process(&self) -> i32 {
        self.key.map_or(0, |(process, _)| process)
    }

    /// Waits until either has something to read; a cancel is heard.
    pub(super) fn wait_either(&mut self, other: &mut Self) -> Result<()> {
        const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        loop {
            self.cancel.check()?;
            if self.has_input()? || other.has_input()? {
                return Ok(());
            }
            let mut polled =
                [PollFd::new(&self.stream, PollFlags::IN), PollFd::new(&other.stream, PollFlags::IN)];
            match poll(&mut polled, Some(&LOOK_EVERY)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(self.gone(error.into())),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (true, Some((process, key))) = (self.is_busy, self.key) {
            self.address.cancel(process, key);
        }
    }
}

/// Who to be; the name that PostgreSQL's own superuser has where the URL does not say.
pub(super) fn user(endpoint: &Endpoint) -> &str {
    endpoint.user.as_deref().unwrap_or("postgres")
}

/// The tag and the length of the first message.
fn header(input: &[u8]) -> Result<Option<(u8, usize)>> {
    let Some((&[tag, a, b, c, d], _)) = input.split_first_chunk() else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes([a, b, c, d])) {
        Ok(len @ 4..=MOST_FRAME_BYTES) => Ok(Some((tag, len))),
        _ => Err(garbled()),
    }
}

fn has_frame(input: &[u8]) -> Result<bool> {
    Ok(header(input)?.is_some_and(|(_, len)| input.len() > len))
}

fn is_readable(stream: &impl AsFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(stream, PollFlags::IN)];
    match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
