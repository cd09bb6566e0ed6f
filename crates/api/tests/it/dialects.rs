//! RDS and Tair: requests are routed by version, and `docs/wire/rds.md` and `docs/wire/tair.md` are what is read and sent.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use lifeboat_api::alibaba::{KVSTORE_ACTIONS, RDS_ACTIONS};
use lifeboat_catalog::NewResource;
use lifeboat_model::resource::{Address, Engine, ResourceState};
use serde_json::{Value, json};

use crate::page::PAGE;
use crate::registry::NONSENSE;
use crate::world::World;

/// A resource that nobody asks anything.
async fn resource(world: &World, id: &str, engine: Engine, host: &str, state: ResourceState) {
    world.clock.pass(Duration::from_secs(1));
    let new = NewResource {
        id: id.parse().unwrap(),
        account: world.caller().account,
        engine,
        address: Address {
            scheme: engine.as_str().to_owned(),
            user: None,
            host: host.to_owned(),
            port: engine.default_port() + u16::from(host == "two"),
            database: None,
        },
        url: String::new(),
        is_cluster: host == "two",
        vault: None,
        instance: None,
        state,
    };
    world.catalog.insert_resource(new, world.service.now()).await.unwrap();
}

async fn resources(world: &World) {
    use ResourceState::{Creating, Running};
    resource(world, "rm-1", Engine::Postgresql, "one", Running).await;
    resource(world, "rm-2", Engine::Mariadb, "two", Creating).await;
    resource(world, "rm-3", Engine::Mariadb, "/run/mysqld.sock", Running).await;
    resource(world, "r-1", Engine::Redis, "one", Running).await;
    resource(world, "r-2", Engine::Redis, "two", Creating).await;
    resource(world, "r-3", Engine::Redis, "/run/redis.sock", Running).await;
    for (id, version) in [("rm-1", "15.18"), ("rm-2", "10.11.19"), ("r-1", "7.0.15"), ("r-2", "6.2.1")] {
        world.catalog.set_resource_version(&id.parse().unwrap(), version, world.service.now()).await.unwrap();
    }
}

/// A request of an operation that makes sense.
fn good(_action: &str) -> Vec<(&'static str, &'static str)> {
    Vec::new()
}

#[test]
fn the_pages_list_the_operations_that_are_served() {
    for (product, actions) in [("rds:", RDS_ACTIONS), ("kvstore:", KVSTORE_ACTIONS)] {
        let served = actions.iter().map(|action| format!("{product}{action}")).collect::<BTreeSet<_>>();
        assert_eq!(PAGE.actions(product).map(str::to_owned).collect::<BTreeSet<_>>(), served);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pages_list_is_what_is_read_and_sent() {
    let world = World::start_stopped().await;
    resources(&world).await;
    let mut unproven = Vec::new();
    for action in PAGE.actions("rds:").chain(PAGE.actions("kvstore:")) {
        for (name, value) in [("PageNumber", "1"), ("PageNumber", "2"), ("PageSize", "1"), ("PageSize", "2")]
        {
            world.call(action, &[&good(action)[..], &[(name, value)]].concat()).await;
        }
        for parameter in PAGE.parameters(action) {
            unproven.extend(difference(&world, action, &parameter.name, parameter.is_mandatory).await);
        }
    }
    let seen = world.seen.lock().unwrap();
    unproven.extend(seen.unproven("rds:"));
    unproven.extend(seen.unproven("kvstore:"));
    assert!(unproven.is_empty(), "{}", unproven.join("\n"));
}

/// What is wrong with a parameter: a value that is none is refused by name, or leaves another answer.
async fn difference(world: &World, action: &str, name: &str, is_mandatory: bool) -> Option<String> {
    let ask = async |params: &[(&str, &str)]| {
        let (status, mut body) = world.call(action, params).await;
        body.as_object_mut().unwrap().remove("RequestId");
        (status.as_u16(), body)
    };
    let good = good(action);
    let without: Vec<_> = good.iter().copied().filter(|(given, _)| *given != name).collect();
    let is_named = |body: &Value| body["Code"].to_string().contains(name);
    if is_mandatory {
        let (status, body) = ask(&without).await;
        if status == 200 || !is_named(&body) {
            return Some(format!("{action} does not miss {name}: {body}"));
        }
    }
    let (status, body) = ask(&[&without[..], &[(name, NONSENSE)]].concat()).await;
    let is_read = match status {
        200 => ask(&good).await != (status, body.clone()),
        _ => is_named(&body),
    };
    (!is_read).then(|| format!("{action} does not read {name}: {status} {body}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_listed_with_what_is_known_of_them() {
    let world = World::start_stopped().await;
    resources(&world).await;
    let listed = world.ok("rds:DescribeDBInstances", &[]).await;
    assert_eq!(listed["PageRecordCount"], 3);
    let created = "2023-11-14T22:13:21Z";
    assert_eq!(
        listed["Items"]["DBInstance"][0],
        json!({"DBInstanceId": "rm-1", "RegionId": "cn-hangzhou", "Engine": "PostgreSQL", "EngineVersion": "15.0",
            "DBInstanceStatus": "Running", "ConnectionString": "one", "CreateTime": created})
    );
    let listed = world.ok("kvstore:DescribeInstances", &[("InstanceIds", "r-3,rm-1,r-2")]).await;
    let ids: Vec<_> = listed["Instances"]["KVStoreInstance"].as_array().unwrap().iter().collect();
    assert_eq!((&ids[0]["InstanceId"], &ids[0]["InstanceStatus"]), (&json!("r-2"), &json!("Creating")));
    assert_eq!((&ids[1]["InstanceId"], ids[1].get("Port"), ids.len()), (&json!("r-3"), None, 2));
    for (action, params) in [
        ("rds:DescribeDBInstances", ("Engine", "MySQL")),
        ("rds:DescribeDBInstances", ("DBInstanceStatus", "Normal")),
        ("rds:DescribeDBInstances", ("DBInstanceId", "r-1")),
        ("kvstore:DescribeInstances", ("InstanceStatus", "Running")),
    ] {
        let listed = world.ok(action, &[params]).await;
        let total = listed.get("TotalRecordCount").or(listed.get("TotalCount"));
        assert_eq!(total, Some(&json!(0)), "{params:?}");
    }
    let other = world.other_account(2).await;
    assert_eq!(other.ok("rds:DescribeDBInstances", &[]).await["Items"], json!({"DBInstance": []}));
    assert_eq!(other.ok("kvstore:DescribeInstances", &[]).await["TotalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_one_of_its_version_and_its_format_the_products() {
    let world = World::start_stopped().await;
    resources(&world).await;
    for (action, known) in [("DescribeInstances", "2015-01-01"), ("DescribeDBInstances", "2014-08-15")] {
        for version in ["2014-08-15", "2015-01-01", "2017-09-08"] {
            for (format, is_xml) in
                [(None, version != "2015-01-01"), (Some("JSON"), false), (Some("xml"), true)]
            {
                let mut params =
                    vec![("Action".to_owned(), action.to_owned()), ("Version".into(), version.into())];
                params.extend(format.map(|format| ("Format".to_owned(), format.to_owned())));
                let reply = world.send(&world.sign(&Method::GET, params, world.keys())).await;
                let body = std::str::from_utf8(&reply.body).unwrap();
                assert_eq!(
                    reply.status,
                    if version == known { 200 } else { 404 },
                    "{action} {version}: {body}"
                );
                let content_type =
                    if is_xml { "text/xml;charset=utf-8" } else { "application/json;charset=utf-8" };
                assert_eq!(reply.content_type, content_type, "{action} {version} {format:?}");
                if version == known && is_xml {
                    let rows = if action == "DescribeInstances" {
                        ["<Instances><KVStoreInstance>", "<InstanceId>r-1</InstanceId>"]
                    } else {
                        ["<Items><DBInstance>", "<DBInstanceId>rm-1</DBInstanceId>"]
                    };
                    let root = format!("<{action}Response>");
                    assert!(
                        [root.as_str(), rows[0], rows[1]].iter().all(|part| body.contains(part)),
                        "{body}"
                    );
                }
            }
        }
    }
}
