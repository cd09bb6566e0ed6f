//! The way to a server: a TCP or a Unix socket, with TLS where the server and `sslmode` want it.
//!
//! Waiting for the other side hears a cancel at once. A server whose machine has died is noticed by TCP keepalives
//! within two minutes, however long it may rightly be silent (a checkpoint can take an hour).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::BytesMut;
use lifeboat_repository::Ctx;
use postgres_protocol::message::frontend;
use rustix::net::sockopt;
use rustls::StreamOwned;

use super::tls::{self, SslMode};
use crate::endpoint::Endpoint;
use crate::patience::Patient;
use crate::sql::error::{Result, SqlError, SqlErrorKind};
pub(super) use crate::wire::Stream;

const DEFAULT_PORT: u16 = 5432;
/// One attempt to connect; between two the cancel handle is looked at.
const CONNECT_STEP: Duration = Duration::from_secs(1);
const CONNECT_STEPS: u32 = 10;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(String, u16),
    /// The folder of the socket, and the port that is part of its name.
    Unix(PathBuf, u16),
}

impl Address {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let option = endpoint.option("port").and_then(|port| port.parse().ok());
        let port = endpoint.port.or(option).unwrap_or(DEFAULT_PORT);
        let Some(path) = endpoint.socket_path() else {
            let host = if endpoint.host.is_empty() { "localhost" } else { &endpoint.host };
            return Self::Tcp(host.to_owned(), port);
        };
        match path.rsplit_once("/.s.PGSQL.").map(|(folder, port)| (folder, port.parse())) {
            Some((folder, Ok(port))) => Self::Unix(folder.into(), port),
            _ => Self::Unix(path.into(), port),
        }
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Tcp(_, port) | Self::Unix(_, port) => *port,
        }
    }

    fn connect(&self, ctx: &Ctx) -> io::Result<Plain> {
        match self {
            Self::Unix(folder, port) => connect_unix(&folder.join(format!(".s.PGSQL.{port}")), ctx),
            Self::Tcp(host, port) => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match connect_tcp(address, ctx) {
                        Ok(stream) => return Ok(stream),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Tells the server to stop what the connection of this process and key is doing. As well as it can be done:
    /// the connection is given up in any case.
    pub(super) fn cancel(&self, process: i32, key: i32) {
        let mut message = BytesMut::new();
        frontend::cancel_request(process, key, &mut message);
        let sent = match self.connect(&Ctx::default()) {
            Ok(Plain::Tcp(mut stream)) => stream.write_all(&message),
            Ok(Plain::Unix(mut stream)) => stream.write_all(&message),
            Err(error) => Err(error),
        };
        sent.unwrap_or_default();
    }
}

enum Plain {
    Tcp(Patient<TcpStream>),
    Unix(Patient<UnixStream>),
}

fn connect_unix(path: &Path, ctx: &Ctx) -> io::Result<Plain> {
    Ok(Plain::Unix(Patient::new(UnixStream::connect(path)?, None, ctx.cancel.clone())?))
}

fn connect_tcp(address: SocketAddr, ctx: &Ctx) -> io::Result<Plain> {
    let mut step = 1;
    let stream = loop {
        ctx.cancel.check().map_err(io::Error::other)?;
        match TcpStream::connect_timeout(&address, CONNECT_STEP) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut && step < CONNECT_STEPS => step += 1,
            connected => break connected?,
        }
    };
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(&stream, 6)?;
    Ok(Plain::Tcp(Patient::new(stream, None, ctx.cancel.clone())?))
}

impl Stream {
    pub(super) fn open(endpoint: &Endpoint, ctx: &Ctx) -> Result<Self> {
        let mode = SslMode::of(endpoint)?;
        let unreachable = |error: io::Error| {
            ctx.cancel.check().err().map_or_else(
                || {
                    SqlError::new(SqlErrorKind::Unreachable, format!("cannot reach {endpoint}"))
                        .because(error)
                },
                SqlError::from,
            )
        };
        match Address::of(endpoint).connect(ctx).map_err(unreachable)? {
            Plain::Unix(stream) => Ok(Self::Unix(stream)),
            Plain::Tcp(stream) if mode == SslMode::Disable => Ok(Self::Tcp(stream)),
            Plain::Tcp(mut stream) => {
                // One byte exactly: what follows it belongs to TLS, and must not have been said in the clear.
                if ask_for_tls(&mut stream).map_err(unreachable)? == b'S' {
                    return Self::greet(endpoint, mode, stream);
                }
                if mode != SslMode::Prefer {
                    let text = format!(
                        "{endpoint} does not speak TLS, which sslmode={} asks for: set ssl = on in the server",
                        mode.name()
                    );
                    return Err(SqlError::new(SqlErrorKind::Unsupported, text));
                }
                Ok(Self::Tcp(stream))
            }
        }
    }

    fn greet(endpoint: &Endpoint, mode: SslMode, mut stream: Patient<TcpStream>) -> Result<Self> {
        let mut client = tls::client(endpoint, mode)?;
        while client.is_handshaking() {
            client.complete_io(&mut stream).map_err(|error| {
                let is_distrust = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
                let kind = if is_distrust { SqlErrorKind::Authentication } else { SqlErrorKind::Unreachable };
                SqlError::new(kind, format!("cannot begin TLS with {endpoint}")).because(error)
            })?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(client, stream))))
    }

    /// True where nobody on the way can listen.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self, Self::Tcp(_))
    }

    /// What has been decrypted already and can be had without the socket.
    pub(super) fn read_decrypted(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self::Tls(stream) = self else { return Ok(0) };
        match stream.conn.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            read => read,
        }
    }
}

fn ask_for_tls(stream: &mut Patient<TcpStream>) -> io::Result<u8> {
    let mut message = BytesMut::new();
    frontend::ssl_request(&mut message);
    stream.write_all(&message)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    let [answer] = answer;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_by_its_folder_or_itself() {
        let address = |url: &str| Address::of(&url.parse().unwrap());
        assert_eq!(address("postgresql://u@h/d"), Address::Tcp("h".into(), 5432));
        assert_eq!(address("postgresql://u@h:1/d"), Address::Tcp("h".into(), 1));
        assert_eq!(address("postgresql://u@localhost/d?host=/run/x"), Address::Unix("/run/x".into(), 5432));
        let named = "postgresql://u@localhost/d?host=/run/x/.s.PGSQL.7";
        assert_eq!(address(named), Address::Unix("/run/x".into(), 7));
    }
}
