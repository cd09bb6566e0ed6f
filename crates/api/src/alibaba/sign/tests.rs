//! Signatures against requests that real clients signed (tests/fixtures/signatures.json).

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    access_key: String,
    secret: String,
    string_to_sign: String,
    signature: String,
}

impl Vector {
    fn request(&self) -> Request {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.to_ascii_lowercase().parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        Request {
            method: self.method.parse().unwrap(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::from(self.body.clone()),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            is_secure: false,
        }
    }
}

/// The vectors of this dialect; the others in the file are Huawei's.
fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../tests/fixtures/signatures.json");
    let all: Vec<Vector> = serde_json::from_str(text).unwrap();
    all.into_iter().filter(|vector| !vector.name.starts_with("sdk-hmac")).collect()
}

#[test]
fn requests_of_real_clients_verify() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 20);
    for vector in vectors {
        let signed =
            Signed::read(&vector.request()).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(signed.string_to_sign, vector.string_to_sign, "{}", vector.name);
        assert_eq!(signed.signature_with(&vector.secret), vector.signature, "{}", vector.name);
        assert_eq!(signed.access_key_id, vector.access_key, "{}", vector.name);
        signed.verify(&vector.secret).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert!(signed.verify("another secret").is_err(), "{}", vector.name);
    }
}

#[test]
fn a_request_changed_on_its_way_does_not_verify() {
    for vector in vectors() {
        let mut request = vector.request();
        let separator = if request.query.is_empty() { "" } else { "&" };
        request.query.push_str(&format!("{separator}Injected=1"));
        let signed = Signed::read(&request).unwrap();
        assert!(signed.verify(&vector.secret).is_err(), "{}", vector.name);
    }
}

#[test]
fn of_an_acs3_request_the_body_is_signed_too() {
    let vector = vectors().into_iter().find(|vector| vector.name.contains("form body")).unwrap();
    let mut request = vector.request();
    request.body = Bytes::from_static(b"Include=other");
    assert_eq!(Signed::read(&request).unwrap_err().code, "InvalidParameter.Format");
}

#[test]
fn headers_that_matter_must_be_signed() {
    let vector = vectors().into_iter().find(|vector| vector.name.starts_with("acs3 HBR")).unwrap();
    for name in MUST_BE_SIGNED {
        let mut request = vector.request();
        let authorization = request.header("authorization").unwrap();
        let without = authorization.replace(&format!("{name};"), "").replace(&format!(";{name}"), "");
        request.headers.insert("authorization", HeaderValue::from_str(&without).unwrap());
        assert_eq!(Signed::read(&request).unwrap_err().code, "IncompleteSignature", "{name}");
    }
}

#[test]
fn what_is_incomplete_is_refused_by_name() {
    let vector = vectors().into_iter().find(|vector| vector.name == "rpc-v1 pop-core GET").unwrap();
    for name in
        ["Action", "Version", "AccessKeyId", "Signature", "SignatureMethod", "SignatureNonce", "Timestamp"]
    {
        let mut request = vector.request();
        let kept = request.query.split('&').filter(|pair| !pair.starts_with(&format!("{name}=")));
        request.query = kept.collect::<Vec<_>>().join("&");
        assert_eq!(Signed::read(&request).unwrap_err().code, format!("Missing{name}"));
    }
    for (text, code) in
        [("2026-11-22T08:00:00", "InvalidTimeStamp.Format"), ("yesterday", "InvalidTimeStamp.Format")]
    {
        let mut request = vector.request();
        request.query = request.query.replace("2026-11-22T08%3A00%3A00Z", text);
        assert_eq!(Signed::read(&request).unwrap_err().code, code, "{text}");
    }
}
