//! What is done in a server's data folder without asking a server: by who may read the folder, not over HTTP.
//!
//! A rebuild only runs while no server does, and only adds; one that dies is finished by the next. Reading a password
//! changes nothing but the audit log, whose row is written before the password is printed.

use std::fs;

use anyhow::Context;
use lifeboat_model::id::VaultId;
use lifeboat_service::Rebuilt;
use serde_json::json;

use super::config::Config;
use super::data::DataFolder;
use crate::app::App;
use crate::cli::server::{CatalogAction, DataArgs};
use crate::exit::Status;
use crate::output::text;

/// `vault password VAULT`: prints what stock restic needs.
pub(crate) fn password(app: &App, vault: &str, place: &DataArgs) -> anyhow::Result<Status> {
    let config = Config::read(app, &place.of_server())?;
    let data = DataFolder::beside_a_server(&config.data)?;
    let id: VaultId = vault.parse().with_context(|| format!("{vault:?} is not the id of a vault"))?;
    let password = block_on(async {
        let (start, root) = super::start(app, &config, &data).await?;
        start.assemble(&root).vault_password(&id).await.context("cannot read the password")
    })?;
    if app.output.is_json() {
        app.output.line(json!({ "vault_id": vault, "password": password.expose() }))?;
    } else {
        app.output.line(password.expose())?;
    }
    Ok(Status::Success)
}

/// `catalog rebuild`.
pub(crate) fn catalog(app: &App, action: &CatalogAction) -> anyhow::Result<Status> {
    let CatalogAction::Rebuild { place, vault_passwords } = action;
    let config = Config::read(app, &place.of_server())?;
    let data = DataFolder::open(&config.data)?;
    let passwords = match vault_passwords {
        None => Vec::new(),
        Some(file) => {
            let content = fs::read_to_string(file);
            let content = content.with_context(|| format!("cannot read {}", file.display()))?;
            content.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
        }
    };
    let rebuilt = block_on(async {
        let (start, root) = super::start(app, &config, &data).await?;
        let service = start.without_jobs(&root).await.context("cannot open the catalog")?;
        service.rebuild(root.account, &passwords).await.context("cannot rebuild the catalog")
    })?;
    tell(app, &rebuilt)
}

fn tell(app: &App, rebuilt: &Rebuilt) -> anyhow::Result<Status> {
    if app.output.is_json() {
        app.output.line(json!({ "vaults": rebuilt.vaults, "left_out": rebuilt.left_out }))?;
    } else {
        for (vault, snapshots) in &rebuilt.vaults {
            app.output.line(format_args!("{vault}: {}", text::count(*snapshots, "snapshot")))?;
        }
    }
    for (folder, why) in &rebuilt.left_out {
        app.output.error(format_args!("left out {folder}: {why}"));
    }
    Ok(if rebuilt.left_out.is_empty() { Status::Success } else { Status::Incomplete })
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(work)
}
