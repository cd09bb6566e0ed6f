//! The dialect of Alibaba Cloud: RPC over one path, where `Version` names the product and `Action` the operation. Two
//! products may have operations of one name.
//!
//! A request is parsed, its signature and freshness verified, its nonce burnt, its action looked up, its caller's right
//! to it decided, and only then its parameters are read. Every reply has a body with a code, also every refusal.

mod backups;
mod error;
mod hbr;
mod kvstore;
mod params;
mod rds;
mod reply;
mod sign;

use std::pin::Pin;

use http::{Method, StatusCode};
use lifeboat_model::filter::Page;
use lifeboat_model::time::Millis;
use lifeboat_service::{Caller, RequestContext, Service};
use serde_json::{Value, json};

pub use self::error::WireError;
pub use self::hbr::ACTIONS as HBR_ACTIONS;
pub use self::hbr::filters::{BACKUP_KEYS, Key, Keys, RESTORE_KEYS, conditions};
pub(crate) use self::hbr::resources::{protected_id, resource_id};
pub(crate) use self::hbr::{is_on_one_vault, refuse};
pub use self::kvstore::ACTIONS as KVSTORE_ACTIONS;
pub use self::params::Params;
pub use self::rds::ACTIONS as RDS_ACTIONS;
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

type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What is served under one version.
struct Product {
    version: &'static str,
    /// What policy documents call it.
    name: &'static str,
    /// Of answers to the older signature where the request does not say.
    default_format: Format,
    actions: &'static [&'static str],
    /// Answers one of `actions`.
    answer: for<'a> fn(&'a str, Call<'a>) -> Answering<'a>,
    /// Adds what each answer begins with.
    envelope: fn(Value) -> Value,
    /// The one thing that an operation is about, as policy documents name it; `None` when it is about all.
    subject: fn(&str, &Params) -> Option<String>,
}

const PRODUCTS: [&Product; 3] = [&hbr::PRODUCT, &rds::PRODUCT, &kvstore::PRODUCT];

impl Product {
    fn of(version: &str) -> Option<&'static Self> {
        PRODUCTS.into_iter().find(|product| product.version == version)
    }
}

/// Makes `answer` and `ACTIONS` of the rows, so that both know the same operations.
macro_rules! operations {
    ($call:ident => $($action:literal => $answer:expr,)*) => {
        /// All operations.
        pub const ACTIONS: &[&str] = &[$($action),*];

        /// Answers an operation that is known.
        fn answer<'a>(action: &'a str, $call: Call<'a>) -> Answering<'a> {
            Box::pin(async move {
                match action {
                    $($action => $answer,)*
                    _ => Err(super::unknown_action(action)),
                }
            })
        }
    };
}
use operations;

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
    let product = params.text("Version").and_then(Product::of);
    match params.text("Format") {
        None if !is_readable => Format::Json,
        text => Format::of(text, product.map_or(Format::Xml, |product| product.default_format)),
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
    let product = Product::of(&signed.version).ok_or_else(|| {
        let what = format!("The version {:?} is not one of a product that is served here.", signed.version);
        WireError::bad_request("InvalidVersion", what)
    })?;
    if !product.actions.contains(&signed.action.as_str()) {
        return Err(unknown_action(&signed.action));
    }
    note.action = Some(signed.action.clone());
    let context = RequestContext {
        source_ip: request.peer,
        is_secure: request.is_secure,
        resource: (product.subject)(&signed.action, &signed.params),
    };
    let action = format!("{}:{}", product.name, signed.action);
    let permit = service.authorize(&caller, &action, &context).await.map_err(|error| refuse(&error))?;
    let subject = subject(&signed.params);
    let scheme = if request.is_secure { "https" } else { "http" };
    let origin = format!("{scheme}://{}", request.header("host").unwrap_or_default());
    let call = Call { service, caller, action: &action, context: &context, params: signed.params, origin };
    let answered = (product.answer)(&signed.action, call).await;
    let (made, refusal) = match &answered {
        Ok(body) => (subject_of(body), None),
        Err(error) => (String::new(), Some(error.code.as_str())),
    };
    let concluded = service.conclude(permit, format!("{subject} {made}").trim(), refusal).await;
    if let Err(error) = concluded {
        // What was done is done; its row in the audit log says that it was begun.
        tracing::error!(error = %error, "cannot note the outcome of {action}");
    }
    let body = (product.envelope)(answered?);
    Ok((signed.action, with_request_id(body, request_id)))
}

/// Ids that the audit log keeps of requests and answers.
const SUBJECTS: [&str; 17] = [
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
    "DBInstanceId",
    "BackupId",
    "BackupJobId",
    "BackupJobID",
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
    let key = service.signing_key(&signed.access_key_id).await.map_err(|error| refuse(&error))?;
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
    let is_new = service.burn_nonce(&key.id, &signed.nonce, expires).await.map_err(|error| refuse(&error))?;
    if !is_new {
        return Err(WireError::bad_request(
            "SignatureNonceUsed",
            "Specified signature nonce was used already.",
        ));
    }
    Ok(Caller { account: key.account, user: key.user, access_key_id: key.id })
}

/// Leaves out what is null: a field is there when something stands behind it.
fn present(fields: Value) -> Value {
    match fields {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

/// A moment as most products write it.
fn utc(time: Millis) -> String {
    jiff::Timestamp::from(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn with_request_id(body: Value, request_id: &str) -> Value {
    let Value::Object(fields) = body else { return json!({ "RequestId": request_id }) };
    let mut all = serde_json::Map::new();
    all.insert("RequestId".to_owned(), request_id.into());
    all.extend(fields);
    Value::Object(all)
}

impl Call<'_> {
    /// A parameter that is one of some words.
    fn one_of(&self, name: &str, accepted: &[&str]) -> Result<Option<&str>, WireError> {
        match self.params.text(name) {
            Some(value) if !accepted.contains(&value) => {
                Err(WireError::invalid(name, value, format!("It must be {}.", accepted.join(" or "))))
            }
            value => Ok(value),
        }
    }

    /// PageNumber and PageSize: 30 rows, unless as many are asked for, `most` at most.
    fn page_of(&self, most: i64) -> Result<Page, WireError> {
        let number = self.params.number("PageNumber", 1, 1_000_000_000)?.unwrap_or(1);
        let size = self.params.number("PageSize", 1, most)?.unwrap_or(30);
        let to_u32 = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Page { number: to_u32(number), size: to_u32(size) })
    }
}

impl WireError {
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "The server failed; its log says why.")
    }
}
