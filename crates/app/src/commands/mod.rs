//! What the commands do, one file each. The engine does the work; here it is asked for and its answer printed.

pub(crate) mod init;

mod backup;
mod check;
mod copy;
mod diff;
mod dump;
mod find;
mod forget;
mod key;
mod ls;
mod prune;
mod restore;
mod shell;
mod snapshots;
mod stats;
mod unlock;

use crate::app::App;
use crate::cli::Command;
use crate::cli::key::KeyAction;
use crate::exit::Status;
use crate::remote;

/// Runs a command to its end.
pub(crate) fn run(app: &App, command: Command) -> anyhow::Result<Status> {
    if app.args.no_lock && needs_lock(&command) {
        anyhow::bail!(
            "--no-lock does not go with a command that writes to the vault, unless it is a dry run"
        );
    }
    let names_server = app.args.server.is_some() || app.args.credentials.is_some();
    if names_server && !matches!(command, Command::Remote(_)) {
        anyhow::bail!("--server and --credentials go only with commands that ask a server");
    }
    match command {
        Command::Init(args) => init::run(app, &args),
        Command::Backup(args) => backup::run(app, &args),
        Command::Restore(args) => restore::run(app, &args),
        Command::Prune(args) => prune::run(app, &args),
        Command::Snapshots(args) => snapshots::run(app, &args),
        Command::Ls(args) => ls::run(app, &args),
        Command::Find(args) => find::run(app, &args),
        Command::Diff(args) => diff::run(app, &args),
        Command::Dump(args) => dump::run(app, &args),
        Command::Stats(args) => stats::run(app, &args),
        Command::Check(args) => check::run(app, &args),
        Command::Forget(args) => forget::run(app, &args),
        Command::Key(args) => key::run(app, &args.action),
        Command::Unlock(args) => unlock::run(app, &args),
        Command::Completions { shell } => shell::completions(app, shell),
        Command::Man { folder } => shell::manual(app, &folder),
        Command::Copy(args) => copy::run(app, &args),
        Command::Server(args) => crate::server::run(app, &args),
        Command::Catalog(args) => crate::server::offline::catalog(app, &args.action),
        Command::Remote(command) => remote::run(app, &command),
    }
}

/// Whether a command must not work without a lock on the vault.
fn needs_lock(command: &Command) -> bool {
    match command {
        Command::Backup(args) => !args.dry_run,
        Command::Forget(args) => !args.dry_run,
        Command::Prune(args) => !args.dry_run,
        Command::Key(args) => !matches!(args.action, KeyAction::List),
        _ => false,
    }
}
