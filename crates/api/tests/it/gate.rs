//! Servers that send so many bytes and then nothing: what is shown of a backup stops with them, and goes on with them.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::random::Random;
use lifeboat_testkit::redis::Redis;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

use crate::native::ok;
use crate::world::World;

/// A way to a server that lets only so many bytes of each answer through.
struct Gate {
    port: u16,
    most: watch::Sender<u64>,
}

impl Gate {
    /// In front of a socket. In each session the bytes are counted from the first `mark` on.
    async fn before(socket: &Path, mark: &'static [u8], most: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (most, told) = watch::channel(most);
        let socket: Arc<PathBuf> = Arc::new(socket.to_owned());
        drop(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from_server, mut to_server) = UnixStream::connect(&*socket).await.unwrap().into_split();
                let (mut from_client, to_client) = client.into_split();
                // Until one of them hangs up, which is no error here.
                drop(tokio::spawn(async move { copy(&mut from_client, &mut to_server).await }));
                drop(tokio::spawn(pass_on(from_server, to_client, (mark, told.clone()))));
            }
        }));
        Self { port, most }
    }
}

async fn pass_on(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    (mark, mut most): (&[u8], watch::Receiver<u64>),
) -> std::io::Result<()> {
    let (mut buffer, mut passed) = (vec![0; 64 << 10], None);
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let mut bytes = &buffer[..read];
        if passed.is_none() {
            let at = (0..read).find(|at| bytes[*at..].starts_with(mark));
            let (before, rest) = bytes.split_at(at.unwrap_or(read));
            to.write_all(before).await?;
            bytes = rest;
            passed = at.map(|_| 0);
        }
        while let (Some(passed), false) = (&mut passed, bytes.is_empty()) {
            let Ok(most) = most.wait_for(|most| most > passed).await.map(|most| *most) else { return Ok(()) };
            let (now, rest) = bytes.split_at(bytes.len().min(usize::try_from(most - *passed).unwrap()));
            to.write_all(now).await?;
            *passed += now.len() as u64;
            bytes = rest;
        }
    }
}

/// What is asked about one resource.
struct Asked {
    tasks: &'static str,
    id: [(&'static str, &'static str); 1],
    /// Where the rows are in the answer.
    rows: &'static str,
}

const RDS: Asked =
    Asked { tasks: "rds:DescribeBackupTasks", id: [("DBInstanceId", "rm-1")], rows: "/Items/BackupJob/0" };
const TAIR: Asked =
    Asked { tasks: "kvstore:DescribeBackupTasks", id: [("InstanceId", "r-1")], rows: "/BackupJobs/0" };

async fn job(world: &World) -> (u64, u64) {
    let listed = ok(world, ("GET", "/jobs"), &[], &json!({})).await;
    let count = |name: &str| listed["rows"][0][name].as_u64().unwrap_or_default();
    (count("bytes_done"), count("bytes_total"))
}

/// Lets through what is named, one after the other, then all; `implied` says what is counted of so many bytes.
async fn walk(world: &World, gate: &Gate, asked: &Asked, implied: impl Fn(u64) -> RangeInclusive<u64>) {
    let row =
        async || -> Value { world.ok(asked.tasks, &asked.id).await.pointer(asked.rows).unwrap().clone() };
    let first = *gate.most.borrow();
    for most in [first, 2 * first, 2 * first + 1] {
        gate.most.send_replace(most);
        let (done, total) = world
            .until(async || {
                let (done, total) = job(world).await;
                assert!(done <= most, "{done} of {most} bytes");
                implied(most).contains(&done).then_some((done, total))
            })
            .await;
        let (shown, (after, same_total)) = (row().await, job(world).await);
        let process: u64 = shown["Process"].as_str().unwrap().parse().unwrap();
        assert!((100 * done / total..=100 * after / total).contains(&process), "{done} {after} {shown}");
        assert_eq!((same_total, &shown["BackupProgressStatus"]), (total, &json!("Uploading")));
        assert!(implied(most).contains(&after), "{after} of {most} bytes");
    }
    gate.most.send_replace(u64::MAX);
    let ended = async || (row().await["Process"] == "100").then_some(());
    world.until(ended).await;
    let (done, total) = job(world).await;
    assert!(done == total && done > 2 * first + 1, "{done} of {total} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_redis_is_as_far_as_its_server_has_sent() {
    let (world, redis) = (World::start().await, Redis::start(&["--repl-diskless-sync", "no"]));
    let mut client = redis.client();
    for number in 0..30 {
        let (key, value) = (format!("key {number}").into_bytes(), Random::new(number).bytes(100_000));
        client.run(&[b"SET".to_vec(), key, value]);
    }
    let gate = Gate::before(&redis.socket(), b"REDIS0", 1_000_000).await;
    let new =
        json!({"resource_id": "r-1", "engine": "redis", "url": format!("redis://127.0.0.1:{}", gate.port)});
    ok(&world, ("POST", "/resources"), &[], &new).await;
    world.ok("kvstore:CreateBackup", &TAIR.id).await;
    // To the byte: what it saves before it sends is as long as it says.
    walk(&world, &gate, &TAIR, |most| most..=most).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_postgresql_is_as_far_as_its_server_has_sent() {
    let (world, postgres) = (World::start().await, Postgres::start());
    let gate = Gate::before(&postgres.folder().join(".s.PGSQL.5432"), b"", 8_000_000).await;
    let url = format!("postgresql://lifeboat@127.0.0.1:{}/postgres", gate.port);
    let new = json!({"resource_id": "rm-1", "engine": "postgresql", "url": url});
    ok(&world, ("POST", "/resources"), &[], &new).await;
    world.ok("rds:CreateBackup", &RDS.id).await;
    // Files, without what is between them.
    walk(&world, &gate, &RDS, |most| most / 10 * 8..=most).await;
}
