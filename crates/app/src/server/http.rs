//! HTTP: the health of the server, its figures, its own API, and one dialect behind everything else.
//!
//! A request is read whole, within a bound of size and of time, before anybody looks at it. Each has one line in the
//! log, when it is answered. No answer is empty.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use lifeboat_api::alibaba::WireError;
use lifeboat_api::http_types::{Note, Reply, Request};
use lifeboat_api::{alibaba, native};
use lifeboat_service::{Random, Service};
use tracing::info;

use super::SystemRandom;
use super::download::download;
use super::listen::Peer;
use super::metrics::Metrics;
use crate::cli::server::MetricsFor;

/// A request of more bytes is none of ours.
const MOST_BODY_BYTES: usize = 1 << 20;
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// What answers requests.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) service: Service,
    pub(super) metrics: Arc<Metrics>,
    pub(super) metrics_for: MetricsFor,
}

pub(super) fn router(answering: Answering) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/temp/{*key}", get(temp))
        .fallback(dialect)
        .method_not_allowed_fallback(dialect)
        .with_state(answering)
}

async fn ready(State(answering): State<Answering>) -> Response {
    match answering.service.ping().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(answering): State<Answering>, Extension(peer): Extension<Peer>) -> Response {
    if !answering.metrics_for.lets(peer.address) {
        return (
            StatusCode::FORBIDDEN,
            "figures are not for this address; see metrics in the configuration\n",
        )
            .into_response();
    }
    match answering.metrics.write(&answering.service).await {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

impl MetricsFor {
    fn lets(self, address: IpAddr) -> bool {
        match self {
            Self::Local => address.is_loopback(),
            Self::Everybody => true,
            Self::Nobody => false,
        }
    }
}

async fn dialect(
    State(answering): State<Answering>,
    Extension(peer): Extension<Peer>,
    request: HttpRequest,
) -> Response {
    let began = Instant::now();
    let request_id = request_id();
    let (request, unread) = read(request, peer).await;
    let (reply, note) = match unread {
        None => answer(&answering.service, &request, &request_id).await,
        Some(error) => refuse(&request, &request_id, error),
    };
    let took = began.elapsed();
    answering.metrics.note(note.action.as_deref(), reply.status, took);
    log(&request_id, peer, (&note, reply.status), took);
    respond(reply, &request_id)
}

/// Fetches a file about a job.
async fn temp(
    State(answering): State<Answering>,
    Extension(peer): Extension<Peer>,
    request: HttpRequest,
) -> Response {
    let (began, request_id) = (Instant::now(), request_id());
    let (response, code) = download(&answering.service, request.uri()).await;
    let note =
        Note { action: Some("FetchTempFile".to_owned()), code: code.map(str::to_owned), ..Note::default() };
    let took = began.elapsed();
    answering.metrics.note(note.action.as_deref(), response.status(), took);
    log(&request_id, peer, (&note, response.status()), took);
    response
}

async fn answer(service: &Service, request: &Request, request_id: &str) -> (Reply, Note) {
    match request.path.as_str() {
        "/" => alibaba::handle(service, request, request_id).await,
        path if path == native::PREFIX || path.starts_with("/api/") => {
            native::handle(service, request, request_id).await
        }
        path => {
            let message = format!(
                "There is nothing at {path:?}; the dialects are at / and the API at {}.",
                native::PREFIX
            );
            refuse(request, request_id, WireError::not_found("InvalidApi.NotFound", message))
        }
    }
}

/// Refuses a request that nobody got to see, in the form of whom it was sent to.
fn refuse(request: &Request, request_id: &str, error: WireError) -> (Reply, Note) {
    if request.path.starts_with("/api/") {
        native::refuse_unread(request_id, error)
    } else {
        alibaba::refuse_unread(request, request_id, error)
    }
}

/// The request; without its body, and with the reason, if that cannot be read.
async fn read(request: HttpRequest, peer: Peer) -> (Request, Option<WireError>) {
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_WITHIN, to_bytes(body, MOST_BODY_BYTES)).await;
    let (body, unread) = match read {
        Ok(Ok(body)) => (body, None),
        Ok(Err(_)) => {
            let what = format!("The body is longer than {MOST_BODY_BYTES} bytes, or broke off.");
            let error = WireError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge", what);
            (Bytes::new(), Some(error))
        }
        Err(_) => {
            let what = format!("The body did not come within {} seconds.", BODY_WITHIN.as_secs());
            (Bytes::new(), Some(WireError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", what)))
        }
    };
    let Parts { method, uri, mut headers, .. } = parts;
    // HTTP/2 has the host in the target; signatures have it as a header.
    if let Some(authority) = uri.authority()
        && !headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(header::HOST, host);
    }
    let request = Request {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body,
        peer: peer.address,
        is_secure: peer.is_secure,
    };
    (request, unread)
}

fn log(request_id: &str, peer: Peer, (note, status): (&Note, StatusCode), took: Duration) {
    let action = note.action.as_deref().unwrap_or("unknown");
    let status = status.as_u16();
    info!(
        request.id = request_id,
        request.peer = %peer.address,
        action,
        account.id = note.account.map(|account| account.number()),
        user = note.user,
        access_key.id = note.access_key_id,
        code = note.code.as_deref().unwrap_or("OK"),
        status,
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "answered {action} with {status}"
    );
}

fn respond(reply: Reply, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-acs-request-id", id);
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// As clients expect it: upper-case hexadecimal in five groups.
fn request_id() -> String {
    let hex = format!("{:032X}", SystemRandom.number());
    let groups = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    groups.map(|(from, to)| hex.get(from..to).unwrap_or_default()).join("-")
}
