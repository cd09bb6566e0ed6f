//! The API of our own: JSON over paths below `/api/v1`, for the commands, the console and scripts.
//!
//! Requests are signed as the newer signature of the Alibaba dialect is, with the real path and method; the signed
//! header `x-acs-action` names the operation, so who may do what is asked as it is there. One table (`routes`) says
//! which operations there are; the document at `/api/v1/openapi.json` is written from it and from the types.

mod access;
mod clients;
mod jobs;
mod openapi;
mod plans;
mod policies;
mod protected;
mod resources;
mod restores;
mod routes;
mod snapshots;
mod vaults;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use lifeboat_model::filter::{Page, Paged};
use lifeboat_service::{Caller, Permit, RequestContext, Service};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::access::{
    AccessKey, Account, AuditRecord, Credentials, Document, NewAccessKey, NewAccount, NewDocument, NewRole,
    NewUser, Role, User,
};
pub use self::clients::Client;
pub use self::jobs::Job;
pub use self::plans::{CreatedPlan, NewPlan, Plan, StartedJob};
pub use self::policies::{
    Binding, CreatedPolicy, ExecutePolicy, KeptPeriod, KeptPeriodKind, NewBinding, NewPolicy, NewRule,
    Policy, Rule,
};
pub use self::protected::ProtectedResource;
pub use self::resources::{Engine, NewResource, Resource, ResourceTest};
pub use self::restores::{Conflict, CreatedRestore, NewRestore};
pub use self::routes::operations;
pub use self::snapshots::Snapshot;
pub use self::vaults::{CreatedVault, NewVault, Task, Vault};
use crate::alibaba::{Params, Signed, WireError, authenticate, is_on_one_vault, refuse};
use crate::http_types::{Note, Reply, Request};
use routes::Route;

/// What all paths begin with.
pub const PREFIX: &str = "/api/v1";
/// What the header `x-acs-version` says.
pub const VERSION: &str = "v1";

const MOST_ROWS: i64 = 1000;

/// A request that is taken to be its caller's.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a Service,
    pub(crate) caller: Caller,
    /// The parts of the path that are ids.
    ids: BTreeMap<&'static str, String>,
    query: Params,
    body: Bytes,
}

pub(crate) type Answer = Result<Value, WireError>;

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct List<T> {
    pub rows: Vec<T>,
    /// How many rows all pages have.
    pub total: u64,
    pub page: u32,
    pub page_size: u32,
}

/// An object without fields.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Why a request was refused.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// For programs to decide by.
    pub code: String,
    /// For people: what was wrong, and what is accepted.
    pub message: String,
    /// As it is in the server's log.
    pub request_id: String,
    /// Of a refusal for want of permission: who was not allowed what, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Value>,
}

/// Answers a request whose path begins with [`PREFIX`]. `request_id` is unique.
pub async fn handle(service: &Service, request: &Request, request_id: &str) -> (Reply, Note) {
    let mut note = Note::default();
    let answered = match request.path.strip_prefix(PREFIX) {
        Some("/openapi.json") => Ok(openapi::document()),
        path => answer(service, request, path.unwrap_or_default(), &mut note).await,
    };
    match answered {
        Ok(body) => (reply(StatusCode::OK, &body), note),
        Err(error) => {
            note.code = Some(error.code.clone());
            (refusal(request_id, error), note)
        }
    }
}

/// Refuses a request whose body could not be read, or that is for nobody.
pub fn refuse_unread(request_id: &str, error: WireError) -> (Reply, Note) {
    let note = Note { code: Some(error.code.clone()), ..Note::default() };
    (refusal(request_id, error), note)
}

fn refusal(request_id: &str, WireError { status, code, message, denied }: WireError) -> Reply {
    reply(status, &json!(Refusal { code, message, request_id: request_id.to_owned(), denied }))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let content_type = "application/json;charset=utf-8";
    Reply { status, content_type, headers: Vec::new(), body: Bytes::from(body.to_string()) }
}

async fn answer(service: &Service, request: &Request, path: &str, note: &mut Note) -> Answer {
    let (route, ids) = Route::find(&request.method, path)?;
    note.action = Some(route.action().to_owned());
    let signed = signed_for(route, request)?;
    let caller = authenticate(service, &signed).await?;
    note.caller(&caller);
    if let Some((name, _)) = signed.params.iter().find(|(name, _)| !route.takes(name)) {
        let names: Vec<_> = route.query.iter().map(|field| field.name).collect();
        let what = format!("The parameter {name:?} is not known here; known are: {}.", names.join(", "));
        return Err(WireError::bad_request("InvalidParameter", what));
    }
    let call = Call { service, caller, ids, query: signed.params, body: request.body.clone() };
    let permits = permits(&call, route, request).await?;
    let subject = call.subject();
    let answered = (route.run)(call).await;
    let (made, refusal) = match &answered {
        Ok(body) => (ids_of(body), None),
        Err(error) => (String::new(), Some(error.code.as_str())),
    };
    for permit in permits {
        if let Err(error) = service.conclude(permit, format!("{subject} {made}").trim(), refusal).await {
            // What was done is done; its row in the audit log says that it was begun.
            tracing::error!(error = %error, "cannot note the outcome of {}", route.action());
        }
    }
    answered
}

/// The right to do all that a route needs.
async fn permits(call: &Call<'_>, route: &Route, request: &Request) -> Result<Vec<Permit>, WireError> {
    let context = RequestContext {
        source_ip: request.peer,
        is_secure: request.is_secure,
        resource: call
            .vault()
            .filter(|_| is_on_one_vault(route.action()))
            .map(|vault| format!("vault/{vault}")),
    };
    let mut permits = Vec::new();
    for action in route.actions {
        let permit = call.service.authorize(&call.caller, action, &context).await;
        permits.push(permit.map_err(|error| refuse(&error))?);
    }
    Ok(permits)
}

/// The ids and names in an object.
fn ids_of(object: &Value) -> String {
    let fields = object.as_object().into_iter().flatten();
    let ids = fields
        .filter(|(name, _)| name.ends_with("_id") || name.as_str() == "name" || name.as_str() == "user");
    ids.filter_map(|(name, id)| Some(format!("{name}={}", id.as_str()?))).collect::<Vec<_>>().join(" ")
}

/// Takes the signature apart, which must be for this route.
fn signed_for(route: &Route, request: &Request) -> Result<Signed, WireError> {
    if !request.header("authorization").is_some_and(|text| text.starts_with("ACS3-")) {
        let what = "The header Authorization is mandatory: ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=….";
        return Err(WireError::bad_request("MissingAuthorization", what));
    }
    let signed = Signed::read(request)?;
    let action = route.action();
    for (name, value, accepted) in
        [("x-acs-action", &signed.action, action), ("x-acs-version", &signed.version, VERSION)]
    {
        if value != accepted {
            return Err(WireError::invalid(name, value, format!("For this path it must be {accepted}.")));
        }
    }
    Ok(signed)
}

impl Call<'_> {
    /// The vault in the path or in the body.
    fn vault(&self) -> Option<String> {
        let body =
            || serde_json::from_slice::<Value>(&self.body).ok()?.get("vault_id")?.as_str().map(str::to_owned);
        self.ids.get("vault").cloned().or_else(body)
    }

    /// What the request is about, for the audit log.
    fn subject(&self) -> String {
        let ids = self.ids.iter().map(|(name, id)| format!("{name}_id={id}"));
        let body = serde_json::from_slice(&self.body).map(|body| ids_of(&body)).unwrap_or_default();
        ids.chain([body]).collect::<Vec<_>>().join(" ")
    }

    /// An id in the path.
    fn id<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<T, WireError> {
        let text = self.ids.get(name).map(String::as_str).unwrap_or_default();
        text.parse().map_err(|error: T::Err| WireError::invalid(name, text, format!("{error}.")))
    }

    /// A parameter of the query.
    fn text(&self, name: &str) -> Option<&str> {
        self.query.text(name)
    }

    fn page(&self) -> Result<Page, WireError> {
        let number = |name, most, default| {
            let number = self.query.number(name, 1, most)?.unwrap_or(default);
            Ok::<_, WireError>(u32::try_from(number).unwrap_or(u32::MAX))
        };
        Ok(Page {
            number: number("page", i64::from(u32::MAX), 1)?,
            size: number("page_size", MOST_ROWS, 100)?,
        })
    }

    /// What was sent; an empty body is an object without fields.
    fn body<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        crate::json::read(body).map_err(|error| {
            WireError::bad_request("InvalidBody", format!("The body is not what it should be: {error}."))
        })
    }
}

/// A list of one page.
fn whole<R, T>(found: Vec<R>, view: impl Fn(R) -> T) -> List<T> {
    let rows: Vec<T> = found.into_iter().map(view).collect();
    let total = rows.len() as u64;
    List { rows, total, page: 1, page_size: u32::try_from(total).unwrap_or(u32::MAX) }
}

fn list<R, T>(found: Paged<R>, page: Page, view: impl Fn(R) -> T) -> List<T> {
    let rows = found.rows.into_iter().map(view).collect();
    List { rows, total: found.total, page: page.number, page_size: page.size }
}

#[cfg(test)]
mod tests;
