//! Cloud Backup (HBR), version 2017-09-08: one file for each noun, one row in [`answer`] for each operation.

mod backup_jobs;
mod bindings;
mod browse;
mod clients;
mod cross_accounts;
mod files;
pub(super) mod filters;
mod plans;
mod policies;
pub(super) mod resources;
mod restore_jobs;
mod snapshots;
mod tags;
mod temp_files;
mod vaults;

use http::StatusCode;
use lifeboat_model::filter::Page;
use lifeboat_service::{JobRow, Missing, ReportKeys, ServiceError};
use serde_json::{Map, Value, json};

use super::{Answering, Call, Format, Params, Product, WireError, operations, present};

pub(super) const PRODUCT: Product = Product {
    version: "2017-09-08",
    name: "hbr",
    default_format: Format::Xml,
    actions: ACTIONS,
    answer,
    envelope,
    subject: |action, params| Some(format!("vault/{}", vault_of(action, params)?)),
};

/// Operations that are about the vault which the parameter VaultId names, and about nothing else. All others are about
/// all resources.
const ON_ONE_VAULT: [&str; 4] = ["CreateBackupPlan", "DeleteVault", "DescribeVaults", "UpdateVault"];

/// The one vault that an operation is about.
fn vault_of(action: &str, params: &Params) -> Option<String> {
    params.text("VaultId").filter(|_| is_on_one_vault(action)).map(str::to_owned)
}

/// Whether who may do an operation can depend on the vault it is about.
pub(crate) fn is_on_one_vault(action: &str) -> bool {
    ON_ONE_VAULT.contains(&action)
}

/// All documented types; those not built yet match nothing.
const SOURCE_TYPES: [&str; 10] =
    ["ECS_FILE", "OSS", "NAS", "OTS", "UDM_ECS", "UDM_ECS_DISK", "COMMON_NAS", "File", "SYNC", "CONTAINER"];

operations! { call =>
        "CreateVault" => vaults::create(call).await,
        "DescribeVaults" => vaults::describe(call).await,
        "UpdateVault" => vaults::update(call).await,
        "DeleteVault" => vaults::delete(call).await,
        "DescribeTask" => vaults::task(call).await,
        "CreateBackupPlan" => plans::create(call).await,
        "DescribeBackupPlans" => plans::describe(call).await,
        "UpdateBackupPlan" => plans::update(call).await,
        "EnableBackupPlan" => plans::enable(call, false).await,
        "DisableBackupPlan" => plans::enable(call, true).await,
        "DeleteBackupPlan" => plans::delete(call).await,
        "ExecuteBackupPlan" => plans::execute(call).await,
        "CreatePolicyV2" => policies::create(call).await,
        "DescribePoliciesV2" => policies::describe(call).await,
        "UpdatePolicyV2" => policies::update(call).await,
        "DeletePolicyV2" => policies::delete(call).await,
        "ExecutePolicyV2" => policies::execute(call).await,
        "CreatePolicyBindings" => bindings::create(call).await,
        "DescribePolicyBindings" => bindings::describe(call).await,
        "UpdatePolicyBinding" => bindings::update(call).await,
        "DeletePolicyBinding" => bindings::delete(call).await,
        "DescribeBackupJobs2" => backup_jobs::describe(call).await,
        "CancelBackupJob" => backup_jobs::cancel(call).await,
        "SearchHistoricalSnapshots" => snapshots::search(call).await,
        "DeleteSnapshot" => snapshots::delete(call).await,
        "ListSnapshots" => resources::snapshots(call).await,
        "ListProtectedResources" => resources::list(call).await,
        "CreateRestoreJob" => restore_jobs::create(call).await,
        "DescribeRestoreJobs2" => restore_jobs::describe(call).await,
        "CancelRestoreJob" => restore_jobs::cancel(call).await,
        "CreateBackupJob" => backup_jobs::create(call).await,
        "GetTempFileDownloadLink" => temp_files::download_link(call).await,
        "BrowseFiles" => browse::files(call).await,
        "AddCrossAccount" => cross_accounts::add(call).await,
        "DescribeCrossAccounts" => cross_accounts::describe(call).await,
        "DeleteCrossAccount" => cross_accounts::delete(call).await,
        "DescribeBackupClients" => clients::describe(call).await,
        "DescribeClients" => clients::describe_plain(call).await,
        "OpenHbrService" => clients::open_service(call).await,
        "TagResources" => tags::tag(call).await,
        "UntagResources" => tags::untag(call).await,
        "ChangeResourceGroup" => tags::change_group(call).await,
}

/// What every answer of this product begins with.
fn envelope(body: Value) -> Value {
    let mut all = Map::new();
    all.insert("Success".to_owned(), true.into());
    all.insert("Code".to_owned(), "200".into());
    all.insert("Message".to_owned(), "successful".into());
    if let Value::Object(fields) = body {
        all.extend(fields);
    }
    Value::Object(all)
}

/// `user name` as `UserName`.
fn camel(words: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    words.split(' ').map(word).collect()
}

/// The code for a refusal of the service.
pub(crate) fn refuse(error: &ServiceError) -> WireError {
    let text = error.to_string();
    match error {
        ServiceError::Missing(Missing::Vault, id) => {
            WireError::not_found("VaultNotExist", format!("The vault {id} does not exist."))
        }
        ServiceError::Missing(Missing::Task, id) => {
            WireError::not_found("TaskNotFound", format!("The task {id} does not exist."))
        }
        ServiceError::Missing(Missing::Role, role) => {
            WireError::not_found("RoleNotExist", format!("The role {role} does not exist."))
        }
        ServiceError::Missing(Missing::TempFile, key) => {
            WireError::not_found("ObjectNotExist", format!("There is no file with the key {key:?}."))
        }
        ServiceError::Missing(what, id) => {
            WireError::not_found("ResourceNotFound", format!("The {what:?} {id} does not exist."))
        }
        ServiceError::Exists(_)
        | ServiceError::Conflict(_)
        | ServiceError::Quota(_)
        | ServiceError::BackupRuns(_)
        | ServiceError::Worm(_)
        | ServiceError::Strange(_) => WireError::bad_request("BadRequest", sentence(&text)),
        ServiceError::Source(cause) => WireError::bad_request("BadRequest", sentence(&cause.to_string())),
        ServiceError::VaultBound(_) => {
            WireError::bad_request("VaultBoundPolicyCannotBeDeleted", sentence(&text))
        }
        ServiceError::Vault(_) | ServiceError::Storage(_) => {
            tracing::error!(error = %error, cause = ?std::error::Error::source(error), "cannot answer a request");
            let what = "The vault cannot be read; the server's log says why.";
            WireError::new(StatusCode::INTERNAL_SERVER_ERROR, "AccessVaultFail", what)
        }
        ServiceError::NotLocal(_) => WireError::new(StatusCode::FORBIDDEN, "Forbidden", sentence(&text)),
        ServiceError::NotTrusted { .. } => WireError::new(
            StatusCode::FORBIDDEN,
            "AssumeRoleFail",
            format!("Cannot act in the role: {text}."),
        ),
        ServiceError::Invalid(invalid) => {
            WireError::bad_request(format!("InvalidParameter.{}", camel(invalid.what)), text)
        }
        ServiceError::Denied(denial) => WireError::denied(denial),
        ServiceError::Policy(_) => WireError::bad_request("InvalidParameter.PolicyDocument", text),
        ServiceError::Files(_) => WireError::bad_request("InvalidParameter", text),
        ServiceError::Browse(cause) => {
            tracing::error!(error = %error, cause = ?cause, "cannot answer a request");
            let what = "The vault cannot be looked into; the server's log says why.";
            WireError::new(StatusCode::INTERNAL_SERVER_ERROR, "BrowseFileError", what)
        }
        ServiceError::Unavailable(_) => WireError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "The catalog does not answer; try again.",
        ),
        ServiceError::Internal(_) | ServiceError::Sealed => {
            tracing::error!(error = %error, cause = ?std::error::Error::source(error), "cannot answer a request");
            WireError::internal()
        }
    }
}

impl Call<'_> {
    /// PageNumber and PageSize.
    fn page(&self) -> Result<Page, WireError> {
        let number = self.params.number("PageNumber", 1, 1_000_000_000)?.unwrap_or(1);
        let size = self.params.number("PageSize", 1, 99)?.unwrap_or(10);
        let to_u32 = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Page { number: to_u32(number), size: to_u32(size) })
    }

    /// SourceType of a listing.
    fn source_type(&self) -> Result<Option<&str>, WireError> {
        let text = self.params.text("SourceType");
        match text.filter(|text| !SOURCE_TYPES.contains(text)) {
            None => Ok(text),
            Some(other) => {
                let accepted = format!("It must be one of {}.", SOURCE_TYPES.join(", "));
                Err(WireError::invalid("SourceType", other, accepted))
            }
        }
    }

    fn edition(&self) -> Result<&'static str, WireError> {
        match self.params.text("Edition") {
            None | Some("STANDARD") => Ok("STANDARD"),
            Some("BASIC") => Ok("BASIC"),
            Some(other) => Err(WireError::invalid("Edition", other, "It must be STANDARD or BASIC.")),
        }
    }

    /// A list of texts that comes as a JSON array.
    fn json_list(&self, name: &str) -> Result<Vec<String>, WireError> {
        let Some(text) = self.params.text(name) else { return Ok(Vec::new()) };
        let accepted = "It must be a JSON array of strings, such as [\"/home/*.pdf\"].";
        crate::json::read(text.as_bytes()).map_err(|_| WireError::invalid(name, text, accepted))
    }
}

/// Refuses a list that is too long.
fn at_most(most: usize, name: &str, given: usize) -> Result<(), WireError> {
    if given > most {
        return Err(WireError::invalid(name, &given.to_string(), format!("At most {most} are accepted.")));
    }
    Ok(())
}

/// Why a job has no result, or not a whole one: a token, and a sentence where it does not say all.
fn error_message(job: &JobRow) -> Option<String> {
    let code = job.error_code.as_ref()?;
    Some(job.error_message.as_ref().map_or_else(|| code.clone(), |text| format!("{code}: {text}.")))
}

/// The reports about a job: there from its end on, with a key for each file that is made.
fn report(job: &JobRow) -> Option<Value> {
    let state = job.report_state.as_ref()?;
    let mut report = json!({ "ReportTaskStatus": state });
    if let (Value::Object(fields), Some(keys)) = (&mut report, ReportKeys::of(job)) {
        fields.insert("TotalFiles".to_owned(), keys.total.into());
        fields.insert("SuccessFiles".to_owned(), keys.success.into());
        fields.insert("FailedFiles".to_owned(), keys.failed.into());
        fields.insert("SkippedFiles".to_owned(), keys.skipped.into());
    }
    Some(report)
}

fn paged(mut body: Value, page: Page, total: u64) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.insert("PageNumber".to_owned(), page.number.into());
        fields.insert("PageSize".to_owned(), page.size.into());
        fields.insert("TotalCount".to_owned(), total.into());
    }
    body
}

pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.map(String::from_iter).unwrap_or_default(), characters.as_str())
}

/// MaxResults, and where NextToken or Skip say to begin.
fn window(params: &Params) -> Result<(u64, u64), WireError> {
    let most = params.number("MaxResults", 1, 100)?.unwrap_or(10);
    let skip = params.number("Skip", 0, i64::MAX)?;
    let at = match (params.text("NextToken"), skip) {
        (Some(text), Some(_)) => {
            return Err(WireError::invalid("NextToken", text, "It cannot be used together with Skip."));
        }
        (Some(text), None) => {
            let accepted = "It must be what the last answer said.";
            text.parse().map_err(|_| WireError::invalid("NextToken", text, accepted))?
        }
        (None, skip) => u64::try_from(skip.unwrap_or(0)).unwrap_or(0),
    };
    Ok((u64::try_from(most).unwrap_or(10), at.min(u64::from(u32::MAX))))
}

/// Nothing but the envelope.
fn nothing() -> Value {
    json!({})
}
