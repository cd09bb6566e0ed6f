//! The dialect of Alibaba Cloud: RPC over one path, where `Version` names the product and `Action` the operation.
//!
//! A request is parsed, its signature and freshness verified, its nonce burnt, its action looked up, and only then
//! its parameters are read. Every reply has a body with a code, also every refusal.

mod error;
mod hbr;
mod params;
mod reply;
mod sign;

use http::StatusCode;
use lifeboat_model::time::Millis;
use lifeboat_service::{Caller, Service};
use serde_json::{Value, json};

pub use self::error::WireError;
pub use self::params::Params;
pub use self::reply::{Format, to_xml};
pub use self::sign::{Signed, SigningError};
use crate::http_types::{Reply, Request};

/// How far a client's clock may be from ours.
const MOST_SKEW_MILLIS: i64 = 15 * 60 * 1000;

/// One operation to be done.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a Service,
    pub(crate) caller: Caller,
    pub(crate) params: Params,
}

pub(crate) type Answer = Result<Value, WireError>;

/// Answers a request. `request_id` is unique.
pub async fn handle(service: &Service, request: &Request, request_id: &str) -> Reply {
    let host = request.header("host").unwrap_or_default();
    let format = format_of(request);
    match answer(service, request, request_id).await {
        Ok((action, body)) => reply::answer(format, &action, &body),
        Err(error) => reply::refusal(format, &error, request_id, &host),
    }
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
) -> Result<(String, Value), WireError> {
    let signed = Signed::read(request)?;
    let caller = authenticate(service, &signed).await?;
    let call = Call { service, caller, params: signed.params };
    let body = match signed.version.as_str() {
        hbr::VERSION => hbr::answer(&signed.action, call).await?,
        other => {
            let what = format!("The version {other:?} is not one of a product that is served here.");
            return Err(WireError::bad_request("InvalidVersion", what));
        }
    };
    Ok((signed.action, with_request_id(body, request_id)))
}

/// Finds out who signed the request, and that he did so just now and once.
async fn authenticate(service: &Service, signed: &Signed) -> Result<Caller, WireError> {
    let unknown =
        || WireError::not_found("InvalidAccessKeyId.NotFound", "Specified access key is not found.");
    let key = service.signing_key(&signed.access_key_id).await.map_err(|error| hbr::refuse(&error))?;
    let key = key.ok_or_else(unknown)?;
    signed
        .verify(&key.secret)
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
    Ok(Caller { account: key.account, access_key_id: key.id })
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
