//! What is made of a backup again: a new server, tables within one, the keys of a Redis.
//!
//! Everything that is needed is opened before anything is overwritten. A new server gets a folder that is made anew by
//! each attempt, so one that was killed leaves nothing that the next one could take for its own.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_model::database::{DatabaseRestore, DatabaseRestoreTarget, SetDetail};
use lifeboat_repository::Ctx;
use lifeboat_repository::lock::LockGuard;
use lifeboat_repository::repository::Repository;

use super::stored::Stored;
use crate::progress::Progress;
use crate::vault::VaultAccess;
use crate::{Done, JobError};

/// One restore to do.
#[derive(Clone)]
pub struct DatabaseRestoreOrder {
    pub vault: VaultAccess,
    /// The snapshot files: one, or of a cluster one for each node.
    pub snapshots: Vec<String>,
    pub restore: DatabaseRestore,
    pub detail: SetDetail,
    /// The resource that is restored into; of a new server, the one that the backup was taken of.
    pub endpoint: Endpoint,
    /// Where a server that is made has its files, for ever or as long as the restore takes.
    pub folder: PathBuf,
    /// A file for what an attempt has to tell the next one; it goes when the end of the job is known.
    pub notes: PathBuf,
    pub workers: usize,
}

/// A server that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeServer {
    pub port: u16,
    pub version: String,
}

/// Runs a restore.
pub fn restore_database(
    order: &DatabaseRestoreOrder,
    progress: &Arc<Progress>,
    ctx: &Ctx,
) -> Result<Done, JobError> {
    let repository = order.vault.open(None, ctx)?;
    order.vault.locked(&repository, ctx, |_: &LockGuard| {
        repository.load_index(ctx)?;
        let sets = open_sets(order, &repository)?;
        match &order.restore.target {
            DatabaseRestoreTarget::Keys { filter } => {
                super::redis::restore(order, (&sets, filter.as_deref()), (progress, ctx))
            }
            DatabaseRestoreTarget::Instance(_) | DatabaseRestoreTarget::Tables(_) => {
                super::sql::restore(order, &sets, (progress, ctx))
            }
        }
    })
}

fn open_sets<'r>(
    order: &DatabaseRestoreOrder,
    repository: &'r Repository,
) -> Result<Vec<Stored<'r>>, JobError> {
    let opened = order.snapshots.iter().map(|snapshot| Stored::open(repository, snapshot));
    Ok(opened.collect::<Result<_, _>>()?)
}
