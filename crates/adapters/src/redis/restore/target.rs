//! Where a restore goes: one server, or the masters of a cluster, each with its slots.

use std::time::Duration;

use lifeboat_repository::Ctx;
use lifeboat_repository::clock::{Pace, RealPace};

use super::link::Link;
use crate::endpoint::Endpoint;
use crate::redis::cluster::{SLOTS, key_slot};
use crate::redis::connection::{Connection, Reply, encode};
use crate::redis::error::{RedisError, RedisErrorKind, Result};
use crate::redis::rdb::Key;
use crate::redis::server::{Forbidden, Info, Role, Version, data_nodes, is_forbidden, lacking};

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

pub(super) struct Target {
    links: Vec<Link>,
    /// Which of them has which slot; empty for a single server.
    owners: Vec<usize>,
    version: Version,
}

impl Target {
    /// Connects, and finds out everything that could stand in the way.
    pub(super) fn open(endpoint: &Endpoint, rdb_version: u32, overwrites: bool, ctx: &Ctx) -> Result<Self> {
        let mut connection = Connection::open(endpoint, ctx)?;
        let info = Info::ask(&mut connection)?;
        let mut target = Self { links: Vec::new(), owners: Vec::new(), version: info.version.clone() };
        if !info.is_cluster {
            target.links.push(fit(connection, info, endpoint, rdb_version, overwrites)?);
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
            target.links.push(fit(connection, info, &node.endpoint, rdb_version, overwrites)?);
        }
        Ok(target)
    }

    pub(super) fn version(&self) -> &Version {
        &self.version
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
    pub(super) fn link_of(&mut self, key: &Key) -> Result<&mut Link> {
        let is_cluster = !self.owners.is_empty();
        if is_cluster && key.db != 0 {
            let what = format!("the backup has keys in database {}, and a cluster has none but 0", key.db);
            return Err(RedisError::new(RedisErrorKind::Unsupported, what));
        }
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
    pub(super) fn load_function(&mut self, code: &[u8]) -> Result<()> {
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

/// A link to a server that can take the restore.
fn fit(
    mut connection: Connection,
    info: Info,
    endpoint: &Endpoint,
    rdb_version: u32,
    overwrites: bool,
) -> Result<Link> {
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
    let missing = forbidden(&mut connection, COMMANDS.iter().chain(&more), overwrites)?;
    if !missing.is_empty() {
        return Err(lacking(endpoint, &missing));
    }
    Ok(Link::new(connection))
}

/// The commands that the user may not run, or, of `any_key`, not on any key. They are only queued, and the queue is
/// thrown away.
fn forbidden<'a>(
    connection: &mut Connection,
    commands: impl Iterator<Item = &'a &'a [&'a str]>,
    any_key: bool,
) -> Result<Vec<&'a str>> {
    let mut missing = Vec::new();
    connection.demand(&["MULTI"])?;
    for command in commands {
        let Some(name) = command.first() else { continue };
        let is_missing = match is_forbidden(connection, command)? {
            Forbidden::No => false,
            Forbidden::Key => any_key,
            Forbidden::Command => true,
        };
        if is_missing && !missing.contains(name) {
            missing.push(*name);
        }
    }
    connection.ask(&["DISCARD"])?;
    Ok(missing)
}
