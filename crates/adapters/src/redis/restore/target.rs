//! Where a restore goes: one server, or the masters of a cluster, each with its slots.

use std::time::Duration;

use lifeboat_repository::Ctx;
use lifeboat_repository::clock::{Pace, RealPace};

use super::commands::{Commands, Stage};
use super::link::{Link, Writer};
use crate::endpoint::Endpoint;
use crate::redis::cluster::{SLOTS, key_slot};
use crate::redis::connection::{Connection, Reply, encode};
use crate::redis::error::{RedisError, RedisErrorKind, Result};
use crate::redis::rdb::Key;
use crate::redis::server::{Forbidden, Info, Role, Version, data_nodes, lacking};

/// How often the server is asked whether it has forgotten all.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a restore may have to run, with parts that would do nothing.
const COMMANDS: &[&[&str]] = &[
    &["SELECT", "0"],
    &["RESTORE", "k", "0", "", "REPLACE", "ABSTTL"],
    &["UNLINK", "k"],
    &["SET", "k", ""],
    &["RPUSH", "k", ""],
    &["SADD", "k", ""],
    &["HSET", "k", "", ""],
    &["ZADD", "k", "0", ""],
    &["XADD", "k", "*", "", ""],
    &["XDEL", "k", "0"],
    &["XSETID", "k", "0"],
    &["XGROUP", "CREATE", "k", "g", "0"],
    &["XGROUP", "CREATECONSUMER", "k", "g", "c"],
    &["XCLAIM", "k", "g", "c", "0", "0"],
    &["PEXPIREAT", "k", "0"],
];
/// The same for one that overwrites everything.
const OVERWRITE: &[&[&str]] = &[&["FLUSHALL", "ASYNC"]];
const FUNCTIONS: &[&[&str]] = &[&["FUNCTION", "FLUSH", "ASYNC"], &["FUNCTION", "LOAD", "x"]];

/// What makes a server refuse to be written to, whatever the command.
const NO_WRITES: [&str; 3] = ["MISCONF", "NOREPLICAS", "READONLY"];

pub(super) struct Target {
    links: Vec<Link>,
    /// Which of them has which slot; empty for a single server.
    owners: Vec<usize>,
    version: Version,
    endpoint: Endpoint,
    /// How much all of them may hold, where they throw nothing away for it.
    room: Option<u64>,
    has_forbidden_keys: bool,
}

/// What a restore will ask of its target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) most_db: u64,
    /// Of memory, at least.
    pub(super) bytes: u64,
    /// Of the parts of commands.
    pub(super) longest: u64,
}

impl Target {
    /// Connects, and finds out everything that could stand in the way.
    pub(super) fn open(endpoint: &Endpoint, rdb_version: u32, overwrites: bool, ctx: &Ctx) -> Result<Self> {
        let mut connection = Connection::open(endpoint, ctx)?;
        let info = Info::ask(&mut connection)?;
        let mut target = Self {
            links: Vec::new(),
            owners: Vec::new(),
            version: info.version.clone(),
            endpoint: endpoint.clone(),
            room: Some(0),
            has_forbidden_keys: false,
        };
        if !info.is_cluster {
            target.add(connection, &info, endpoint, (rdb_version, overwrites))?;
            return Ok(target);
        }
        target.owners = vec![0; usize::from(SLOTS)];
        for node in data_nodes(&mut connection, endpoint)? {
            let mut connection = Connection::open(&node.endpoint, ctx)?;
            let info = Info::ask(&mut connection)?;
            for slot in node.slots.iter().cloned().flatten() {
                if let Some(owner) = target.owners.get_mut(usize::from(slot)) {
                    *owner = target.links.len();
                }
            }
            target.add(connection, &info, &node.endpoint, (rdb_version, overwrites))?;
        }
        Ok(target)
    }

    /// Adds a server that can take the restore.
    fn add(
        &mut self,
        mut connection: Connection,
        info: &Info,
        endpoint: &Endpoint,
        (rdb_version, overwrites): (u32, bool),
    ) -> Result<()> {
        let unsupported = |what| Err(RedisError::new(RedisErrorKind::Unsupported, what));
        if info.role == Role::Replica {
            return unsupported(format!("{endpoint} is a replica; a restore goes to its master"));
        }
        if info.version.rdb() < rdb_version {
            return unsupported(format!(
                "{endpoint} is Redis {}, which does not read version {rdb_version} of RDB; restore to the version of the source or a newer one",
                info.version
            ));
        }
        let functions = if info.version.major >= 7 { FUNCTIONS } else { &[] };
        let more = if overwrites { [OVERWRITE, functions].concat() } else { Vec::new() };
        let Missing { commands, has_forbidden_keys } =
            missing(&mut connection, COMMANDS.iter().chain(&more), overwrites)?;
        if !commands.is_empty() {
            return Err(lacking(endpoint, &commands));
        }
        self.has_forbidden_keys |= has_forbidden_keys;
        self.room = self.room.zip(info.room).map(|(all, one)| all.saturating_add(one));
        self.links.push(Link::new(connection));
        Ok(())
    }

    pub(super) fn has_forbidden_keys(&self) -> bool {
        self.has_forbidden_keys
    }

    /// Asks whether the user may change these keys, on a connection of its own: it may be long since the last time.
    pub(super) fn may_change(&self, names: &[Vec<u8>], ctx: &Ctx) -> Result<()> {
        let mut connection = Connection::open(&self.endpoint, ctx)?;
        connection.demand(&["MULTI"])?;
        for name in names {
            let mut command = Vec::new();
            encode(&[b"UNLINK", name], &mut command);
            connection.write(&command)?;
            match connection.reply()? {
                Reply::Error(answer) if answer.starts_with("NOPERM") => {
                    let start = name.get(..name.len().min(64)).unwrap_or_default();
                    let what = format!(
                        "cannot change the key {:?} of {}",
                        String::from_utf8_lossy(start),
                        self.endpoint
                    );
                    return Err(RedisError::of_reply(&what, &answer));
                }
                _ => {}
            }
        }
        connection.ask(&["DISCARD"]).map(drop)
    }

    /// The last questions before the restore begins; nothing is changed by them.
    pub(super) fn can_take(&mut self, needs: &Needs, overwrites: bool) -> Result<()> {
        let unsupported = |what| Err(RedisError::new(RedisErrorKind::Unsupported, what));
        let endpoint = &self.endpoint;
        if let Some(room) = self.room.filter(|room| overwrites && *room < needs.bytes) {
            let what = format!(
                "the backup is of {} bytes, and {endpoint} may hold {room} (maxmemory) and evicts nothing",
                needs.bytes
            );
            return Err(RedisError::new(RedisErrorKind::Unready, what));
        }
        for link in &mut self.links {
            let connection = link.connection()?;
            if needs.most_db > 0 {
                if let Reply::Error(_) = connection.ask(&["SELECT", &needs.most_db.to_string()])? {
                    return unsupported(format!(
                        "the backup has keys in database {}, and {endpoint} has less (databases)",
                        needs.most_db
                    ));
                }
                connection.demand(&["SELECT", "0"])?;
            }
            if let Some(most) = longest_part(connection)?.filter(|most| *most < needs.longest) {
                return unsupported(format!(
                    "the backup has a value of {} bytes, and {endpoint} takes {most} at most (proto-max-bulk-len)",
                    needs.longest
                ));
            }
        }
        Ok(())
    }

    /// Whether there is a place for such a key at all.
    pub(super) fn has_place_for(&self, key: &Key) -> Result<()> {
        if self.owners.is_empty() || key.db == 0 {
            return Ok(());
        }
        let what = format!("the backup has keys in database {}, and a cluster has none but 0", key.db);
        Err(RedisError::new(RedisErrorKind::Unsupported, what))
    }

    /// Deletes all keys and functions, and waits until their memory is free: the server may have no more of it.
    pub(super) fn empty(&mut self, ctx: &Ctx) -> Result<()> {
        for link in &mut self.links {
            let connection = link.connection()?;
            connection.demand(&["FLUSHALL", "ASYNC"])?;
            if self.version.major >= 7 {
                connection.demand(&["FUNCTION", "FLUSH", "ASYNC"])?;
            }
        }
        for link in &mut self.links {
            let connection = link.connection()?;
            while !connection.text(&["INFO", "memory"])?.contains("lazyfree_pending_objects:0") {
                RealPace.wait(LOOK_EVERY, &[&ctx.cancel]);
                ctx.cancel.check()?;
            }
        }
        Ok(())
    }

    /// The server that a key belongs to, with the key's database selected.
    fn link_of(&mut self, key: &Key) -> Result<&mut Link> {
        self.has_place_for(key)?;
        let owner = self.owners.get(usize::from(key_slot(&key.name))).copied().unwrap_or(0);
        let no_server = || RedisError::new(RedisErrorKind::Unready, "the cluster has no master");
        let link = self.links.get_mut(owner).ok_or_else(no_server)?;
        if link.db != key.db {
            let db = key.db.to_string();
            link.connection()?.demand(&["SELECT", &db])?;
            link.db = key.db;
        }
        Ok(link)
    }

    /// On every master.
    fn load_function(&mut self, code: &[u8]) -> Result<()> {
        let mut command = Vec::new();
        encode(&[b"FUNCTION", b"LOAD", b"REPLACE", code], &mut command);
        for link in &mut self.links {
            let connection = link.connection()?;
            connection.write(&command)?;
            if let Reply::Error(answer) = connection.reply()? {
                return Err(RedisError::of_reply("cannot load a library of functions", &answer));
            }
        }
        Ok(())
    }

    /// Waits for all replies; returns how many pending entries could not be made again.
    pub(super) fn finish(&mut self) -> Result<u64> {
        self.links.iter_mut().try_for_each(Link::settle)?;
        Ok(self.links.iter().map(|link| link.lost_pending).sum())
    }
}

impl Stage for Target {
    fn version(&self) -> &Version {
        &self.version
    }

    fn key<'a>(&'a mut self, key: &'a Key) -> Result<Box<dyn Commands + 'a>> {
        Ok(Box::new(Writer::new(self.link_of(key)?, &key.name)))
    }

    fn whole(&mut self, key: &Key, payload: &[u8]) -> Result<()> {
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
        self.key(key)?.simple(&["RESTORE"], &parts)
    }

    fn function(&mut self, code: &[u8]) -> Result<()> {
        self.load_function(code)
    }
}

/// The longest part of a command that a server takes; `None` where it does not say.
fn longest_part(connection: &mut Connection) -> Result<Option<u64>> {
    let Reply::Items(items) = connection.ask(&["CONFIG", "GET", "proto-max-bulk-len"])? else {
        return Ok(None);
    };
    Ok(match items.get(1) {
        Some(Reply::Bulk(text)) => str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        _ => None,
    })
}

/// What a user may not do.
struct Missing<'a> {
    commands: Vec<&'a str>,
    /// There are keys that he may not change.
    has_forbidden_keys: bool,
}

/// The commands that the user may not run, or, of `any_key`, not on any key. They are only queued, and the queue is
/// thrown away.
fn missing<'a>(
    connection: &mut Connection,
    commands: impl Iterator<Item = &'a &'a [&'a str]>,
    any_key: bool,
) -> Result<Missing<'a>> {
    let mut missing = Missing { commands: Vec::new(), has_forbidden_keys: false };
    connection.demand(&["MULTI"])?;
    for command in commands {
        let Some(name) = command.first() else { continue };
        let Reply::Error(answer) = connection.ask(command)? else { continue };
        if NO_WRITES.iter().any(|word| answer.starts_with(word)) {
            let what = format!("{} takes no changes", connection.name());
            return Err(RedisError::of_reply(&what, &answer));
        }
        let is_missing = match Forbidden::of(&answer) {
            Forbidden::No => false,
            Forbidden::Key => {
                missing.has_forbidden_keys = true;
                any_key
            }
            Forbidden::Command => true,
        };
        if is_missing && !missing.commands.contains(name) {
            missing.commands.push(*name);
        }
    }
    connection.ask(&["DISCARD"])?;
    Ok(missing)
}
