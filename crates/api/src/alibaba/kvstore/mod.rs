//! Tair and ApsaraDB for Redis (R-kvstore), version 2015-01-01: Redis servers, and their backups. One file for each noun,
//! one row in [`answer`] for each operation.

mod instances;

use lifeboat_service::{Missing, ServiceError};

use super::{Answering, Call, Format, Params, Product, WireError, operations};

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
}

/// All operations but these are about the instance that they name.
const ON_ALL: [&str; 2] = ["DescribeInstances", "DescribeBackupTasks"];

fn subject(action: &str, params: &Params) -> Option<String> {
    let id = params.text("InstanceId").filter(|_| !ON_ALL.contains(&action))?;
    Some(format!("instance/{id}"))
}

/// The code for a refusal of the service.
fn refuse(error: &ServiceError) -> WireError {
    match error {
        ServiceError::Missing(Missing::Resource, id) => {
            let what = format!("The instance {id} does not exist.");
            WireError::not_found("InvalidInstanceId.NotFound", what)
        }
        other => super::refuse(other),
    }
}
