//! What the commands do, one file each. The engine does the work; here it is asked for and its answer printed.

pub(crate) mod init;

mod backup;
mod files_from;
mod forget;
mod key;
mod shell;
mod snapshots;
mod unlock;

use crate::app::App;
use crate::cli::Command;
use crate::exit::Status;

/// Runs a command to its end.
pub(crate) fn run(app: &App, command: Command) -> anyhow::Result<Status> {
    match command {
        Command::Init(args) => init::run(app, &args),
        Command::Backup(args) => backup::run(app, &args),
        Command::Snapshots(args) => snapshots::run(app, &args),
        Command::Forget(args) => forget::run(app, &args),
        Command::Key(args) => key::run(app, &args.action),
        Command::Unlock(args) => unlock::run(app, &args),
        Command::Completions { shell } => shell::completions(app, shell),
        Command::Man { folder } => shell::manual(app, &folder),
        Command::Restore(_)
        | Command::Ls(_)
        | Command::Find(_)
        | Command::Diff(_)
        | Command::Dump(_)
        | Command::Stats(_)
        | Command::Check(_)
        | Command::Prune(_)
        | Command::Copy(_) => anyhow::bail!("this command is not there yet"),
    }
}
