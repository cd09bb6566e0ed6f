//! A cluster of three masters: one RDB for each, taken under load, replayed into other shards.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_adapters::redis::{RdbSummary, RedisErrorKind, Replica, Server, key_slot};
use lifeboat_repository::Ctx;
use lifeboat_testkit::redis::{Contents, Redis, RedisCluster, contents};

use super::{endpoint, items, replay, take};

fn contents_of(cluster: &RedisCluster) -> Contents {
    cluster.nodes.iter().flat_map(|node| contents(&mut node.client())).collect()
}

fn fill(cluster: &RedisCluster) {
    let mut client = cluster.client();
    for key in 0..300 {
        client.run(&["SET", &format!("string:{key}"), &format!("value {key}")]);
        client.run(&["RPUSH", &format!("list:{key}"), "a", &key.to_string()]);
        client.run(&["HSET", &format!("{{tag{key}}}:hash"), "field", &key.to_string()]);
        client.run(&["PEXPIREAT", &format!("list:{key}"), "4102444800000"]);
    }
}

/// All shards side by side.
fn take_all(url: &str) -> Vec<(Vec<u8>, RdbSummary)> {
    let ctx = Ctx::default();
    let facts = Server::connect(&endpoint(url), &ctx).unwrap().check(&ctx).unwrap();
    assert!(facts.is_cluster);
    std::thread::scope(|scope| {
        let ctx = &ctx;
        let one = |endpoint: lifeboat_adapters::endpoint::Endpoint| {
            move || {
                let mut rdb = Vec::new();
                let summary = Replica::begin(&endpoint, ctx).unwrap().stream_to(&mut rdb, ctx).unwrap();
                (rdb, summary)
            }
        };
        let takes: Vec<_> = facts.nodes.into_iter().map(|node| scope.spawn(one(node.endpoint))).collect();
        takes.into_iter().map(|take| take.join().unwrap()).collect()
    })
}

#[test]
fn the_data_nodes_of_a_cluster_are_its_masters_with_their_slots() {
    let cluster = RedisCluster::start(3, &["--requirepass", "geheim", "--masterauth", "geheim"]);
    let ctx = Ctx::default();
    for node in &cluster.nodes {
        let facts = Server::connect(&endpoint(&node.url()), &ctx).unwrap().check(&ctx).unwrap();
        let ids: Vec<_> = facts.nodes.iter().map(|node| node.node_id.clone()).collect();
        let expected: Vec<_> =
            cluster.nodes.iter().map(|node| node.client().text(&["CLUSTER", "MYID"])).collect();
        assert_eq!(ids, expected);
        let slots: Vec<_> = facts.nodes.iter().flat_map(|node| node.slots.clone()).collect();
        assert_eq!(slots, [0..=5460, 5461..=10_921, 10_922..=16_383]);
        let ports: Vec<_> = facts.nodes.iter().map(|node| node.endpoint.port.unwrap()).collect();
        assert_eq!(ports, cluster.nodes.iter().map(Redis::port).collect::<Vec<_>>());
    }
}

#[test]
fn a_cluster_under_load_comes_back_in_other_shards() {
    let source = RedisCluster::start(3, &[]);
    fill(&source);
    let fixed = contents_of(&source);
    let (written, stop) = (Mutex::new(BTreeMap::<Vec<u8>, Vec<Vec<u8>>>::new()), AtomicBool::new(false));
    let rdbs = std::thread::scope(|scope| {
        let (source, written, stop) = (&source, &written, &stop);
        scope.spawn(move || {
            let mut client = source.client();
            for round in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (key, value) = (format!("load:{}", round % 500), format!("value {round}"));
                let mut written = written.lock().unwrap();
                written.entry(key.clone().into()).or_default().push(value.clone().into());
                drop(written);
                client.run(&["SET", &key, &value]);
            }
        });
        while written.lock().unwrap().len() < 100 {
            std::thread::yield_now();
        }
        let rdbs = take_all(&source.nodes[1].url());
        stop.store(true, Ordering::Relaxed);
        rdbs
    });
    assert_eq!(rdbs.len(), 3);
    // Each shard has what belongs to it.
    for ((rdb, summary), slots) in rdbs.iter().zip([0..=5460, 5461..=10_921, 10_922..=16_383]) {
        let items = items(rdb);
        assert_eq!(summary.keys, items.len() as u64);
        assert!(items.iter().all(|(key, _)| slots.contains(&key_slot(&key.name))));
    }
    let rdbs: Vec<&[u8]> = rdbs.iter().map(|(rdb, _)| rdb.as_slice()).collect();
    let (two, single) = (RedisCluster::start(2, &[]), Redis::start(&[]));
    two.client().run(&["SET", "left over", "1"]);
    replay(&rdbs, &two.nodes[1].url(), None).unwrap();
    replay(&rdbs, &single.url(), None).unwrap();
    let found = contents_of(&two);
    assert_eq!(found, contents(&mut single.client()));
    let (load, rest): (Contents, Contents) =
        found.into_iter().partition(|((_, key), _)| key.starts_with(b"load:"));
    assert_eq!(rest, fixed);
    assert!(load.len() >= 100);
    let written = written.into_inner().unwrap();
    let is_written = |key: &Vec<u8>, value: &[u8]| written[key].iter().any(|written| written == value);
    for (_, key) in load.keys() {
        let value = single.client().run(&["GET".as_bytes(), key]).bytes();
        assert!(is_written(key, &value), "{key:?}");
    }
}

#[test]
fn a_cluster_that_misses_slots_is_refused() {
    let cluster = RedisCluster::start(3, &["--cluster-require-full-coverage", "no"]);
    let ctx = Ctx::default();
    for node in &cluster.nodes {
        node.client().run(&["CLUSTER", "DELSLOTS", "77"]).bytes();
    }
    let mut server = Server::connect(&endpoint(&cluster.nodes[0].url()), &ctx).unwrap();
    let error = server.check(&ctx).unwrap_err();
    assert_eq!(error.kind, RedisErrorKind::Unready);
    assert!(error.to_string().contains("1 of the 16384 slots"), "{error}");
}

#[test]
fn other_databases_do_not_fit_into_a_cluster() {
    let (source, target) = (Redis::start(&[]), RedisCluster::start(1, &[]));
    let mut client = source.client();
    client.run(&["SELECT", "2"]);
    client.run(&["SET", "a", "1"]);
    target.client().run(&["SET", "was here", "1"]);
    let (rdb, _) = take(&source.url()).unwrap();
    let error = replay(&[&rdb], &target.nodes[0].url(), None).unwrap_err();
    assert_eq!(error.kind, RedisErrorKind::Unsupported);
    assert!(error.to_string().contains("database 2"), "{error}");
    assert_eq!(contents_of(&target).len(), 1, "what was there is there");
}
