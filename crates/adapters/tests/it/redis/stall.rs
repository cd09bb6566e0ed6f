//! Peers that stop, die or are left: errors of the right kind, and nothing stays behind.

use lifeboat_adapters::redis::{RedisErrorKind, Replica, Server};
use lifeboat_repository::Ctx;
use lifeboat_testkit::redis::Redis;
use rustix::process::Signal;

use super::{At, endpoint, fill_bytes, take};

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_transfer_is_gone() {
    for diskless in ["yes", "no"] {
        let redis = Redis::start(&["--repl-diskless-sync", diskless]);
        fill_bytes(&mut redis.client(), 60);
        let replica = Replica::begin(&endpoint(&redis.url()), &Ctx::default()).unwrap();
        let mut sink = At { bytes: 1 << 20, then: Some(|| redis.kill()) };
        let error = replica.stream_to(&mut sink, &Ctx::default()).unwrap_err();
        assert_eq!(error.kind, RedisErrorKind::SourceGone, "{error}");
    }
}

#[test]
fn a_wait_for_the_transfer_can_be_cancelled_and_leaves_no_replica() {
    // The server waits for more replicas than this one.
    let redis = Redis::start(&["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "3600"]);
    let ctx = Ctx::default();
    std::thread::scope(|scope| {
        let begin = scope.spawn(|| Replica::begin(&endpoint(&redis.url()), &ctx).map(drop));
        redis.wait_for_info("connected_slaves:1");
        ctx.cancel.cancel();
        assert_eq!(begin.join().unwrap().unwrap_err().kind, RedisErrorKind::Cancelled);
    });
    redis.wait_for_info("connected_slaves:0");
}

#[test]
fn a_transfer_from_a_server_that_stops_can_be_cancelled() {
    let redis = Redis::start(&["--repl-diskless-sync", "no"]);
    fill_bytes(&mut redis.client(), 60);
    let ctx = Ctx::default();
    let replica = Replica::begin(&endpoint(&redis.url()), &ctx).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| {
            let then = || {
                redis.signal(Signal::STOP);
                tell.send(()).unwrap();
            };
            replica.stream_to(&mut At { bytes: 1 << 20, then: Some(then) }, &ctx)
        });
        told.recv().unwrap();
        ctx.cancel.cancel();
        assert_eq!(transfer.join().unwrap().unwrap_err().kind, RedisErrorKind::Cancelled);
    });
    redis.signal(Signal::CONT);
    redis.wait_for_info("connected_slaves:0");
    take(&redis.url()).unwrap();
}

#[test]
fn a_replica_that_is_dropped_is_forgotten_by_the_server() {
    for diskless in ["yes", "no"] {
        let redis = Redis::start(&["--repl-diskless-sync", diskless]);
        fill_bytes(&mut redis.client(), 60);
        let replica = Replica::begin(&endpoint(&redis.url()), &Ctx::default()).unwrap();
        redis.wait_for_info("connected_slaves:1");
        drop(replica);
        redis.wait_for_info("connected_slaves:0");
        redis.wait_for_info("rdb_bgsave_in_progress:0");
    }
}

#[test]
fn a_backup_that_ended_leaves_no_replica() {
    let redis = Redis::start(&[]);
    take(&redis.url()).unwrap();
    redis.wait_for_info("connected_slaves:0");
}

#[test]
fn a_place_where_nobody_listens_is_unreachable() {
    let redis = Redis::start(&[]);
    let (url, socket) = (redis.url(), format!("redis://localhost?socket={}", redis.socket().display()));
    redis.kill();
    for url in [&url, &socket] {
        let error = Server::connect(&endpoint(url), &Ctx::default()).map(drop).unwrap_err();
        assert_eq!(error.kind, RedisErrorKind::Unreachable, "{error}");
    }
}
