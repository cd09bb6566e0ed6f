//! Answers, in JSON or in XML. The XML is the JSON with names as elements and lists as repeated elements.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::WireError;
use crate::http_types::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

impl Format {
    /// The format a version 1 request asks for; what is none of the two is the product's default.
    pub(super) fn of(text: Option<&str>, default: Self) -> Self {
        match text {
            Some(text) if text.eq_ignore_ascii_case("json") => Self::Json,
            Some(text) if text.eq_ignore_ascii_case("xml") => Self::Xml,
            _ => default,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json;charset=utf-8",
            // Clients compare this text exactly.
            Self::Xml => "text/xml;charset=utf-8",
        }
    }
}

/// Writes an answer of `action`.
pub(super) fn answer(format: Format, action: &str, body: &Value) -> Reply {
    reply(format, StatusCode::OK, &format!("{action}Response"), body)
}

/// Writes a refusal.
pub(super) fn refusal(format: Format, error: &WireError, request_id: &str, host: &str) -> Reply {
    let mut body = json!({
        "RequestId": request_id,
        "HostId": host,
        "Code": error.code,
        "Message": error.message,
        "Success": false,
    });
    if let (Some(denied), Value::Object(fields)) = (&error.denied, &mut body) {
        fields.insert("AccessDeniedDetail".to_owned(), denied.clone());
    }
    reply(format, error.status, "Error", &body)
}

fn reply(format: Format, status: StatusCode, root: &str, body: &Value) -> Reply {
    let text = match format {
        Format::Json => body.to_string(),
        Format::Xml => to_xml(root, body),
    };
    Reply { status, content_type: format.content_type(), headers: Vec::new(), body: Bytes::from(text) }
}

/// JSON as XML below an element named `root`.
pub fn to_xml(root: &str, value: &Value) -> String {
    let mut out = String::from("<?xml version='1.0' encoding='UTF-8'?>");
    push_element(&mut out, root, value);
    out
}

fn push_element(out: &mut String, name: &str, value: &Value) {
    if let Value::Array(items) = value {
        items.iter().for_each(|item| push_element(out, name, item));
        return;
    }
    out.push('<');
    out.push_str(name);
    out.push('>');
    match value {
        Value::Object(fields) => push_fields(out, fields),
        Value::String(text) => push_text(out, text),
        Value::Null | Value::Array(_) => {}
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

fn push_fields(out: &mut String, fields: &Map<String, Value>) {
    for (name, value) in fields {
        push_element(out, &element_name(name), value);
    }
}

/// Keys of maps, such as ids, may not be names of elements as they are.
fn element_name(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') { plain } else { format!("_{plain}") }
}

/// Characters that XML 1.0 cannot hold become U+FFFD.
fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_repeated_elements_in_their_box() {
        let body = json!({"BackupJobs": {"BackupJob": [{"Status": "RUNNING"}, {"Status": "a<b>&\u{1}"}]}, "TotalCount": 2});
        assert_eq!(
            to_xml("XResponse", &body),
            "<?xml version='1.0' encoding='UTF-8'?><XResponse><BackupJobs><BackupJob><Status>RUNNING</Status></BackupJob>\
             <BackupJob><Status>a&lt;b&gt;&amp;\u{fffd}</Status></BackupJob></BackupJobs><TotalCount>2</TotalCount></XResponse>"
        );
    }

    #[test]
    fn keys_that_are_no_names_become_some() {
        assert_eq!(element_name("i-abc"), "i-abc");
        assert_eq!(element_name("1 a"), "_1_a");
    }
}
