//! `resource`: the databases and Redis servers that a server can back up.

use clap::{Args, Subcommand, ValueEnum};

use super::remote::LimitArgs;

/// Manage the databases and Redis servers that a server backs up
#[derive(Clone, Debug, Args)]
pub(crate) struct ResourceArgs {
    #[command(subcommand)]
    pub(crate) action: ResourceAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ResourceAction {
    /// Add a database or a Redis server; its backups go into the vault that --vault names, else into one called databases
    Add {
        #[command(subcommand)]
        what: AddResource,
    },
    /// List databases and Redis servers, oldest first
    List {
        /// List what has a plan, a policy or a snapshot instead: the files of machines
        #[arg(long)]
        protected: bool,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show one
    Show(ResourceName),
    /// Connect to one, and tell what is missing for backups; exit with 1 when something is
    Test(ResourceName),
    /// Forget one and how to open it; its backups stay
    Remove(ResourceName),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AddResource {
    /// A server of PostgreSQL or MariaDB
    Database {
        /// Its id: rm- and then lower-case letters, digits and hyphens, 64 characters at most
        #[arg(value_name = "ID")]
        id: String,
        #[arg(long, value_enum)]
        engine: DatabaseEngine,
        #[command(flatten)]
        place: ResourcePlace,
    },
    /// A Redis server or cluster
    Redis {
        /// Its id: r- and then lower-case letters, digits and hyphens, 64 characters at most
        #[arg(value_name = "ID")]
        id: String,
        /// The URL is one of the nodes of a cluster
        #[arg(long)]
        cluster: bool,
        #[command(flatten)]
        place: ResourcePlace,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ResourcePlace {
    /// How to reach and open it, as postgresql://user:password@host/database; - reads it from standard input, so that it is
    /// in no list of processes [default: $LIFEBOAT_RESOURCE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The account it is to belong to, which only the server's owner can choose [default: the own one]
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
}

/// Names a resource.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResourceName {
    /// Its id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DatabaseEngine {
    Postgresql,
    Mariadb,
}
