//! Refusals: an HTTP status, a code that programs decide by, a message that says what would be right.

use std::fmt;

use http::StatusCode;
use lifeboat_service::Denial;
use serde_json::{Value, json};

/// What a client is told instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
    /// Of a refusal for want of permission: who was not allowed what, and why.
    pub denied: Option<Value>,
}

impl WireError {
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), denied: None }
    }

    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A parameter that is mandatory and absent.
    pub fn missing(parameter: &str) -> Self {
        Self::bad_request(format!("Missing{parameter}"), format!("{parameter} is mandatory for this action."))
    }

    /// A parameter whose value makes no sense; `accepted` says what would.
    pub fn invalid(parameter: &str, value: &str, accepted: impl fmt::Display) -> Self {
        Self::bad_request(
            format!("InvalidParameter.{parameter}"),
            format!("The value {value:?} of {parameter} is not valid. {accepted}"),
        )
    }

    /// What the documents of a user do not let him do.
    pub fn denied(denial: &Denial) -> Self {
        let Denial { action, principal, account, is_explicit } = denial;
        let message =
            format!("You are not authorized to do this action. {principal} is not allowed to do {action}.");
        let mut error = Self::new(StatusCode::FORBIDDEN, "NoPermission", message);
        error.denied = Some(json!({
            "AuthAction": action,
            "AuthPrincipalType": "SubUser",
            "AuthPrincipalDisplayName": principal,
            "AuthPrincipalOwnerId": account.to_string(),
            "NoPermissionType": if *is_explicit { "ExplicitDeny" } else { "ImplicitDeny" },
            "PolicyType": "AccountLevelIdentityBasedPolicy",
        }));
        error
    }

    /// The same of a parameter that is one of a structure's, as which it is named in full.
    pub(crate) fn within(self, place: &str) -> Self {
        if let Some(name) = self.code.strip_prefix("Missing") {
            return Self::missing(&format!("{place}.{name}"));
        }
        let Some(name) = self.code.strip_prefix("InvalidParameter.").map(str::to_owned) else { return self };
        let message = self.message.replacen(&format!(" of {name} "), &format!(" of {place}.{name} "), 1);
        Self { code: format!("InvalidParameter.{place}.{name}"), message, ..self }
    }

    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.message)
    }
}

impl std::error::Error for WireError {}
