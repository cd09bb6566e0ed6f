//! Values of any size within little memory. The measure is the peak of this process, which runs one test alone.

use std::fs;
use std::sync::Arc;

use lifeboat_adapters::redis::{RestoreOptions, restore};
use lifeboat_repository::Ctx;
use lifeboat_repository::storage::LocalStorage;
use lifeboat_testkit::redis::{Answer, Client, Redis};
use lifeboat_testkit::repository::{SystemClock, init, open};

use super::vault::{receive, stored};
use super::{endpoint, replay, take};

const MOST_BYTES: u64 = 200 << 20;

/// Packed values of any length, and digests of values.
const OPTIONS: &[&str] = &[
    "--enable-debug-command",
    "yes",
    "--hash-max-listpack-value",
    "9000000",
    "--zset-max-listpack-value",
    "9000000",
];

/// A quarter of it can be compressed.
fn text(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut text = Vec::with_capacity(bytes);
    while text.len() < bytes {
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(&state.to_be_bytes());
        }
        text.extend_from_slice(b"the same words again and again, ");
    }
    text.truncate(bytes);
    text
}

/// Runs a script with one key.
fn script(client: &mut Client, key: &str, lua: &str) {
    client.run(&["EVAL", lua, "1", key]);
}

/// Each value is larger than what is replayed in one command.
fn fill(client: &mut Client) {
    for piece in 0..140 {
        client.run(&[b"APPEND", &b"string"[..], &text(1 << 20, piece)]);
    }
    script(
        client,
        "list",
        "for i = 0, 1999999, 1000 do local t = {} for j = 1, 1000 do t[j] = string.format('element %x', (i + j) * 2654435761) end \
         redis.call('RPUSH', KEYS[1], unpack(t)) end",
    );
    let part = |size: u32| format!("string.sub(redis.call('GET', 'string'), 1, {size})");
    let (long, medium) = (part(30_000_000), part(8_500_000));
    script(client, "list:plain", &format!("redis.call('RPUSH', KEYS[1], 'a', {long}, 'b', 7)"));
    script(client, "hash:field", &format!("redis.call('HSET', KEYS[1], 'a', {long}, 'b', 1)"));
    for kind in ["HSET", "ZADD"] {
        let pairs = |n: u32| format!("{n}, {n} .. {medium}");
        let pairs: Vec<String> = (1..=3).map(pairs).collect();
        script(
            client,
            &format!("packed:{kind}"),
            &format!("redis.call('{kind}', KEYS[1], {})", pairs.join(", ")),
        );
    }
    let long = "local s = redis.call('GET', 'string') \
                local function long(i) return string.sub(s, i * 200, i * 200 + 199) end";
    for (key, command) in [
        ("hash", "redis.call('HSET', KEYS[1], 'field ' .. i, long(i))"),
        ("set", "redis.call('SADD', KEYS[1], long(i))"),
        ("zset", "redis.call('ZADD', KEYS[1], i / 7 * (-1) ^ i, long(i))"),
        (
            "stream",
            "redis.call('XADD', KEYS[1], i .. '-' .. i % 3, 'field', long(i), i % 5 == 0 and 'odd' or 'other', i)",
        ),
    ] {
        script(client, key, &format!("{long} for i = 1, 100000 do {command} end"));
    }
    script(client, "stream", "for i = 1, 100000, 7 do redis.call('XDEL', KEYS[1], i .. '-' .. i % 3) end");
    client.run(&["XGROUP", "CREATE", "stream", "group", "0"]);
    client.run(&["XGROUP", "CREATE", "stream", "last", "50000-0", "ENTRIESREAD", "77"]);
    client.run(&["XGROUP", "CREATECONSUMER", "stream", "group", "idle"]);
    for (consumer, count) in [("alice", "1000"), ("bob", "500")] {
        client.run(&["XREADGROUP", "GROUP", "group", consumer, "COUNT", count, "STREAMS", "stream", ">"]);
    }
    client.run(&["XCLAIM", "stream", "group", "bob", "0", "2-2", "TIME", "1700000000123", "RETRYCOUNT", "9"]);
    client.run(&["PEXPIREAT", "list", "4102444800123"]);
    client.run(&["PEXPIREAT", "stream", "4102444800456"]);
}

fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Of each value by its elements, in their order where it has one, and its expiry.
fn digests(client: &mut Client) -> Vec<(Vec<u8>, Answer, Answer, String)> {
    let mut keys: Vec<Vec<u8>> = client.run(&["KEYS", "*"]).list().into_iter().map(Answer::bytes).collect();
    keys.sort();
    let digest = |key: Vec<u8>| {
        let digest = client.run(&[b"DEBUG", b"DIGEST-VALUE".as_slice(), &key]);
        let expiry = client.run(&[b"PEXPIRETIME", key.as_slice()]);
        let kind = client.text(&[b"TYPE", key.as_slice()]);
        (key, digest, expiry, kind)
    };
    keys.into_iter().map(digest).collect()
}

/// What is told of the stream, but for how it lies in memory and when its consumers were last seen.
fn groups(client: &mut Client) -> Answer {
    fn without(answer: Answer) -> Answer {
        let Answer::List(list) = answer else { return answer };
        let mut kept = Vec::new();
        let mut list = list.into_iter();
        while let Some(item) = list.next() {
            let is_left_out = matches!(&item, Answer::Bytes(name)
                if name.starts_with(b"radix-tree") || name.as_slice() == b"seen-time");
            if is_left_out {
                list.next();
            } else {
                kept.push(without(item));
            }
        }
        Answer::List(kept)
    }
    without(client.run(&["XINFO", "STREAM", "stream", "FULL", "COUNT", "5000"]))
}

#[test]
fn values_of_any_size_go_into_a_vault_and_out_of_it_within_little_memory() {
    let (source, target) = (Redis::start(OPTIONS), Redis::start(OPTIONS));
    fill(&mut source.client());
    let folder = tempfile::tempdir().unwrap();
    let storage = || Arc::new(LocalStorage::new(folder.path()));
    init(storage());
    let (repository, ctx) = (open(storage()), Ctx::default());
    // From here on the peak counts.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let (received, bytes) = receive(&repository, &source.url(), &ctx).unwrap();
    assert!(bytes > MOST_BYTES, "{bytes} bytes prove nothing");
    let rdb = || stored(&repository, &received).0;
    let options = RestoreOptions { filter: None, clock: &SystemClock };
    let summary = restore(|| Ok(vec![rdb()]), &endpoint(&target.url()), &options, &ctx).unwrap();
    let peak = peak_bytes();
    assert!(peak <= MOST_BYTES, "{} MiB were needed", peak >> 20);
    assert_eq!((summary.restored_keys, summary.lost_pending), (10, 0));
    let statistics = target.client().text(&["INFO", "commandstats"]);
    assert!(!statistics.contains("cmdstat_restore:"), "a value went in one command: {statistics}");
    let (restored, original) = std::thread::scope(|scope| {
        let restored = scope.spawn(|| digests(&mut target.client()));
        let original = digests(&mut source.client());
        (restored.join().unwrap(), original)
    });
    assert_eq!(restored, original);
    assert_eq!(groups(&mut target.client()), groups(&mut source.client()));
}

#[test]
fn pending_entries_of_a_very_large_stream_that_are_deleted_are_counted() {
    let (source, target) = (Redis::start(&[]), Redis::start(&[]));
    let mut client = source.client();
    for number in 1..=30 {
        let id = format!("{number}-0");
        client.run(&[b"XADD", b"stream".as_slice(), id.as_bytes(), b"field", &text(1 << 20, number)]);
    }
    client.run(&["XGROUP", "CREATE", "stream", "group", "0"]);
    client.run(&["XREADGROUP", "GROUP", "group", "alice", "COUNT", "2", "STREAMS", "stream", ">"]);
    client.run(&["XDEL", "stream", "1-0"]);
    let (rdb, _) = take(&source.url()).unwrap();
    let summary = replay(&[&rdb], &target.url(), None).unwrap();
    assert_eq!((summary.restored_keys, summary.lost_pending), (1, 1));
    let pending = target.client().run(&["XPENDING", "stream", "group"]).list();
    assert_eq!(pending[0], Answer::Number(1));
}
