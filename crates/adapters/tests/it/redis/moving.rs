//! Slots that move while their cluster is backed up, and nodes that are others than was planned.

use std::time::{Duration, Instant};

use lifeboat_adapters::redis::{Planned, RedisError, RedisErrorKind, Replica, Server, key_slot};
use lifeboat_repository::Ctx;
use lifeboat_testkit::redis::{Redis, RedisCluster};

use super::{At, endpoint};

const KEY: &str = "moves";

/// Which of three nodes has the key, and which another one.
fn giver_and_taker(cluster: &RedisCluster) -> (&Redis, &Redis) {
    let giver = usize::from(key_slot(KEY.as_bytes())) * 3 / 16_384;
    (&cluster.nodes[giver], &cluster.nodes[(giver + 1) % 3])
}

fn cluster() -> RedisCluster {
    let cluster = RedisCluster::start(3, &[]);
    for key in 0..3000 {
        cluster.client().run(&["SET", &format!("key {key}"), "value"]);
    }
    cluster.client().run(&["SET", KEY, "1"]);
    cluster
}

/// As soon as all nodes agree.
fn planned(redis: &Redis) -> Planned {
    let id = redis.client().text(&["CLUSTER", "MYID"]);
    let (began, ctx) = (Instant::now(), Ctx::default());
    loop {
        match Server::connect(&endpoint(&redis.url()), &ctx).unwrap().check(&ctx) {
            Ok(facts) => {
                let node = facts.nodes.into_iter().find(|node| node.node_id == id).unwrap();
                return Planned { share: node.share(), node_id: node.node_id };
            }
            Err(error) => assert_eq!(error.kind, RedisErrorKind::Unready, "{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the nodes do not come to agree");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Takes the node as it was planned, and does something when the first bytes have come.
fn take(redis: &Redis, planned: &Planned, meanwhile: impl FnOnce()) -> Result<u64, RedisError> {
    let ctx = Ctx::default();
    let replica = Replica::begin_planned(&endpoint(&redis.url()), planned.clone(), &ctx)?;
    let mut sink = At { bytes: 1, then: Some(meanwhile) };
    Ok(replica.stream_to(&mut sink, &ctx)?.keys)
}

fn refused(taken: Result<u64, RedisError>, says: &str) {
    let error = taken.unwrap_err();
    assert_eq!((error.kind, error.to_string().contains(says)), (RedisErrorKind::Unready, true), "{error}");
}

#[test]
fn slots_that_move_during_a_transfer_fail_it_at_either_end() {
    let cluster = cluster();
    let (giver, taker) = giver_and_taker(&cluster);
    let slot = key_slot(KEY.as_bytes());
    let plans = (planned(giver), planned(taker));
    let taken = take(giver, &plans.0, || cluster.move_slot(slot, giver, taker));
    refused(taken, "could be missing in it or be in it twice");
    // The other one has got the key: with it, the set would have it twice.
    refused(take(taker, &plans.1, || {}), "have changed since the backup was begun");
    cluster.move_slot(slot, taker, giver);
    // It is where it was, and there may be anything in the sets.
    refused(take(giver, &plans.0, || {}), "have changed since the backup was begun");
    assert!(take(giver, &planned(giver), || {}).unwrap() > 100);
}

#[test]
fn a_move_that_is_under_way_at_the_end_of_a_transfer_fails_it() {
    let cluster = cluster();
    let (giver, taker) = giver_and_taker(&cluster);
    let id = taker.client().text(&["CLUSTER", "MYID"]);
    let slot = key_slot(KEY.as_bytes()).to_string();
    let begin = || drop(giver.client().run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id]));
    refused(take(giver, &planned(giver), begin), "being moved");
}

#[test]
fn a_node_that_is_another_one_than_was_planned_is_refused_before_it_sends() {
    let cluster = cluster();
    let (one, other) = (&cluster.nodes[0], &cluster.nodes[1]);
    refused(take(other, &planned(one), || panic!("it has sent something")), "is not the node");
    assert!(other.client().text(&["INFO", "replication"]).contains("connected_slaves:0"));
}
