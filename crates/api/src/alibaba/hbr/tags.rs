//! TagResources, UntagResources, ChangeResourceGroup; and how other operations read and show what these write.

use lifeboat_model::tag::{MOST_TAGS, ResourceKind, Tag};
use lifeboat_service::{LabelFilter, Labels};
use serde_json::{Value, json};

use super::{at_most, nothing, refuse};
use crate::alibaba::{Answer, Call, Params, WireError};

const MOST_RESOURCES: usize = 50;

const KINDS: [(&str, ResourceKind); 3] =
    [("vault", ResourceKind::Vault), ("plan", ResourceKind::Plan), ("client", ResourceKind::Client)];

pub(super) async fn tag(call: Call<'_>) -> Answer {
    let (kind, ids) = resources(&call)?;
    let mut tags: Vec<Tag> = Vec::new();
    for (place, given) in call.params.structs("Tag") {
        let key = given.required("Key").map_err(|_| WireError::missing(&format!("{place}.Key")))?;
        let value = given.raw("Value").unwrap_or_default();
        let tag = Tag::new(key, value).map_err(|error| {
            WireError::invalid(&place, &format!("{key}={value}"), format!("Accepted is: {error}."))
        })?;
        if tags.iter().any(|other| other.key == tag.key) {
            return Err(WireError::invalid(&format!("{place}.Key"), key, "Each key can be given once."));
        }
        tags.push(tag);
    }
    if tags.is_empty() {
        return Err(WireError::missing("Tag.1.Key"));
    }
    at_most(MOST_TAGS, "Tag", tags.len())?;
    call.service.tag(&call.caller, kind, &ids, &tags).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn untag(call: Call<'_>) -> Answer {
    let (kind, ids) = resources(&call)?;
    let keys: Vec<_> = call.params.list("TagKey").into_iter().map(str::to_owned).collect();
    let is_all = call.params.boolean("All")?.unwrap_or(false);
    if keys.is_empty() && !is_all {
        return Err(WireError::missing("TagKey.1"));
    }
    at_most(MOST_TAGS, "TagKey", keys.len())?;
    call.service.untag(&call.caller, kind, &ids, &keys).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn change_group(call: Call<'_>) -> Answer {
    let params = &call.params;
    let (kind, id) = (kind(params)?, params.required("ResourceId")?);
    let group = params.required("NewResourceGroupId")?;
    let is_id = group.strip_prefix("rg-").is_some_and(|rest| {
        !rest.is_empty() && rest.len() <= 61 && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    if !is_id {
        let accepted = "It must be the id of a resource group (rg-…).";
        return Err(WireError::invalid("NewResourceGroupId", group, accepted));
    }
    let moved = call.service.change_resource_group(&call.caller, (kind, id), group).await;
    moved.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

fn kind(params: &Params) -> Result<ResourceKind, WireError> {
    let text = params.required("ResourceType")?;
    let found = KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let accepted = "It must be vault, plan or client.";
    found.map(|(_, kind)| *kind).ok_or_else(|| WireError::invalid("ResourceType", text, accepted))
}

fn resources(call: &Call<'_>) -> Result<(ResourceKind, Vec<String>), WireError> {
    let ids: Vec<_> = call.params.list("ResourceId").into_iter().map(str::to_owned).collect();
    if ids.is_empty() {
        return Err(WireError::missing("ResourceId.1"));
    }
    at_most(MOST_RESOURCES, "ResourceId", ids.len())?;
    Ok((kind(&call.params)?, ids))
}

/// The tags and the resource group that a listing asks for.
pub(super) fn wanted(params: &Params) -> Result<LabelFilter, WireError> {
    let mut tags = Vec::new();
    for (place, tag) in params.structs("Tag") {
        let key = tag.required("Key").map_err(|_| WireError::missing(&format!("{place}.Key")))?;
        tags.push((key.to_owned(), tag.text("Value").map(str::to_owned)));
    }
    at_most(MOST_TAGS, "Tag", tags.len())?;
    Ok(LabelFilter { tags, group: params.text("ResourceGroupId").map(str::to_owned) })
}

/// Whether things so labelled are among those asked for.
pub(super) fn is_wanted(filter: &LabelFilter, labels: Option<&Labels>) -> bool {
    let has = |(key, value): &(String, Option<String>)| {
        let tags = labels.map(|labels| labels.tags.as_slice()).unwrap_or_default();
        tags.iter().any(|tag| tag.key == *key && value.as_ref().is_none_or(|value| tag.value == *value))
    };
    filter.tags.iter().all(has)
        && filter
            .group
            .as_ref()
            .is_none_or(|group| labels.and_then(|labels| labels.group.as_ref()) == Some(group))
}

/// `[{Key, Value}]`
pub(super) fn view(labels: Option<&Labels>) -> Value {
    let tags = labels.map(|labels| labels.tags.as_slice()).unwrap_or_default();
    tags.iter().map(|tag| json!({ "Key": tag.key, "Value": tag.value })).collect()
}
