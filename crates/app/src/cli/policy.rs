//! `policy`.

use clap::{Args, Subcommand};

/// Manage backup policies: when several machines are backed up, and how long that is kept
#[derive(Clone, Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) action: PolicyAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// Make a policy with one rule, into the vault that --vault names
    Create(Box<NewPolicyArgs>),
    /// List policies
    List,
    /// Show a policy and its rules
    Show(PolicyName),
    /// Delete a policy; its jobs and snapshots stay
    Delete(PolicyName),
    /// Run a rule of a policy now, for all its sources
    Execute {
        /// The id of the policy
        #[arg(value_name = "POLICY")]
        policy: String,
        /// The rule; needed where there are several
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// Watch the job until it ends
        #[arg(long)]
        watch: bool,
    },
    /// Put folders of a machine under a policy
    Bind {
        /// The id of the policy
        #[arg(value_name = "POLICY")]
        policy: String,
        /// Folders and files of the client, as absolute paths
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
        /// Back up only what matches; may be repeated
        #[arg(short = 'i', long, value_name = "PATTERN")]
        include: Vec<String>,
        /// Leave out what matches; may be repeated
        #[arg(short = 'e', long, value_name = "PATTERN")]
        exclude: Vec<String>,
        /// The machine that has the files; needed where there are several
        #[arg(long, value_name = "CLIENT")]
        client: Option<String>,
    },
    /// List what is under a policy
    Bindings(PolicyName),
    /// Take a machine out of a policy
    Unbind {
        /// The id of the policy
        #[arg(value_name = "POLICY")]
        policy: String,
        /// The source, as `policy bindings` names it
        #[arg(value_name = "SOURCE")]
        source: String,
    },
}

/// Names a policy.
#[derive(Clone, Debug, Args)]
pub(crate) struct PolicyName {
    /// The id of the policy
    #[arg(value_name = "POLICY")]
    pub(crate) policy: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NewPolicyArgs {
    /// The name of the policy
    pub(crate) name: String,

    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,

    /// When to run: I|start in Unix seconds|ISO 8601 duration such as I|1602673264|P1D, or C|start|Quartz cron
    #[arg(long, value_name = "SCHEDULE")]
    pub(crate) schedule: String,

    /// Keep snapshots for so many days [default: for ever]
    #[arg(long, value_name = "N")]
    pub(crate) keep_days: Option<u32>,

    /// Keep the newest snapshot whatever its age
    #[arg(long)]
    pub(crate) keep_latest: bool,

    /// Keep the first snapshot of each day for so many days
    #[arg(long, value_name = "N")]
    pub(crate) first_of_day: Option<u32>,

    /// Keep the first snapshot of each week for so many days
    #[arg(long, value_name = "N")]
    pub(crate) first_of_week: Option<u32>,

    /// Keep the first snapshot of each month for so many days
    #[arg(long, value_name = "N")]
    pub(crate) first_of_month: Option<u32>,

    /// Keep the first snapshot of each year for so many days
    #[arg(long, value_name = "N")]
    pub(crate) first_of_year: Option<u32>,
}
