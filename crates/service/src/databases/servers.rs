//! Servers that this one runs itself: started with it, stopped with it, removed with their resource.
//!
//! One that was left running by a crash is found by its folder and taken as it is.

use lifeboat_catalog::ResourceRow;
use lifeboat_model::resource::{Engine, ResourceState};
use lifeboat_worker::{Ctx, start_server, stop_server};
use tracing::{info, warn};

use super::restores::OwnServer;
use crate::{Result, Service, ServiceError, bridge};

impl Service {
    /// Starts every server of ours. One that does not start is told of and becomes FAILED; the others go on.
    pub async fn start_servers(&self) -> Result<()> {
        for row in self.catalog.resources_with_instances().await? {
            if !matches!(row.state, ResourceState::Running | ResourceState::Failed) {
                continue;
            }
            let Some((engine, folder, own)) = self.own_server(&row) else { continue };
            if own.port == 0 {
                continue;
            }
            let started = bridge::run(move || start_server(engine, &folder, own.port, &Ctx::default())).await;
            let state = match started {
                Ok(()) => ResourceState::Running,
                Err(failed) => {
                    warn!(resource.id = %row.id, error = %bridge::chain(&failed), "cannot start the server of {}", row.id);
                    ResourceState::Failed
                }
            };
            info!(resource.id = %row.id, state = state.as_str(), "the server of {} is {}", row.id, state.as_str());
            self.catalog.set_resource_state(&row.id, state, self.now()).await?;
        }
        Ok(())
    }

    /// Stops every server of ours. One that does not stop is told of; the others are stopped all the same.
    pub async fn stop_servers(&self) -> Result<()> {
        for row in self.catalog.resources_with_instances().await? {
            if let Err(failed) = self.stop_server_of(&row).await {
                warn!(resource.id = %row.id, error = %bridge::chain(&failed), "cannot stop the server of {}", row.id);
            }
        }
        Ok(())
    }

    /// Stops the server behind a resource, if there is one of ours.
    pub(crate) async fn stop_server_of(&self, row: &ResourceRow) -> Result<()> {
        let Some((engine, folder, _)) = self.own_server(row) else { return Ok(()) };
        let stopped = bridge::run(move || stop_server(engine, &folder, &Ctx::default())).await;
        stopped.map_err(ServiceError::Source)
    }

    /// Removes the files of a server that has stopped, and whose resource is gone.
    pub(crate) async fn remove_files_of(&self, row: &ResourceRow) {
        let Some((_, folder, _)) = self.own_server(row) else { return };
        let removed = bridge::run(move || std::fs::remove_dir_all(folder)).await;
        if let Err(failed) = removed
            && failed.kind() != std::io::ErrorKind::NotFound
        {
            warn!(resource.id = %row.id, error = %failed, "cannot remove the folder of {}", row.id);
        }
    }

    /// Where the files of a server of ours are.
    pub fn resource_folder(&self, row: &ResourceRow) -> Option<std::path::PathBuf> {
        self.own_server(row).map(|(_, folder, _)| folder)
    }

    fn own_server(&self, row: &ResourceRow) -> Option<(Engine, std::path::PathBuf, OwnServer)> {
        let own = serde_json::from_str(row.instance.as_deref()?).ok()?;
        Some((row.engine, self.instance_root.join(row.id.as_str()), own))
    }
}
