//! What fuzzing runs: one function for each parser of what strangers send, which panics if it breaks a promise.
//!
//! The targets beside it and the replay of `tests/fixtures/corpus/` share it, so that what a long run finds stays found.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lifeboat_api::alibaba::{BACKUP_KEYS, Params, RESTORE_KEYS, Signed, conditions};
use lifeboat_api::http_types::Request;
use lifeboat_model::filter::{Comparison, JobCondition};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Any bytes as a form. What can be decoded is the same when encoded and decoded again.
pub(crate) fn params(bytes: &[u8]) {
    let mut params = Params::default();
    if params.decode(bytes).is_err() {
        return;
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> =
        params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let mut again = Params::default();
    // A pair of nothing and nothing is passed over as one that is not there.
    again.decode(pairs.join("&").as_bytes()).expect("our forms are forms");
    assert_eq!(again, params);
    for (name, _) in params.iter() {
        let base = name.split('.').next().unwrap_or_default();
        assert!(params.list(base).iter().all(|value| !value.is_empty()));
        assert!(params.structs(base).iter().all(|(place, _)| place.starts_with(base)));
        drop((params.number(name, 0, 99), params.boolean(name), params.json::<Vec<String>>(name)));
    }
}

/// The method, the query, the headers, and after an empty line the body. Whatever is taken apart does not verify: nobody
/// has signed it.
pub(crate) fn signature(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (first, rest) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let first = String::from_utf8_lossy(first);
    let (method, query) = first.split_once(' ').unwrap_or(("GET", &first));
    let (mut headers, mut rest) = (HeaderMap::new(), rest);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    let request = Request {
        method: method.parse().unwrap_or(Method::GET),
        path: "/".to_owned(),
        query: query.to_owned(),
        headers,
        body: Bytes::copy_from_slice(rest),
        peer: [127, 0, 0, 1].into(),
        is_secure: false,
    };
    match Signed::read(&request) {
        Ok(signed) => assert!(signed.verify("a secret that nobody knows").is_err()),
        Err(refused) => assert!(refused.status.is_client_error() && !refused.code.is_empty()),
    }
}

/// Any bytes as a form with filters. What comes out has as many values as its comparison takes.
pub(crate) fn filters(bytes: &[u8]) {
    let mut params = Params::default();
    if params.decode(bytes).is_err() {
        return;
    }
    for keys in [BACKUP_KEYS, RESTORE_KEYS] {
        match conditions(&params, keys) {
            Err(refused) => assert!(refused.status.is_client_error() && !refused.message.is_empty()),
            Ok(found) => found.iter().for_each(check),
        }
    }
}

fn check(condition: &JobCondition) {
    let (count, is_right) = match condition {
        JobCondition::Text { values, .. } => (values.len(), !values.is_empty()),
        JobCondition::Time { comparison, values, .. } => match comparison {
            Comparison::Between => (values.len(), values.len() == 2),
            Comparison::In => (values.len(), !values.is_empty()),
            _ => (values.len(), values.len() == 1),
        },
    };
    assert!(is_right, "{count} values in {condition:?}");
}
