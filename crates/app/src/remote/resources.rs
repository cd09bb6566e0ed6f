//! `resource`: the databases and Redis servers that a server backs up. The URL of one is sent once and never shown.

use std::io::Read;

use anyhow::{Context, ensure};
use lifeboat_api::native::{Engine, List, NewResource, Nothing, ProtectedResource, Resource, ResourceTest};
use lifeboat_model::resource::Address;
use serde_json::json;

use super::Remote;
use crate::cli::resource::{AddResource, DatabaseEngine, ResourceAction, ResourcePlace};
use crate::exit::Status;

const ONE: &str = "/resources/{resource}";
/// No URL is longer.
const MOST_URL_BYTES: u64 = 64 << 10;

pub(super) fn run(remote: &Remote<'_>, action: &ResourceAction) -> anyhow::Result<Status> {
    match action {
        ResourceAction::Add { what } => add(remote, what),
        ResourceAction::List { protected: true, .. } => protected(remote),
        ResourceAction::List { protected: false, limit } => {
            let (found, total) = remote.list("/resources", &[], &[], limit.limit)?;
            let headings = ["ID", "Engine", "Version", "State", "Address"];
            remote.table(&headings, (&found, total), |resource: &Resource| {
                vec![
                    resource.resource_id.clone(),
                    engine(resource.engine).to_owned(),
                    resource.version.clone().unwrap_or_default(),
                    resource.state.clone(),
                    address(resource),
                ]
            })
        }
        ResourceAction::Show(name) => remote.details(&remote.get::<Resource>(ONE, &[&name.id])?),
        ResourceAction::Test(name) => test(remote, &name.id),
        ResourceAction::Remove(name) => {
            let Nothing {} = remote.delete(ONE, &[&name.id])?;
            remote.made("removed resource", &name.id, &json!({ "resource_id": name.id }))
        }
    }
}

fn add(remote: &Remote<'_>, what: &AddResource) -> anyhow::Result<Status> {
    let (id, engine, is_cluster, place) = match what {
        AddResource::Database { id, engine, place } => (id, Engine::from(*engine), false, place),
        AddResource::Redis { id, cluster, place } => (id, Engine::Redis, *cluster, place),
    };
    let new = NewResource {
        resource_id: id.clone(),
        engine,
        url: url(remote, place)?,
        is_cluster,
        vault_id: remote.vault()?,
        account_id: place.account.clone(),
    };
    let made: Resource = remote.post("/resources", &[], &new)?;
    remote.made("added resource", &made.resource_id, &made)
}

/// The URL that the option, standard input or the environment gives.
fn url(remote: &Remote<'_>, place: &ResourcePlace) -> anyhow::Result<String> {
    let given = match place.url.as_deref() {
        Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().take(MOST_URL_BYTES).read_to_string(&mut text);
            read.context("cannot read the URL from standard input")?;
            text
        }
        Some(url) => url.to_owned(),
        None => {
            let found = remote.app.env.get("LIFEBOAT_RESOURCE_URL");
            let found =
                found.context("say with --url or LIFEBOAT_RESOURCE_URL how the resource is opened")?;
            found.into_string().ok().context("LIFEBOAT_RESOURCE_URL is not UTF-8")?
        }
    };
    ensure!(!given.trim().is_empty(), "the URL is empty");
    Ok(given.trim().to_owned())
}

fn test(remote: &Remote<'_>, id: &str) -> anyhow::Result<Status> {
    let tested: ResourceTest = remote.post("/resources/{resource}/test", &[id], &json!({}))?;
    let output = &remote.app.output;
    if output.is_json() {
        output.json(&tested)?;
    } else {
        for remark in &tested.remarks {
            output.line(remark)?;
        }
        let version = tested.version.map(|version| format!(" {version}")).unwrap_or_default();
        let verdict = if tested.is_ready { "can be backed up" } else { "cannot be backed up as it is" };
        output.line(format_args!("{id}{version} {verdict}"))?;
    }
    Ok(if tested.is_ready { Status::Success } else { Status::Failure })
}

fn protected(remote: &Remote<'_>) -> anyhow::Result<Status> {
    let found: List<ProtectedResource> = remote.get("/protected-resources", &[])?;
    remote.table(
        &["ID", "Source", "Resource", "Plans", "Snapshots"],
        (&found.rows, found.total),
        |resource| {
            vec![
                resource.protected_resource_id.clone(),
                resource.source_type.clone(),
                resource.resource_id.clone(),
                resource.plans.to_string(),
                resource.snapshots.to_string(),
            ]
        },
    )
}

/// As people write it.
fn address(resource: &Resource) -> String {
    let Resource { scheme, user, host, port, database, .. } = resource.clone();
    Address { scheme, user, host, port, database }.to_string()
}

fn engine(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgresql => "postgresql",
        Engine::Mariadb => "mariadb",
        Engine::Redis => "redis",
    }
}

impl From<DatabaseEngine> for Engine {
    fn from(engine: DatabaseEngine) -> Self {
        match engine {
            DatabaseEngine::Postgresql => Self::Postgresql,
            DatabaseEngine::Mariadb => Self::Mariadb,
        }
    }
}
