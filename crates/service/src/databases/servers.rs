//! Servers that this one runs itself: started with it, stopped with it, removed with their resource.
//!
//! One that was left running by a crash is found by its folder and taken as it is. Those that another server of the same
//! catalog has made are its own business. All of ours start and stop side by side, and none is waited for for ever: it is
//! told to, and goes on by itself. What restores of tables leave in a crash is removed once their jobs have ended.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_catalog::ResourceRow;
use lifeboat_model::id::RestoreId;
use lifeboat_model::resource::{Engine, ResourceState};
use lifeboat_worker::{Ctx, JobError, start_server, stop_server};
use tracing::{info, warn};

use super::restores::OwnServer;
use crate::{Result, Service, ServiceError, bridge};

/// One that has much to recover takes its time.
const START_WITHIN: Duration = Duration::from_mins(10);
/// With this server.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// By itself.
const STOP_ALONE_WITHIN: Duration = Duration::from_mins(10);

impl Service {
    /// Starts every server of ours. One that does not start is told of and becomes FAILED; the others go on.
    pub async fn start_servers(&self) -> Result<()> {
        let rows = self.catalog.resources_with_instances().await?;
        let is_ready = |row: &ResourceRow| {
            matches!(row.state, ResourceState::Running | ResourceState::Failed)
                && self.own_server(row).is_some_and(|(.., own)| own.port != 0)
        };
        let starts = rows.into_iter().filter(is_ready).map(|row| self.clone().start_server_of(row));
        bridge::side_by_side(starts).await;
        Ok(())
    }

    async fn start_server_of(self, row: ResourceRow) {
        let Some((engine, folder, own)) = self.own_server(&row) else { return };
        let started = within(START_WITHIN, move |ctx| start_server(engine, &folder, own.port, ctx)).await;
        let state = match started {
            Ok(()) => ResourceState::Running,
            Err(failed) => {
                warn!(resource.id = %row.id, error = %bridge::chain(&failed), "cannot start the server of {}", row.id);
                ResourceState::Failed
            }
        };
        info!(resource.id = %row.id, state = state.as_str(), "the server of {} is {}", row.id, state.as_str());
        if let Err(failed) = self.catalog.set_resource_state(&row.id, state, self.now()).await {
            warn!(resource.id = %row.id, error = %bridge::chain(&failed), "cannot note the state of {}", row.id);
        }
    }

    /// Stops every server of ours. One that does not stop is told of; the others are stopped all the same.
    pub async fn stop_servers(&self) -> Result<()> {
        let rows = self.catalog.resources_with_instances().await?;
        let stop = |row: ResourceRow| {
            let service = self.clone();
            async move {
                if let Err(failed) = service.stop_within(&row, STOP_WITHIN).await {
                    warn!(resource.id = %row.id, error = %bridge::chain(&failed), "cannot stop the server of {}", row.id);
                }
            }
        };
        bridge::side_by_side(rows.into_iter().map(stop)).await;
        Ok(())
    }

    /// Stops the server behind a resource for good, if there is one of ours.
    pub(crate) async fn stop_server_of(&self, row: &ResourceRow) -> Result<()> {
        self.must_be_here(row)?;
        self.stop_within(row, STOP_ALONE_WITHIN).await
    }

    /// Refuses a server that another Lifeboat runs: it is reached from that one's machine alone, and here its address may
    /// be somebody else's.
    pub(crate) fn must_be_here(&self, row: &ResourceRow) -> Result<()> {
        match made(row).filter(|own| !self.is_ours(own)) {
            Some(OwnServer { server: Some(server), .. }) => Err(ServiceError::NotLocal(format!(
                "the server of {} is run by another Lifeboat of this catalog, whose server.id is {server}: ask that one",
                row.id
            ))),
            _ => Ok(()),
        }
    }

    async fn stop_within(&self, row: &ResourceRow, time: Duration) -> Result<()> {
        let Some((engine, folder, _)) = self.own_server(row) else { return Ok(()) };
        within(time, move |ctx| stop_server(engine, &folder, ctx)).await
    }

    /// Removes the files of a server that has stopped, and whose resource is gone.
    pub(crate) async fn remove_files_of(&self, row: &ResourceRow) {
        let Some((_, folder, _)) = self.own_server(row) else { return };
        if let Err(failed) = bridge::run(move || remove(&folder)).await {
            warn!(resource.id = %row.id, error = %failed, "cannot remove the folder of {}", row.id);
        }
    }

    /// Removes what restores of tables have left here whose jobs have ended: servers that run for a while, their files,
    /// and notes.
    pub(crate) async fn sweep_instances(&self) -> Result<()> {
        let root = self.instance_root.clone();
        for (job, path) in bridge::run(move || leftovers(&root)).await {
            if self.catalog.is_job_active(&job).await? {
                continue;
            }
            info!(job.id = job, path = %path.display(), "removing what job {job} has left in {}", path.display());
            let swept = within(STOP_ALONE_WITHIN, move |ctx| {
                stop_server(Engine::Postgresql, &path, ctx)?;
                stop_server(Engine::Mariadb, &path, ctx)?;
                remove(&path).map_err(JobError::Begin)
            });
            if let Err(failed) = swept.await {
                warn!(job.id = job, error = %bridge::chain(&failed), "cannot remove what job {job} has left");
            }
        }
        Ok(())
    }

    /// Where the files of a server of ours are.
    pub fn resource_folder(&self, row: &ResourceRow) -> Option<PathBuf> {
        self.own_server(row).map(|(_, folder, _)| folder)
    }

    fn own_server(&self, row: &ResourceRow) -> Option<(Engine, PathBuf, OwnServer)> {
        let own = made(row).filter(|own| self.is_ours(own))?;
        Some((row.engine, self.instance_root.join(row.id.as_str()), own))
    }

    fn is_ours(&self, own: &OwnServer) -> bool {
        own.server.as_ref().is_none_or(|server| *server == self.server)
    }
}

fn made(row: &ResourceRow) -> Option<OwnServer> {
    serde_json::from_str(row.instance.as_deref()?).ok()
}

/// Runs what gives up when its time is over, or when nobody waits for it any more.
async fn within(
    time: Duration,
    work: impl FnOnce(&Ctx) -> std::result::Result<(), JobError> + Send + 'static,
) -> Result<()> {
    let ctx = Ctx::default();
    let _waiting = Waiting(ctx.clone());
    match tokio::time::timeout(time, bridge::run(move || work(&ctx))).await {
        Ok(done) => done.map_err(ServiceError::Source),
        Err(_) => Err(ServiceError::Conflict(format!("it has not done so in {} seconds", time.as_secs()))),
    }
}

struct Waiting(Ctx);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel.cancel();
    }
}

/// What is named after a job, `.r-…` or `.r-….notes`, with the job.
fn leftovers(root: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let of_job = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix('.')?;
        let job = name.strip_suffix(".notes").unwrap_or(name);
        job.parse::<RestoreId>().ok().map(|job| (job.to_string(), path.clone()))
    };
    entries.filter_map(|entry| of_job(entry.path())).collect()
}

/// A folder with all in it, or a file.
fn remove(path: &Path) -> io::Result<()> {
    let is_folder = path.symlink_metadata().is_ok_and(|what| what.is_dir());
    match if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
