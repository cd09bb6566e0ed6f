//! `resource`: what a server backs up.

use lifeboat_api::native::{List, Resource};

use super::Remote;
use crate::cli::remote::ResourceAction;
use crate::exit::Status;

pub(super) fn run(remote: &Remote<'_>, action: ResourceAction) -> anyhow::Result<Status> {
    let ResourceAction::List = action;
    let found: List<Resource> = remote.get("/resources", &[])?;
    remote.table(
        &["ID", "Source", "Resource", "Plans", "Snapshots"],
        (&found.rows, found.total),
        |resource| {
            vec![
                resource.protected_resource_id.clone(),
                resource.source_type.clone(),
                resource.resource_id.clone(),
                resource.plans.to_string(),
                resource.snapshots.to_string(),
            ]
        },
    )
}
