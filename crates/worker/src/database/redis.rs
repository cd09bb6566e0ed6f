//! Redis: one data node becomes one RDB in the vault.

use std::path::Path;

use lifeboat_adapters::endpoint::{Endpoint, EndpointError};
use lifeboat_adapters::redis::{
    KeyFilter, Planned, RdbSize, Replica, RestoreOptions, Server, restore as restore_rdbs,
};
use lifeboat_model::database::{DataNode, Phase, SetDetail};
use lifeboat_repository::Ctx;
use lifeboat_repository::intake::Intake;
use lifeboat_repository::tree::Node;

use super::DatabaseError;
use super::backup::{DatabaseBackupOrder, Source, Stream};
use super::restore::DatabaseRestoreOrder;
use super::stored::{Counted, Stored, expect};
use crate::progress::Progress;
use crate::{Done, JobError};

const DEFAULT_PORT: u16 = 6379;
/// The file of a data node in its snapshot.
pub(super) const RDB: &str = "dump.rdb";

struct Shard {
    endpoint: Endpoint,
    /// Of a cluster.
    planned: Option<Planned>,
}

/// The way to a node. Options that say where the first one is, such as a socket, are not its own.
fn at_node(endpoint: &Endpoint, node: &DataNode) -> Endpoint {
    let options = endpoint.options.iter().filter(|(name, _)| name == "cacert").cloned().collect();
    Endpoint { host: node.host.clone(), port: Some(node.port), options, ..endpoint.clone() }
}

/// Looks whether the node that the order names can be backed up.
pub(super) fn open(order: &DatabaseBackupOrder, ctx: &Ctx) -> Result<Box<dyn Source>, JobError> {
    let endpoint = match &order.backup.node {
        Some(node) => at_node(&order.endpoint, node),
        None => order.endpoint.clone(),
    };
    let facts = Server::connect(&endpoint, ctx)?.check(ctx)?;
    match &order.backup.node {
        None if facts.is_cluster => {
            let what = format!(
                "{} is a node of a cluster: remove it and add it with --cluster, so that all shards are backed up",
                order.backup.resource
            );
            return Err(JobError::Database(DatabaseError::new("SOURCE_UNSUPPORTED", what)));
        }
        Some(node) if !facts.nodes.iter().any(|found| found.node_id == node.id) => {
            let what = format!("the node {} is not a master of the cluster any more", node.id);
            return Err(JobError::Database(DatabaseError::new("SOURCE_UNREADY", what)));
        }
        _ => {}
    }
    let planned = order
        .backup
        .node
        .as_ref()
        .map(|node| Planned { node_id: node.id.clone(), share: node.share.clone() });
    Ok(Box::new(Shard { endpoint, planned }))
}

impl Source for Shard {
    fn begin(self: Box<Self>, ctx: &Ctx) -> Result<Box<dyn Stream>, JobError> {
        Ok(Box::new(match self.planned {
            Some(planned) => Replica::begin_planned(&self.endpoint, planned, ctx)?,
            None => Replica::begin(&self.endpoint, ctx)?,
        }))
    }
}

impl Stream for Replica {
    fn estimated_bytes(&self) -> u64 {
        match self.size() {
            RdbSize::Exact(bytes) | RdbSize::Estimate(bytes) => bytes,
        }
    }

    fn take_in(self: Box<Self>, intake: &Intake<'_>, node: Node, ctx: &Ctx) -> Result<SetDetail, JobError> {
        let consistent_at = Some(node.mtime.seconds);
        let taken = self.stream_into(intake, Path::new(RDB), node, ctx)?;
        Ok(SetDetail {
            engine_version: taken.redis_version,
            position: format!("{}:{}", taken.replication_id, taken.offset),
            checksum: taken.checksum.map(|checksum| checksum.to_string()).unwrap_or_default(),
            keys: Some(taken.keys),
            consistent_at,
            ..SetDetail::default()
        })
    }
}

/// The nodes of a cluster that have a part of its keys.
pub fn data_nodes(url: &str, ctx: &Ctx) -> Result<Vec<DataNode>, JobError> {
    let endpoint: Endpoint = url.parse().map_err(|error: EndpointError| super::not_a_url(&error))?;
    nodes_at(&endpoint, ctx)
}

/// The first step of a backup of a cluster whose nodes nobody has asked for yet.
pub fn find_nodes(order: &DatabaseBackupOrder, progress: &Progress, ctx: &Ctx) -> Result<Done, JobError> {
    progress.enter(Phase::Checking);
    Ok(Done { nodes: Some(nodes_at(&order.endpoint, ctx)?.into()), ..Done::default() })
}

fn nodes_at(endpoint: &Endpoint, ctx: &Ctx) -> Result<Vec<DataNode>, JobError> {
    let facts = Server::connect(endpoint, ctx)?.check(ctx)?;
    let node = |node: lifeboat_adapters::redis::DataNode| {
        let port = node.endpoint.port.unwrap_or(DEFAULT_PORT);
        DataNode { share: node.share(), id: node.node_id, host: node.endpoint.host, port }
    };
    Ok(facts.nodes.into_iter().map(node).collect())
}

/// Looks whether a restore could take its keys by this list.
pub fn check_key_filter(list: &str) -> Result<(), JobError> {
    Ok(list.parse::<KeyFilter>().map(drop)?)
}

/// Replays the RDBs of all nodes into a server or a cluster.
pub(super) fn restore(
    order: &DatabaseRestoreOrder,
    (sets, filter): (&[Stored<'_>], Option<&str>),
    (progress, ctx): (&Progress, &Ctx),
) -> Result<Done, JobError> {
    let open = || {
        let files = sets.iter().map(|set| set.file(Path::new(RDB), &ctx.cancel));
        files.collect::<Result<Vec<_>, _>>()
    };
    let files = open()?;
    // Each is read for the rehearsal, and then in earnest.
    expect(progress, files.len() as u64, files.iter().map(|file| 2 * file.size()).sum());
    let rdbs = || Ok(open()?.into_iter().map(|file| Counted(file, progress)).collect());
    let filter = filter.map(str::parse).transpose()?;
    let options = RestoreOptions { filter, clock: &*order.vault.time.clock };
    restore_rdbs(rdbs, &order.endpoint, &options, ctx)?;
    progress.settle();
    Ok(Done::default())
}
