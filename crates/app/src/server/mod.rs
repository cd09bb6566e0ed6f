//! `server`: the service, its catalog and its dialects in one process.
//!
//! Order of a start: the configuration, the data folder and its lock, `root.json` and the server's key, the
//! certificate, the catalog, the rows of the root account, the listener; only then does `/readyz` say so. A start that
//! dies is finished by the next. A stop first takes no new jobs and no new connections, then waits a bounded time.

mod config;
mod data;
mod download;
mod http;
mod listen;
mod metrics;
pub(crate) mod offline;
mod signals;
mod tls;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lifeboat_model::time::Millis;
use lifeboat_service::{Catalog, CatalogPlace, Clock, Dispatcher, Random, Root, Sealer, Service, Start};
use tracing::info;

use self::config::Config;
pub(crate) use self::config::{DatabaseUrl, Region};
use self::data::DataFolder;
use self::http::Answering;
use self::listen::Door;
use self::metrics::Metrics;
use self::tls::Tls;
use crate::app::App;
use crate::cli::server::{LogFormat, ServerArgs};
use crate::exit::Status;

/// Where a server listens unless it is told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8787";
/// How long blocking work has to take its cancel.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a server keeps its data unless it is told otherwise.
pub(crate) fn default_folder(app: &App) -> anyhow::Result<std::path::PathBuf> {
    Ok(app.env.data_home()?.join("lifeboat/server"))
}

pub(crate) fn run(app: &App, args: &ServerArgs) -> anyhow::Result<Status> {
    let config = Config::read(app, args)?;
    let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
    if args.check_config {
        app.output
            .note(format_args!("the configuration is right; the server would listen on {}", config.listen));
        return Ok(Status::Success);
    }
    start_log(config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let served = runtime.block_on(serve(app, config, tls));
    // Blocking work that did not take its cancel in time is left behind, as after a crash.
    runtime.shutdown_timeout(PATIENCE);
    served.map(|()| Status::Success)
}

fn start_log(format: LogFormat) {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

async fn serve(app: &App, config: Config, tls: Option<Arc<Tls>>) -> anyhow::Result<()> {
    // Servers that are made of backups may have to pass through the data folder: its files are nobody else's.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let data = DataFolder::open(&config.data)?;
    data.close_catalog()?;
    let stop = signals::watch(tls.clone())?;
    let service = service(app, &config, &data).await?;
    let dispatcher = Dispatcher::new(service.clone());
    let stop_work = dispatcher.stop_handle();
    let listener = tokio::net::TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr().context("cannot tell where it listens")?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    info!(%address, scheme, data = %config.data.display(), "listening on {address}");
    let metrics = Arc::new(Metrics::new(service.now()));
    let servers = service.clone();
    let router = http::router(Answering { service, metrics, metrics_for: config.metrics });
    let door = Door { listener, tls, most_connections: config.most_connections };
    let starting = servers.clone();
    let started = tokio::spawn(async move { starting.start_servers().await });
    let work = tokio::spawn(dispatcher.run());
    let worked = async {
        stop.clone().wait().await;
        stop_work.notify_one();
        work.await.context("the dispatcher has panicked")?;
        started.abort();
        servers.stop_servers().await.context("cannot stop the servers that are made of backups")
    };
    let (served, worked) = tokio::join!(door.serve(router, stop.clone().wait()), worked);
    served.and(worked)
}

async fn service(app: &App, config: &Config, data: &DataFolder) -> anyhow::Result<Service> {
    let (start, root) = start(app, config, data).await?;
    start.run(&root).await.context("cannot start the service")
}

/// What a service in a data folder is made of, and whose it is.
async fn start(app: &App, config: &Config, data: &DataFolder) -> anyhow::Result<(Start, Root)> {
    let root = data.root(config.region.as_deref())?;
    let place = config.catalog(data.catalog());
    let server = match &place {
        CatalogPlace::Sqlite(_) => "alone".to_owned(),
        CatalogPlace::Postgres(_) => data.server_id()?,
    };
    let catalog = Catalog::open(&place).await.context("cannot open the catalog")?;
    let start = Start {
        catalog,
        sealer: Sealer::new(&data.key()?),
        clock: Arc::new(AppClock(app.time.clone())),
        random: Arc::new(SystemRandom),
        time: app.time.clone(),
        vault_root: data.vaults(config.vault_root.as_deref())?,
        region: root.region.clone(),
        hostname: app.env.hostname(),
        server,
        spool_folder: app.env.spool_folder(),
        temp_folder: data.temp(config.vault_root.as_deref())?,
        data_folder: config.data.clone(),
        instance_root: data.instances(config.instance_root.as_deref())?,
        limits: config.limits.clone(),
    };
    Ok((start, root.who()?))
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
