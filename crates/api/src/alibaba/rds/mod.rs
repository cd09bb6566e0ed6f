//! ApsaraDB for RDS, version 2014-08-15: databases, and their backups. One file for each noun, one row in [`answer`] for
//! each operation.

mod instances;
mod policy;
mod restores;
mod sets;
mod tasks;

use lifeboat_model::resource::{ResourceId, ResourceKind};
use lifeboat_service::{Missing, ServiceError};

pub(super) use self::instances::major;
use super::{Answering, Call, Format, Params, Product, WireError, backups, operations};

const MOST_TOKEN_CHARACTERS: usize = 64;

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
    "CreateBackup" => tasks::create(call).await,
    "DescribeBackupTasks" => tasks::describe(call).await,
    "DescribeBackups" => sets::describe(call).await,
    "DeleteBackup" => sets::delete(call).await,
    "DescribeBackupPolicy" => policy::describe(call).await,
    "ModifyBackupPolicy" => policy::modify(call).await,
    "CloneDBInstance" => restores::clone(call).await,
    "RestoreTable" => restores::tables(call).await,
}

/// All operations but the listing of instances are about the one that they name.
fn subject(action: &str, params: &Params) -> Option<String> {
    let id = params.text("DBInstanceId").filter(|_| action != "DescribeDBInstances")?;
    Some(format!("dbinstance/{id}"))
}

/// The instance that a request names. What no database is called is not there.
fn instance(call: &Call<'_>) -> Result<ResourceId, WireError> {
    let text = call.params.required("DBInstanceId")?;
    let id = text.parse().ok().filter(|id: &ResourceId| id.kind() == ResourceKind::Database);
    id.ok_or_else(|| not_found(text))
}

/// By which a request that is sent again is known.
fn client_token<'a>(call: &'a Call<'_>) -> Result<Option<&'a str>, WireError> {
    let token = call.params.text("ClientToken");
    match token.filter(|token| token.chars().count() > MOST_TOKEN_CHARACTERS || !token.is_ascii()) {
        Some(strange) => {
            let accepted = format!("It must be {MOST_TOKEN_CHARACTERS} ASCII characters at most.");
            Err(WireError::invalid("ClientToken", strange, accepted))
        }
        None => Ok(token),
    }
}

fn not_found(id: &str) -> WireError {
    WireError::not_found("InvalidDBInstanceId.NotFound", format!("The instance {id} does not exist."))
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
