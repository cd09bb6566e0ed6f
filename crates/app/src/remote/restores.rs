//! `restore-job`: brings files back from a server's vault.

use lifeboat_api::native::{Conflict, CreatedRestore, NewRestore};

use super::{Remote, jobs};
use crate::cli::remote::{ConflictArg, NewRestoreArgs, RestoreJobAction};
use crate::exit::Status;

const ONE: &str = "/restore-jobs/{restore}";

pub(super) fn run(remote: &Remote<'_>, action: &RestoreJobAction) -> anyhow::Result<Status> {
    match action {
        RestoreJobAction::Create(args) => create(remote, args),
        RestoreJobAction::List(args) => jobs::list(remote, "/restore-jobs", args),
        RestoreJobAction::Show { job } => jobs::show(remote, ONE, job),
        RestoreJobAction::Watch { job } => jobs::watch(remote, ONE, job),
        RestoreJobAction::Cancel { job } => jobs::cancel(remote, "/restore-jobs/{restore}/cancel", job),
    }
}

fn create(remote: &Remote<'_>, args: &NewRestoreArgs) -> anyhow::Result<Status> {
    let new = NewRestore {
        snapshot_id: args.snapshot.clone(),
        target_path: args.target.clone(),
        client_id: args.client.clone(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        conflict: match args.conflict {
            ConflictArg::Skip => Conflict::Skip,
            ConflictArg::Overwrite => Conflict::Overwrite,
            ConflictArg::KeepNewer => Conflict::KeepNewer,
        },
    };
    let made: CreatedRestore = remote.post("/restore-jobs", &[], &new)?;
    if args.watch {
        return jobs::watch(remote, ONE, &made.restore_id);
    }
    remote.made("started job", &made.restore_id, &made)
}
