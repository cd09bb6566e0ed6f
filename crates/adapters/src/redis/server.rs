//! What a server is and whether it can be backed up: version, role, shards, and the rights of the user.
//!
//! Nothing is changed and no transfer begins. A data node of a cluster is a master with slots, named by its node id,
//! which survives restarts. The one data node of a single server is called `db-0`: its run id is another one after
//! each restart, its replication id another one after each change of masters, and an address is not an identity;
//! what stays is the resource, and this is the only node of it.

use std::ops::RangeInclusive;

use lifeboat_repository::Ctx;

use super::cluster::{SLOTS, own_shard, shards, share};
use super::connection::{Connection, Reply};
use super::error::{RedisError, RedisErrorKind, Result};
use crate::endpoint::Endpoint;

/// The data node of a server that is no cluster.
pub const SINGLE_NODE: &str = "db-0";

/// A server that answers and knows us.
pub struct Server {
    connection: Connection,
    endpoint: Endpoint,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub version: Version,
    pub role: Role,
    pub is_cluster: bool,
    /// Bytes of all data nodes in memory.
    pub used_memory: u64,
    /// One for each master with slots, by their first slots; one for a single server.
    pub nodes: Vec<DataNode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Master,
    Replica,
}

/// Where a part of the keys is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataNode {
    pub node_id: String,
    pub endpoint: Endpoint,
    pub slots: Vec<RangeInclusive<u16>>,
    /// In which it got the last of them from another node.
    pub epoch: u64,
    pub used_memory: u64,
}

impl DataNode {
    /// Its slots, as a text that is another one as soon as any of them was moved, be it there and back.
    pub fn share(&self) -> String {
        share(&self.slots, self.epoch)
    }
}

/// Of Redis, or the one that a server compatible with it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    text: String,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Version {
    /// Of a text such as `7.0.15`; Redis 6 and 7 are supported.
    pub fn parse(text: &str) -> Result<Self> {
        let mut numbers = text.split('.').map_while(|number| number.parse().ok());
        let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if !(6..=7).contains(&major) {
            let what = format!("the server is Redis {text}; Redis 6 and 7 are supported");
            return Err(RedisError::new(RedisErrorKind::Unsupported, what));
        }
        Ok(Self { major, minor, text: text.to_owned() })
    }

    /// The newest RDB that the server reads.
    pub fn rdb(&self) -> u32 {
        match (self.major, self.minor) {
            (..=6, _) => 9,
            (7, 0 | 1) => 10,
            (7, 2 | 3) => 11,
            _ => 12,
        }
    }
}

/// The part of INFO that matters.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) version: Version,
    pub(super) role: Role,
    pub(super) is_cluster: bool,
    pub(super) used_memory: u64,
    /// How much it may hold, where it takes no more than that and throws nothing away for it.
    pub(super) room: Option<u64>,
}

impl Info {
    pub(super) fn ask(connection: &mut Connection) -> Result<Self> {
        Self::parse(&connection.text(&["INFO"])?)
    }

    fn parse(text: &str) -> Result<Self> {
        let field = |wanted: &str| {
            let fields = text.lines().filter_map(|line| line.split_once(':'));
            fields.filter(|(name, _)| *name == wanted).map(|(_, value)| value.trim()).next()
        };
        let version = Version::parse(field("redis_version").unwrap_or("of an unknown version"))?;
        if field("loading") == Some("1") {
            let what = "the server is still loading its data";
            return Err(RedisError::new(RedisErrorKind::Unready, what));
        }
        let role = if field("role") == Some("slave") { Role::Replica } else { Role::Master };
        if role == Role::Replica && field("master_link_status") == Some("down") {
            let what = "the server is a replica that has lost its master";
            return Err(RedisError::new(RedisErrorKind::Unready, what));
        }
        let used_memory = field("used_memory").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        let keeps_all = field("maxmemory_policy") == Some("noeviction");
        let most = field("maxmemory").and_then(|bytes| bytes.parse().ok());
        let room = most.filter(|most| *most > 0 && keeps_all);
        Ok(Self { version, role, is_cluster: field("cluster_enabled") == Some("1"), used_memory, room })
    }
}

impl Server {
    pub fn connect(endpoint: &Endpoint, ctx: &Ctx) -> Result<Self> {
        Ok(Self { connection: Connection::open(endpoint, ctx)?, endpoint: endpoint.clone() })
    }

    /// Finds out what there is to back up, and fails with what stands in the way of it.
    pub fn check(&mut self, ctx: &Ctx) -> Result<Facts> {
        let info = Info::ask(&mut self.connection).map_err(|error| self.explained(error, &["info"]))?;
        let nodes = self.nodes(&info, ctx)?;
        if !info.is_cluster {
            may_replicate(&mut self.connection, &info, &self.endpoint)?;
        }
        let used_memory = nodes.iter().map(|node| node.used_memory).sum();
        Ok(Facts { version: info.version, role: info.role, is_cluster: info.is_cluster, used_memory, nodes })
    }

    fn nodes(&mut self, info: &Info, ctx: &Ctx) -> Result<Vec<DataNode>> {
        if !info.is_cluster {
            let (node_id, endpoint) = (SINGLE_NODE.to_owned(), self.endpoint.clone());
            let slots = vec![0..=SLOTS - 1];
            return Ok(vec![DataNode { node_id, endpoint, slots, epoch: 0, used_memory: info.used_memory }]);
        }
        let mut nodes = data_nodes(&mut self.connection, &self.endpoint)
            .map_err(|error| self.explained(error, &["cluster|nodes"]))?;
        for node in &mut nodes {
            let mut connection = Connection::open(&node.endpoint, ctx)?;
            let info = Info::ask(&mut connection)?;
            may_replicate(&mut connection, &info, &node.endpoint)?;
            node.used_memory = info.used_memory;
            let own = own_shard(&mut connection)?;
            if (&own.node_id, &own.slots) != (&node.node_id, &node.slots) {
                let what = format!(
                    "{} and {} do not agree on who serves which slots of the cluster; wait until they do",
                    self.endpoint, node.endpoint
                );
                return Err(RedisError::new(RedisErrorKind::Unready, what));
            }
            node.epoch = own.epoch;
        }
        Ok(nodes)
    }

    fn explained(&self, error: RedisError, commands: &[&str]) -> RedisError {
        match error.kind {
            RedisErrorKind::Rights => lacking(&self.endpoint, commands).because(error),
            _ => error,
        }
    }
}

/// The masters of a cluster, with nothing known of their memory. They are reached as the node that was asked is.
pub(super) fn data_nodes(connection: &mut Connection, endpoint: &Endpoint) -> Result<Vec<DataNode>> {
    let mut shards = shards(&connection.text(&["CLUSTER", "NODES"])?)?;
    shards.sort_by_key(|shard| shard.slots.iter().map(|range| *range.start()).min());
    let node = |shard: super::cluster::Shard| {
        let host = if shard.host.is_empty() { endpoint.host.clone() } else { shard.host };
        let options = endpoint.options.iter().filter(|(name, _)| name == "cacert").cloned().collect();
        let endpoint = Endpoint { host, port: Some(shard.port), options, ..endpoint.clone() };
        let (slots, epoch) = (shard.slots, shard.epoch);
        DataNode { node_id: shard.node_id, endpoint, slots, epoch, used_memory: 0 }
    };
    Ok(shards.into_iter().map(node).collect())
}

/// The rights of a replica are tried with commands that the server refuses for another reason than rights, or that do
/// nothing: the server looks at the rights first.
fn may_replicate(connection: &mut Connection, info: &Info, endpoint: &Endpoint) -> Result<()> {
    let mut missing = Vec::new();
    if is_forbidden(connection, &["REPLCONF", "capa", "eof"])? != Forbidden::No {
        missing.push("replconf");
    }
    let may_not_sync = if info.version.major >= 7 {
        is_forbidden(connection, &["PSYNC", "?", "no-number"])? != Forbidden::No
    } else {
        connection.demand(&["MULTI"])?;
        let may_not = is_forbidden(connection, &["PSYNC", "?", "-1"])? != Forbidden::No;
        connection.ask(&["DISCARD"])?;
        may_not
    };
    if may_not_sync {
        missing.push("psync");
    }
    if missing.is_empty() { Ok(()) } else { Err(lacking(endpoint, &missing)) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    No,
    /// On the key that was named.
    Key,
    /// Altogether; a server that renamed a command has forbidden it to everybody.
    Command,
}

/// Whether the user may not run a command.
fn is_forbidden(connection: &mut Connection, command: &[&str]) -> Result<Forbidden> {
    Ok(match connection.ask(command)? {
        Reply::Error(answer) => Forbidden::of(&answer),
        _ => Forbidden::No,
    })
}

impl Forbidden {
    /// What an error of a server says about rights.
    pub(super) fn of(answer: &str) -> Self {
        let is_unknown =
            answer.starts_with("ERR unknown command") || answer.starts_with("ERR unknown subcommand");
        match answer.strip_prefix("NOPERM") {
            Some(why) if why.contains("key") => Self::Key,
            Some(_) => Self::Command,
            None if is_unknown => Self::Command,
            None => Self::No,
        }
    }
}

/// What is missing, and the command that grants it.
pub(super) fn lacking(endpoint: &Endpoint, commands: &[&str]) -> RedisError {
    let user = endpoint.user.as_deref().unwrap_or("default");
    let grants: Vec<String> = commands.iter().map(|command| format!("+{}", command.to_lowercase())).collect();
    let what = format!(
        "the user {user} of {endpoint} may not run {}; let the user do so: ACL SETUSER {user} {}",
        commands.join(", ").replace('|', " ").to_uppercase(),
        grants.join(" "),
    );
    RedisError::new(RedisErrorKind::Rights, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:1000\r\nused_memory_rss:9\r\n\
        # Replication\r\nrole:master\r\n# Cluster\r\ncluster_enabled:1\r\n";

    #[test]
    fn a_server_is_known_by_its_info() {
        let info = Info::parse(INFO).unwrap();
        assert_eq!((info.version.major, info.version.minor, info.version.rdb()), (7, 0, 10));
        assert_eq!((info.role, info.is_cluster, info.used_memory), (Role::Master, true, 1000));
        let replica =
            Info::parse(&INFO.replace("role:master", "role:slave\r\nmaster_link_status:up")).unwrap();
        assert_eq!(replica.role, Role::Replica);
    }

    #[test]
    fn other_versions_and_servers_that_cannot_serve_are_refused_in_words() {
        let refused = |from: &str, to: &str| Info::parse(&INFO.replace(from, to)).unwrap_err();
        for version in ["5.0.14", "8.0.1", "x"] {
            let error = refused("7.0.15", version);
            assert_eq!(error.kind, RedisErrorKind::Unsupported);
            assert!(error.to_string().contains("Redis 6 and 7"), "{error}");
        }
        assert_eq!(refused("role:master", "loading:1").kind, RedisErrorKind::Unready);
        assert_eq!(
            refused("role:master", "role:slave\nmaster_link_status:down").kind,
            RedisErrorKind::Unready
        );
    }
}
