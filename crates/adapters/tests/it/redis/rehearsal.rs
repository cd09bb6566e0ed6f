//! What can be known before a restore is known before anything of the target is touched.

use lifeboat_adapters::redis::RedisErrorKind;
use lifeboat_testkit::redis::{Redis, RedisCluster, contents};

use super::damage::{module, rdb};
use super::{fill, fill_bytes, replay, take};

/// The restore is refused, says that nothing was changed, and nothing was.
fn refused(rdbs: &[&[u8]], target: &Redis, filter: Option<&str>) -> (RedisErrorKind, String) {
    let mut client = target.client();
    let before = contents(&mut client);
    let functions = client.run(&["FUNCTION", "LIST", "WITHCODE"]);
    let error = replay(rdbs, &target.url(), filter).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(&format!("; nothing of redis://{} was changed", place(target))), "{text}");
    assert_eq!(contents(&mut client), before, "{text}");
    assert_eq!(client.run(&["FUNCTION", "LIST", "WITHCODE"]), functions);
    (error.kind, text)
}

fn place(target: &Redis) -> String {
    format!("127.0.0.1:{}", target.port())
}

fn target(options: &[&str]) -> Redis {
    let target = Redis::start(options);
    target.client().run(&["SET", "was here", "1"]);
    target.client().run(&["FUNCTION", "LOAD", super::FUNCTION]);
    target
}

#[test]
fn damage_anywhere_in_any_rdb_leaves_the_target_as_it_was() {
    let (source, target) = (Redis::start(&[]), target(&[]));
    fill(&mut source.client());
    let (sound, _) = take(&source.url()).unwrap();
    let mut last_bit = sound.clone();
    *last_bit.last_mut().unwrap() ^= 1;
    // A checksum that fits does not make a listpack of this.
    let within = rdb(&[&[16, 1, b'h', 8][..], b"rubbish!"].concat());
    let module = rdb(&[&[0, 1, b'a', 1, b'1', 7, 1, b'b'][..], &module("ReJSON-RL")].concat());
    let library = rdb(&[&[245, 14][..], b"#!js name=abc\n"].concat());
    for (broken, kind, says) in [
        (&last_bit[..], RedisErrorKind::Damaged, "the checksum is"),
        (&sound[..sound.len() - 1], RedisErrorKind::Damaged, "the end comes too early"),
        (&within, RedisErrorKind::Damaged, "the value of the key \"h\" is damaged"),
        (&module, RedisErrorKind::Unsupported, "ReJSON-RL"),
        (&library, RedisErrorKind::Unsupported, "functions that is not in Lua"),
    ] {
        let (found, text) = refused(&[&sound, broken], &target, None);
        assert_eq!((found, text.contains(says)), (kind, true), "{text}");
    }
    // Only what the filter takes matters, but for what cannot be read over.
    refused(&[&sound, &module], &target, Some("string:int"));
    replay(&[&sound, &within], &target.url(), Some("string:int")).unwrap();
}

#[test]
fn what_the_target_is_set_to_refuse_leaves_it_as_it_was() {
    let source = Redis::start(&["--rdbcompression", "no"]);
    fill(&mut source.client());
    fill_bytes(&mut source.client(), 4);
    let mut client = source.client();
    (0..2).for_each(|_| drop(client.run(&[&b"APPEND"[..], b"long", &[b'x'; 1 << 20]])));
    let (rdb, _) = take(&source.url()).unwrap();
    let full = ["--maxmemory", "2mb", "--maxmemory-policy", "noeviction"];
    for (options, filter, kind, says) in [
        (&["--databases", "4"][..], None, RedisErrorKind::Unsupported, "database 15"),
        (&full, None, RedisErrorKind::Unready, "(maxmemory)"),
        (&["--proto-max-bulk-len", "1mb"], None, RedisErrorKind::Unsupported, "(proto-max-bulk-len)"),
        (&["--min-replicas-to-write", "0"], Some("far"), RedisErrorKind::Unready, "NOREPLICAS"),
    ] {
        let target = target(options);
        if says == "NOREPLICAS" {
            target.client().run(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
        }
        let (found, text) = refused(&[&rdb], &target, filter);
        assert_eq!((found, text.contains(says)), (kind, true), "{text}");
    }
}

#[test]
fn one_master_that_takes_no_changes_leaves_the_others_as_they_were() {
    let (source, cluster) = (Redis::start(&[]), RedisCluster::start(2, &[]));
    source.client().run(&["SET", "a", "1"]);
    let (rdb, _) = take(&source.url()).unwrap();
    (0..20).for_each(|key| drop(cluster.client().run(&["SET", &format!("key {key}"), "1"])));
    cluster.nodes[1].client().run(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let second = contents(&mut cluster.nodes[1].client());
    let (kind, text) = refused(&[&rdb], &cluster.nodes[0], None);
    assert_eq!((kind, text.contains("NOREPLICAS")), (RedisErrorKind::Unready, true), "{text}");
    assert_eq!(contents(&mut cluster.nodes[1].client()), second);
}

#[test]
fn a_user_who_may_not_change_one_of_the_keys_changes_none() {
    let (source, target) = (Redis::start(&[]), target(&[]));
    fill(&mut source.client());
    let (rdb, _) = take(&source.url()).unwrap();
    target.client().run(&["ACL", "SETUSER", "some", "on", ">pw", "~string:*", "+@all"]);
    let some = format!("redis://some:pw@{}", place(&target));
    let error = replay(&[&rdb], &some, Some("string:.*,list:.*")).unwrap_err();
    assert_eq!(error.kind, RedisErrorKind::Rights, "{error}");
    assert!(error.to_string().contains("was changed"), "{error}");
    assert_eq!(contents(&mut target.client()).len(), 1);
    assert_eq!(replay(&[&rdb], &some, Some("string:.*")).unwrap().restored_keys, 7);
}
