//! Real Redis servers as sources and targets.

mod backup;
mod cluster;
mod damage;
mod huge;
mod moving;
mod refusals;
mod rehearsal;
mod restore;
mod stall;
mod vault;

use std::io::{self, Write};

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::redis::rdb::{Item, Key, Parser};
use lifeboat_adapters::redis::{
    KeyFilter, RdbSummary, RedisError, Replica, RestoreOptions, RestoreSummary, restore,
};
use lifeboat_repository::Ctx;
use lifeboat_testkit::redis::Client;
use lifeboat_testkit::repository::SystemClock;

pub(crate) fn endpoint(url: &str) -> Endpoint {
    url.parse().unwrap()
}

/// A backup into memory.
pub(crate) fn take(url: &str) -> Result<(Vec<u8>, RdbSummary), RedisError> {
    let mut rdb = Vec::new();
    let replica = Replica::begin(&endpoint(url), &Ctx::default())?;
    let summary = replica.stream_to(&mut rdb, &Ctx::default())?;
    Ok((rdb, summary))
}

pub(crate) fn replay(rdbs: &[&[u8]], url: &str, filter: Option<&str>) -> Result<RestoreSummary, RedisError> {
    let filter: Option<KeyFilter> = filter.map(|list| list.parse().unwrap());
    let options = RestoreOptions { filter, clock: &SystemClock };
    restore(|| Ok(rdbs.to_vec()), &endpoint(url), &options, &Ctx::default())
}

/// All keys of an RDB with the bytes of their values.
pub(crate) fn items(rdb: &[u8]) -> Vec<(Key, Vec<u8>)> {
    let (mut parser, mut items) = (Parser::new(rdb).unwrap(), Vec::new());
    while let Some(item) = parser.next_item().unwrap() {
        if let Item::Key(key) = item {
            items.push((key, parser.capture_value(usize::MAX).unwrap().unwrap()));
        }
    }
    items
}

/// Does something once, when so many bytes have come.
pub(crate) struct At<F> {
    pub(crate) bytes: usize,
    pub(crate) then: Option<F>,
}

impl<F: FnOnce()> Write for At<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_sub(bytes.len());
        if self.bytes == 0
            && let Some(then) = self.then.take()
        {
            then();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn words(command: &str) -> Vec<Vec<u8>> {
    command.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Every type in every encoding that Redis 7.0 has, in three databases, some of it expiring, and a function.
pub(crate) fn fill(client: &mut Client) {
    let mut commands = Vec::new();
    let mut run = |command: &str| commands.push(words(command));
    for (key, value) in [("int", "17"), ("negative", "-300"), ("long", "99999999999"), ("text", "hello")] {
        run(&format!("SET string:{key} {value}"));
    }
    run(&format!("SET string:compressed {}", "abcdefgh".repeat(200)));
    run(&format!("SET string:{} x", "k".repeat(300)));
    for number in 0..2000 {
        run(&format!("RPUSH list:long element-{number} {number}"));
        run(&format!("SADD set:long member-{number}"));
        run(&format!("SADD set:ints {}", number * 7919));
        run(&format!("HSET hash:long field-{number} {number}"));
        run(&format!("ZADD zset:long {}.5 member-{number}", number - 1000));
    }
    run("RPUSH list:short a 1 -70000 12345678901 b");
    run(&format!("RPUSH list:plain small {} small", "x".repeat(20_000)));
    run("SADD set:ints:small 1 -2 3");
    run("SADD set:short a b 3");
    run("HSET hash:short a 1 b two");
    run(&format!("HSET hash:wide a {}", "w".repeat(100)));
    run("ZADD zset:short 1 a 2.25 b -inf c inf d");
    for number in 1..=300 {
        run(&format!("XADD stream:long {number}-1 field {number} other text-{number}"));
    }
    run("XADD stream:long 301-1 odd one");
    run("XDEL stream:long 5-1 7-1");
    run("XGROUP CREATE stream:long group 0");
    run("XGROUP CREATE stream:long idle 250-1");
    run("XREADGROUP GROUP group alice COUNT 10 STREAMS stream:long >");
    run("XREADGROUP GROUP group bob COUNT 5 STREAMS stream:long >");
    run("XACK stream:long group 2-1");
    run("XCLAIM stream:long group bob 0 3-1 TIME 1700000000123 RETRYCOUNT 9");
    run("XGROUP CREATECONSUMER stream:long idle nobody");
    run("XADD stream:emptied 9-9 a b");
    run("XDEL stream:emptied 9-9");
    run("XGROUP CREATE stream:groups g $ MKSTREAM");
    run("SET expiring:far x PX 100000000");
    run("RPUSH expiring:list a b");
    run("PEXPIREAT expiring:list 4102444800123");
    run("SELECT 3");
    run("SET elsewhere yes");
    run("SELECT 15");
    run("HSET far away 1");
    run("SELECT 0");
    client.run_all(&commands);
    client.run(&["SET".as_bytes(), b"string:\x00\xff\r\n", &[0, 255, 13, 10, 7]]);
    client.run(&["FUNCTION", "LOAD", FUNCTION]);
}

pub(crate) const FUNCTION: &str =
    "#!lua name=lib\nredis.register_function('answer', function(keys, args) return 42 end)";

/// Values that do not compress, of so many bytes in all.
pub(crate) fn fill_bytes(client: &mut Client, megabytes: u32) {
    let mut state = 1_u64;
    for key in 0..megabytes {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32).to_le_bytes()
        })
        .flatten()
        .take(1 << 20)
        .collect();
        client.run(&[b"SET", format!("filler:{key}").as_bytes(), &value]);
    }
}
