//! Refusals: an HTTP status, a code that programs decide by, a message that says what would be right.

use std::fmt;

use http::StatusCode;

/// What a client is told instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
}

impl WireError {
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
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
