//! RDS and Tair: requests are routed by version, instances are listed with what is known of them, and who may do what.

use http::Method;
use lifeboat_model::resource::{Engine, ResourceState};
use lifeboat_service::DocumentOwner;
use serde_json::json;

use crate::world::World;

pub(crate) async fn resources(world: &World) {
    use ResourceState::{Creating, Running};
    world.resource("rm-1", Engine::Postgresql, "one", Running).await;
    world.resource("rm-2", Engine::Mariadb, "two", Creating).await;
    world.resource("rm-3", Engine::Mariadb, "/run/mysqld.sock", Running).await;
    world.resource("r-1", Engine::Redis, "one", Running).await;
    world.resource("r-2", Engine::Redis, "two", Creating).await;
    world.resource("r-3", Engine::Redis, "/run/redis.sock", Running).await;
    for (id, version) in [("rm-1", "15.18"), ("rm-2", "10.11.19"), ("r-1", "7.0.15"), ("r-2", "6.2.1")] {
        world.catalog.set_resource_version(&id.parse().unwrap(), version, world.service.now()).await.unwrap();
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_do_what_his_documents_say_of_the_instance() {
    let world = World::start_stopped().await;
    resources(&world).await;
    let caller = world.caller();
    let document = r#"{"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": "rds:*", "Resource": "acs:rds:*:*:dbinstance/rm-1"},
        {"Effect": "Allow", "Action": "kvstore:DescribeBackups", "Resource": "acs:kvstore:*:*:instance/r-1"},
        {"Effect": "Allow", "Action": ["kvstore:DescribeBackupTasks", "hbr:DescribeBackups"], "Resource": "*"}]}"#;
    world.service.create_user(&caller, "ada", None).await.unwrap();
    world
        .service
        .attach_document(&caller, DocumentOwner::User("ada"), ("own", Some(document)))
        .await
        .unwrap();
    let key = world.service.create_access_key(&caller, Some("ada")).await.unwrap();
    let times = [("StartTime", "2023-01-01T00:00Z"), ("EndTime", "2043-01-01T00:00Z")];
    for (action, id, expected) in [
        ("rds:DescribeBackupTasks", ("DBInstanceId", "rm-1"), 200),
        ("rds:DescribeBackupTasks", ("DBInstanceId", "rm-2"), 403),
        ("rds:DescribeDBInstances", ("DBInstanceId", "rm-1"), 403),
        ("kvstore:DescribeBackups", ("InstanceId", "r-1"), 200),
        ("kvstore:DescribeBackups", ("InstanceId", "r-2"), 403),
        ("kvstore:DescribeBackupTasks", ("InstanceId", "r-2"), 200),
        ("kvstore:CreateBackup", ("InstanceId", "r-1"), 403),
    ] {
        let params = [&[id], &times[..]].concat();
        let (status, body) = world.call_as((&key.id, key.secret.expose()), action, &params).await;
        assert_eq!(status, expected, "{action} {id:?}: {body}");
        assert!(status == 200 || body["Code"] == "NoPermission", "{body}");
    }
}
