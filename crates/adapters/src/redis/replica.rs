//! A backup of one data node: Lifeboat connects as a replica and takes the RDB of a full synchronization.
//!
//! The server saves nothing for us and keeps nothing for us: the connection asks for the RDB alone (`rdb-only`, which
//! servers before 6.2 do not know), and is closed when the RDB has come. When Lifeboat dies, the connection dies with
//! it, and the server forgets the replica. The RDB goes into the vault as one file while it is parsed through to its
//! end, so that nothing is called a backup that Redis could not have written.
//!
//! Of a cluster, the very connection that becomes a replica is looked at before, and the node once more at the end: slots
//! that move meanwhile would put their keys into the backups of two nodes or of none.

use std::io::{self, Read, Write};
use std::path::Path;

use lifeboat_repository::Ctx;
use lifeboat_repository::intake::{Cut, Intake};
use lifeboat_repository::tree::Node;

use super::cluster::Planned;
use super::connection::{Connection, Reply};
use super::error::{RedisError, Result};
use super::rdb::{Item, Parser};
use super::server::Info;
use super::transfer::{Form, Transfer};
use crate::endpoint::Endpoint;

/// A transfer that has begun.
pub struct Replica {
    connection: Connection,
    form: Form,
    used_memory: u64,
    replication_id: String,
    offset: u64,
    redis_version: String,
    /// Of a node of a cluster: where to look again when all has come.
    planned: Option<(Endpoint, Planned)>,
}

/// How long an RDB will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RdbSize {
    Exact(u64),
    /// What the server's memory says, where it sends while it saves.
    Estimate(u64),
}

/// What was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdbSummary {
    pub bytes: u64,
    pub keys: u64,
    pub expiring_keys: u64,
    /// Libraries of functions.
    pub functions: u64,
    /// The numbers of the databases that hold keys, in order.
    pub databases: Vec<u64>,
    /// None where the server is set to write none.
    pub checksum: Option<u64>,
    pub rdb_version: u32,
    pub redis_version: String,
    /// The point in the server's history that the RDB is of.
    pub replication_id: String,
    pub offset: u64,
}

impl Replica {
    /// Asks for a full synchronization and returns when the transfer begins. Until then the server forks and may
    /// save to disk, for hours where it is large; it sends empty lines meanwhile.
    pub fn begin(endpoint: &Endpoint, ctx: &Ctx) -> Result<Self> {
        Self::begin_on(Connection::open(endpoint, ctx)?)
    }

    /// The same of a node of a cluster. Fails, also at the end of the transfer, unless it is the one that was planned
    /// and serves what it did.
    pub fn begin_planned(endpoint: &Endpoint, planned: Planned, ctx: &Ctx) -> Result<Self> {
        let mut connection = Connection::open(endpoint, ctx)?;
        planned.check(&mut connection)?;
        Ok(Self { planned: Some((endpoint.clone(), planned)), ..Self::begin_on(connection)? })
    }

    fn begin_on(mut connection: Connection) -> Result<Self> {
        let info = Info::ask(&mut connection)?;
        connection.demand(&["REPLCONF", "capa", "eof", "capa", "psync2"])?;
        // A server that does not know it sends what follows the RDB as well, and nobody reads that.
        if let Reply::Error(answer) = connection.ask(&["REPLCONF", "rdb-only", "1"])?
            && answer.starts_with("NOPERM")
        {
            return Err(RedisError::of_reply("cannot become a replica", &answer));
        }
        let reply = match connection.demand(&["PSYNC", "?", "-1"])? {
            Reply::Text(text) => text,
            _ => return Err(connection.strange("no text to PSYNC")),
        };
        let (replication_id, offset) = full_resync(&reply).ok_or_else(|| connection.strange(&reply))?;
        let line = connection.line()?;
        if let Some(answer) = line.strip_prefix('-') {
            return Err(RedisError::of_reply("cannot begin the transfer", answer));
        }
        let form = Form::parse(&line).ok_or_else(|| connection.strange(&line))?;
        let redis_version = info.version.to_string();
        let used_memory = info.used_memory;
        Ok(Self { connection, form, used_memory, replication_id, offset, redis_version, planned: None })
    }

    pub fn size(&self) -> RdbSize {
        match self.form {
            Form::Length(bytes) => RdbSize::Exact(bytes),
            Form::Mark(_) => RdbSize::Estimate(self.used_memory),
        }
    }

    /// Takes the RDB into the vault as the file `path`. Its checksum is compared and all of it parsed on the way.
    pub fn stream_into(self, intake: &Intake<'_>, path: &Path, node: Node, ctx: &Ctx) -> Result<RdbSummary> {
        let mut file = intake.file(path, node, Cut::Content)?;
        let summary = self.stream_to(&mut file, ctx)?;
        file.finish()?;
        Ok(summary)
    }

    /// Writes the RDB to `sink`, and parses all of it on the way. When this returns, it has ended as it should.
    pub fn stream_to(self, sink: &mut dyn Write, ctx: &Ctx) -> Result<RdbSummary> {
        let Self { connection, form, replication_id, offset, redis_version, planned, .. } = self;
        let mut tee = Tee { transfer: Transfer::new(connection.into_stream(), form), sink, bytes: 0 };
        let summary = survey(&mut tee, ctx)?;
        if let Some((endpoint, planned)) = planned {
            planned.check(&mut Connection::open(&endpoint, ctx)?)?;
        }
        Ok(RdbSummary { bytes: tee.bytes, replication_id, offset, redis_version, ..summary })
    }
}

/// Of `FULLRESYNC <id> <offset>`.
fn full_resync(reply: &str) -> Option<(String, u64)> {
    let mut words = reply.strip_prefix("FULLRESYNC ")?.split(' ');
    let id =
        words.next().filter(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    Some((id.to_owned(), words.next()?.parse().ok()?))
}

/// Parses an RDB to its end and counts what is in it.
pub fn survey(rdb: impl Read, ctx: &Ctx) -> Result<RdbSummary> {
    let mut parser = Parser::new(rdb)?;
    let mut summary = RdbSummary { rdb_version: parser.version(), ..RdbSummary::default() };
    while let Some(item) = parser.next_item()? {
        match item {
            Item::Key(key) => {
                ctx.cancel.check()?;
                summary.keys += 1;
                summary.expiring_keys += u64::from(key.expires_at.is_some());
                if summary.databases.last() != Some(&key.db) {
                    summary.databases.push(key.db);
                }
            }
            Item::Aux { name, value } if name == b"redis-ver" => {
                summary.redis_version = String::from_utf8_lossy(&value).into_owned();
            }
            Item::Aux { .. } => {}
            Item::Function(_) => summary.functions += 1,
            Item::End { checksum } => summary.checksum = checksum,
        }
    }
    Ok(summary)
}

/// What is read from the server is in the vault before it is parsed.
struct Tee<'a, S> {
    transfer: Transfer<S>,
    sink: &'a mut dyn Write,
    bytes: u64,
}

impl<S: Read> Read for Tee<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.transfer.read(buffer)?;
        self.sink.write_all(buffer.get(..read).unwrap_or_default())?;
        self.bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_synchronization_will_do() {
        let id = "0123456789012345678901234567890123456789";
        assert_eq!(full_resync(&format!("FULLRESYNC {id} 77")), Some((id.to_owned(), 77)));
        for strange in ["CONTINUE", "FULLRESYNC", "FULLRESYNC abc 1", &format!("FULLRESYNC {id}")] {
            assert_eq!(full_resync(strange), None, "{strange}");
        }
    }
}
