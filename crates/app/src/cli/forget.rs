//! `forget` and `prune`

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use lifeboat_repository::retention::{CalendarSpan, Count, GroupBy};

use super::values::{ByteSize, SnapshotName, TagList};

/// Remove snapshots by policy or by id
#[derive(Clone, Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Remove exactly these snapshots
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<SnapshotName>,

    /// Only snapshots of this host; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,

    /// Only snapshots that bear all these tags, separated by commas; may be repeated for other sets
    #[arg(long, value_name = "TAGS")]
    pub(crate) tag: Vec<TagList>,

    /// Only snapshots of this (absolute) path; may be repeated to require several
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<PathBuf>,

    /// Apply the policy to each group on its own
    #[arg(short = 'g', long, value_name = "GROUP", default_value = "host,paths")]
    pub(crate) group_by: GroupBy,

    /// Let a policy that keeps nothing remove all snapshots that the filters leave
    #[arg(long)]
    pub(crate) unsafe_allow_remove_all: bool,

    /// Leave out paths
    #[arg(short = 'c', long)]
    pub(crate) compact: bool,

    /// Remove nothing, only tell what would be removed and why the rest is kept
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Run prune afterwards if snapshots were removed
    #[arg(long)]
    pub(crate) prune: bool,

    #[command(flatten)]
    pub(crate) repack: RepackArgs,

    // Last, for its heading holds for all options after it.
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What to keep")]
pub(crate) struct KeepArgs {
    /// The newest N (each N is a number, or unlimited)
    #[arg(short = 'l', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_last: Option<Count>,
    /// One of each of the last N hours that have any
    #[arg(short = 'H', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_hourly: Option<Count>,
    /// One of each of the last N days that have any
    #[arg(short = 'd', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_daily: Option<Count>,
    /// One of each of the last N weeks that have any
    #[arg(short = 'w', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_weekly: Option<Count>,
    /// One of each of the last N months that have any
    #[arg(short = 'm', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_monthly: Option<Count>,
    /// One of each of the last N years that have any
    #[arg(short = 'y', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_yearly: Option<Count>,
    /// All within this span of the newest (for example 1y5m7d2h)
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within: Option<CalendarSpan>,
    /// One of each hour within this span of the newest
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_hourly: Option<CalendarSpan>,
    /// One of each day within this span of the newest
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_daily: Option<CalendarSpan>,
    /// One of each week within this span of the newest
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_weekly: Option<CalendarSpan>,
    /// One of each month within this span of the newest
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_monthly: Option<CalendarSpan>,
    /// One of each year within this span of the newest
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_yearly: Option<CalendarSpan>,
    /// All that bear these tags, separated by commas; may be repeated for other sets
    #[arg(long, value_name = "TAGS")]
    pub(crate) keep_tag: Vec<TagList>,
}

/// Remove data that no snapshot needs
#[derive(Clone, Debug, Args)]
pub(crate) struct PruneArgs {
    /// Change nothing, only tell what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) repack: RepackArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RepackArgs {
    /// How much unused data may stay: bytes (suffixes k, M, G, T), a share like 5%, or unlimited
    #[arg(long, value_name = "LIMIT", default_value = "5%")]
    pub(crate) max_unused: UnusedLimit,

    /// How much to rewrite at most (suffixes k, M, G, T)
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_repack_size: Option<ByteSize>,

    /// Rewrite only packs of trees
    #[arg(long)]
    pub(crate) repack_cacheable_only: bool,

    /// Rewrite packs far below the size they should have
    #[arg(long)]
    pub(crate) repack_small: bool,

    /// Rewrite packs that are not compressed
    #[arg(long)]
    pub(crate) repack_uncompressed: bool,
}

/// How much unused data may stay in a vault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum UnusedLimit {
    Bytes(u64),
    /// Of all data, in percent.
    Percent(f64),
    Unlimited,
}

impl FromStr for UnusedLimit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let Some(percent) = text.strip_suffix('%') else {
            return Ok(Self::Bytes(text.parse::<ByteSize>()?.0));
        };
        let percent: f64 = percent.parse().context("not a percentage like 5%")?;
        anyhow::ensure!((0.0..100.0).contains(&percent), "a percentage is at least 0 and below 100");
        Ok(Self::Percent(percent))
    }
}
