//! The snapshot of a job whose end was never said.
//!
//! A worker closes what it has noted of the entries, writes the snapshot file, and then says that the job is over. When
//! it dies before it was heard, the job is claimed again although all of it is done. The file tells what came of it, so
//! the job ends with that: nothing is read again, and there is one snapshot of it. A worker that was only thought dead
//! may still write its own after this look; that one is found as others are that nobody has told of.

use std::collections::HashSet;

use lifeboat_catalog::JobRow;
use lifeboat_model::id::VaultId;
use lifeboat_model::job::JobKind;
use lifeboat_worker::{Ctx, FoundSnapshot, VaultAccess, list_snapshots, read_snapshots};
use tracing::{info, warn};

use crate::import::About;
use crate::{Result, Service, ServiceError, bridge};

impl Service {
    /// The snapshot that an earlier attempt at a backup has left. Where it cannot be looked for, the job just runs.
    pub(crate) async fn stored_by_earlier_attempt(&self, job: &JobRow) -> Option<FoundSnapshot> {
        match self.look_for_snapshot_of(job).await {
            Ok(found) => {
                let found = found?;
                info!(job.id = %job.id, "job {} was cut off when its snapshot {} was there", job.id, found.hash);
                Some(found)
            }
            Err(failed) => {
                warn!(job.id = %job.id, error = %bridge::chain(&failed), "cannot look for a snapshot of job {}", job.id);
                None
            }
        }
    }

    async fn look_for_snapshot_of(&self, job: &JobRow) -> Result<Option<FoundSnapshot>> {
        if job.kind != JobKind::Backup.as_str() && job.kind != JobKind::DatabaseBackup.as_str() {
            return Ok(None);
        }
        let Ok(id) = job.vault.parse::<VaultId>() else { return Ok(None) };
        let Some(vault) = self.catalog.vault(job.account, &id).await? else { return Ok(None) };
        let access = self.access_of(&vault)?;
        let known = self.catalog.known_snapshots(&id).await?;
        let known = known.into_iter().map(|row| row.hash).collect();
        let unknown =
            bridge::run(move || read_unknown(&access, &known)).await.map_err(ServiceError::Vault)?;
        let is_his = |found: &FoundSnapshot| {
            let about = found.about.clone().and_then(|about| serde_json::from_value::<About>(about).ok());
            // A copy, or one that restic has rewritten, is something else.
            found.tag("job") == Some(&job.id)
                && found.counters.is_some()
                && found.original.is_none()
                && about.is_some_and(|about| about.vault == id)
        };
        Ok(unknown.into_iter().filter(is_his).max_by_key(|found| found.ended))
    }
}

fn read_unknown(
    access: &VaultAccess,
    known: &HashSet<String>,
) -> lifeboat_worker::VaultResult<Vec<FoundSnapshot>> {
    let ctx = Ctx::default();
    let mut files = list_snapshots(access, &ctx)?;
    files.retain(|file| !known.contains(file));
    if files.is_empty() {
        return Ok(Vec::new());
    }
    Ok(read_snapshots(access, &files, &ctx)?.0)
}
