//! The dialect of Alibaba Cloud: RPC over one path, where `Version` names the product and `Action` the operation.
//!
//! A request is parsed, its signature and freshness verified, its nonce burnt, its action looked up, its caller's right
//! to it decided, and only then its parameters are read. Every reply has a body with a code, also every refusal.

mod error;
mod hbr;
mod params;
mod reply;
mod sign;

use http::{Method, StatusCode};
use lifeboat_model::time::Millis;
use lifeboat_service::{Caller, RequestContext, Service};
use serde_json::{Value, json};

pub use self::error::WireError;
pub use self::hbr::ACTIONS as HBR_ACTIONS;
pub use self::hbr::filters::{BACKUP_KEYS, Key, Keys, RESTORE_KEYS, conditions};
pub(crate) use self::hbr::resources::{protected_id, resource_id};
pub(crate) use self::hbr::{is_on_one_vault, refuse};
pub use self::params::Params;
pub use self::reply::{Format, to_xml};
pub use self::sign::{KeyPair, Signed, SigningError, sign};
use crate::http_types::{Note, Reply, Request};

/// How far a client's clock may be from ours.
const MOST_SKEW_MILLIS: i64 = 15 * 60 * 1000;

/// One operation to be done.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a Service,
    pub(crate) caller: Caller,
    /// Such as `hbr:CreateVault`.
    pub(crate) action: &'a str,
    pub(crate) context: &'a RequestContext,
    pub(crate) params: Params,
    /// How the client reaches this server: scheme and host.
    pub(crate) origin: String,
}

pub(crate) type Answer = Result<Value, WireError>;

/// Answers a request. `request_id` is unique.
pub async fn handle(service: &Service, request: &Request, request_id: &str) -> (Reply, Note) {
    let host = request.header("host").unwrap_or_default();
    let format = format_of(request);
    let mut note = Note::default();
    let reply = match answer(service, request, request_id, &mut note).await {
        Ok((action, body)) => reply::answer(format, &action, &body),
        Err(error) => {
            let reply = reply::refusal(format, &error, request_id, &host);
            note.code = Some(error.code);
            reply
        }
    };
    (reply, note)
}

/// Refuses a request whose body could not be read, or that is for nobody.
pub fn refuse_unread(request: &Request, request_id: &str, error: WireError) -> (Reply, Note) {
    let host = request.header("host").unwrap_or_default();
    let reply = reply::refusal(format_of(request), &error, request_id, &host);
    (reply, Note { code: Some(error.code), ..Note::default() })
}

/// Of the newer signature answers are always JSON; the older one asks.
fn format_of(request: &Request) -> Format {
    if request.header("authorization").is_some_and(|text| text.starts_with("ACS3-")) {
        return Format::Json;
    }
    let mut params = Params::default();
    // What cannot be decoded is refused below, in the format of the query as far as that can be read.
    let is_readable =
        params.decode(request.query.as_bytes()).and_then(|()| params.decode(&request.body)).is_ok();
    match params.text("Format") {
        None if !is_readable => Format::Json,
        text => Format::of(text),
    }
}

async fn answer(
    service: &Service,
    request: &Request,
    request_id: &str,
    note: &mut Note,
) -> Result<(String, Value), WireError> {
    check_target(request)?;
    let signed = Signed::read(request)?;
    let caller = authenticate(service, &signed).await?;
    note.caller(&caller);
    if signed.version != hbr::VERSION {
        let what = format!("The version {:?} is not one of a product that is served here.", signed.version);
        return Err(WireError::bad_request("InvalidVersion", what));
    }
    if !hbr::ACTIONS.contains(&signed.action.as_str()) {
        return Err(unknown_action(&signed.action));
    }
    note.action = Some(signed.action.clone());
    let context = RequestContext {
        source_ip: request.peer,
        is_secure: request.is_secure,
        vault: hbr::vault_of(&signed.action, &signed.params),
    };
    let action = format!("{}:{}", hbr::NAME, signed.action);
    let permit = service.authorize(&caller, &action, &context).await.map_err(|error| hbr::refuse(&error))?;
    let subject = subject(&signed.params);
    let scheme = if request.is_secure { "https" } else { "http" };
    let origin = format!("{scheme}://{}", request.header("host").unwrap_or_default());
    let call = Call { service, caller, action: &action, context: &context, params: signed.params, origin };
    let answered = hbr::answer(&signed.action, call).await;
    let (made, refusal) = match &answered {
        Ok(body) => (subject_of(body), None),
        Err(error) => (String::new(), Some(error.code.as_str())),
    };
    let concluded = service.conclude(permit, format!("{subject} {made}").trim(), refusal).await;
    if let Err(error) = concluded {
        // What was done is done; its row in the audit log says that it was begun.
        tracing::error!(error = %error, "cannot note the outcome of {action}");
    }
    Ok((signed.action, with_request_id(answered?, request_id)))
}

/// Ids that the audit log keeps of requests and answers.
const SUBJECTS: [&str; 13] = [
    "VaultId",
    "PlanId",
    "JobId",
    "RestoreId",
    "SnapshotId",
    "PolicyId",
    "PolicyBindingId",
    "ClientId",
    "InstanceId",
    "ResourceId.1",
    "CrossAccountUserId",
    "CrossAccountRoleName",
    "TaskId",
];

/// What a request is about, as far as it says.
fn subject(params: &Params) -> String {
    let named = SUBJECTS.iter().filter_map(|name| Some(format!("{name}={}", params.text(name)?)));
    named.collect::<Vec<_>>().join(" ")
}

/// What an answer has made.
fn subject_of(body: &Value) -> String {
    let named = SUBJECTS.iter().filter_map(|name| Some(format!("{name}={}", body.get(name)?.as_str()?)));
    named.collect::<Vec<_>>().join(" ")
}

fn unknown_action(action: &str) -> WireError {
    WireError::not_found("InvalidAction.NotFound", format!("Specified api {action:?} is not found."))
}

/// All operations have one path, and each takes both methods.
fn check_target(request: &Request) -> Result<(), WireError> {
    if request.path != "/" {
        let what = format!("The path {:?} is not one of this server's; send the request to /.", request.path);
        return Err(WireError::not_found("InvalidApi.NotFound", what));
    }
    if request.method != Method::GET && request.method != Method::POST {
        let what = format!("The method {} is not supported; use GET or POST.", request.method);
        return Err(WireError::bad_request("UnsupportedHTTPMethod", what));
    }
    Ok(())
}

/// Finds out who signed the request, and that he did so just now and once.
pub(crate) async fn authenticate(service: &Service, signed: &Signed) -> Result<Caller, WireError> {
    let unknown =
        || WireError::not_found("InvalidAccessKeyId.NotFound", "Specified access key is not found.");
    let key = service.signing_key(&signed.access_key_id).await.map_err(|error| hbr::refuse(&error))?;
    let key = key.ok_or_else(unknown)?;
    signed
        .verify(key.secret.expose())
        .map_err(|error| WireError::bad_request("SignatureDoesNotMatch", error.to_string()))?;
    if !key.is_active {
        return Err(WireError::bad_request(
            "InvalidAccessKeyId.Inactive",
            "Specified access key is disabled.",
        ));
    }
    let (now, signed_at) = (service.now(), Millis::from(signed.time));
    if (now.0 - signed_at.0).abs() > MOST_SKEW_MILLIS {
        let what = "Specified time stamp or date value is expired: it must be within 15 minutes of the server's time.";
        return Err(WireError::bad_request("InvalidTimeStamp.Expired", what));
    }
    // For as long as a request of that time could still be fresh.
    let expires = now.plus(2 * MOST_SKEW_MILLIS);
    let is_new =
        service.burn_nonce(&key.id, &signed.nonce, expires).await.map_err(|error| hbr::refuse(&error))?;
    if !is_new {
        return Err(WireError::bad_request(
            "SignatureNonceUsed",
            "Specified signature nonce was used already.",
        ));
    }
    Ok(Caller { account: key.account, user: key.user, access_key_id: key.id })
}

fn with_request_id(body: Value, request_id: &str) -> Value {
    let Value::Object(fields) = body else { return json!({ "RequestId": request_id }) };
    let mut all = serde_json::Map::new();
    all.insert("RequestId".to_owned(), request_id.into());
    all.extend(fields);
    Value::Object(all)
}

impl WireError {
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "The server failed; its log says why.")
    }
}
