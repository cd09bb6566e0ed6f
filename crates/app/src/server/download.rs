//! Files about jobs, fetched by links that were signed for a time. Whoever has the link may fetch; nothing else is asked.

use axum::body::Body;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use lifeboat_service::{LinkError, Service, TempLink};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

/// The file, or why there is none: an answer, and the code of a refusal.
pub(super) async fn download(service: &Service, uri: &Uri) -> (Response, Option<&'static str>) {
    let link = link_of(uri.path(), uri.query().unwrap_or_default());
    let sent = match service.temp_file(&link) {
        Ok((file, name)) => send(file, &name).await.map_err(|_| LinkError::Gone),
        Err(error) => Err(error),
    };
    match sent {
        Ok(response) => (response, None),
        Err(error @ LinkError::Gone) => (refuse(StatusCode::NOT_FOUND, error), Some("ObjectNotExist")),
        Err(error @ LinkError::Expired) => (refuse(StatusCode::FORBIDDEN, error), Some("LinkExpired")),
        Err(error @ LinkError::Forged) => (refuse(StatusCode::FORBIDDEN, error), Some("LinkForged")),
    }
}

/// What is missing or makes no sense is no signature of ours.
fn link_of(path: &str, query: &str) -> TempLink {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or_default()
    };
    TempLink {
        key: path.to_owned(),
        expires: value("Expires").parse().unwrap_or_default(),
        signature: value("Signature").to_owned(),
    }
}

async fn send(file: std::path::PathBuf, name: &str) -> std::io::Result<Response> {
    let open = File::open(file).await?;
    let length = open.metadata().await?.len();
    let kind = if name.ends_with(".zip") { "application/zip" } else { "text/csv; charset=utf-8" };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(open))).into_response())
}

fn refuse(status: StatusCode, error: LinkError) -> Response {
    (status, format!("{error}\n")).into_response()
}
