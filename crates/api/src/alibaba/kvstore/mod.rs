//! Tair and ApsaraDB for Redis (R-kvstore), version 2015-01-01: Redis servers, and their backups. One file for each noun,
//! one row in [`answer`] for each operation.

mod clusters;
mod instances;
mod policy;
mod restores;
mod sets;
mod tasks;

use lifeboat_model::resource::{ResourceId, ResourceKind};
use lifeboat_service::{Missing, ServiceError};

use super::{Answering, Call, Format, Params, Product, WireError, backups, operations};

pub(super) const PRODUCT: Product = Product {
    version: "2015-01-01",
    name: "kvstore",
    default_format: Format::Json,
    actions: ACTIONS,
    answer,
    envelope: |body| body,
    subject,
};

operations! { call =>
    "DescribeInstances" => instances::describe(call).await,
    "CreateBackup" => tasks::create(call).await,
    "DescribeBackupTasks" => tasks::describe(call).await,
    "DescribeBackups" => sets::describe(call).await,
    "DeleteBackup" => sets::delete(call).await,
    "ModifyBackupExpireTime" => sets::extend(call).await,
    "DescribeClusterBackupList" => clusters::describe(call).await,
    "DescribeBackupPolicy" => policy::describe(call).await,
    "ModifyBackupPolicy" => policy::modify(call).await,
    "RestoreInstance" => restores::restore(call).await,
}

/// All operations but these are about the instance that they name.
const ON_ALL: [&str; 2] = ["DescribeInstances", "DescribeBackupTasks"];

fn subject(action: &str, params: &Params) -> Option<String> {
    let id = params.text("InstanceId").filter(|_| !ON_ALL.contains(&action))?;
    Some(format!("instance/{id}"))
}

/// The instance that a request names. What no Redis is called is not there.
fn instance(call: &Call<'_>) -> Result<ResourceId, WireError> {
    let text = call.params.required("InstanceId")?;
    let id = text.parse().ok().filter(|id: &ResourceId| id.kind() == ResourceKind::Redis);
    id.ok_or_else(|| not_found(text))
}

/// A data node: of a cluster by its own id, of a single server by the only one it can have.
fn node(instance: &str, node: Option<&str>) -> String {
    node.map_or_else(|| format!("{instance}-db-0"), str::to_owned)
}

fn not_found(id: &str) -> WireError {
    WireError::not_found("InvalidInstanceId.NotFound", format!("The instance {id} does not exist."))
}

/// The code for a refusal of the service.
fn refuse(error: &ServiceError) -> WireError {
    match error {
        ServiceError::Missing(Missing::Resource, id) => not_found(id),
        other => backups::refuse(other),
    }
}

/// The same where backup sets are to be changed.
fn refuse_set(error: &ServiceError) -> WireError {
    match error {
        ServiceError::Missing(Missing::Resource, id) => not_found(id),
        other => backups::refuse_set(other),
    }
}
