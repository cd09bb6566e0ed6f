//! Plans.

use jiff::Timestamp;
use lifeboat_model::files::FilesSpec;
use lifeboat_model::plan::{
    BackupSpec, BackupType, MOST_RETENTION_DAYS, Place, PlanCondition, PlanField, SourceType,
};
use lifeboat_model::schedule::Schedule;
use lifeboat_model::speed_limit::SpeedLimit;
use lifeboat_service::{ClientRow, NewPlanRequest, PlanChange, PlanRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, list as list_of, refuse};
use crate::alibaba::WireError;

const MOST_NAME_CHARACTERS: usize = 64;

/// A plan to be made.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    pub vault_id: String,
    pub name: String,
    /// Which folders and files to back up; absolute paths.
    pub paths: Vec<String>,
    /// Wildcards of what to back up, where it shall not be all.
    #[serde(default)]
    pub include: Vec<String>,
    /// Wildcards of what to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The machine that has the files; may be left out where there is one only.
    #[serde(default)]
    pub client_id: Option<String>,
    /// `I|start in Unix seconds|ISO 8601 duration` or `C|start|cron`; without one the plan runs when it is told to.
    #[serde(default)]
    pub schedule: Option<String>,
    /// How long to keep snapshots; for ever where it is left out.
    #[serde(default)]
    pub retention_days: Option<u32>,
    /// Keep the newest snapshot whatever its age.
    #[serde(default)]
    pub keep_latest: bool,
    /// `from:to:KiB a second|…`, with hours of the day.
    #[serde(default)]
    pub speed_limit: Option<String>,
    #[serde(default)]
    pub is_disabled: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedPlan {
    pub plan_id: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StartedJob {
    pub job_id: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    pub plan_id: String,
    pub name: String,
    pub vault_id: String,
    pub source_type: String,
    pub client_id: String,
    pub paths: Vec<String>,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    pub keep_latest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_limit: Option<String>,
    pub is_disabled: bool,
    pub created: Timestamp,
    pub updated: Timestamp,
}

pub(super) async fn create(call: &Call<'_>, new: NewPlan) -> Result<CreatedPlan, WireError> {
    check_name(&new.name)?;
    check_days(new.retention_days)?;
    let client = client(call, new.client_id.as_deref()).await?;
    let files = FilesSpec { paths: new.paths, include: new.include, exclude: new.exclude };
    let files = files
        .checked()
        .map_err(|error| WireError::bad_request("InvalidParameter.paths", format!("{error}.")))?;
    let speed_limit: Option<SpeedLimit> = parsed("speed_limit", new.speed_limit)?;
    let schedule: Option<Schedule> = parsed("schedule", new.schedule)?;
    let request = NewPlanRequest {
        vault: parsed("vault_id", Some(new.vault_id))?.ok_or_else(|| WireError::missing("vault_id"))?,
        name: new.name,
        source_type: SourceType::EcsFile,
        edition: "STANDARD",
        place: Place::Instance(client.instance),
        backup_type: BackupType::Complete,
        spec: BackupSpec {
            files,
            speed_limit: speed_limit.map(|limit| limit.to_string()),
            retention_days: new.retention_days,
            keep_latest: new.keep_latest,
            ..BackupSpec::default()
        },
        schedule,
        rules: Vec::new(),
        cross: None,
        is_disabled: new.is_disabled,
    };
    let made = call.service.create_plan(&call.caller, request).await.map_err(|error| refuse(&error))?;
    Ok(CreatedPlan { plan_id: made.into() })
}

pub(super) fn check_name(name: &str) -> Result<(), WireError> {
    if (1..=MOST_NAME_CHARACTERS).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(WireError::invalid("name", name, format!("It must have 1 to {MOST_NAME_CHARACTERS} characters.")))
}

pub(super) fn check_days(days: Option<u32>) -> Result<(), WireError> {
    let Some(days) = days.filter(|days| !(1..=MOST_RETENTION_DAYS).contains(days)) else { return Ok(()) };
    let accepted = format!("It must be 1 to {MOST_RETENTION_DAYS}.");
    Err(WireError::invalid("retention_days", &days.to_string(), accepted))
}

/// The client named, or the only one there is.
pub(super) async fn client(call: &Call<'_>, id: Option<&str>) -> Result<ClientRow, WireError> {
    let mut clients = call.service.clients(&call.caller).await.map_err(|error| refuse(&error))?;
    if let Some(id) = id {
        clients.retain(|client| client.id.as_str() == id);
    }
    let count = clients.len();
    match (clients.pop(), id) {
        (Some(client), _) if count == 1 => Ok(client),
        (_, Some(id)) => {
            Err(WireError::not_found("ResourceNotFound", format!("The client {id} does not exist.")))
        }
        (Some(_), None) => Err(WireError::missing("client_id")),
        (None, None) => Err(WireError::not_found("ResourceNotFound", "This account has no client.")),
    }
}

/// A field as a type that knows how to parse itself and to say what it wants.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<T>, WireError> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| WireError::invalid(name, &text, format!("{error}.")))
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Plan>, WireError> {
    let page = call.page()?;
    let vault = call
        .text("vault_id")
        .map(|id| PlanCondition { field: PlanField::VaultId, values: vec![id.to_owned()] });
    let equal: Vec<_> = vault.into_iter().collect();
    let found = call.service.plans(&call.caller, &equal, page).await.map_err(|error| refuse(&error))?;
    Ok(list_of(found, page, Plan::from))
}

pub(super) async fn show(call: &Call<'_>, _: Nothing) -> Result<Plan, WireError> {
    let id = call.id("plan")?;
    let found = call.service.plan(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(found.into())
}

pub(super) async fn execute(call: &Call<'_>, _: Nothing) -> Result<StartedJob, WireError> {
    let id = call.id("plan")?;
    let job = call.service.execute_plan(&call.caller, &id, None).await.map_err(|error| refuse(&error))?;
    Ok(StartedJob { job_id: job.into() })
}

pub(super) async fn enable(call: &Call<'_>, _: Nothing) -> Result<Plan, WireError> {
    set_disabled(call, false).await
}

pub(super) async fn disable(call: &Call<'_>, _: Nothing) -> Result<Plan, WireError> {
    set_disabled(call, true).await
}

async fn set_disabled(call: &Call<'_>, is_disabled: bool) -> Result<Plan, WireError> {
    let id = call.id("plan")?;
    let change = PlanChange { is_disabled: Some(is_disabled), ..PlanChange::default() };
    call.service.update_plan(&call.caller, &id, change).await.map_err(|error| refuse(&error))?;
    show(call, Nothing {}).await
}

pub(super) async fn delete(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    let id = call.id("plan")?;
    call.service.delete_plan(&call.caller, &id, false).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

impl From<PlanRow> for Plan {
    fn from(row: PlanRow) -> Self {
        Self {
            plan_id: row.id.into(),
            name: row.name,
            vault_id: row.vault.into(),
            source_type: row.source_type,
            client_id: row.client.into(),
            paths: row.spec.files.paths,
            include: row.spec.files.include,
            exclude: row.spec.files.exclude,
            schedule: row.schedule.map(|schedule| schedule.to_string()),
            retention_days: row.spec.retention_days,
            keep_latest: row.spec.keep_latest,
            speed_limit: row.spec.speed_limit,
            is_disabled: row.is_disabled,
            created: row.created.into(),
            updated: row.updated.into(),
        }
    }
}
