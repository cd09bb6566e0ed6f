//! `completions` and `man`: what a shell and a reader want, made from the command line itself.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::app::App;
use crate::cli::Cli;
use crate::exit::Status;

pub(super) fn completions(app: &App, shell: Shell) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lifeboat", &mut script);
    app.output.bytes(&script)?;
    Ok(Status::Success)
}

pub(super) fn manual(app: &App, folder: &Path) -> anyhow::Result<Status> {
    let failed = || format!("cannot write manual pages into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(failed)?;
    app.output.note(format_args!("wrote manual pages into {}", folder.display()));
    Ok(Status::Success)
}
