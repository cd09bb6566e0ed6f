//! Snapshots.

use jiff::Timestamp;
use lifeboat_service::{SnapshotRow, SnapshotWindow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, list as list_of, refuse};
use crate::alibaba::WireError;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    pub snapshot_id: String,
    /// The name that restic knows it by.
    pub hash: String,
    pub vault_id: String,
    /// The job that made it; restic has made it where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// COMPLETE or PARTIAL_COMPLETE.
    pub state: String,
    pub paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_actual: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    pub completed: Timestamp,
    /// When it may be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Snapshot>, WireError> {
    let vault = call.id("vault")?;
    let page = call.page()?;
    let (limit, offset) = (u64::from(page.size), page.offset());
    let window = SnapshotWindow { is_newest_first: true, limit, offset, ..SnapshotWindow::default() };
    let found = call.service.snapshots(&call.caller, &vault, &[], window).await;
    Ok(list_of(found.map_err(|error| refuse(&error))?, page, Snapshot::from))
}

impl From<SnapshotRow> for Snapshot {
    fn from(row: SnapshotRow) -> Self {
        Self {
            snapshot_id: row.id.into(),
            hash: row.hash,
            vault_id: row.vault.into(),
            job_id: row.job.map(String::from),
            plan_id: row.plan.map(String::from),
            client_id: row.client.map(String::from),
            state: row.state,
            paths: row.spec.files.paths,
            bytes_total: row.bytes_total,
            bytes_actual: row.bytes_actual,
            items_total: row.items_total,
            created: row.created.map(Timestamp::from),
            completed: row.completed.into(),
            expires: row.expires.map(Timestamp::from),
        }
    }
}
