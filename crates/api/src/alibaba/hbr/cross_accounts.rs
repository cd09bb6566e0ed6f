//! AddCrossAccount, DescribeCrossAccounts, DeleteCrossAccount, and the three parameters by which other operations name
//! an account whose machine is meant.

use http::StatusCode;
use lifeboat_model::id::AccountId;
use lifeboat_model::plan::CrossAccount;
use lifeboat_service::{Caller, CrossAccountRow, Crossing};
use serde_json::{Value, json};

use super::vaults::check_length;
use super::{nothing, paged, present, refuse};
use crate::alibaba::{Answer, Call, Params, WireError};

const SELF: &str = "SELF_ACCOUNT";
const CROSS: &str = "CROSS_ACCOUNT";
const BY_DIRECTORY: &str = "CROSS_ACCOUNT_BY_RD";

/// What listings call it.
pub(super) fn kind(cross: Option<&CrossAccount>) -> &'static str {
    if cross.is_some() { CROSS } else { SELF }
}

pub(super) async fn add(call: Call<'_>) -> Answer {
    let to = other_account(&call.caller, &call.params, CROSS)?.ok_or_else(must_cross)?;
    let alias = call.params.text("Alias");
    check_length("Alias", alias.unwrap_or_default(), 32)?;
    let crossing = cross(&call, to).await?;
    let added = call.service.add_cross_account(&call.caller, &crossing, alias).await;
    added.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page()?;
    let found = call.service.cross_accounts(&call.caller, page).await.map_err(|error| refuse(&error))?;
    let rows: Vec<_> = found.rows.iter().map(view).collect();
    Ok(paged(json!({ "CrossAccounts": { "CrossAccount": rows } }), page, found.total))
}

fn view(row: &CrossAccountRow) -> Value {
    present(json!({
        "CrossAccountType": CROSS,
        "CrossAccountUserId": row.managed.number(),
        "CrossAccountRoleName": row.role,
        "Alias": row.alias,
        "OwnerId": row.account.number(),
        "CreatedTime": row.created.seconds(),
        "UpdatedTime": row.updated.seconds(),
    }))
}

pub(super) async fn delete(call: Call<'_>) -> Answer {
    let which = other_account(&call.caller, &call.params, CROSS)?.ok_or_else(must_cross)?;
    call.service.delete_cross_account(&call.caller, &which).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

impl Call<'_> {
    /// The right to another account's machines, where the request asks for one.
    pub(super) async fn crossing(&self) -> Result<Option<Crossing>, WireError> {
        self.crossing_in(&self.params).await
    }

    /// The same for one of several sources, which has parameters of its own.
    pub(super) async fn crossing_in(&self, params: &Params) -> Result<Option<Crossing>, WireError> {
        match other_account(&self.caller, params, SELF)? {
            None => Ok(None),
            Some(to) => cross(self, to).await.map(Some),
        }
    }
}

async fn cross(call: &Call<'_>, to: CrossAccount) -> Result<Crossing, WireError> {
    let crossing = call.service.cross(&call.caller, to, call.action, call.context).await;
    crossing.map_err(|error| refuse(&error))
}

/// Who is named; `None` for the caller's own account. An id or a role beside SELF_ACCOUNT counts for nothing, for
/// clients send their own.
fn other_account(caller: &Caller, params: &Params, absent: &str) -> Result<Option<CrossAccount>, WireError> {
    match params.text("CrossAccountType").unwrap_or(absent) {
        SELF => {
            let id = params.text("CrossAccountUserId");
            let is_own = id.is_none_or(|id| id == "0" || *id == caller.account.to_string());
            if params.text("CrossAccountType").is_none() && !is_own {
                return Err(WireError::missing("CrossAccountType"));
            }
            Ok(None)
        }
        CROSS => {
            let name = "CrossAccountUserId";
            let number = params.number(name, 1, (1 << 53) - 1)?.ok_or_else(|| WireError::missing(name))?;
            let accepted = "It must be the id of an account.";
            let account = AccountId::from_number(number);
            let account = account.ok_or_else(|| WireError::invalid(name, &number.to_string(), accepted))?;
            Ok(Some(CrossAccount { account, role: params.required("CrossAccountRoleName")?.to_owned() }))
        }
        BY_DIRECTORY => {
            let what = "This server knows no resource directory; use CROSS_ACCOUNT with a role.";
            Err(WireError::new(StatusCode::BAD_REQUEST, "AccountNotEnableRdTrustedService", what))
        }
        other => {
            let accepted = format!("It must be {SELF} or {CROSS}.");
            Err(WireError::invalid("CrossAccountType", other, accepted))
        }
    }
}

fn must_cross() -> WireError {
    WireError::invalid("CrossAccountType", SELF, format!("It must be {CROSS}."))
}
