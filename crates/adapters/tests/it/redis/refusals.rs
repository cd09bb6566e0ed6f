//! Passwords, rights and settings that stand in the way: told before anything is done.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use lifeboat_adapters::redis::{RedisError, RedisErrorKind, Server};
use lifeboat_repository::Ctx;
use lifeboat_testkit::redis::{Redis, RedisCluster, contents};

use super::{endpoint, fill, replay, take};

fn check(url: &str) -> Result<(), RedisError> {
    let ctx = Ctx::default();
    Server::connect(&endpoint(url), &ctx)?.check(&ctx).map(drop)
}

#[test]
fn wrong_passwords_are_refused_without_being_repeated() {
    let redis = Redis::start(&["--requirepass", "geheim"]);
    let at = |user: &str| format!("redis://{user}@127.0.0.1:{}", redis.port());
    for url in [at(":falsch"), at("somebody:falsch")] {
        let error = check(&url).unwrap_err();
        assert_eq!(error.kind, RedisErrorKind::Authentication);
        assert!(!format!("{error} {error:?}").contains("falsch"), "{error:?}");
    }
    let nobody = check(&format!("redis://127.0.0.1:{}", redis.port())).unwrap_err();
    assert_eq!(nobody.kind, RedisErrorKind::Authentication, "{nobody}");
    check(&at(":geheim")).unwrap();
}

#[test]
fn missing_rights_are_named_with_the_command_that_grants_them() {
    let redis = Redis::start(&[]);
    let mut client = redis.client();
    client.run(&["ACL", "SETUSER", "keeper", "on", ">geheim", "+ping"]);
    let url = format!("redis://keeper:geheim@127.0.0.1:{}", redis.port());
    let refused = |client: &mut lifeboat_testkit::redis::Client, grants: &[&str]| {
        client.run(&[&["ACL", "SETUSER", "keeper"], grants].concat());
        let error = check(&url).unwrap_err();
        assert_eq!(error.kind, RedisErrorKind::Rights, "{error}");
        error.to_string()
    };
    assert!(refused(&mut client, &[]).ends_with("ACL SETUSER keeper +info"));
    assert!(refused(&mut client, &["+info"]).ends_with("ACL SETUSER keeper +replconf +psync"));
    assert!(refused(&mut client, &["+replconf"]).contains("may not run PSYNC"));
    client.run(&["ACL", "SETUSER", "keeper", "+psync"]);
    check(&url).unwrap();
    take(&url).unwrap();
}

/// The rights that docs/protect/redis.md names, in its block of the given number.
fn documented(nth: usize) -> Vec<String> {
    let page = include_str!("../../../../../docs/protect/redis.md");
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("ACL SETUSER")).collect();
    lines[nth].split(' ').skip(3).map(str::to_owned).collect()
}

#[test]
fn the_rights_that_are_documented_are_enough() {
    let (source, target) = (Redis::start(&[]), Redis::start(&[]));
    fill(&mut source.client());
    let url = |redis: &Redis, nth| {
        let mut user = ["ACL", "SETUSER", "lifeboat"].map(str::to_owned).to_vec();
        user.extend(documented(nth));
        redis.client().run(&user);
        format!("redis://lifeboat:secret@127.0.0.1:{}", redis.port())
    };
    let from = url(&source, 0);
    check(&from).unwrap();
    let (rdb, _) = take(&from).unwrap();
    replay(&[&rdb], &url(&target, 1), None).unwrap();
    assert_eq!(contents(&mut target.client()), contents(&mut source.client()));
    let cluster = RedisCluster::start(1, &[]);
    check(&url(&cluster.nodes[0], 0)).unwrap();
}

#[test]
fn a_target_that_cannot_take_the_restore_keeps_what_it_has() {
    let (source, target) = (Redis::start(&[]), Redis::start(&[]));
    fill(&mut source.client());
    let (rdb, _) = take(&source.url()).unwrap();
    let mut client = target.client();
    client.run(&["SET", "precious", "1"]);
    let refused = |rdb: &[u8], url: &str, kind| {
        let error = replay(&[rdb], url, None).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(contents(&mut target.client()).len(), 1);
        error.to_string()
    };
    // A version of RDB that only a newer server reads.
    let mut newer = rdb.clone();
    newer[..9].copy_from_slice(b"REDIS0011");
    assert!(refused(&newer, &target.url(), RedisErrorKind::Unsupported).contains("version 11 of RDB"));
    newer[..9].copy_from_slice(b"REDIS0099");
    refused(&newer, &target.url(), RedisErrorKind::Unsupported);
    refused(b"no RDB at all", &target.url(), RedisErrorKind::Damaged);
    // A user who may delete everything and not restore it.
    client.run(&["ACL", "SETUSER", "half", "on", ">pw", "~*", "+@all", "-restore", "-xclaim"]);
    let half = format!("redis://half:pw@127.0.0.1:{}", target.port());
    assert!(refused(&rdb, &half, RedisErrorKind::Rights).contains("RESTORE, XCLAIM"));
    client.run(&["ACL", "SETUSER", "keys", "on", ">pw", "~only:*", "+@all"]);
    let keys = format!("redis://keys:pw@127.0.0.1:{}", target.port());
    refused(&rdb, &keys, RedisErrorKind::Rights);

    let port = target.port().to_string();
    let replica = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
    replica.wait_for_info("master_link_status:up");
    assert!(refused(&rdb, &replica.url(), RedisErrorKind::Unsupported).contains("goes to its master"));
}

#[test]
fn a_user_of_some_keys_may_restore_those() {
    let (source, target) = (Redis::start(&[]), Redis::start(&[]));
    fill(&mut source.client());
    let (rdb, _) = take(&source.url()).unwrap();
    target.client().run(&["ACL", "SETUSER", "some", "on", ">pw", "~string:*", "+@all"]);
    let some = format!("redis://some:pw@127.0.0.1:{}", target.port());
    assert_eq!(replay(&[&rdb], &some, Some("string:.*")).unwrap().restored_keys, 7);
    let error = replay(&[&rdb], &some, Some("list:.*")).unwrap_err();
    assert_eq!(error.kind, RedisErrorKind::Rights, "{error}");
}

/// Answers each command of a client with the next of some lines.
fn pretend(answers: &'static [&'static str], then: impl FnOnce(&str)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            for answer in answers {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let lines: usize = line.trim().trim_start_matches('*').parse().unwrap();
                for _ in 0..2 * lines {
                    reader.read_line(&mut line).unwrap();
                }
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        then(&url);
    });
}

#[test]
fn servers_of_other_versions_are_refused_in_words() {
    for (info, says) in [
        ("$22\r\nredis_version:5.0.14\r\n\r\n", "Redis 5.0.14; Redis 6 and 7"),
        ("$21\r\nredis_version:8.2.1\r\n\r\n", "Redis 8.2.1; Redis 6 and 7"),
    ] {
        let answers: &'static [&'static str] = Box::leak(Box::new(["+PONG\r\n", info]));
        pretend(answers, |url| {
            let error = check(url).unwrap_err();
            assert_eq!(error.kind, RedisErrorKind::Unsupported);
            assert!(error.to_string().contains(says), "{error}");
        });
    }
}

#[test]
fn what_does_not_answer_as_redis_does_is_unreachable() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n", "$99999999999\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n", ":x\r\n"] {
        let answers: &'static [&'static str] = Box::leak(Box::new([answer]));
        pretend(answers, |url| {
            let error = check(url).unwrap_err();
            assert_eq!(error.kind, RedisErrorKind::Unreachable, "{answer:?}: {error}");
        });
    }
}

#[test]
fn tls_needs_a_certificate_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(file("cert"), made.cert.pem()).unwrap();
    std::fs::write(file("key"), made.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let tls = ["--tls-port", &port, "--tls-auth-clients", "no", "--requirepass", "geheim"];
    let files = [
        "--tls-cert-file",
        &file("cert"),
        "--tls-key-file",
        &file("key"),
        "--tls-ca-cert-file",
        &file("cert"),
    ];
    let redis = Redis::start(&[&tls[..], &files].concat());
    fill(&mut redis.client());
    let at = |host: &str, file: &str| format!("rediss://:geheim@{host}:{port}?cacert={file}");
    let (rdb, summary) = take(&at("127.0.0.1", &file("cert"))).unwrap();
    assert_eq!(summary.bytes, rdb.len() as u64);
    let before = contents(&mut redis.client());
    replay(&[&rdb], &at("127.0.0.1", &file("cert")), None).unwrap();
    assert_eq!(contents(&mut redis.client()), before);

    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(file("other"), other.cert.pem()).unwrap();
    for (url, kind) in [
        (at("127.0.0.1", &file("other")), RedisErrorKind::Authentication),
        (at("localhost", &file("cert")), RedisErrorKind::Authentication),
        (at("127.0.0.1", "/nowhere"), RedisErrorKind::InvalidInput),
        (format!("redis://127.0.0.1:{port}"), RedisErrorKind::Unreachable),
        ("http://127.0.0.1".to_owned(), RedisErrorKind::InvalidInput),
    ] {
        let error = check(&url).unwrap_err();
        assert_eq!(error.kind, kind, "{url}: {error:?}");
    }
}
