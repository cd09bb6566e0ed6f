//! Commands that ask a running server: one struct for each noun, `--server` and `--credentials` are global options.
//!
//! Where a command needs a vault, the global option `--vault` names it: by its id or its name on the server.

use clap::{Args, Subcommand, ValueEnum};

use super::access::{AccessKeyArgs, AccountArgs, AuditArgs, RoleArgs, UserArgs};
use super::policy::PolicyArgs;
use super::resource::ResourceArgs;
use super::server::DataArgs;

/// Commands that ask a server.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RemoteCommand {
    Vault(VaultArgs),
    Plan(PlanArgs),
    Policy(PolicyArgs),
    Job(JobArgs),
    RestoreJob(RestoreJobArgs),
    Client(ClientArgs),
    Resource(ResourceArgs),
    Account(AccountArgs),
    User(UserArgs),
    AccessKey(AccessKeyArgs),
    Role(RoleArgs),
    Audit(AuditArgs),
}

/// Manage the vaults of a server
#[derive(Clone, Debug, Args)]
pub(crate) struct VaultArgs {
    #[command(subcommand)]
    pub(crate) action: VaultAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum VaultAction {
    /// Make a vault and wait until it is there
    Create {
        /// Its name
        name: String,
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// Let nothing in it be deleted before its retention ends; this is never undone
        #[arg(long)]
        immutable: bool,
    },
    /// Delete a vault with its plans, its jobs and all that is in it
    Delete {
        /// Its id or its name
        #[arg(id = "which", value_name = "VAULT")]
        vault: String,
    },
    /// Print the password that restic needs to open a vault; for who may read the server's folder, not over HTTP
    Password {
        /// Its id
        #[arg(id = "which", value_name = "VAULT")]
        vault: String,
        #[command(flatten)]
        place: DataArgs,
    },
    /// List the vaults
    List,
    /// Show a vault
    Show {
        /// Its id or its name
        #[arg(id = "which", value_name = "VAULT")]
        vault: String,
    },
    /// List the snapshots in a vault, newest first
    Snapshots {
        /// Its id or its name
        #[arg(id = "which", value_name = "VAULT")]
        vault: String,
        #[command(flatten)]
        limit: LimitArgs,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LimitArgs {
    /// List at most this many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// Manage the plans of a server: which files go into which vault, and when
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(subcommand)]
    pub(crate) action: PlanAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PlanAction {
    /// Make a plan into the vault that --vault names
    Create(Box<NewPlanArgs>),
    /// List plans, those into --vault if that is given
    List(LimitArgs),
    /// Show a plan
    Show(PlanName),
    /// Let a plan run by itself
    Enable(PlanName),
    /// Let a plan run only when it is told to
    Disable(PlanName),
    /// Delete a plan; its jobs and snapshots stay
    Delete(PlanName),
    /// Run a plan now
    Execute {
        /// The id of the plan
        #[arg(value_name = "PLAN")]
        plan: String,
        /// Watch the job until it ends
        #[arg(long)]
        watch: bool,
    },
}

/// Names a plan.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanName {
    /// The id of the plan
    #[arg(value_name = "PLAN")]
    pub(crate) plan: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NewPlanArgs {
    /// The name of the plan
    pub(crate) name: String,

    /// Folders and files of the client, as absolute paths
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,

    /// Back up only what matches; may be repeated
    #[arg(short = 'i', long, value_name = "PATTERN")]
    pub(crate) include: Vec<String>,

    /// Leave out what matches; may be repeated
    #[arg(short = 'e', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,

    /// When to run: I|start in Unix seconds|ISO 8601 duration such as I|1602673264|P1D, or C|start|Quartz cron
    /// [default: when told to]
    #[arg(long, value_name = "SCHEDULE")]
    pub(crate) schedule: Option<String>,

    /// Keep snapshots for so many days [default: for ever]
    #[arg(long, value_name = "N")]
    pub(crate) keep_days: Option<u32>,

    /// Keep the newest snapshot whatever its age
    #[arg(long)]
    pub(crate) keep_latest: bool,

    /// Limits by hour of the day, as from:to:KiB a second|…
    #[arg(long, value_name = "LIMITS")]
    pub(crate) speed_limit: Option<String>,

    /// Do not run by itself until it is enabled
    #[arg(long)]
    pub(crate) disabled: bool,

    /// The machine that has the files; needed where there are several
    #[arg(long, value_name = "CLIENT")]
    pub(crate) client: Option<String>,
}

/// Look at the jobs of a server, and stop them
#[derive(Clone, Debug, Args)]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    pub(crate) action: JobAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum JobAction {
    /// List jobs, newest first; those of --vault if that is given
    List(JobListArgs),
    /// Show a job
    Show {
        /// The id of the job
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Show how far a job is until it ends; exit as a backup or restore here would have
    Watch {
        /// The id of the job
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Ask a job to stop
    Cancel {
        /// The id of the job
        #[arg(value_name = "JOB")]
        job: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobListArgs {
    /// Only jobs in this state, such as RUNNING
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,

    /// Only jobs of this plan
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<String>,

    #[command(flatten)]
    pub(crate) limit: LimitArgs,
}

/// Restore from the vaults of a server
#[derive(Clone, Debug, Args)]
pub(crate) struct RestoreJobArgs {
    #[command(subcommand)]
    pub(crate) action: RestoreJobAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RestoreJobAction {
    /// Restore files of a snapshot
    Create(NewRestoreArgs),
    /// List restore jobs, newest first
    List(JobListArgs),
    /// Show a restore job
    Show {
        /// The id of the job
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Show how far a restore job is until it ends
    Watch {
        /// The id of the job
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Ask a restore job to stop
    Cancel {
        /// The id of the job
        #[arg(value_name = "JOB")]
        job: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NewRestoreArgs {
    /// The snapshot, by its id on the server
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// The folder of the client to restore into; it must be there [default: where the files were]
    #[arg(short = 't', long, value_name = "DIR")]
    pub(crate) target: Option<String>,

    /// Restore only what matches; may be repeated
    #[arg(short = 'i', long, value_name = "PATTERN")]
    pub(crate) include: Vec<String>,

    /// Leave out what matches; may be repeated
    #[arg(short = 'e', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,

    /// What becomes of files that are there already
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) conflict: ConflictArg,

    /// The machine to restore to [default: the one the snapshot came from]
    #[arg(long, value_name = "CLIENT")]
    pub(crate) client: Option<String>,

    /// Watch the job until it ends
    #[arg(long)]
    pub(crate) watch: bool,
}

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum ConflictArg {
    #[default]
    Skip,
    Overwrite,
    KeepNewer,
}

/// Look at the machines whose files a server can back up
#[derive(Clone, Debug, Args)]
pub(crate) struct ClientArgs {
    #[command(subcommand)]
    pub(crate) action: ClientAction,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum ClientAction {
    /// List them
    List,
}
