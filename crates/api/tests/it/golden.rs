//! The two listings as real clients ask for them, byte by byte as they were caught on the wire, and what they get.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use lifeboat_api::http_types::Request;
use serde_json::{Value, json};

use crate::world::World;

/// When the clients signed their requests.
const SIGNED_AT_SECONDS: u64 = 1_795_334_400;

/// Requests for the two listings, with their names.
fn requests() -> Vec<(String, Request)> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../fixtures/signatures.json")).unwrap();
    let is_listing = |vector: &&Value| {
        let text = vector.to_string();
        let names = ["DescribeBackupJobs2", "DescribeRestoreJobs2"];
        names.iter().any(|name| text.contains(name)) && !text.contains("ecurity token")
    };
    all.iter().filter(is_listing).map(request).collect()
}

fn request(vector: &Value) -> (String, Request) {
    let text = |name: &str| vector[name].as_str().unwrap();
    let mut headers = HeaderMap::new();
    for pair in vector["headers"].as_array().unwrap() {
        let name: HeaderName = pair[0].as_str().unwrap().to_ascii_lowercase().parse().unwrap();
        headers.append(name, pair[1].as_str().unwrap().parse().unwrap());
    }
    let (path, query) = text("target").split_once('?').unwrap_or((text("target"), ""));
    let request = Request {
        method: text("method").parse().unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: text("body").to_owned().into(),
        peer: [127, 0, 0, 1].into(),
        is_secure: false,
    };
    (text("name").to_owned(), request)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_caught_from_real_clients_get_the_answers_these_expect() {
    let requests = requests();
    assert_eq!(requests.len(), 9);
    for (name, request) in requests {
        // All have the same nonce.
        let world = World::start().await;
        let now = u64::try_from(world.service.now().seconds()).unwrap();
        world.clock.pass(Duration::from_secs(SIGNED_AT_SECONDS - now));
        let reply = world.send(&request).await;
        let text = std::str::from_utf8(&reply.body).unwrap();
        assert_eq!(reply.status, 200, "{name}: {text}");
        if reply.content_type == "text/xml;charset=utf-8" {
            let begin = "<?xml version='1.0' encoding='UTF-8'?><DescribeBackupJobs2Response><";
            assert!(text.starts_with(begin) && text.ends_with("></DescribeBackupJobs2Response>"), "{text}");
            for part in ["<TotalCount>0</TotalCount>", "<BackupJobs></BackupJobs>", "<Code>200</Code>"] {
                assert!(text.contains(part), "{name}: {text}");
            }
            continue;
        }
        let (jobs, list) = if text.contains("RestoreJobs") {
            ("RestoreJobs", json!({ "RestoreJob": [] }))
        } else {
            ("BackupJobs", json!({ "BackupJob": [] }))
        };
        let expected = json!({
            "RequestId": "request-0",
            "Success": true,
            "Code": "200",
            "Message": "successful",
            "PageNumber": 1,
            "PageSize": 10,
            "TotalCount": 0,
            jobs: list,
        });
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clock_or_a_second_use_is_no_longer_that_request() {
    let (_, request) = requests().swap_remove(0);
    let world = World::start().await;
    let code = async || {
        let reply = world.send(&request).await;
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        body["Code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code().await, "InvalidTimeStamp.Expired");
    let now = u64::try_from(world.service.now().seconds()).unwrap();
    world.clock.pass(Duration::from_secs(SIGNED_AT_SECONDS - now));
    assert_eq!(code().await, "200");
    assert_eq!(code().await, "SignatureNonceUsed");
}
