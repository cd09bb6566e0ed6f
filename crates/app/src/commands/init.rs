//! `init`: makes a vault.

use std::path::Path;

use anyhow::bail;
use lifeboat_repository::config::Version;
use lifeboat_repository::repository::Repository;
use serde::Serialize;

use crate::app::App;
use crate::cli::upkeep::{FormatVersion, InitArgs};
use crate::exit::Status;
use crate::vault::{self, Vault};

#[derive(Serialize)]
struct Initialized<'a> {
    message_type: &'static str,
    id: String,
    repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<&'a Path>,
}

pub(crate) fn run(app: &App, args: &InitArgs) -> anyhow::Result<Status> {
    let version = match args.repository_version {
        FormatVersion::V1 => Version::V1,
        FormatVersion::V2 | FormatVersion::Latest | FormatVersion::Stable => Version::V2,
    };
    if !args.copy_chunker_params && args.from.names_something() {
        bail!("another vault is only looked at with --copy-chunker-params: add it, or leave out --from-...");
    }
    let polynomial = if args.copy_chunker_params {
        Some(vault::open_from(app, &args.from)?.config().chunker_polynomial)
    } else {
        None
    };
    Vault::of(app)?.create(app, version, polynomial)?;
    Ok(Status::Success)
}

/// Says that a vault was made, and where its key is when we made that, too.
pub(crate) fn announce(app: &App, repository: &Repository, key_file: Option<&Path>) -> anyhow::Result<()> {
    let place = repository.storage().describe();
    let id = repository.config().id;
    if app.output.is_json() {
        let initialized =
            Initialized { message_type: "initialized", id: id.to_string(), repository: place, key_file };
        app.output.json(&initialized)?;
        return Ok(app.output.flush()?);
    }
    app.output.note(format_args!("made vault {} at {place}", id.short()));
    if let Some(file) = key_file {
        // Not silenced by --quiet: who misses this may lose everything.
        app.output.trouble(format_args!(
            "Its key is in {}. Keep a copy of that file in another place:\n\
             without it nobody, you included, can read what is in the vault.",
            file.display()
        ));
    }
    Ok(())
}
