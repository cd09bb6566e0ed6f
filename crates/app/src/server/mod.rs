//! `server`: the service, its catalog and its dialects in one process.
//!
//! Order of a start: the data folder, `root.json` and the server's key, the catalog, the rows of the root account, the
//! listener; only then does `/readyz` say so. A start that dies is finished by the next.

mod data;
mod download;
mod http;

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Context, bail};
use lifeboat_model::time::Millis;
use lifeboat_service::{Catalog, CatalogPlace, Clock, Dispatcher, Limits, Random, Sealer, Start};
use tracing::info;

use self::data::DataFolder;
use crate::app::App;
use crate::cli::server::ServerArgs;
use crate::exit::Status;

/// Where a server listens unless it is told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8787";

/// Where a server keeps its data unless it is told otherwise.
pub(crate) fn default_folder(app: &App) -> anyhow::Result<std::path::PathBuf> {
    Ok(app.env.data_home()?.join("lifeboat/server"))
}

pub(crate) fn run(app: &App, args: &ServerArgs) -> anyhow::Result<Status> {
    if !args.listen.ip().is_loopback() && !args.insecure {
        bail!(
            "listening on {} without TLS would send keys and data in the clear; listen on 127.0.0.1, or say --insecure \
             where something else encrypts",
            args.listen
        );
    }
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(is_terminal).with_target(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(serve(app, args))?;
    // Blocking work that did not take its cancel in time is left behind, as after a crash.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    Ok(Status::Success)
}

async fn serve(app: &App, args: &ServerArgs) -> anyhow::Result<()> {
    let folder = match &args.data {
        Some(folder) => folder.clone(),
        None => default_folder(app)?,
    };
    let data = DataFolder::open(&folder)?;
    let root = data.root()?;
    let place = match &args.database {
        Some(url) => CatalogPlace::Postgres(url.clone()),
        None => CatalogPlace::Sqlite(data.catalog()),
    };
    let catalog = Catalog::open(&place).await.context("cannot open the catalog")?;
    let start = Start {
        catalog,
        sealer: Sealer::new(&data.key()?),
        clock: Arc::new(AppClock(app.time.clone())),
        random: Arc::new(SystemRandom),
        time: app.time.clone(),
        vault_root: data.vaults()?,
        region: root.region.clone(),
        hostname: app.env.hostname(),
        spool_folder: app.env.spool_folder(),
        temp_folder: data.temp()?,
        limits: Limits::default(),
    };
    let service = start.run(&root.who()?).await.context("cannot start the service")?;
    let dispatcher = Dispatcher::new(service.clone());
    let stop = dispatcher.stop_handle();
    let listener = tokio::net::TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr().context("cannot tell where it listens")?;
    info!(%address, data = %folder.display(), "listening on {address}");
    let work = tokio::spawn(dispatcher.run());
    http::serve(listener, service, stopped()).await?;
    stop.notify_one();
    work.await.context("the dispatcher has panicked")
}

/// Waits for Ctrl-C or a request to end.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    info!("stopping");
}

struct AppClock(lifeboat_repository::clock::Time);

impl Clock for AppClock {
    fn now(&self) -> Millis {
        self.0.clock.now().into()
    }
}

pub(crate) struct SystemRandom;

impl Random for SystemRandom {
    fn number(&self) -> u128 {
        let mut bytes = [0; 16];
        lifeboat_repository::crypto::fill_random(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}
