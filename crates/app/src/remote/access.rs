//! `account`, `user`, `access-key`, `role`, `audit`: who may do what on a server, and what was done.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use lifeboat_api::native::{
    AccessKey, Account, AuditRecord, Credentials, Document, List, NewAccessKey, NewAccount, NewDocument,
    NewRole, NewUser, Nothing, Role, User,
};
use serde::Serialize;
use serde_json::json;

use super::Remote;
use crate::cli::access::{AccessKeyAction, AccountAction, AttachArgs, DetachArgs, RoleAction, UserAction};
use crate::cli::remote::LimitArgs;
use crate::exit::Status;
use crate::password;

pub(super) fn account(remote: &Remote<'_>, action: &AccountAction) -> anyhow::Result<Status> {
    match action {
        AccountAction::Add { name } => {
            let made: Credentials = remote.post("/accounts", &[], &NewAccount { name: name.clone() })?;
            print(remote, &made)
        }
        AccountAction::List => {
            let found: List<Account> = remote.get("/accounts", &[])?;
            remote.table(&["ID", "Name"], (&found.rows, found.total), |account| {
                vec![account.account_id.clone(), account.name.clone()]
            })
        }
    }
}

pub(super) fn user(remote: &Remote<'_>, action: &UserAction) -> anyhow::Result<Status> {
    match action {
        UserAction::Add { name } => {
            let made: User = remote.post("/users", &[], &new_user(remote, name)?)?;
            remote.made("made user", name, &made)
        }
        UserAction::List => {
            let found: List<User> = remote.get("/users", &[])?;
            remote.table(&["Name", "Password", "Created"], (&found.rows, found.total), |user| {
                let password = if user.has_password { "yes" } else { "no" };
                vec![user.name.clone(), password.to_owned(), remote.moment(Some(user.created))]
            })
        }
        UserAction::Delete { name } => {
            let Nothing {} = remote.delete("/users/{user}", &[name])?;
            done(remote, "removed user", name)
        }
        UserAction::Attach(args) => attach(remote, "/users/{user}/documents", args),
        UserAction::Detach(args) => detach(remote, "/users/{user}/documents/{document}", args),
        UserAction::Documents { name } => documents(remote, "/users/{user}/documents", name),
    }
}

/// With the password that `--password-file` gives; without, nobody logs in as this user.
fn new_user(remote: &Remote<'_>, name: &str) -> anyhow::Result<NewUser> {
    let password = match &remote.app.args.password_file {
        Some(file) => {
            let password = password::from_file(file)?;
            let text = std::str::from_utf8(password.as_bytes());
            Some(text.context("the password to log in with is not UTF-8")?.to_owned())
        }
        None => None,
    };
    Ok(NewUser { name: name.to_owned(), password })
}

pub(super) fn key(remote: &Remote<'_>, action: &AccessKeyAction) -> anyhow::Result<Status> {
    match action {
        AccessKeyAction::Create { user } => {
            let made: Credentials = remote.post("/access-keys", &[], &NewAccessKey { user: user.clone() })?;
            print(remote, &made)
        }
        AccessKeyAction::List { user } => {
            let query = [("user", user.as_deref())];
            let found: List<AccessKey> = remote.call(("GET", "/access-keys"), &[], &query, &json!({}))?;
            let headings = ["ID", "User", "Active", "Created", "Last used"];
            remote.table(&headings, (&found.rows, found.total), |key| {
                vec![
                    key.access_key_id.clone(),
                    key.user.clone().unwrap_or_default(),
                    if key.is_active { "yes" } else { "no" }.to_owned(),
                    remote.moment(Some(key.created)),
                    remote.moment(key.last_used),
                ]
            })
        }
        AccessKeyAction::Disable { key } => {
            let Nothing {} = remote.post("/access-keys/{access_key}/disable", &[key], &json!({}))?;
            done(remote, "disabled access key", key)
        }
        AccessKeyAction::Enable { key } => {
            let Nothing {} = remote.post("/access-keys/{access_key}/enable", &[key], &json!({}))?;
            done(remote, "enabled access key", key)
        }
        AccessKeyAction::Delete { key } => {
            let Nothing {} = remote.delete("/access-keys/{access_key}", &[key])?;
            done(remote, "removed access key", key)
        }
    }
}

pub(super) fn role(remote: &Remote<'_>, action: &RoleAction) -> anyhow::Result<Status> {
    match action {
        RoleAction::Add { name, trust } => {
            let new = NewRole { name: name.clone(), trust: read(trust)? };
            let Nothing {} = remote.post("/roles", &[], &new)?;
            done(remote, "made role", name)
        }
        RoleAction::List => {
            let found: List<Role> = remote.get("/roles", &[])?;
            remote.table(&["Name", "Created"], (&found.rows, found.total), |role| {
                vec![role.name.clone(), remote.moment(Some(role.created))]
            })
        }
        RoleAction::Delete { name } => {
            let Nothing {} = remote.delete("/roles/{role}", &[name])?;
            done(remote, "removed role", name)
        }
        RoleAction::Attach(args) => attach(remote, "/roles/{role}/documents", args),
        RoleAction::Detach(args) => detach(remote, "/roles/{role}/documents/{document}", args),
        RoleAction::Documents { name } => documents(remote, "/roles/{role}/documents", name),
    }
}

pub(super) fn audit(remote: &Remote<'_>, limit: LimitArgs) -> anyhow::Result<Status> {
    let (records, total) = remote.list("/audit", &[], &[], limit.limit)?;
    let headings = ["Time", "User", "Key", "From", "Action", "Outcome", "On"];
    remote.table(&headings, (&records, total), |record: &AuditRecord| {
        vec![
            remote.moment(Some(record.started)),
            record.user.clone().unwrap_or_default(),
            record.access_key_id.clone(),
            record.source_ip.clone(),
            record.action.clone(),
            record.outcome.clone(),
            record.subject.clone().unwrap_or_default(),
        ]
    })
}

// --- documents -----------------------------------------------------------------------------------------------

fn attach(remote: &Remote<'_>, path: &'static str, args: &AttachArgs) -> anyhow::Result<Status> {
    let new = match (args.document.strip_prefix('@'), &args.called) {
        (Some(file), called) => {
            let file = Path::new(file);
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            let name = called.as_deref().or(stem).context("say with --as what the document is called")?;
            NewDocument { name: name.to_owned(), document: Some(read(file)?) }
        }
        (None, None) => NewDocument { name: args.document.clone(), document: None },
        (None, Some(_)) => bail!("--as goes with the document of a file; a built-in one has its name"),
    };
    let Nothing {} = remote.post(path, &[&args.name], &new)?;
    done(remote, "attached", &new.name)
}

fn detach(remote: &Remote<'_>, path: &'static str, args: &DetachArgs) -> anyhow::Result<Status> {
    let Nothing {} = remote.delete(path, &[&args.name, &args.document])?;
    done(remote, "detached", &args.document)
}

fn documents(remote: &Remote<'_>, path: &'static str, name: &str) -> anyhow::Result<Status> {
    let found: List<Document> = remote.get(path, &[name])?;
    remote.table(&["Name", "Attached", "Document"], (&found.rows, found.total), |document| {
        let text = document.document.as_deref().unwrap_or("built in");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        vec![document.name.clone(), remote.moment(Some(document.attached)), text]
    })
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Credentials are a file to be kept: JSON, whatever the options say.
fn print(remote: &Remote<'_>, credentials: &impl Serialize) -> anyhow::Result<Status> {
    let text = serde_json::to_string_pretty(credentials).context("cannot write JSON")?;
    remote.app.output.line(text)?;
    Ok(Status::Success)
}

fn done(remote: &Remote<'_>, what: &str, name: &str) -> anyhow::Result<Status> {
    remote.made(what, name, &json!({ "name": name }))
}
