//! Connections: accepted as long as there is room for them, through TLS where there is a certificate.
//!
//! Whoever is slow holds one place for a bounded time: for a TLS handshake, for the head of a request, for its body
//! (`http`). A stop accepts nothing more, lets requests under way end, and waits no longer than that may take.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::tls::Tls;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Also how long a connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const MOST_HEADERS: usize = 100;
const MOST_HEAD_BYTES: usize = 256 << 10;
const MOST_STREAMS: u32 = 64;
/// After a failure to accept that lasts, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Whether it came through TLS.
    pub(super) is_secure: bool,
}

/// Where connections come in.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) most_connections: usize,
}

impl Door {
    /// Serves connections until `stopped`, then until those under way have ended.
    pub(super) async fn serve(self, router: Router, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
        let builder = Arc::new(builder());
        let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(self.most_connections)));
        tokio::pin!(stopped);
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place.context("there is no place any more")?,
                () = &mut stopped => break,
            };
            let (stream, peer) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
                () = &mut stopped => break,
            };
            let peer = Peer { address: peer.ip().to_canonical(), is_secure: self.tls.is_some() };
            let router = router.clone().layer(Extension(peer));
            let (builder, tls, watcher) = (Arc::clone(&builder), self.tls.clone(), graceful.watcher());
            tokio::spawn(async move {
                connection(stream, tls, Served { builder: &builder, router, watcher }).await;
                drop(place);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(ENDS_WITHIN, graceful.shutdown()).await.is_err() {
            warn!("left connections behind that did not end");
        }
        Ok(())
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .keep_alive_interval(HEAD_WITHIN)
        .keep_alive_timeout(HANDSHAKE_WITHIN);
    builder
}

/// What answers on a connection.
struct Served<'a> {
    builder: &'a Builder<TokioExecutor>,
    router: Router,
    watcher: Watcher,
}

async fn connection(stream: TcpStream, tls: Option<Arc<Tls>>, served: Served<'_>) {
    // Small answers do not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let Some(tls) = tls else { return served.on(stream).await };
    match tokio::time::timeout(HANDSHAKE_WITHIN, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => served.on(stream).await,
        Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
        Err(_) => debug!("a TLS handshake took too long"),
    }
}

impl Served<'_> {
    async fn on(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = TowerToHyperService::new(self.router);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        // Clients go away in many ways; each of their requests has its own line in the log.
        if let Err(error) = self.watcher.watch(connection).await {
            debug!(error = %error, "a connection ended");
        }
    }
}
