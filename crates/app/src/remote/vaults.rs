//! `vault`: the vaults of a server and the snapshots in them.

use std::time::Duration;

use anyhow::{Context, bail};
use lifeboat_api::native::{CreatedVault, NewVault, Snapshot, Vault};

use super::Remote;
use crate::cli::remote::VaultAction;
use crate::exit::Status;
use crate::output::text;

const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(remote: &Remote<'_>, action: &VaultAction) -> anyhow::Result<Status> {
    match action {
        VaultAction::Create { name, description, immutable } => {
            let new =
                NewVault { name: name.clone(), description: description.clone(), is_immutable: *immutable };
            create(remote, &new)
        }
        VaultAction::Delete { vault } => {
            let vault: Vault = remote.get("/vaults/{vault}", &[&id_of(remote, vault)?])?;
            remote.delete::<serde_json::Value>("/vaults/{vault}", &[&vault.vault_id])?;
            remote.made("began to delete vault", &vault.vault_id, &vault)
        }
        VaultAction::Password { .. } => bail!("the password of a vault is not told over HTTP"),
        VaultAction::List => {
            let vaults: Vec<Vault> = remote.all("/vaults", &[])?;
            let headings = ["ID", "Name", "State", "Snapshots", "Created"];
            remote.table(&headings, (&vaults, vaults.len() as u64), |vault| {
                let created = remote.moment(Some(vault.created));
                let snapshots = vault.snapshots.to_string();
                vec![vault.vault_id.clone(), vault.name.clone(), vault.state.clone(), snapshots, created]
            })
        }
        VaultAction::Show { vault } => {
            let vault: Vault = remote.get("/vaults/{vault}", &[&id_of(remote, vault)?])?;
            remote.details(&vault)
        }
        VaultAction::Snapshots { vault, limit } => {
            let vault = id_of(remote, vault)?;
            let (snapshots, total) = remote.list("/vaults/{vault}/snapshots", &[&vault], &[], limit.limit)?;
            let headings = ["ID", "Time", "State", "Size", "New", "Paths"];
            remote.table(&headings, (&snapshots, total), |snapshot: &Snapshot| {
                vec![
                    snapshot.snapshot_id.clone(),
                    remote.moment(Some(snapshot.completed)),
                    snapshot.state.clone(),
                    size(snapshot.bytes_total),
                    size(snapshot.bytes_actual),
                    snapshot.paths.join(", "),
                ]
            })
        }
    }
}

/// Makes a vault and waits until it is there, so that the next command can use it.
fn create(remote: &Remote<'_>, new: &NewVault) -> anyhow::Result<Status> {
    let made: CreatedVault = remote.post("/vaults", &[], new)?;
    loop {
        let vault: Vault = remote.get("/vaults/{vault}", &[&made.vault_id])?;
        match vault.state.as_str() {
            "CREATED" => return remote.made("made vault", &made.vault_id, &vault),
            "ERROR" => bail!("the server could not make the vault {}; its log says why", made.vault_id),
            _ => {}
        }
        remote.app.ctx.cancel.check()?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A number of bytes, if anybody has counted them.
fn size(bytes: Option<u64>) -> String {
    bytes.map(text::bytes).unwrap_or_default()
}

/// A vault's id by its id or its name.
pub(super) fn id_of(remote: &Remote<'_>, named: &str) -> anyhow::Result<String> {
    let found: Vec<Vault> = remote.all("/vaults", &[("name", Some(named))])?;
    match found.as_slice() {
        [] if named.starts_with("v-") => Ok(named.to_owned()),
        [] => bail!("no vault is called {named}; `lifeboat vault list` lists them"),
        [one] => Ok(one.vault_id.clone()),
        several => {
            let ids: Vec<_> = several.iter().map(|vault| vault.vault_id.as_str()).collect();
            Err(anyhow::anyhow!("name one of them by its id: {}", ids.join(", ")))
                .context(format!("{} vaults are called {named}", several.len()))
        }
    }
}
