//! The command line: what can be typed. One file per command; names and short forms are restic's.
//!
//! Everything is parsed here: behind this module no text is left that could be a type.

pub(crate) mod access;
pub(crate) mod backup;
pub(crate) mod copy;
pub(crate) mod forget;
pub(crate) mod global;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod patterns;
pub(crate) mod policy;
pub(crate) mod remote;
pub(crate) mod resource;
pub(crate) mod restore;
pub(crate) mod server;
pub(crate) mod snapshots;
pub(crate) mod upkeep;
pub(crate) mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use global::GlobalArgs;

/// Self-hosted backups in the restic repository format.
///
/// `lifeboat backup DIR` saves a folder into the default vault, which is made on first use.
/// Vaults are restic repositories: everything in them can be read with `restic`, too.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, max_term_width = 100, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(upkeep::InitArgs),
    Backup(Box<backup::BackupArgs>),
    Restore(Box<restore::RestoreArgs>),
    Snapshots(snapshots::SnapshotsArgs),
    Ls(inspect::LsArgs),
    Find(inspect::FindArgs),
    Diff(inspect::DiffArgs),
    Dump(inspect::DumpArgs),
    Stats(inspect::StatsArgs),
    Check(upkeep::CheckArgs),
    Forget(Box<forget::ForgetArgs>),
    Prune(forget::PruneArgs),
    Copy(copy::CopyArgs),
    Key(key::KeyArgs),
    Unlock(upkeep::UnlockArgs),
    Server(server::ServerArgs),
    Catalog(server::CatalogArgs),
    #[command(flatten)]
    Remote(remote::RemoteCommand),
    /// Print the script that completes lifeboat commands in a shell
    Completions {
        /// The shell to print it for
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder; it is made if it is not there
        folder: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_work_before_and_after_the_command() {
        for line in ["lifeboat --json -r /v snapshots", "lifeboat snapshots --repo /v --json"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.global.json);
            assert_eq!(cli.global.vault.as_deref(), Some("/v"));
        }
    }

    #[test]
    fn restic_command_lines_parse() {
        for line in [
            "lifeboat -r /v -p /pw init --repository-version 2",
            "lifeboat backup -e *.o --iexclude *.TMP --exclude-file f --exclude-if-present .nobackup:x \
             --exclude-caches --exclude-larger-than 10M -x --tag a,b --tag c -H host --time 2012-11-01T22:08:41 \
             --parent 1234abcd -f -n --files-from - --with-atime --ignore-inode --ignore-ctime /a /b",
            "lifeboat backup --stdin --stdin-filename x",
            "lifeboat restore latest:/a/b -t /x -i a --iinclude B --overwrite if-newer --delete --verify",
            "lifeboat snapshots -H h --tag a,b --path /x -g host --latest 3 -c 1234abcd",
            "lifeboat ls -l latest /a /b --recursive",
            "lifeboat find -i -l -s latest -O 2020-01-01 -N 2021-01-01 *.c",
            "lifeboat find --blob 1234abcd",
            "lifeboat diff --metadata 1234abcd 5678abcd",
            "lifeboat dump -a zip latest /a",
            "lifeboat check --read-data-subset 2.5%",
            "lifeboat forget -l 1 -H 2 -d 3 -w 4 -m 5 -y unlimited --keep-within 1y5m7d2h --keep-within-daily 7d \
             --keep-tag a,b --host h -g host,paths -n --prune -c --max-unused unlimited",
            "lifeboat prune --max-unused 5% --max-repack-size 1G --repack-small -n",
            "lifeboat copy --from-repo /w --from-password-file /pw latest",
            "lifeboat key list",
            "lifeboat key add --new-password-file f --user u --host h",
            "lifeboat key remove 1234abcd",
            "lifeboat key passwd",
            "lifeboat unlock --remove-all",
            "lifeboat stats --mode raw-data latest",
            "lifeboat --server http://h:1 --credentials f vault create docs --description d",
            "lifeboat vault --server http://h:1 snapshots docs -n 5 --credentials f",
            "lifeboat plan create home /home /etc --vault docs -e *.o --schedule I|1602673264|P1D --keep-days 7",
            "lifeboat plan execute plan-1 --watch",
            "lifeboat job list --state RUNNING --plan plan-1 --vault docs",
            "lifeboat restore-job create s-1 -t /x --conflict keep-newer --watch",
            "lifeboat policy create nightly --vault docs --schedule C|0|0_0_3_*_*_? --keep-days 7 --first-of-month 365",
            "lifeboat policy bind po-1 /home /etc -e *.o --client c-1",
            "lifeboat client list",
            "lifeboat resource add database rm-shop --engine mariadb --url - --vault docs --account 1",
            "lifeboat resource add redis r-cache --cluster --url redis://h",
            "lifeboat resource list --protected",
            "lifeboat resource test rm-shop",
            "lifeboat account add branch",
            "lifeboat user add alice --password-file f",
            "lifeboat user attach alice @document.json --as document",
            "lifeboat access-key create --user alice",
            "lifeboat role add backup --trust trust.json",
            "lifeboat role attach backup ReadOnlyAccess",
            "lifeboat audit -n 5",
            "lifeboat completions bash",
            "lifeboat man /tmp/x",
        ] {
            let words = line.split(' ').filter(|word| !word.is_empty());
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
