//! The way to a server: TCP, a socket of this machine, or TLS over TCP.
//!
//! `redis://host:port`, `rediss://host:port` with TLS, `redis://localhost?socket=/path`. The certificate of a server
//! must be of a public authority, or of one in the file that the option `cacert` names. Every wait ends with a cancel.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_repository::Ctx;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::error::{RedisError, RedisErrorKind, Result};
use crate::endpoint::Endpoint;
use crate::patience::Patient;
pub(super) use crate::wire::Stream;

pub(super) const DEFAULT_PORT: u16 = 6379;
/// An attempt to connect cannot be cancelled, so it is short, and there are several.
const ATTEMPT: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 10;

/// Connects. Whatever fails here is for people to put right, so the text names the endpoint and the cause the reason.
pub(super) fn dial(endpoint: &Endpoint, silence: Duration, ctx: &Ctx) -> Result<Stream> {
    let cannot = |error| {
        let what = format!("cannot reach {endpoint}");
        RedisError::of_stream(RedisErrorKind::Unreachable, what, error)
    };
    let patient = |stream| Patient::new(stream, Some(silence), ctx.cancel.clone()).map_err(cannot);
    if let Some(path) = endpoint.socket_path() {
        let stream = UnixStream::connect(path).map_err(cannot)?;
        let stream = Patient::new(stream, Some(silence), ctx.cancel.clone()).map_err(cannot)?;
        return Ok(Stream::Unix(stream));
    }
    match endpoint.scheme.as_str() {
        "redis" => Ok(Stream::Tcp(patient(connect(endpoint, ctx).map_err(cannot)?)?)),
        "rediss" => {
            let session = session(endpoint)?;
            let mut stream = StreamOwned::new(session, patient(connect(endpoint, ctx).map_err(cannot)?)?);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).map_err(|error| distrust(endpoint, error))?;
            }
            Ok(Stream::Tls(Box::new(stream)))
        }
        scheme => {
            let what = format!("{scheme}:// is not the way to a Redis server; redis:// and rediss:// are");
            Err(RedisError::new(RedisErrorKind::InvalidInput, what))
        }
    }
}

fn connect(endpoint: &Endpoint, ctx: &Ctx) -> io::Result<TcpStream> {
    let port = endpoint.port.unwrap_or(DEFAULT_PORT);
    let addresses: Vec<SocketAddr> = (endpoint.host.as_str(), port).to_socket_addrs()?.collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for _ in 0..ATTEMPTS {
        for address in &addresses {
            ctx.cancel.check().map_err(io::Error::other)?;
            match TcpStream::connect_timeout(address, ATTEMPT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => failed = error,
            }
        }
        // Only silence is worth another try.
        if failed.kind() != io::ErrorKind::TimedOut {
            break;
        }
    }
    Err(failed)
}

fn distrust(endpoint: &Endpoint, error: io::Error) -> RedisError {
    let is_distrust = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let kind = if is_distrust { RedisErrorKind::Authentication } else { RedisErrorKind::Unreachable };
    RedisError::of_stream(kind, format!("cannot begin TLS with {endpoint}"), error)
}

fn session(endpoint: &Endpoint) -> Result<ClientConnection> {
    let wrong = |what: String| RedisError::new(RedisErrorKind::InvalidInput, what);
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = endpoint.option("cacert") {
        let unreadable = || format!("cannot read certificates out of {file}");
        let certificates = CertificateDer::pem_file_iter(file);
        for certificate in certificates.map_err(|error| wrong(unreadable()).because(error))? {
            let certificate = certificate.map_err(|error| wrong(unreadable()).because(error))?;
            roots.add(certificate).map_err(|error| wrong(unreadable()).because(error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| wrong("cannot set up TLS".into()).because(error))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(endpoint.host.clone());
    let name = name.map_err(|error| wrong(format!("{endpoint} has no name for TLS")).because(error))?;
    ClientConnection::new(Arc::new(config), name)
        .map_err(|error| wrong("cannot set up TLS".into()).because(error))
}

impl Stream {
    /// How long the server may say or take nothing from now on.
    pub(super) fn set_silence(&mut self, silence: Duration) {
        match self {
            Self::Tcp(stream) => stream.set_silence(Some(silence)),
            Self::Unix(stream) => stream.set_silence(Some(silence)),
            Self::Tls(stream) => stream.sock.set_silence(Some(silence)),
        }
    }
}
