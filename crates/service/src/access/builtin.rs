//! Documents that every account has by name.

use super::document::{PolicyDocument, PolicyError};

/// The first words of actions that only look.
pub(super) const READING: [&str; 7] = ["Describe", "Get", "List", "Search", "Browse", "Check", "Query"];

/// Their names.
pub const BUILTIN_NAMES: [&str; 2] = ["AdministratorAccess", "ReadOnlyAccess"];

/// Reads a document that is attached under a name: what was written, or without that, the built-in one of that name.
pub(super) fn read(name: &str, written: Option<&str>) -> Result<PolicyDocument, PolicyError> {
    match (written, name) {
        (Some(text), _) => PolicyDocument::parse(text),
        (None, "AdministratorAccess") => PolicyDocument::parse(
            r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#,
        ),
        (None, "ReadOnlyAccess") => PolicyDocument::parse(&read_only()),
        (None, other) => {
            let names = BUILTIN_NAMES.join(" and ");
            Err(PolicyError(format!("there is no built-in document {other:?}; there are {names}")))
        }
    }
}

fn read_only() -> String {
    let actions = READING.map(|word| format!("\"*:{word}*\"")).join(", ");
    format!(
        r#"{{"Version": "1", "Statement": [{{"Effect": "Allow", "Action": [{actions}], "Resource": "*"}}]}}"#
    )
}
