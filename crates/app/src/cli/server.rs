//! `server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Serve the APIs of cloud backup services from this machine
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Where the server keeps its vaults, its catalog and its keys [default: $XDG_DATA_HOME/lifeboat/server]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = crate::server::DEFAULT_ADDRESS)]
    pub(crate) listen: SocketAddr,
    /// The catalog's database, as postgres://user:password@host/database [default: a file in DIR]
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Listen beyond this machine without TLS
    #[arg(long)]
    pub(crate) insecure: bool,
}
