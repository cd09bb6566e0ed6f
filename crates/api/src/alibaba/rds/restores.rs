//! CloneDBInstance, RestoreTable: what is made of a backup set.
//!
//! Parameters that ask for another result than this server makes are refused. Those that say where and for how much money an
//! instance of the cloud is made mean nothing on a machine of one's own, and are passed over.

use lifeboat_model::database::{RestoredDatabase, RestoredTable};
use serde::Deserialize;
use serde_json::json;

use super::{client_token, instance, refuse};
use crate::alibaba::{Answer, Call, WireError};

const PAY_TYPES: &[&str] = &["Postpaid", "Prepaid", "Serverless"];
const MOST_NAMES: usize = 1000;

/// One database of a `TableMeta`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseMeta {
    #[serde(rename = "type")]
    _kind: DatabaseWord,
    name: String,
    newname: Option<String>,
    tables: Option<Vec<TableMeta>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableMeta {
    #[serde(rename = "type")]
    _kind: Option<TableWord>,
    name: String,
    newname: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum DatabaseWord {
    Db,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TableWord {
    Table,
}

pub(super) async fn clone(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.fixed(&[
        ("PayType", PAY_TYPES),
        ("BackupType", &["FullBackup"]),
        ("RestoreTable", &["0"]),
        ("DeletionProtection", &["False", "false"]),
        ("RestoreTime", &[]),
        ("DbNames", &[]),
        ("TableMeta", &[]),
        ("PrivateIpAddress", &[]),
    ])?;
    let set = call.number("BackupId")?.ok_or_else(|| WireError::missing("BackupId"))?;
    let token = client_token(&call)?;
    let made = call.service.clone_database(&call.caller, &id, (set, token)).await;
    Ok(json!({ "DBInstanceId": made.map_err(|error| refuse(&error))? }))
}

pub(super) async fn tables(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.fixed(&[("RestoreTime", &[]), ("InstantRecovery", &["False", "false"])])?;
    let set = call.number("BackupId")?.ok_or_else(|| WireError::missing("BackupId"))?;
    let databases = databases(&call)?;
    let restored = call.service.restore_tables(&call.caller, &id, (set, databases)).await;
    restored.map_err(|error| refuse(&error))?;
    Ok(json!({}))
}

fn databases(call: &Call<'_>) -> Result<Vec<RestoredDatabase>, WireError> {
    let text = call.params.required("TableMeta")?;
    let meta = call.params.json::<Vec<DatabaseMeta>>("TableMeta")?.unwrap_or_default();
    let tables = |meta: &DatabaseMeta| meta.tables.as_ref().map_or(1, Vec::len);
    let names: usize = meta.iter().map(tables).sum();
    if meta.is_empty() || meta.iter().any(|meta| tables(meta) == 0) || names > MOST_NAMES {
        let accepted =
            format!("It must name 1 to {MOST_NAMES} databases or tables; no list in it may be empty.");
        return Err(WireError::invalid("TableMeta", text, accepted));
    }
    Ok(meta.into_iter().map(RestoredDatabase::from).collect())
}

impl From<DatabaseMeta> for RestoredDatabase {
    fn from(meta: DatabaseMeta) -> Self {
        let tables = meta.tables.unwrap_or_default().into_iter();
        Self {
            name: meta.name,
            new_name: meta.newname,
            tables: tables.map(|table| RestoredTable { name: table.name, new_name: table.newname }).collect(),
        }
    }
}
