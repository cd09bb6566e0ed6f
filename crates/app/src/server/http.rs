//! HTTP: the health of the server, and one dialect behind everything else.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lifeboat_api::http_types::Request;
use lifeboat_api::{alibaba, native};
use lifeboat_service::{Random, Service};
use tokio::net::TcpListener;

use super::SystemRandom;
use super::download::download;

/// A request of more bytes is none of ours.
const MOST_BODY_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn serve(
    listener: TcpListener,
    service: Service,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/temp/{*key}", get(download))
        .fallback(dialect)
        .with_state(service);
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let served = axum::serve(listener, router).with_graceful_shutdown(async move {
        stopped.await;
        drop(tell);
    });
    tokio::select! {
        served = served.into_future() => served.context("cannot serve"),
        // Connections that go on asking do not keep the server from ending.
        () = async { drop(told.await); tokio::time::sleep(PATIENCE).await } => Ok(()),
    }
}

async fn ready(State(service): State<Service>) -> Response {
    match service.ping().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn dialect(
    State(service): State<Service>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: HttpRequest,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BODY_BYTES).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the body is too long\n").into_response();
    };
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        peer: peer.ip(),
        is_secure: false,
    };
    let request_id = request_id();
    let reply = if request.path == native::PREFIX || request.path.starts_with("/api/") {
        native::handle(&service, &request, &request_id).await
    } else {
        alibaba::handle(&service, &request, &request_id).await
    };
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response
}

/// As clients expect it: upper-case hexadecimal in five groups.
fn request_id() -> String {
    let hex = format!("{:032X}", SystemRandom.number());
    let groups = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    groups.map(|(from, to)| hex.get(from..to).unwrap_or_default()).join("-")
}
