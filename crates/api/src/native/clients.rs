//! Clients: machines whose files can be backed up.

use jiff::Timestamp;
use lifeboat_service::ClientRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, refuse, whole};
use crate::alibaba::WireError;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    pub client_id: String,
    pub instance_id: String,
    pub hostname: String,
    pub version: String,
    pub created: Timestamp,
    /// When it was last heard of.
    pub heard_of: Timestamp,
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Client>, WireError> {
    let found = call.service.clients(&call.caller).await.map_err(|error| refuse(&error))?;
    Ok(whole(found, Client::from))
}

impl From<ClientRow> for Client {
    fn from(row: ClientRow) -> Self {
        Self {
            client_id: row.id.into(),
            instance_id: row.instance.into(),
            hostname: row.hostname,
            version: row.version,
            created: row.created.into(),
            heard_of: row.heard_of.into(),
        }
    }
}
