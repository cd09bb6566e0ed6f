//! `server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::server::{DatabaseUrl, Region};

/// Where a server's data is, for commands that go to it without asking a server
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArgs {
    /// Where the server keeps its vaults, its catalog and its keys [default: $XDG_DATA_HOME/lifeboat/server]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The file that configures the server; options win over what it says
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The catalog's database, as postgres://user:password@host/database [default: a file in DIR]
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<DatabaseUrl>,
    /// Where vaults are [default: DIR/vaults]
    #[arg(long, value_name = "DIR")]
    pub(crate) vault_root: Option<PathBuf>,
}

impl DataArgs {
    /// What a server would be started with there.
    pub(crate) fn of_server(&self) -> ServerArgs {
        ServerArgs {
            data: self.data.clone(),
            config: self.config.clone(),
            database: self.database.clone(),
            vault_root: self.vault_root.clone(),
            ..ServerArgs::default()
        }
    }
}

/// Look after the catalog of a server that does not run
#[derive(Clone, Debug, Args)]
pub(crate) struct CatalogArgs {
    #[command(subcommand)]
    pub(crate) action: CatalogAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CatalogAction {
    /// Add to the catalog what the vaults have and it does not: vaults and snapshots
    Rebuild {
        #[command(flatten)]
        place: DataArgs,
        /// Passwords, one on each line, of vaults that another server has made
        #[arg(long, value_name = "FILE")]
        vault_passwords: Option<PathBuf>,
    },
}

/// Serve the APIs of cloud backup services from this machine
#[derive(Debug, Default, Args)]
pub(crate) struct ServerArgs {
    /// Where the server keeps its vaults, its catalog and its keys [default: $XDG_DATA_HOME/lifeboat/server]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// A file that configures the server; options win over what it says
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say whether the configuration is right, and start nothing
    #[arg(long)]
    pub(crate) check_config: bool,
    /// The catalog's database, as postgres://user:password@host/database [default: a file in DIR]
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<DatabaseUrl>,
    /// Where vaults are made [default: DIR/vaults]
    #[arg(long, value_name = "DIR")]
    pub(crate) vault_root: Option<PathBuf>,
    /// The region that the server says it is in [default: cn-hangzhou]
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<Region>,
    /// The certificate to serve TLS with, and those above it (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS
    #[arg(long)]
    pub(crate) insecure: bool,
    /// To whom /metrics answers [default: local]
    #[arg(long, value_enum, value_name = "WHOM")]
    pub(crate) metrics: Option<MetricsFor>,
    /// How the log is written [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

/// Who may read the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricsFor {
    /// This machine
    #[default]
    Local,
    Everybody,
    Nobody,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    /// One object a line
    Json,
}
