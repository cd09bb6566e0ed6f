//! Databases through the commands and the official clients of RDS and Tair: backed up, followed, listed, deleted.

use lifeboat_testkit::redis::Redis;

use super::Server;

/// A server, a Redis with some keys, and the id that the one knows the other by.
fn server_and_redis() -> (Server, Redis, &'static str) {
    let (server, redis) = (Server::start(), Redis::start(&["--requirepass", "geheim"]));
    let mut client = redis.client();
    for number in 0..100 {
        client.run(&["SET", &format!("key-{number}"), "value"]);
    }
    server.ask(&["resource", "add", "redis", "r-cache", "--url", &redis.url()]).ok();
    (server, redis, "r-cache")
}

#[test]
fn the_official_clients_back_up_a_redis_and_follow_it() {
    let (server, _redis, id) = server_and_redis();
    let tested = server.ask(&["resource", "test", id]).ok().text();
    assert!(tested.contains("can be backed up"), "{tested}");
    let mut jobs = Vec::new();
    for signature in ["v3", "v2"] {
        jobs.push(server.python("databases.py", &["redis", id, signature]).ok().text());
    }
    assert_ne!(jobs[0], jobs[1]);
    server.python("core_tair.py", &[id]).ok();
    server.node("tair.js", &[id]).ok();
    assert!(!server.log().contains("geheim"), "{}", server.log());
    let listed = server.ask_json(&["job", "list"]);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.iter().filter(|job| job["kind"] == "database_backup").count(), 4);
}
