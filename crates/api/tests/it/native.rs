//! The API of our own: the chain of a policy, whose rows are seen, and that no request counts twice.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use http::HeaderMap;
use jiff::Timestamp;
use lifeboat_api::alibaba::{KeyPair, sign};
use lifeboat_api::http_types::Request;
use lifeboat_api::native::{PREFIX, VERSION, handle, operations};
use lifeboat_service::DocumentOwner;
use serde_json::{Value, json};

use super::world::World;

/// Longer than any job of a test takes on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks for an operation by its path in the table; ids take the places in it.
pub(crate) async fn ask(
    world: &World,
    (method, path): (&str, &str),
    ids: &[&str],
    body: &Value,
) -> (u16, Value) {
    answer(world, &request(world, (method, path), ids, body)).await
}

fn request(world: &World, operation: (&str, &str), ids: &[&str], body: &Value) -> Request {
    request_by(world, world.keys(), operation, (ids, body))
}

fn request_by(
    world: &World,
    (id, secret): (&str, &str),
    (method, path): (&str, &str),
    (ids, body): (&[&str], &Value),
) -> Request {
    let found = operations().find(|(is, at, _)| is.as_str() == method && *at == path);
    let (method, _, action) = found.unwrap_or_else(|| panic!("there is no {method} {path}"));
    let mut ids = ids.iter();
    let filled: Vec<_> =
        path.split('/').map(|part| if part.starts_with('{') { ids.next().unwrap() } else { part }).collect();
    let mut headers = HeaderMap::new();
    headers.insert("host", "testhost".parse().unwrap());
    let mut request = Request {
        method: method.clone(),
        path: format!("{PREFIX}{}", filled.join("/")),
        query: String::new(),
        headers,
        body: body.to_string().into(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        is_secure: false,
    };
    let moment = (Timestamp::from(world.service.now()), next_nonce());
    sign(&mut request, KeyPair { id, secret }, (action, VERSION), moment).unwrap();
    request
}

fn next_nonce() -> u128 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}

async fn answer(world: &World, request: &Request) -> (u16, Value) {
    let (reply, note) = handle(&world.service, request, "request").await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(note.code.as_deref(), body["code"].as_str());
    (reply.status.as_u16(), body)
}

pub(crate) async fn ok(world: &World, operation: (&str, &str), ids: &[&str], body: &Value) -> Value {
    let (status, body) = ask(world, operation, ids, body).await;
    assert_eq!(status, 200, "{operation:?} {ids:?}: {body}");
    body
}

/// Asks until the field says so.
async fn until(world: &World, path: &str, id: &str, (field, wanted): (&str, &str)) -> Value {
    let began = Instant::now();
    loop {
        let body = ok(world, ("GET", path), &[id], &json!({})).await;
        if body[field] == wanted {
            return body;
        }
        assert!(began.elapsed() < PATIENCE, "{body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn vault(world: &World) -> String {
    let made = ok(world, ("POST", "/vaults"), &[], &json!({"name": "docs"})).await;
    let id = made["vault_id"].as_str().unwrap().to_owned();
    until(world, "/vaults/{vault}", &id, ("state", "CREATED")).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_backs_up_what_is_under_it() {
    let world = World::start().await;
    std::fs::write(world.files().join("a"), "some content").unwrap();
    let vault = vault(&world).await;
    let new = json!({"name": "nightly", "rules": [{"vault_id": vault, "schedule": "I|1602673264|P1D", "retention_days": 7}],
        "periods": [{"period": "month", "days": 365}]});
    let made = ok(&world, ("POST", "/policies"), &[], &new).await;
    let policy = made["policy_id"].as_str().unwrap();
    let bindings = "/policies/{policy}/bindings";
    ok(&world, ("POST", bindings), &[policy], &json!({"paths": [world.files()]})).await;
    let bound = ok(&world, ("GET", bindings), &[policy], &json!({})).await;
    assert_eq!(bound["total"], 1);
    let shown = ok(&world, ("GET", "/policies/{policy}"), &[policy], &json!({})).await;
    assert_eq!((&shown["bindings"], &shown["rules"][0]["retention_days"]), (&1.into(), &7.into()));
    assert_eq!(shown["periods"], new["periods"]);

    let job = ok(&world, ("POST", "/policies/{policy}/execute"), &[policy], &json!({})).await;
    let job = until(&world, "/jobs/{job}", job["job_id"].as_str().unwrap(), ("state", "COMPLETE")).await;
    assert_eq!((&job["bytes_done"], &job["is_final"]), (&12.into(), &true.into()));
    let snapshots = ok(&world, ("GET", "/vaults/{vault}/snapshots"), &[&vault], &json!({})).await;
    assert_eq!(snapshots["rows"][0]["job_id"], job["job_id"]);

    let source = bound["rows"][0]["data_source_id"].as_str().unwrap();
    ok(&world, ("DELETE", "/policies/{policy}/bindings/{source}"), &[policy, source], &json!({})).await;
    ok(&world, ("DELETE", "/policies/{policy}"), &[policy], &json!({})).await;
    let rest = ok(&world, ("GET", "/policies"), &[], &json!({})).await;
    assert_eq!(rest["rows"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_the_rows_of_another_account() {
    let world = World::start().await;
    let vault = vault(&world).await;
    let new = json!({"vault_id": vault, "name": "p", "paths": ["/x"]});
    let plan = ok(&world, ("POST", "/plans"), &[], &new).await;
    let plan = plan["plan_id"].as_str().unwrap();
    let other = world.other_account(2).await;
    for list in ["/vaults", "/plans", "/jobs", "/restore-jobs", "/policies"] {
        assert_eq!(ok(&other, ("GET", list), &[], &json!({})).await["total"], 0, "{list}");
    }
    for (method, path, id) in [
        ("GET", "/vaults/{vault}", vault.as_str()),
        ("GET", "/vaults/{vault}/snapshots", &vault),
        ("GET", "/plans/{plan}", plan),
        ("POST", "/plans/{plan}/execute", plan),
        ("POST", "/plans/{plan}/disable", plan),
        ("DELETE", "/plans/{plan}", plan),
    ] {
        let (status, body) = ask(&other, (method, path), &[id], &json!({})).await;
        assert_eq!(status, 404, "{method} {path}: {body}");
    }
    ok(&world, ("DELETE", "/plans/{plan}"), &[plan], &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_counts_once_and_for_its_operation_alone() {
    let world = World::start().await;
    let whole = request(&world, ("GET", "/vaults"), &[], &json!({}));
    assert_eq!(answer(&world, &whole).await.0, 200);
    let (status, body) = answer(&world, &whole).await;
    assert_eq!((status, &body["code"]), (400, &"SignatureNonceUsed".into()));
    let moved =
        Request { path: format!("{PREFIX}/plans"), ..request(&world, ("GET", "/vaults"), &[], &json!({})) };
    let (status, body) = answer(&world, &moved).await;
    assert_eq!((status, &body["code"]), (400, &"InvalidParameter.x-acs-action".into()));
    let unknown = json!({"name": "docs", "colour": "red"});
    let (status, body) = ask(&world, ("POST", "/vaults"), &[], &unknown).await;
    assert_eq!((status, &body["code"]), (400, &"InvalidBody".into()));
    assert!(body["message"].as_str().unwrap().contains("unknown field `colour`"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_may_do_what_their_documents_say_and_a_list_of_all_jobs_needs_all_rights() {
    let world = World::start().await;
    let caller = world.caller();
    let halves = r#"{"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": "hbr:DescribeBackupJobs2", "Resource": "*"}]}"#;
    let mut keys = Vec::new();
    for (name, document) in [("reader", ("ReadOnlyAccess", None)), ("half", ("halves", Some(halves)))] {
        world.service.create_user(&caller, name, None).await.unwrap();
        world.service.attach_document(&caller, DocumentOwner::User(name), document).await.unwrap();
        keys.push(world.service.create_access_key(&caller, Some(name)).await.unwrap());
    }
    let [reader, half] = keys.as_slice() else { panic!("two keys were made") };
    for (key, operation, expected) in [
        (reader, ("GET", "/jobs"), 200),
        (reader, ("GET", "/vaults"), 200),
        (reader, ("POST", "/vaults"), 403),
        (half, ("GET", "/jobs"), 403),
        (half, ("GET", "/restore-jobs"), 403),
        (half, ("GET", "/vaults"), 403),
    ] {
        let key = (key.id.as_str(), key.secret.expose());
        let asked = request_by(&world, key, operation, (&[], &json!({})));
        let (status, body) = answer(&world, &asked).await;
        assert_eq!(status, expected, "{operation:?}: {body}");
        assert!(status == 200 || body["code"] == "NoPermission", "{body}");
    }
}

/// What the account of a world has, by the names that paths have for it.
async fn things(world: &World) -> Vec<(&'static str, String)> {
    let owner = world.caller();
    let vault = vault(world).await;
    let new = json!({"vault_id": vault, "name": "p", "paths": ["/x"]});
    let plan = text(&ok(world, ("POST", "/plans"), &[], &new).await["plan_id"]);
    let new = json!({"name": "nightly", "rules": [{"vault_id": vault, "schedule": "I|1602673264|P1D"}]});
    let policy = text(&ok(world, ("POST", "/policies"), &[], &new).await["policy_id"]);
    let job = text(&ok(world, ("POST", "/plans/{plan}/execute"), &[&plan], &json!({})).await["job_id"]);
    until(world, "/jobs/{job}", &job, ("state", "FAILED")).await;
    world.service.create_user(&owner, "victim", None).await.unwrap();
    let key = world.service.create_access_key(&owner, Some("victim")).await.unwrap();
    let new = json!({"resource_id": "r-mine", "engine": "redis", "url": "redis://127.0.0.1:1"});
    ok(world, ("POST", "/resources"), &[], &new).await;
    vec![
        ("{vault}", vault),
        ("{plan}", plan),
        ("{policy}", policy),
        ("{job}", job),
        ("{source}", world.root.instance.to_string()),
        ("{access_key}", key.id),
        ("{user}", "victim".to_owned()),
        ("{resource}", "r-mine".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_the_right_to_it_and_gives_nothing_of_another_account() {
    let world = World::start().await;
    let things = things(&world).await;
    let owner = world.caller();
    let mut keys = vec![(true, true, world.service.create_account(&owner, "stranger").await.unwrap())];
    for (name, document) in [("reader", Some("ReadOnlyAccess")), ("nobody", None)] {
        world.service.create_user(&owner, name, None).await.unwrap();
        if let Some(document) = document {
            let reader = DocumentOwner::User(name);
            world.service.attach_document(&owner, reader, (document, None)).await.unwrap();
        }
        let key = world.service.create_access_key(&owner, Some(name)).await.unwrap();
        keys.push((document.is_some(), false, key));
    }
    for (may_read, may_change, key) in &keys {
        for (method, path, _) in operations() {
            // Accounts are the business of the first account.
            let may_do = if method == "GET" { *may_read } else { *may_change };
            let may_do = may_do && !(*may_change && path.starts_with("/accounts"));
            let ids = path.split('/').filter(|part| part.starts_with('{'));
            let id = |part: &str| things.iter().find(|(name, _)| *name == part).map_or("none", |(_, id)| id);
            let ids: Vec<_> = ids.map(id).collect();
            let signed = (key.id.as_str(), key.secret.expose());
            let is_new = method == "POST" && path == "/accounts";
            let sent = if is_new { json!({"name": "mine"}) } else { json!({}) };
            let asked = request_by(&world, signed, (method.as_str(), path), (&ids, &sent));
            let (status, body) = answer(&world, &asked).await;
            let case = format!("{method} {path} by {:?}: {status} {body}", key.user);
            assert_eq!(body["code"] == "NoPermission" && status == 403, !may_do, "{case}");
            assert!(status < 500, "{case}");
            if *may_change {
                let is_none = [400, 404].contains(&status) || body["rows"] == json!([]);
                assert!(ids.is_empty() || is_none, "{case}");
                // Its own log tells what it has asked for itself.
                let rows = if path == "/audit" { String::new() } else { body["rows"].to_string() };
                assert!(!things.iter().any(|(_, id)| rows.contains(id.as_str())), "{case}");
            }
        }
    }
    // All is as it was.
    for (name, id) in &things[..4] {
        let found = ["/vaults/{vault}", "/plans/{plan}", "/policies/{policy}", "/jobs/{job}"];
        let path = found.iter().find(|path| path.ends_with(name)).unwrap();
        ok(&world, ("GET", path), &[id], &json!({})).await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
