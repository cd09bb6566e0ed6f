//! Policies: rules over several sources, and the sources that are bound to them.

use jiff::Timestamp;
use lifeboat_model::files::FilesSpec;
use lifeboat_model::id::{PolicyId, RuleId};
use lifeboat_model::plan::{BackupSpec, BackupType, Place, SourceType};
use lifeboat_model::policy::{BackupRule, BindingCondition, BindingField, RuleKind, TransitionRule};
use lifeboat_model::retention::{Period, RetentionRule};
use lifeboat_service::{BindingRow, NewBinding as NewBindingRequest, NewPolicyRule, PolicyRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plans::{StartedJob, check_days, check_name, client, parsed};
use super::{Call, List, Nothing, refuse};
use crate::alibaba::WireError;

/// More than anybody has; there are no further pages.
const MOST_ROWS: u32 = 1000;

/// A policy to be made.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// When to back up, and into which vault; at least one.
    pub rules: Vec<NewRule>,
    /// Longer lives for the first snapshots of days, weeks, months or years.
    #[serde(default)]
    pub periods: Vec<KeptPeriod>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    pub vault_id: String,
    /// `I|start in Unix seconds|ISO 8601 duration` or `C|start|cron`.
    pub schedule: String,
    /// How long to keep its snapshots; for ever where it is left out.
    #[serde(default)]
    pub retention_days: Option<u32>,
    /// Keep the newest snapshot whatever its age.
    #[serde(default)]
    pub keep_latest: bool,
}

/// How long the first snapshot of each period is kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptPeriod {
    pub period: KeptPeriodKind,
    pub days: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptPeriodKind {
    Day,
    Week,
    Month,
    Year,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedPolicy {
    pub policy_id: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    pub policy_id: String,
    pub name: String,
    pub description: String,
    pub rules: Vec<Rule>,
    pub periods: Vec<KeptPeriod>,
    /// How many sources are bound to it.
    pub bindings: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    pub rule_id: String,
    pub vault_id: String,
    pub schedule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    pub keep_latest: bool,
}

/// A source to be bound to a policy.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBinding {
    /// Which folders and files to back up; absolute paths.
    pub paths: Vec<String>,
    #[serde(default)]
    pub include: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The machine that has the files; may be left out where there is one only.
    #[serde(default)]
    pub client_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Binding {
    pub policy_id: String,
    /// What to name it by: the id of an instance or of a client.
    pub data_source_id: String,
    pub client_id: String,
    pub source_type: String,
    pub paths: Vec<String>,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub is_disabled: bool,
    pub created: Timestamp,
}

/// Which rule to run; may be left out where there is one only.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutePolicy {
    #[serde(default)]
    pub rule_id: Option<String>,
}

pub(super) async fn create(call: &Call<'_>, new: NewPolicy) -> Result<CreatedPolicy, WireError> {
    check_name(&new.name)?;
    let mut rules = Vec::new();
    for rule in new.rules {
        check_days(rule.retention_days)?;
        let vault = parsed("vault_id", Some(rule.vault_id))?.ok_or_else(|| WireError::missing("vault_id"))?;
        let schedule =
            parsed("schedule", Some(rule.schedule))?.ok_or_else(|| WireError::missing("schedule"))?;
        let kind = RuleKind::Backup(BackupRule {
            vault,
            schedule,
            backup_type: BackupType::Complete,
            retention_days: rule.retention_days,
            keep_latest: rule.keep_latest,
        });
        rules.push(NewPolicyRule { id: None, kind });
    }
    if !new.periods.is_empty() {
        new.periods.iter().try_for_each(|kept| check_days(Some(kept.days)))?;
        let kept = new.periods.into_iter().map(RetentionRule::from).collect();
        let kind = RuleKind::Transition(TransitionRule { retention_days: None, rules: kept });
        rules.push(NewPolicyRule { id: None, kind });
    }
    let names = (Some(new.name), new.description);
    let made =
        call.service.create_policy(&call.caller, names, rules).await.map_err(|error| refuse(&error))?;
    Ok(CreatedPolicy { policy_id: made.into() })
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Policy>, WireError> {
    let found = call.service.policies(&call.caller, None, MOST_ROWS).await;
    let (rows, total) = found.map_err(|error| refuse(&error))?;
    Ok(List { rows: rows.into_iter().map(Policy::from).collect(), total, page: 1, page_size: MOST_ROWS })
}

pub(super) async fn show(call: &Call<'_>, _: Nothing) -> Result<Policy, WireError> {
    Ok(find(call).await?.into())
}

async fn find(call: &Call<'_>) -> Result<PolicyRow, WireError> {
    call.service.policy(&call.caller, &call.id("policy")?).await.map_err(|error| refuse(&error))
}

pub(super) async fn delete(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    call.service.delete_policy(&call.caller, &call.id("policy")?).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

pub(super) async fn execute(call: &Call<'_>, wanted: ExecutePolicy) -> Result<StartedJob, WireError> {
    let policy = find(call).await?;
    let rule: Option<RuleId> = parsed("rule_id", wanted.rule_id)?;
    let mut rules = policy.rules.backups().map(|(id, _)| id.clone());
    let rule = match (rule, rules.next(), rules.next()) {
        (Some(rule), ..) | (None, Some(rule), None) => rule,
        _ => return Err(WireError::missing("rule_id")),
    };
    let job = call.service.execute_policy(&call.caller, (&policy.id, &rule), (None, None)).await;
    Ok(StartedJob { job_id: job.map_err(|error| refuse(&error))?.into() })
}

pub(super) async fn bind(call: &Call<'_>, new: NewBinding) -> Result<Nothing, WireError> {
    let client = client(call, new.client_id.as_deref()).await?;
    let source = serde_json::to_string(&new.paths).map_err(|_| WireError::internal())?;
    let files = FilesSpec { paths: new.paths, include: new.include, exclude: new.exclude };
    let files = files
        .checked()
        .map_err(|error| WireError::bad_request("InvalidParameter.paths", format!("{error}.")))?;
    let binding = NewBindingRequest {
        source_type: SourceType::EcsFile,
        place: Place::Instance(client.instance),
        description: String::new(),
        source,
        spec: BackupSpec { files, ..BackupSpec::default() },
        is_disabled: false,
        cross: None,
    };
    let id = call.id("policy")?;
    call.service.bind(&call.caller, &id, vec![binding]).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

pub(super) async fn bindings(call: &Call<'_>, _: Nothing) -> Result<List<Binding>, WireError> {
    let id: PolicyId = call.id("policy")?;
    let of_policy =
        BindingCondition { field: BindingField::PolicyId, is_not: false, values: vec![id.into()] };
    let found = call.service.bindings(&call.caller, &[of_policy], (None, MOST_ROWS)).await;
    let (rows, total) = found.map_err(|error| refuse(&error))?;
    Ok(List { rows: rows.into_iter().map(Binding::from).collect(), total, page: 1, page_size: MOST_ROWS })
}

pub(super) async fn unbind(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    let (policy, source): (PolicyId, String) = (call.id("policy")?, call.id("source")?);
    call.service.unbind(&call.caller, (&policy, None), &[source]).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

const PERIODS: [(KeptPeriodKind, Period); 4] = [
    (KeptPeriodKind::Day, Period::Day),
    (KeptPeriodKind::Week, Period::Week),
    (KeptPeriodKind::Month, Period::Month),
    (KeptPeriodKind::Year, Period::Year),
];

impl From<KeptPeriod> for RetentionRule {
    fn from(kept: KeptPeriod) -> Self {
        let period = PERIODS.iter().find(|(kind, _)| *kind == kept.period).map_or(Period::Day, |(_, is)| *is);
        Self { period, days: kept.days }
    }
}

impl From<&RetentionRule> for KeptPeriod {
    fn from(rule: &RetentionRule) -> Self {
        let kind = PERIODS.iter().find(|(_, period)| *period == rule.period);
        Self { period: kind.map_or(KeptPeriodKind::Day, |(kind, _)| *kind), days: rule.days }
    }
}

impl From<PolicyRow> for Policy {
    fn from(row: PolicyRow) -> Self {
        let rule = |(id, rule): (&RuleId, &BackupRule)| Rule {
            rule_id: id.to_string(),
            vault_id: rule.vault.to_string(),
            schedule: rule.schedule.to_string(),
            retention_days: rule.retention_days,
            keep_latest: rule.keep_latest,
        };
        let kept = row.rules.all().iter().filter_map(|rule| match &rule.kind {
            RuleKind::Transition(transition) => Some(&transition.rules),
            RuleKind::Backup(_) => None,
        });
        Self {
            policy_id: row.id.to_string(),
            rules: row.rules.backups().map(rule).collect(),
            periods: kept.flatten().map(KeptPeriod::from).collect(),
            name: row.name,
            description: row.description,
            bindings: row.bindings,
            created: row.created.into(),
            updated: row.updated.into(),
        }
    }
}

impl From<BindingRow> for Binding {
    fn from(row: BindingRow) -> Self {
        Self {
            policy_id: row.policy.into(),
            data_source_id: row.data_source,
            client_id: row.client.into(),
            source_type: row.source_type,
            paths: row.spec.files.paths,
            include: row.spec.files.include,
            exclude: row.spec.files.exclude,
            is_disabled: row.is_disabled,
            created: row.created.into(),
        }
    }
}
