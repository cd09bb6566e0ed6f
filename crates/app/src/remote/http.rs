//! HTTP to a server: one connection for each request, because commands ask seldom.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lifeboat_api::alibaba::{KeyPair, sign};
use lifeboat_api::http_types::Request;
use lifeboat_api::native::{PREFIX, Refusal, VERSION, operations};
use lifeboat_repository::clock::Time;
use lifeboat_service::Random;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::Credentials;
use crate::server::SystemRandom;

const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);
const MOST_ANSWER_BYTES: usize = 64 << 20;

/// Where a server is.
pub(super) struct Server {
    host: String,
    port: u16,
    /// For https.
    tls: Option<TlsConnector>,
    runtime: Runtime,
}

/// The server understood, and said no.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    code: String,
    message: String,
    request_id: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        if self.status.is_server_error() {
            write!(f, "; the server's log says more at request {}", self.request_id)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// A request, and the operation it is signed for.
pub(super) struct Asked {
    request: Request,
    action: &'static str,
}

impl Server {
    /// `ca_file` holds certificates to trust beside those of public authorities.
    pub(super) fn parse(url: &str, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let what = || format!("{url:?} is not the address of a server; write it as http://127.0.0.1:8787");
        let uri: Uri = url.parse().with_context(what)?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let (Some(host), true) = (uri.host(), is_bare) else { bail!(what()) };
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => (443, Some(connector(ca_file)?)),
            _ => bail!(what()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(port),
            tls,
            runtime: runtime.context("cannot start")?,
        })
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The request for an operation of the native API, by its path there.
    pub(super) fn request(
        &self,
        (method, path): (&'static str, &str),
        ids: &[&str],
        query: &[(&str, Option<&str>)],
        body: &Value,
    ) -> anyhow::Result<Asked> {
        let found = operations().find(|(is, at, _)| is.as_str() == method && *at == path);
        let (method, _, action) = found.with_context(|| format!("there is no operation {method} {path}"))?;
        let mut ids = ids.iter();
        let filled: Vec<_> =
            path.split('/')
                .map(|part| {
                    if part.starts_with('{') { escaped(ids.next().unwrap_or(&part)) } else { part.to_owned() }
                })
                .collect();
        let query: Vec<_> =
            query.iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped((*value)?)))).collect();
        let mut headers = HeaderMap::new();
        headers.insert("host", self.authority().parse().context("the server's name is strange")?);
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let request = Request {
            method: method.clone(),
            path: format!("{PREFIX}{}", filled.join("/")),
            query: query.join("&"),
            headers,
            body: if method == Method::GET { Vec::new().into() } else { body.to_string().into() },
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            is_secure: false,
        };
        Ok(Asked { request, action })
    }

    pub(super) fn sign(
        &self,
        asked: Asked,
        credentials: &Credentials,
        time: &Time,
    ) -> anyhow::Result<Request> {
        let Asked { mut request, action } = asked;
        let key = KeyPair { id: &credentials.access_key_id, secret: &credentials.access_key_secret };
        let moment = (time.clock.now(), SystemRandom.number());
        sign(&mut request, key, (action, VERSION), moment).context("cannot sign the request")?;
        Ok(request)
    }

    /// Sends a request; the body of the answer, unless it is a refusal.
    pub(super) fn send(&self, request: Request) -> anyhow::Result<Vec<u8>> {
        let (status, body) = self.runtime.block_on(async {
            let answered = tokio::time::timeout(ANSWERS_WITHIN, self.exchange(request));
            answered.await.map_err(|_| anyhow!("the server at {} does not answer", self.authority()))?
        })?;
        if status.is_success() {
            return Ok(body);
        }
        let refusal: Refusal = serde_json::from_slice(&body).with_context(|| {
            format!("what answers at {} is no Lifeboat server: it says {status}", self.authority())
        })?;
        let Refusal { code, message, request_id, denied: _ } = refusal;
        Err(Refused { status, code, message, request_id }.into())
    }

    async fn exchange(&self, request: Request) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let stream = self.connect().await?;
        let lost = || format!("the connection to {} was lost", self.authority());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(lost)?;
        let path = if request.query.is_empty() {
            request.path
        } else {
            format!("{}?{}", request.path, request.query)
        };
        let mut asked = HttpRequest::new(Body::from(request.body));
        *asked.method_mut() = request.method;
        *asked.uri_mut() = path.parse().context("a path is strange")?;
        *asked.headers_mut() = request.headers;
        let answered = async {
            let answer = sender.send_request(asked).await.with_context(lost)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow!("cannot read the server's answer: {error}"))?;
            Ok((status, body.to_bytes().to_vec()))
        };
        tokio::pin!(answered, connection);
        tokio::select! {
            answered = &mut answered => answered,
            ended = connection => {
                ended.with_context(lost)?;
                answered.await
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Wire>> {
        let host = self.host.trim_matches(['[', ']']);
        let connecting = TcpStream::connect((host, self.port));
        let connected = tokio::time::timeout(CONNECTS_WITHIN, connecting).await;
        let connected = connected.unwrap_or_else(|late| Err(std::io::Error::other(late)));
        let stream = connected.with_context(|| {
            let at = self.authority();
            format!("no server answers at {at}; `lifeboat server` starts one here, --server names another")
        })?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_owned())
            .with_context(|| format!("{host} cannot be a server's name"))?;
        let stream = tokio::time::timeout(CONNECTS_WITHIN, tls.connect(name, stream)).await;
        let stream = stream.unwrap_or_else(|late| Err(std::io::Error::other(late)));
        let what =
            || format!("cannot speak TLS with {}; --ca-file names a certificate to trust", self.authority());
        Ok(Box::new(stream.with_context(what)?))
    }
}

/// Bytes to and from a server.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

fn connector(ca_file: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = ca_file {
        let cannot = || format!("cannot read the certificates in {}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).with_context(cannot)? {
            roots.add(certificate.with_context(cannot)?).with_context(cannot)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot prepare TLS")?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()).into())
}

/// As the parts of paths and queries are written.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        let server = Server::parse("http://[::1]:8787/", None).unwrap();
        assert_eq!((server.host.as_str(), server.port), ("[::1]", 8787));
        assert_eq!(Server::parse("http://backup.example", None).unwrap().port, 80);
        assert_eq!(Server::parse("https://backup.example", None).unwrap().port, 443);
        for wrong in ["", "backup.example", "ftp://x", "http://x/y", "http://x?y=z"] {
            assert!(Server::parse(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_letter_is_escaped() {
        assert_eq!(escaped("a b/ä"), "a%20b%2F%C3%A4");
    }
}
