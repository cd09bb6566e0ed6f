//! `key`: the passwords that open a vault.

use std::path::Path;

use anyhow::Context;
use lifeboat_repository::id::KeyId;
use lifeboat_repository::key::{KdfCost, KeyOrigin, Password};
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::{Error, ErrorKind};
use serde::Serialize;

use crate::app::App;
use crate::cli::key::{KeyAction, NewKeyArgs};
use crate::exit::Status;
use crate::output::{table, text};
use crate::password;
use crate::vault::Vault;
use crate::vault::keyfile::Replacement;

/// A key as JSON, as restic prints it.
#[derive(Serialize)]
struct KeyJson {
    current: bool,
    id: String,
    #[serde(rename = "userName")]
    user_name: String,
    #[serde(rename = "hostName")]
    host_name: String,
    created: String,
}

#[derive(Serialize)]
struct Changed {
    message_type: &'static str,
    id: KeyId,
}

pub(super) fn run(app: &App, action: &KeyAction) -> anyhow::Result<Status> {
    let vault = Vault::of(app)?;
    let repository = vault.open(app)?;
    match action {
        KeyAction::List => app.reading(&repository, || list(app, &repository)),
        KeyAction::Add(args) => {
            let password = new_password(args)?;
            let origin = origin(app, args);
            let id = app.locked(&repository, LockMode::Shared, |_| {
                Ok(repository.add_key(&password, KdfCost::default(), origin)?)
            })?;
            tell(app, "key_added", "added key", id)
        }
        KeyAction::Remove { id } => {
            let id = find(&repository, id)?;
            app.locked(&repository, LockMode::Exclusive, |_| Ok(repository.remove_key(id)?))?;
            tell(app, "key_removed", "removed key", id)
        }
        KeyAction::Passwd(args) => change(app, &vault, &repository, args),
    }
}

/// First the new password opens the vault, then the key file holds it, then the old one opens the vault no more:
/// whenever this is broken off, what the key file holds opens the vault.
fn change(app: &App, vault: &Vault, repository: &Repository, args: &NewKeyArgs) -> anyhow::Result<Status> {
    let password = new_password(args)?;
    let origin = origin(app, args);
    let key_file = vault.key_file_in_use(app, repository)?;
    let id = app.locked(repository, LockMode::Exclusive, |_| {
        let replacement = key_file.as_deref().map(|file| Replacement::write(file, &password)).transpose()?;
        let new = repository.add_key(&password, KdfCost::default(), origin)?;
        if let Some(replacement) = replacement {
            replacement.put().context("the new password was added, and the old one still opens the vault")?;
        }
        repository.storage().delete(repository.key_id().into()).map_err(Error::from)?;
        Ok(new)
    })?;
    let status = tell(app, "key_changed", "the password is changed; its key is", id)?;
    if let Some(file) = key_file.filter(|_| !app.output.is_json()) {
        // Not silenced by --quiet: copies of the old file open nothing any more.
        let file = file.display();
        app.output.trouble(format_args!("The new password is in {file}. Keep a new copy of that file."));
    }
    Ok(status)
}

fn tell(app: &App, message_type: &'static str, what: &str, id: KeyId) -> anyhow::Result<Status> {
    if app.output.is_json() {
        app.output.json(&Changed { message_type, id })?;
    }
    app.output.note(format_args!("{what} {}", id.short()));
    Ok(Status::Success)
}

fn new_password(args: &NewKeyArgs) -> anyhow::Result<Password> {
    match args.new_password_file.as_deref() {
        Some(file) => password::from_file(Path::new(file)),
        None => password::ask_new(),
    }
}

fn origin(app: &App, args: &NewKeyArgs) -> KeyOrigin {
    let ours = app.key_origin();
    KeyOrigin {
        created: ours.created,
        hostname: args.host.clone().unwrap_or(ours.hostname),
        username: args.user.clone().unwrap_or(ours.username),
    }
}

fn find(repository: &Repository, prefix: &str) -> anyhow::Result<KeyId> {
    let prefix = prefix.to_ascii_lowercase();
    let mut found = repository.list_keys()?;
    found.retain(|id| id.to_string().starts_with(&prefix));
    let what = match found.as_slice() {
        [one] => return Ok(*one),
        [] => format!("no key's id begins with {prefix:?}"),
        _ => format!("several keys' ids begin with {prefix:?}"),
    };
    Err(Error::new(ErrorKind::NotFound, what).into())
}

fn list(app: &App, repository: &Repository) -> anyhow::Result<Status> {
    let mut status = Status::Success;
    let mut keys = Vec::new();
    for id in repository.list_keys()? {
        match repository.load_key(id) {
            Ok(file) => keys.push(KeyJson {
                current: id == repository.key_id(),
                id: id.to_string(),
                created: file.created.parse().map_or(file.created.clone(), |created| app.local(created)),
                user_name: file.username,
                host_name: file.hostname,
            }),
            Err(error) => {
                app.output.warn(text::chain(&error));
                status = Status::Failure;
            }
        }
    }
    if app.output.is_json() {
        app.output.json(&keys)?;
        return Ok(status);
    }
    let widths = [9, 12, 16];
    app.output.line(table::row(&widths, &[" ID", "User", "Host", "Created"]))?;
    app.output.line(table::rule(60))?;
    for key in &keys {
        let star = if key.current { '*' } else { ' ' };
        let id = format!("{star}{}", key.id.get(..8).unwrap_or(&key.id));
        app.output.line(table::row(&widths, &[&id, &key.user_name, &key.host_name, &key.created]))?;
    }
    Ok(status)
}
