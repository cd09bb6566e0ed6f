//! Protected resources: what is backed up, or once was.

use lifeboat_service::ProtectedResource as Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, refuse, whole};
use crate::alibaba::{WireError, protected_id, resource_id};

/// The files of one client, as one source type.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProtectedResource {
    pub protected_resource_id: String,
    pub source_type: String,
    /// The instance or the client whose files they are.
    pub resource_id: String,
    /// Plans that back it up; what policies do is not among them.
    pub plans: u64,
    pub snapshots: u64,
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<ProtectedResource>, WireError> {
    let found = call.service.protected_resources(&call.caller).await.map_err(|error| refuse(&error))?;
    Ok(whole(found, ProtectedResource::from))
}

impl From<Row> for ProtectedResource {
    fn from(resource: Row) -> Self {
        Self {
            protected_resource_id: protected_id(&resource),
            resource_id: resource_id(&resource).to_owned(),
            source_type: resource.source_type,
            plans: resource.plans,
            snapshots: resource.snapshots,
        }
    }
}
