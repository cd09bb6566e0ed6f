//! ApsaraDB for RDS, version 2014-08-15: databases, and their backups. One file for each noun, one row in [`answer`] for
//! each operation.

mod instances;

use lifeboat_service::{Missing, ServiceError};

pub(super) use self::instances::major;
use super::{Answering, Call, Format, Params, Product, WireError, operations};

pub(super) const PRODUCT: Product = Product {
    version: "2014-08-15",
    name: "rds",
    default_format: Format::Xml,
    actions: ACTIONS,
    answer,
    envelope: |body| body,
    subject,
};

operations! { call =>
    "DescribeDBInstances" => instances::describe(call).await,
}

/// All operations but the listing of instances are about the one that they name.
fn subject(action: &str, params: &Params) -> Option<String> {
    let id = params.text("DBInstanceId").filter(|_| action != "DescribeDBInstances")?;
    Some(format!("dbinstance/{id}"))
}

/// The code for a refusal of the service.
fn refuse(error: &ServiceError) -> WireError {
    match error {
        ServiceError::Missing(Missing::Resource, id) => {
            let what = format!("The instance {id} does not exist.");
            WireError::not_found("InvalidDBInstanceId.NotFound", what)
        }
        other => super::refuse(other),
    }
}
