//! Accounts, users, access keys, roles, the documents attached to users and roles, and the audit log.

use jiff::Timestamp;
use lifeboat_service::{AttachedDocument, AuditRow, DocumentOwner, NewKey, Secret, UserRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, list as list_of, refuse, whole};
use crate::alibaba::WireError;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    pub name: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    pub account_id: String,
    pub name: String,
}

/// What somebody signs with. The secret is told here and never again.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Credentials {
    pub account_id: String,
    /// Absent for a key of the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    pub access_key_id: String,
    pub access_key_secret: String,
    pub region: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub name: String,
    /// To log in with, where people do; keys work without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct User {
    pub name: String,
    pub has_password: bool,
    pub created: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccessKey {
    /// Absent for a key of the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccessKey {
    pub access_key_id: String,
    /// Absent for a key of the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub is_active: bool,
    pub created: Timestamp,
    /// To a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    pub name: String,
    /// The text of the document that says who may act in the role.
    pub trust: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    pub name: String,
    pub trust: String,
    pub created: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDocument {
    pub name: String,
    /// The text of the document; absent for the built-in one of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    pub attached: Timestamp,
}

/// Who did what, on what, when, from where, and what came of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Absent for a key of the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub access_key_id: String,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub source_ip: String,
    /// OK, the code of the refusal, or STARTED for what has not ended or was cut off.
    pub outcome: String,
    pub started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

// --- accounts ------------------------------------------------------------------------------------------------

pub(super) async fn create_account(call: &Call<'_>, new: NewAccount) -> Result<Credentials, WireError> {
    let made = call.service.create_account(&call.caller, &new.name).await;
    Ok(told(call, made.map_err(|error| refuse(&error))?))
}

pub(super) async fn accounts(call: &Call<'_>, _: Nothing) -> Result<List<Account>, WireError> {
    let found = call.service.accounts(&call.caller).await.map_err(|error| refuse(&error))?;
    Ok(whole(found, |row| Account { account_id: row.id.to_string(), name: row.name }))
}

// --- users ---------------------------------------------------------------------------------------------------

pub(super) async fn create_user(call: &Call<'_>, new: NewUser) -> Result<User, WireError> {
    let password = new.password.map(Secret::new);
    let made = call.service.create_user(&call.caller, &new.name, password).await;
    Ok(user(made.map_err(|error| refuse(&error))?))
}

pub(super) async fn users(call: &Call<'_>, _: Nothing) -> Result<List<User>, WireError> {
    let found = call.service.users(&call.caller).await.map_err(|error| refuse(&error))?;
    Ok(whole(found, user))
}

pub(super) async fn delete_user(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    let name: String = call.id("user")?;
    call.service.delete_user(&call.caller, &name).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

fn user(row: UserRow) -> User {
    User { name: row.name, has_password: row.has_password, created: row.created.into() }
}

// --- access keys ---------------------------------------------------------------------------------------------

pub(super) async fn create_key(call: &Call<'_>, new: NewAccessKey) -> Result<Credentials, WireError> {
    let made = call.service.create_access_key(&call.caller, new.user.as_deref()).await;
    Ok(told(call, made.map_err(|error| refuse(&error))?))
}

pub(super) async fn keys(call: &Call<'_>, _: Nothing) -> Result<List<AccessKey>, WireError> {
    let found = call.service.access_keys(&call.caller, call.text("user")).await;
    Ok(whole(found.map_err(|error| refuse(&error))?, |row| AccessKey {
        access_key_id: row.id,
        user: row.user,
        is_active: row.is_active,
        created: row.created.into(),
        last_used: row.last_used.map(Into::into),
    }))
}

pub(super) async fn enable_key(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    set_active(call, true).await
}

pub(super) async fn disable_key(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    set_active(call, false).await
}

async fn set_active(call: &Call<'_>, is_active: bool) -> Result<Nothing, WireError> {
    let id: String = call.id("access_key")?;
    let set = call.service.set_access_key_active(&call.caller, &id, is_active).await;
    set.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

pub(super) async fn delete_key(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    let id: String = call.id("access_key")?;
    call.service.delete_access_key(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

fn told(call: &Call<'_>, key: NewKey) -> Credentials {
    Credentials {
        account_id: key.account.to_string(),
        user_name: key.user,
        access_key_id: key.id,
        access_key_secret: key.secret.expose().to_owned(),
        region: call.service.region().to_owned(),
    }
}

// --- roles ---------------------------------------------------------------------------------------------------

pub(super) async fn create_role(call: &Call<'_>, new: NewRole) -> Result<Nothing, WireError> {
    let made = call.service.create_role(&call.caller, &new.name, &new.trust).await;
    made.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

pub(super) async fn roles(call: &Call<'_>, _: Nothing) -> Result<List<Role>, WireError> {
    let found = call.service.roles(&call.caller).await.map_err(|error| refuse(&error))?;
    Ok(whole(found, |row| Role { name: row.name, trust: row.trust, created: row.created.into() }))
}

pub(super) async fn delete_role(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    let name: String = call.id("role")?;
    call.service.delete_role(&call.caller, &name).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

// --- documents -----------------------------------------------------------------------------------------------

pub(super) async fn attach_to_user(call: &Call<'_>, new: NewDocument) -> Result<Nothing, WireError> {
    attach(call, DocumentOwner::User(&call.id::<String>("user")?), new).await
}

pub(super) async fn attach_to_role(call: &Call<'_>, new: NewDocument) -> Result<Nothing, WireError> {
    attach(call, DocumentOwner::Role(&call.id::<String>("role")?), new).await
}

pub(super) async fn of_user(call: &Call<'_>, _: Nothing) -> Result<List<Document>, WireError> {
    attached(call, DocumentOwner::User(&call.id::<String>("user")?)).await
}

pub(super) async fn of_role(call: &Call<'_>, _: Nothing) -> Result<List<Document>, WireError> {
    attached(call, DocumentOwner::Role(&call.id::<String>("role")?)).await
}

pub(super) async fn detach_from_user(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    detach(call, DocumentOwner::User(&call.id::<String>("user")?)).await
}

pub(super) async fn detach_from_role(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    detach(call, DocumentOwner::Role(&call.id::<String>("role")?)).await
}

async fn attach(call: &Call<'_>, owner: DocumentOwner<'_>, new: NewDocument) -> Result<Nothing, WireError> {
    let document = (new.name.as_str(), new.document.as_deref());
    let attached = call.service.attach_document(&call.caller, owner, document).await;
    attached.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

async fn attached(call: &Call<'_>, owner: DocumentOwner<'_>) -> Result<List<Document>, WireError> {
    let found = call.service.attached_documents(&call.caller, owner).await;
    Ok(whole(found.map_err(|error| refuse(&error))?, |AttachedDocument { name, document, attached }| {
        Document { name, document, attached: attached.into() }
    }))
}

async fn detach(call: &Call<'_>, owner: DocumentOwner<'_>) -> Result<Nothing, WireError> {
    let name: String = call.id("document")?;
    let detached = call.service.detach_document(&call.caller, owner, &name).await;
    detached.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

// --- audit ---------------------------------------------------------------------------------------------------

pub(super) async fn audit(call: &Call<'_>, _: Nothing) -> Result<List<AuditRecord>, WireError> {
    let page = call.page()?;
    let found = call.service.audit(&call.caller, page).await.map_err(|error| refuse(&error))?;
    Ok(list_of(found, page, |row: AuditRow| AuditRecord {
        user: row.user,
        access_key_id: row.access_key_id,
        action: row.action,
        subject: row.subject,
        source_ip: row.source_ip,
        outcome: row.outcome,
        started: row.started.into(),
        ended: row.ended.map(Into::into),
    }))
}
