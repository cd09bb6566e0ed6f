//! The table of routes, the document written from it, and what is refused before anybody is asked.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;

use super::routes::ROUTES;
use super::*;
use crate::alibaba::{KeyPair, sign};

const KEY: KeyPair<'_> = KeyPair { id: "testid", secret: "testsecret" };

fn request(method: &Method, path: &str, query: &str) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("127.0.0.1:8787"));
    Request {
        method: method.clone(),
        path: format!("{PREFIX}{path}"),
        query: query.to_owned(),
        headers,
        body: Bytes::new(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        is_secure: false,
    }
}

fn signed(method: &Method, path: &str, action: &str) -> Request {
    let mut request = request(method, path, "page=2&name=a%20b");
    sign(&mut request, KEY, (action, VERSION), (Timestamp::UNIX_EPOCH, 7)).unwrap();
    request
}

#[test]
fn what_a_client_signs_is_what_the_server_verifies() {
    let request = signed(&Method::GET, "/vaults", "DescribeVaults");
    let read = Signed::read(&request).unwrap();
    assert_eq!((read.action.as_str(), read.access_key_id.as_str()), ("DescribeVaults", "testid"));
    read.verify("testsecret").unwrap();
    read.verify("another").unwrap_err();
    for change in [
        Request { method: Method::POST, ..request.clone() },
        Request { path: format!("{PREFIX}/plans"), ..request.clone() },
        Request { query: "page=3&name=a%20b".to_owned(), ..request.clone() },
    ] {
        Signed::read(&change).unwrap().verify("testsecret").unwrap_err();
    }
}

#[test]
fn a_signature_is_for_one_operation() {
    let (route, _) = Route::find(&Method::GET, "/vaults").unwrap();
    signed_for(route, &signed(&Method::GET, "/vaults", "DescribeVaults")).unwrap();
    let refused = signed_for(route, &signed(&Method::GET, "/vaults", "CreateVault")).unwrap_err();
    assert_eq!(refused.code, "InvalidParameter.x-acs-action");
    let refused = signed_for(route, &request(&Method::GET, "/vaults", "")).unwrap_err();
    assert_eq!(refused.code, "MissingAuthorization");
}

#[test]
fn paths_lead_to_one_operation_and_its_ids() {
    let (route, ids) = Route::find(&Method::GET, "/vaults/v-1/snapshots").unwrap();
    assert_eq!(route.action(), "SearchHistoricalSnapshots");
    assert_eq!(ids.get("vault").map(String::as_str), Some("v-1"));
    let code = |method: &Method, path| Route::find(method, path).err().map(|error| error.code);
    assert_eq!(code(&Method::GET, "/nothing").as_deref(), Some("InvalidApi.NotFound"));
    assert_eq!(code(&Method::GET, "/vaults/").as_deref(), None, "an empty id is refused later");
    assert_eq!(code(&Method::PUT, "/vaults").as_deref(), Some("InvalidMethod"));
    let all: BTreeSet<_> = operations().map(|(method, path, _)| (method.as_str(), path)).collect();
    assert_eq!(all.len(), ROUTES.len(), "two routes have one method and path");
}

#[test]
fn the_document_has_every_operation_and_every_type_it_names() {
    let document = openapi::document();
    for route in ROUTES {
        let operation =
            &document["paths"][format!("{PREFIX}{}", route.path)][route.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["x-acs-action"], route.action(), "{}", route.path);
        let names: Vec<_> =
            operation["parameters"].as_array().unwrap().iter().map(|field| &field["name"]).collect();
        assert_eq!(names.len(), route.query.len() + route.path.matches('{').count(), "{}", route.path);
    }
    let count: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|methods| methods.as_object().unwrap().len())
        .sum();
    assert_eq!(count, ROUTES.len());
    let text = document.to_string();
    let named: BTreeSet<_> = text
        .split("#/components/schemas/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let there = document["components"]["schemas"].as_object().unwrap();
    for name in &named {
        assert!(there.contains_key(name), "{name} is named and not there");
    }
    assert!(named.len() >= 8, "{named:?}");
    assert_eq!(there["NewPlan"]["properties"]["paths"]["type"], "array");
}
