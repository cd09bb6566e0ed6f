//! What a replica takes is what the server holds.

use std::process::Command;

use lifeboat_adapters::redis::{RdbSize, Replica, Role, SINGLE_NODE, Server};
use lifeboat_repository::Ctx;
use lifeboat_testkit::redis::Redis;

use super::{endpoint, fill, items, take};

#[test]
fn the_rdb_holds_what_the_official_tool_takes_in_both_forms() {
    for diskless in ["yes", "no"] {
        let redis = Redis::start(&["--repl-diskless-sync", diskless, "--save", ""]);
        fill(&mut redis.client());
        let (rdb, summary) = take(&redis.url()).unwrap();
        let file = redis.folder().join("official.rdb");
        redis.cli(&["--rdb", file.to_str().unwrap()]);
        let official = std::fs::read(&file).unwrap();
        assert_eq!(items(&rdb), items(&official), "diskless {diskless}");
        assert_eq!(summary.bytes, rdb.len() as u64);
        assert_eq!(summary.keys, items(&rdb).len() as u64);
        assert_eq!((summary.expiring_keys, summary.functions), (2, 1));
        assert_eq!(summary.databases, [0, 3, 15]);
        assert_eq!((summary.rdb_version, summary.redis_version.as_str()), (10, "7.0.15"));
        assert!(summary.checksum.is_some() && summary.replication_id.len() == 40);

        let ours = redis.folder().join("ours.rdb");
        std::fs::write(&ours, &rdb).unwrap();
        let checked = Command::new("redis-check-rdb").arg(&ours).output().expect("it is in redis-tools");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.contains("RDB looks OK"), "{said}");
    }
}

#[test]
fn a_server_without_keys_is_a_backup_without_keys() {
    let redis = Redis::start(&[]);
    let (rdb, summary) = take(&redis.url()).unwrap();
    assert_eq!((summary.keys, items(&rdb).len()), (0, 0));
}

#[test]
fn the_size_is_exact_from_disk_and_guessed_without() {
    let size = |diskless| {
        let redis = Redis::start(&["--repl-diskless-sync", diskless]);
        fill(&mut redis.client());
        let replica = Replica::begin(&endpoint(&redis.url()), &Ctx::default()).unwrap();
        let size = replica.size();
        (size, replica.stream_to(&mut std::io::sink(), &Ctx::default()).unwrap().bytes)
    };
    let (exact, bytes) = size("no");
    assert_eq!(exact, RdbSize::Exact(bytes));
    let (guess, bytes) = size("yes");
    assert!(matches!(guess, RdbSize::Estimate(guess) if guess > bytes), "{guess:?} for {bytes}");
}

#[test]
fn a_server_is_reached_by_its_socket_and_without_checksums() {
    let redis = Redis::start(&["--rdbchecksum", "no"]);
    redis.client().run(&["SET", "a", "1"]);
    let url = format!("redis://localhost?socket={}", redis.socket().display());
    let (_, summary) = take(&url).unwrap();
    assert_eq!((summary.keys, summary.checksum), (1, None));
}

#[test]
fn a_single_server_has_one_data_node() {
    let redis = Redis::start(&["--requirepass", "geheim"]);
    let ctx = Ctx::default();
    let facts = Server::connect(&endpoint(&redis.url()), &ctx).unwrap().check(&ctx).unwrap();
    assert_eq!((facts.version.to_string().as_str(), facts.role), ("7.0.15", Role::Master));
    assert!(!facts.is_cluster && facts.used_memory > 0);
    let nodes: Vec<_> =
        facts.nodes.iter().map(|node| (node.node_id.as_str(), node.slots.as_slice())).collect();
    assert_eq!(nodes, [(SINGLE_NODE, [0..=16_383].as_slice())]);
    assert!(!format!("{facts:?}").contains("geheim"));
    // A check begins no transfer.
    assert!(redis.client().text(&["INFO"]).contains("sync_full:0"));
}

#[test]
fn a_replica_can_be_backed_up_in_place_of_its_master() {
    let master = Redis::start(&[]);
    master.client().run(&["SET", "a", "1"]);
    let port = master.port().to_string();
    let replica = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
    replica.wait_for_info("master_link_status:up");
    let ctx = Ctx::default();
    let facts = Server::connect(&endpoint(&replica.url()), &ctx).unwrap().check(&ctx).unwrap();
    assert_eq!(facts.role, Role::Replica);
    assert_eq!(take(&replica.url()).unwrap().1.keys, 1);
}
