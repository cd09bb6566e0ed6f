//! A prune job: snapshots whose time is over are deleted, and the space that they alone took is given back.
//!
//! Order, under the exclusive lock: the snapshot files, then the engine's prune, whose own order keeps whatever another
//! snapshot needs. A crash leaves some of the files, or data that nobody needs; the same job done again ends it.

use lifeboat_repository::lock::LockMode;
use lifeboat_repository::prune::PruneOptions;
use lifeboat_repository::{Ctx, Error, ErrorKind};

use crate::vault::VaultAccess;
use crate::{Done, JobError};

/// One prune to do.
#[derive(Clone)]
pub struct PruneOrder {
    pub vault: VaultAccess,
    /// The snapshot files to delete first. Those that are gone already are no error.
    pub snapshots: Vec<String>,
    pub workers: usize,
}

/// Runs a prune. An error means that something may be left to do, and that doing it again does no harm.
pub fn prune(order: &PruneOrder, ctx: &Ctx) -> Result<Done, JobError> {
    let ids = order.snapshots.iter().map(|id| {
        id.parse().map_err(|_| Error::new(ErrorKind::InvalidInput, format!("{id} names no snapshot file")))
    });
    let ids = ids.collect::<Result<Vec<_>, _>>().map_err(JobError::of_vault)?;
    let repository = order.vault.open(None, ctx).map_err(JobError::of_vault)?;
    let options = PruneOptions { workers: order.workers, ..PruneOptions::default() };
    let pruned = order.vault.locked_as(LockMode::Exclusive, &repository, ctx, |lock| {
        if let Some((_, error)) = repository.delete_snapshots(&ids, lock, ctx)?.into_iter().next() {
            return Err(error);
        }
        repository.prune(&options, lock, ctx)
    });
    let report = pruned.map_err(JobError::of_vault)?;
    Ok(Done { is_partial: !report.is_complete(), ..Done::default() })
}
