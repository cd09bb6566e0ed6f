//! What requests say of files: patterns, options and how long to keep a backup, alike for plans and bindings.

use lifeboat_model::files::{FilesSpec, FilesSpecError, check_patterns};
use lifeboat_model::plan::MOST_RETENTION_DAYS;
use lifeboat_model::speed_limit::SpeedLimit;
use serde_json::Value;

use crate::alibaba::{Params, WireError};

/// Patterns, which come as a JSON array.
pub(super) fn patterns(name: &str, text: &str) -> Result<Vec<String>, WireError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let accepted = "It must be a JSON array of strings, such as [\"/home/*.pdf\"].";
    let patterns: Vec<String> =
        crate::json::read(text.as_bytes()).map_err(|_| WireError::invalid(name, text, accepted))?;
    let accepted = |error| {
        WireError::invalid(name, text, format!("It must hold patterns of 1 to 255 characters: {error}."))
    };
    check_patterns(&patterns).map_err(accepted)?;
    Ok(patterns)
}

/// Files whose patterns are good already.
pub(super) fn files(name: &str, files: FilesSpec) -> Result<FilesSpec, WireError> {
    let given = files.paths.join(",");
    let refused = |error: FilesSpecError| {
        WireError::invalid(name, &given, format!("It must be absolute paths, at most 8: {error}."))
    };
    files.checked().map_err(refused)
}

/// A speed limit, as it is stored.
pub(super) fn speed_limit(params: &Params) -> Result<Option<String>, WireError> {
    let limit: Option<SpeedLimit> = params.parsed("SpeedLimit")?;
    Ok(limit.map(|limit| limit.to_string()))
}

/// Options are JSON; shadow copies are for Windows, which this client is not.
pub(super) fn options(params: &Params) -> Result<Option<String>, WireError> {
    let Some(options) = params.json::<Value>("Options")? else { return Ok(None) };
    if options.get("UseVSS") == Some(&Value::Bool(true)) {
        let accepted = "UseVSS must be false: the client does not run on Windows.";
        return Err(WireError::invalid("Options", &options.to_string(), accepted));
    }
    Ok(Some(options.to_string()))
}

/// Days to keep something.
pub(super) fn retention(params: &Params) -> Result<Option<u32>, WireError> {
    let days = params.number("Retention", 1, MOST_RETENTION_DAYS.into())?;
    Ok(days.and_then(|days| u32::try_from(days).ok()))
}
