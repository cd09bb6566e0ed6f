//! CreatePolicyBindings, DescribePolicyBindings, UpdatePolicyBinding, DeletePolicyBinding.

use lifeboat_model::files::FilesSpec;
use lifeboat_model::id::{ClientId, InstanceId};
use lifeboat_model::plan::{BackupSpec, Place, SourceType};
use lifeboat_model::policy::{BindingCondition, BindingField};
use lifeboat_service::{BindingChange, BindingRow, NewBinding};
use serde_json::{Value, json};

use super::files::{files, patterns, speed_limit};
use super::plans::source_type;
use super::policies::{description, policy_id, portion, with_token};
use super::{at_most, cross_accounts, filters, nothing, present, refuse};
use crate::alibaba::{Answer, Call, Params, WireError};

const MOST_AT_ONCE: usize = 100;

pub(super) async fn create(call: Call<'_>) -> Answer {
    let id = policy_id(&call.params)?;
    let items = call.params.json_structs("PolicyBindingList")?;
    if items.is_empty() {
        return Err(WireError::missing("PolicyBindingList"));
    }
    at_most(MOST_AT_ONCE, "PolicyBindingList", items.len())?;
    let mut sources = Vec::new();
    for (place, item) in &items {
        let cross = call.crossing_in(item).await?;
        let new = new_binding(item).map_err(|error| error.within(place))?;
        sources.push(NewBinding { cross, ..new });
    }
    call.service.bind(&call.caller, &id, sources).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

fn new_binding(item: &Params) -> Result<NewBinding, WireError> {
    let kind = source_type(item, "SourceType")?.ok_or_else(|| WireError::missing("SourceType"))?;
    let id = item.required("DataSourceId")?;
    let accepted = |error| {
        WireError::invalid("DataSourceId", id, format!("For {} it is not right: {error}.", kind.as_str()))
    };
    let place = match kind {
        SourceType::EcsFile => Place::Instance(id.parse::<InstanceId>().map_err(accepted)?),
        SourceType::File => Place::Client(id.parse::<ClientId>().map_err(accepted)?),
    };
    let list = |name: &str| patterns(name, item.raw(name).unwrap_or_default());
    let source = item.raw("Source").unwrap_or_default();
    let spec = BackupSpec {
        files: FilesSpec { paths: paths(source)?, include: list("Include")?, exclude: list("Exclude")? },
        speed_limit: speed_limit(item)?,
        options: advanced_options(item)?,
        ..BackupSpec::default()
    };
    Ok(NewBinding {
        source_type: kind,
        place,
        description: description(item, "PolicyBindingDescription")?.unwrap_or_default(),
        source: source.to_owned(),
        spec,
        is_disabled: item.boolean("Disabled")?.unwrap_or(false),
        cross: None,
    })
}

/// A list of folders, or one. Nothing is everything.
fn paths(source: &str) -> Result<Vec<String>, WireError> {
    let paths = match source {
        "" | "[]" => vec!["/".to_owned()],
        one if !one.trim_start().starts_with('[') => vec![one.to_owned()],
        list => {
            let accepted = "It must be a folder or a JSON array of folders, such as [\"/a\", \"/b\"].";
            crate::json::read(list.as_bytes()).map_err(|_| WireError::invalid("Source", list, accepted))?
        }
    };
    Ok(files("Source", FilesSpec { paths, ..FilesSpec::default() })?.paths)
}

/// Of the options for other sources than files nothing can come.
fn advanced_options(params: &Params) -> Result<Option<String>, WireError> {
    let options = params.json_fields("AdvancedOptions")?;
    if let Some((name, value)) = options.iter().find(|(name, _)| !name.starts_with("FileDetail.")) {
        let accepted =
            "For files it must be AdvancedOptions.FileDetail.UseVSS or AdvancedOptions.FileDetail.AdvPolicy.";
        return Err(WireError::invalid(&format!("AdvancedOptions.{name}"), value, accepted));
    }
    let uses_shadow_copies = options.boolean("FileDetail.UseVSS")?;
    if uses_shadow_copies == Some(true) {
        let accepted = "It must be false: the client does not run on Windows.";
        return Err(WireError::invalid("AdvancedOptions.FileDetail.UseVSS", "true", accepted));
    }
    let policy = options.boolean("FileDetail.AdvPolicy")?;
    let detail = present(json!({ "UseVSS": uses_shadow_copies, "AdvPolicy": policy }));
    Ok((uses_shadow_copies.is_some() || policy.is_some()).then(|| detail.to_string()))
}

pub(super) async fn update(call: Call<'_>) -> Answer {
    let params = &call.params;
    let id = policy_id(params)?;
    let kind = source_type(params, "SourceType")?.ok_or_else(|| WireError::missing("SourceType"))?;
    let data_source = params.required("DataSourceId")?;
    let list = |name: &str| params.raw(name).map(|text| patterns(name, text)).transpose();
    let source = params.raw("Source").map(|source| Ok((source.to_owned(), paths(source)?)));
    let change = BindingChange {
        description: description(params, "PolicyBindingDescription")?,
        source: source.transpose()?,
        include: list("Include")?,
        exclude: list("Exclude")?,
        speed_limit: params.raw("SpeedLimit").map(|_| speed_limit(params)).transpose()?,
        options: advanced_options(params)?.map(Some),
        is_disabled: params.boolean("Disabled")?,
    };
    let updated = call.service.update_binding(&call.caller, (&id, kind, data_source), change).await;
    updated.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn delete(call: Call<'_>) -> Answer {
    let id = policy_id(&call.params)?;
    let sources = data_sources(&call)?;
    if sources.is_empty() {
        return Err(WireError::missing("DataSourceIds"));
    }
    let kind = source_type(&call.params, "SourceType")?;
    let deleted = call.service.unbind(&call.caller, (&id, kind), &sources).await;
    deleted.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

/// A JSON array, or a list of a form.
fn data_sources(call: &Call<'_>) -> Result<Vec<String>, WireError> {
    let of_form = call.params.list("DataSourceIds").into_iter().map(str::to_owned).collect();
    let sources =
        if call.params.text("DataSourceIds").is_some() { call.json_list("DataSourceIds")? } else { of_form };
    at_most(filters::MOST_VALUES, "DataSourceIds", sources.len())?;
    Ok(sources)
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let (limit, after) = portion(&call.params)?;
    let is = |field, values: Vec<String>| BindingCondition { field, is_not: false, values };
    let mut conditions = Vec::new();
    if let Some(id) = call.params.text("PolicyId") {
        conditions.push(is(BindingField::PolicyId, vec![id.to_owned()]));
    }
    if let Some(kind) = call.source_type()? {
        conditions.push(is(BindingField::SourceType, vec![kind.to_owned()]));
    }
    let sources = data_sources(&call)?;
    if !sources.is_empty() {
        conditions.push(is(BindingField::DataSourceId, sources));
    }
    for (place, filter) in filters::given(&call.params)? {
        conditions.push(condition(&place, &filter)?);
    }
    let found = call.service.bindings(&call.caller, &conditions, (after.as_ref(), limit)).await;
    let (rows, total) = found.map_err(|error| refuse(&error))?;
    let last = rows.last().map(|row| (row.created, row.id.as_str()));
    let views: Vec<_> = rows.iter().map(view).collect();
    Ok(with_token(json!({ "PolicyBindings": views }), (limit, last), total))
}

fn condition(place: &str, filter: &Params) -> Result<BindingCondition, WireError> {
    const KEYS: [(&str, BindingField); 4] = [
        ("PolicyId", BindingField::PolicyId),
        ("DataSourceId", BindingField::DataSourceId),
        ("DataSourceType", BindingField::SourceType),
        ("SourceType", BindingField::SourceType),
    ];
    let key = filter.text("Key").ok_or_else(|| WireError::missing(&format!("{place}.Key")))?;
    let accepted = "It must be one of PolicyId, DataSourceId, DataSourceType.";
    let field = KEYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    let (_, field) = field.ok_or_else(|| WireError::invalid(&format!("{place}.Key"), key, accepted))?;
    let values: Vec<_> = filter.list("Values").into_iter().map(str::to_owned).collect();
    if values.is_empty() {
        return Err(WireError::missing(&format!("{place}.Values")));
    }
    let operator = filter.text("Operator").unwrap_or("IN");
    let is_one = values.len() == 1;
    let is_not = match operator {
        "IN" => false,
        "EQUAL" if is_one => false,
        "NOT_EQUAL" if is_one => true,
        _ => {
            let accepted = "It must be IN, or EQUAL or NOT_EQUAL with one value.";
            return Err(WireError::invalid(&format!("{place}.Operator"), operator, accepted));
        }
    };
    Ok(BindingCondition { field: *field, is_not, values })
}

fn view(binding: &BindingRow) -> Value {
    let spec = &binding.spec;
    let list = |patterns: &[String]| (!patterns.is_empty()).then(|| json!(patterns).to_string());
    let detail: Option<Value> = spec.options.as_deref().and_then(|text| serde_json::from_str(text).ok());
    present(json!({
        "PolicyBindingId": binding.id.as_str(),
        "PolicyId": binding.policy.as_str(),
        "SourceType": binding.source_type,
        "DataSourceId": binding.data_source,
        "PolicyBindingDescription": binding.description,
        "Source": binding.source,
        "Include": list(&spec.files.include),
        "Exclude": list(&spec.files.exclude),
        "SpeedLimit": spec.speed_limit,
        "AdvancedOptions": detail.map(|detail| json!({ "FileDetail": detail })),
        "Disabled": binding.is_disabled,
        "CreatedByTag": false,
        "CrossAccountType": cross_accounts::kind(spec.cross.as_ref()),
        "CrossAccountUserId": spec.cross.as_ref().map(|cross| cross.account.number()),
        "CrossAccountRoleName": spec.cross.as_ref().map(|cross| cross.role.as_str()),
        "CreatedTime": binding.created.seconds(),
        "UpdatedTime": binding.updated.seconds(),
    }))
}
