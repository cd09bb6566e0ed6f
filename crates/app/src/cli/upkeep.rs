//! `init`, `check` and `unlock`

use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};

use super::copy::FromArgs;
use super::values::ByteSize;

/// Make a new vault
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArgs {
    /// The version of the repository format
    #[arg(long, value_enum, default_value_t = FormatVersion::Stable)]
    pub(crate) repository_version: FormatVersion,

    /// Cut files where another vault does, so that copies between the two deduplicate
    #[arg(long)]
    pub(crate) copy_chunker_params: bool,

    #[command(flatten)]
    pub(crate) from: FromArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatVersion {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
    Latest,
    Stable,
}

/// Verify that a vault is whole
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read all data
    #[arg(long, conflicts_with = "read_data_subset")]
    pub(crate) read_data: bool,

    /// Read a part of the data: n/t for one of t parts, or x% or a size (suffixes k, M, G, T) for a random one
    #[arg(long, value_name = "SUBSET")]
    pub(crate) read_data_subset: Option<DataSubset>,
}

/// Which packs to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DataSubset {
    Part { number: u32, of: u32 },
    Percent(f64),
    Bytes(u64),
}

impl FromStr for DataSubset {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some((number, of)) = text.split_once('/') {
            let (number, of) = (number.parse().context("not a number")?, of.parse().context("not a number")?);
            ensure!(of <= 256, "there are at most 256 parts");
            ensure!(0 < number && number <= of, "part {number} of {of} does not exist");
            return Ok(Self::Part { number, of });
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().context("not a percentage")?;
            ensure!(percent > 0.0 && percent <= 100.0, "a percentage is above 0 and at most 100");
            return Ok(Self::Percent(percent));
        }
        match text.parse::<ByteSize>()?.0 {
            0 => bail!("a size is above 0"),
            bytes => Ok(Self::Bytes(bytes)),
        }
    }
}

/// Remove locks that dead or vanished processes left
#[derive(Clone, Debug, Args)]
pub(crate) struct UnlockArgs {
    /// Remove all locks, even of processes that still run
    #[arg(long)]
    pub(crate) remove_all: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_parts_shares_or_sizes() {
        assert_eq!("2/5".parse::<DataSubset>().unwrap(), DataSubset::Part { number: 2, of: 5 });
        assert_eq!("2.5%".parse::<DataSubset>().unwrap(), DataSubset::Percent(2.5));
        assert_eq!("10M".parse::<DataSubset>().unwrap(), DataSubset::Bytes(10 << 20));
        for bad in ["0/5", "6/5", "1/257", "0%", "101%", "NaN%", "0", "x", "/", ""] {
            assert!(bad.parse::<DataSubset>().is_err(), "{bad}");
        }
    }
}
