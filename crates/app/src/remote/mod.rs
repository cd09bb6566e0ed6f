//! Commands that ask a running server, through its native API: which server, whose key, and one file for each noun.
//!
//! A request is signed and sent once; what a server did not answer is not asked again by itself.

mod access;
mod clients;
mod http;
mod jobs;
mod plans;
mod policies;
mod resources;
mod restores;
mod show;
mod vaults;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use lifeboat_api::native::List;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::http::Server;
use crate::app::App;
use crate::cli::remote::{RemoteCommand, VaultAction, VaultArgs};
use crate::exit::Status;
use crate::server::DEFAULT_ADDRESS;

const MOST_ROWS: u32 = 1000;

pub(crate) fn run(app: &App, command: &RemoteCommand) -> anyhow::Result<Status> {
    if let RemoteCommand::Vault(VaultArgs { action: VaultAction::Password { vault, place } }) = command {
        return crate::server::offline::password(app, vault, place);
    }
    let remote = Remote::of(app)?;
    match command {
        RemoteCommand::Vault(args) => vaults::run(&remote, &args.action),
        RemoteCommand::Plan(args) => plans::run(&remote, &args.action),
        RemoteCommand::Policy(args) => policies::run(&remote, &args.action),
        RemoteCommand::Job(args) => jobs::run(&remote, &args.action),
        RemoteCommand::RestoreJob(args) => restores::run(&remote, &args.action),
        RemoteCommand::Client(args) => clients::run(&remote, args.action),
        RemoteCommand::Resource(args) => resources::run(&remote, &args.action),
        RemoteCommand::Account(args) => access::account(&remote, &args.action),
        RemoteCommand::User(args) => access::user(&remote, &args.action),
        RemoteCommand::AccessKey(args) => access::key(&remote, &args.action),
        RemoteCommand::Role(args) => access::role(&remote, &args.action),
        RemoteCommand::Audit(args) => access::audit(&remote, args.limit),
    }
}

/// What a credentials file says; a server's `root.json` is one.
#[derive(Deserialize)]
struct Credentials {
    access_key_id: String,
    access_key_secret: String,
}

/// A server, and in whose name it is asked.
pub(crate) struct Remote<'a> {
    pub(crate) app: &'a App,
    server: Server,
    credentials: Credentials,
}

impl<'a> Remote<'a> {
    /// The server that the options name, by default this machine's.
    pub(crate) fn of(app: &'a App) -> anyhow::Result<Self> {
        let named = |name: &str| app.env.get(name).map(PathBuf::from);
        let file = match app.args.credentials.clone().or_else(|| named("LIFEBOAT_CREDENTIALS")) {
            Some(file) => file,
            None => crate::server::default_folder(app)?.join("root.json"),
        };
        let content = fs::read(&file).with_context(|| {
            format!(
                "cannot read the credentials in {}; the first start of `lifeboat server` writes that file, and \
                 --credentials names another",
                file.display()
            )
        })?;
        let credentials = serde_json::from_slice(&content)
            .with_context(|| format!("{} is not a file of credentials", file.display()))?;
        let url = app
            .args
            .server
            .clone()
            .or_else(|| Some(named("LIFEBOAT_SERVER")?.to_string_lossy().into_owned()));
        let url = url.unwrap_or_else(|| format!("http://{DEFAULT_ADDRESS}"));
        let ca_file = app.args.ca_file.clone().or_else(|| named("LIFEBOAT_CA_FILE"));
        Ok(Self { app, server: Server::parse(&url, ca_file.as_deref())?, credentials })
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str, ids: &[&str]) -> anyhow::Result<T> {
        self.call(("GET", path), ids, &[], &json!({}))
    }

    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str, ids: &[&str]) -> anyhow::Result<T> {
        self.call(("DELETE", path), ids, &[], &json!({}))
    }

    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        ids: &[&str],
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_value(body).context("cannot write JSON")?;
        self.call(("POST", path), ids, &[], &body)
    }

    /// The first `limit` rows of a list, and how many there are.
    pub(crate) fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        ids: &[&str],
        query: &[(&str, Option<&str>)],
        limit: u32,
    ) -> anyhow::Result<(Vec<T>, u64)> {
        let mut rows = Vec::new();
        let size = limit.min(MOST_ROWS);
        for page in 1_u32.. {
            self.app.ctx.cancel.check()?;
            let (page, size) = (page.to_string(), size.to_string());
            let paging = [("page", Some(page.as_str())), ("page_size", Some(size.as_str()))];
            let all = [query, &paging].concat();
            let found: List<T> = self.call(("GET", path), ids, &all, &json!({}))?;
            let is_last = found.rows.is_empty();
            rows.extend(found.rows);
            if is_last || rows.len() >= limit as usize || rows.len() as u64 >= found.total {
                rows.truncate(limit as usize);
                return Ok((rows, found.total));
            }
        }
        bail!("the list has no end")
    }

    /// Everything a list has.
    pub(crate) fn all<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> anyhow::Result<Vec<T>> {
        Ok(self.list(path, &[], query, u32::MAX)?.0)
    }

    fn call<T: DeserializeOwned>(
        &self,
        operation: (&'static str, &str),
        ids: &[&str],
        query: &[(&str, Option<&str>)],
        body: &Value,
    ) -> anyhow::Result<T> {
        let request = self.server.request(operation, ids, query, body)?;
        let signed = self.server.sign(request, &self.credentials, &self.app.time)?;
        let answer = self.server.send(signed)?;
        let what = "the server's answer is not what this program expects; is it of another version?";
        serde_json::from_slice(&answer).context(what)
    }

    /// The id of the vault that `--vault` names, if it does.
    pub(crate) fn vault(&self) -> anyhow::Result<Option<String>> {
        self.app.args.vault.as_deref().map(|vault| vaults::id_of(self, vault)).transpose()
    }
}
