//! Restore jobs.

use lifeboat_model::files::{ConflictPolicy, FilesRestoreSpec, check_patterns};
use lifeboat_model::id::ClientId;
use lifeboat_model::job::JobKind;
use lifeboat_model::plan::{Place, RestoreSpec, SourceType};
use lifeboat_service::NewRestore as NewRestoreRequest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::jobs::{Job, cancel_of, find, list_kind};
use super::plans::parsed;
use super::{Call, List, Nothing, refuse};
use crate::alibaba::WireError;

/// A restore to be run.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRestore {
    pub snapshot_id: String,
    /// The folder to restore into, which must be there; the original place where it is left out.
    #[serde(default)]
    pub target_path: Option<String>,
    /// The machine to restore to; the one the snapshot came from where it is left out.
    #[serde(default)]
    pub client_id: Option<String>,
    #[serde(default)]
    pub include: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    #[serde(default)]
    pub conflict: Conflict,
}

/// What becomes of a file that is in the target already.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    #[default]
    Skip,
    Overwrite,
    KeepNewer,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedRestore {
    pub restore_id: String,
}

pub(super) async fn create(call: &Call<'_>, new: NewRestore) -> Result<CreatedRestore, WireError> {
    if let Some(path) = new.target_path.as_ref().filter(|path| !path.starts_with('/')) {
        return Err(WireError::invalid("target_path", path, "It must be an absolute path."));
    }
    for (name, patterns) in [("include", &new.include), ("exclude", &new.exclude)] {
        check_patterns(patterns).map_err(|error| {
            WireError::bad_request(format!("InvalidParameter.{name}"), format!("{error}."))
        })?;
    }
    let client: Option<ClientId> = parsed("client_id", new.client_id)?;
    let snapshot = parsed("snapshot_id", Some(new.snapshot_id))?;
    let files = FilesRestoreSpec {
        target_path: new.target_path,
        include: new.include,
        exclude: new.exclude,
        conflict: match new.conflict {
            Conflict::Skip => ConflictPolicy::SkipTheFile,
            Conflict::Overwrite => ConflictPolicy::OverwriteExisting,
            Conflict::KeepNewer => ConflictPolicy::KeepLatest,
        },
    };
    let request = NewRestoreRequest {
        snapshot: snapshot.ok_or_else(|| WireError::missing("snapshot_id"))?,
        snapshot_hash: None,
        vault: None,
        place: client.map(Place::Client),
        restore_type: SourceType::EcsFile.as_str(),
        edition: "STANDARD",
        cross: None,
        spec: RestoreSpec { files, options: None, cross: None },
    };
    let made = call.service.create_restore(&call.caller, request).await.map_err(|error| refuse(&error))?;
    Ok(CreatedRestore { restore_id: made.into() })
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Job>, WireError> {
    list_kind(call, Some(JobKind::Restore)).await
}

pub(super) async fn show(call: &Call<'_>, _: Nothing) -> Result<Job, WireError> {
    Ok(find(call, "restore", is_restore).await?.into())
}

pub(super) async fn cancel(call: &Call<'_>, _: Nothing) -> Result<Job, WireError> {
    cancel_of(call, "restore", is_restore).await
}

fn is_restore(kind: JobKind) -> bool {
    kind == JobKind::Restore
}
