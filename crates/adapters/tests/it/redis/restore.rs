//! What is replayed is what was taken: by value, type by type, with expiry.

use lifeboat_testkit::redis::{Answer, Redis, contents};

use super::{FUNCTION, fill, replay, take};

#[test]
fn every_type_comes_back_as_it_was_and_what_was_there_is_gone() {
    let (source, target) = (Redis::start(&[]), Redis::start(&[]));
    fill(&mut source.client());
    let (rdb, taken) = take(&source.url()).unwrap();
    let mut client = target.client();
    client.run(&["SET", "left over", "1"]);
    client.run(&["FUNCTION", "LOAD", &FUNCTION.replace("name=lib", "name=old").replace("answer", "older")]);
    let summary = replay(&[&rdb], &target.url(), None).unwrap();
    assert_eq!((summary.restored_keys, summary.functions), (taken.keys, 1));
    assert_eq!((summary.expired_keys, summary.other_keys, summary.lost_pending), (0, 0, 0));
    let expected = contents(&mut source.client());
    assert_eq!(contents(&mut client), expected);
    assert_eq!(expected.len() as u64, taken.keys);
    // What has an order has the same bytes.
    let mut original = source.client();
    for (db, key) in expected
        .keys()
        .filter(|(db, key)| *db == 0 && !key.starts_with(b"set:") && !key.starts_with(b"hash:"))
    {
        let dump = |client: &mut lifeboat_testkit::redis::Client| client.run(&[b"DUMP", key.as_slice()]);
        assert_eq!(dump(&mut client), dump(&mut original), "{db} {:?}", String::from_utf8_lossy(key));
    }
    let list = |client: &mut lifeboat_testkit::redis::Client| client.run(&["FUNCTION", "LIST", "WITHCODE"]);
    assert_eq!(list(&mut client), list(&mut original));
    // And it can be taken and replayed again, over itself.
    let (again, _) = take(&target.url()).unwrap();
    replay(&[&again], &target.url(), None).unwrap();
    assert_eq!(contents(&mut client), expected);
}

#[test]
fn a_filter_replaces_its_keys_and_leaves_the_others() {
    let (source, target) = (Redis::start(&[]), Redis::start(&[]));
    fill(&mut source.client());
    let (rdb, taken) = take(&source.url()).unwrap();
    let mut client = target.client();
    client.run(&["SET", "other", "stays"]);
    client.run(&["SADD", "list:short", "of another type"]);
    client.run(&["SET", "list:long:er", "stays"]);
    let summary = replay(&[&rdb], &target.url(), Some("list:(short|long),elsewhere")).unwrap();
    assert_eq!((summary.restored_keys, summary.other_keys), (3, taken.keys - 3));
    assert_eq!(summary.functions, 0);
    let (found, source) = (contents(&mut client), contents(&mut source.client()));
    assert_eq!(found.len(), 5);
    for key in [(0, "list:short"), (0, "list:long"), (3, "elsewhere")] {
        let key = (key.0, key.1.as_bytes().to_vec());
        assert_eq!(found[&key], source[&key], "{key:?}");
    }
    assert_eq!(client.text(&["GET", "list:long:er"]), "stays");
    assert_eq!(client.run(&["FUNCTION", "LIST"]), Answer::List(Vec::new()));
}

#[test]
fn keys_that_have_expired_meanwhile_are_left_out() {
    let (source, target) = (Redis::start(&["--enable-debug-command", "yes"]), Redis::start(&[]));
    let mut client = source.client();
    client.run(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    client.run(&["SET", "gone", "1", "PXAT", "1"]);
    client.run(&["SET", "soon", "1", "PX", "1"]);
    client.run(&["SET", "later", "1", "PXAT", "4102444800123"]);
    let (rdb, taken) = take(&source.url()).unwrap();
    assert_eq!((taken.keys, taken.expiring_keys), (3, 3));
    let summary = replay(&[&rdb], &target.url(), None).unwrap();
    assert_eq!((summary.restored_keys, summary.expired_keys), (1, 2));
    let mut client = target.client();
    assert_eq!(client.run(&["PEXPIRETIME", "later"]), Answer::Number(4_102_444_800_123));
    assert_eq!(client.run(&["DBSIZE"]), Answer::Number(1));
}

#[test]
fn how_often_a_key_is_used_comes_back_where_the_server_evicts_by_it() {
    let options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu", "--lfu-decay-time", "0"];
    let (source, target) = (Redis::start(&options), Redis::start(&options));
    let mut client = source.client();
    client.run(&["SET", "a", "1"]);
    (0..2000).for_each(|_| drop(client.run(&["GET", "a"])));
    let (rdb, _) = take(&source.url()).unwrap();
    replay(&[&rdb], &target.url(), None).unwrap();
    let frequency = client.run(&["OBJECT", "FREQ", "a"]);
    assert_ne!(frequency, Answer::Number(5), "as new");
    assert_eq!(target.client().run(&["OBJECT", "FREQ", "a"]), frequency);
}

#[test]
fn a_target_that_gets_full_says_so() {
    let (source, target) =
        (Redis::start(&[]), Redis::start(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]));
    let key = |number: u32| vec!["SET".to_owned(), format!("key {number}"), "x".to_owned()];
    source.client().run_all(&(0..30_000).map(key).collect::<Vec<_>>());
    let (rdb, _) = take(&source.url()).unwrap();
    let error = replay(&[&rdb], &target.url(), None).unwrap_err();
    assert_eq!(error.kind, lifeboat_adapters::redis::RedisErrorKind::Unready);
    let text = error.to_string();
    assert!(text.contains("OOM") && !text.contains("nothing of"), "{text}");
}
