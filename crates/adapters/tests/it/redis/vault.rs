//! From a server into a vault, and from the vault into another server.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_adapters::redis::{RedisError, RedisErrorKind, Replica, RestoreOptions, restore};
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::BlobId;
use lifeboat_repository::intake::{IntakeOptions, Received};
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::MemStorage;
use lifeboat_repository::tree::Node;
use lifeboat_repository::{Counters, Ctx};
use lifeboat_testkit::redis::{Redis, contents};
use lifeboat_testkit::repository::{SystemClock, init, lock, open};

use super::{endpoint, fill, fill_bytes};

fn repository() -> Repository {
    let storage = MemStorage::new();
    init(Arc::new(storage.clone()));
    open(Arc::new(storage))
}

pub(super) fn receive(repository: &Repository, url: &str, ctx: &Ctx) -> Result<(Received, u64), RedisError> {
    let replica = Replica::begin(&endpoint(url), ctx)?;
    let lock = lock(repository, LockMode::Shared);
    let options = IntakeOptions { folder: PathBuf::from("r-1"), workers: 2 };
    let fill = |intake: &lifeboat_repository::intake::Intake<'_>| {
        replica.stream_into(intake, Path::new("dump.rdb"), Node::default(), ctx)
    };
    let received = repository.receive(&options, fill, &lock, ctx);
    lock.release().unwrap();
    received.map(|(received, summary)| (received, summary.bytes))
}

/// The file out of the vault, blob by blob.
pub(super) struct Stored<'r> {
    repository: &'r Repository,
    blobs: std::vec::IntoIter<BlobId>,
    blob: io::Cursor<Vec<u8>>,
}

impl Read for Stored<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.blob.read(buffer)? {
                0 => {}
                read => return Ok(read),
            }
            let Some(id) = self.blobs.next() else { return Ok(0) };
            let blob = self.repository.read_blob(BlobRef { kind: BlobKind::Data, id });
            self.blob = io::Cursor::new(blob.map_err(io::Error::other)?);
        }
    }
}

pub(super) fn stored<'r>(repository: &'r Repository, received: &Received) -> (Stored<'r>, u64) {
    let only = |id| repository.read_tree(id).unwrap().next().unwrap().unwrap();
    let file = only(only(received.root()).subtree.unwrap());
    assert_eq!(file.name, b"dump.rdb");
    let blobs = file.content.unwrap().into_iter();
    (Stored { repository, blobs, blob: io::Cursor::new(Vec::new()) }, file.size)
}

#[test]
fn a_server_comes_back_out_of_a_vault() {
    let (source, target) = (Redis::start(&[]), Redis::start(&[]));
    fill(&mut source.client());
    fill_bytes(&mut source.client(), 8);
    let (repository, ctx) = (repository(), Ctx::default());
    let (received, bytes) = receive(&repository, &source.url(), &ctx).unwrap();
    received.read_back(&repository, &ctx).unwrap();
    assert_eq!(Counters::get(&ctx.counters.bytes_read), bytes);
    let (_, size) = stored(&repository, &received);
    let rdb = || stored(&repository, &received).0;
    assert_eq!(size, bytes);
    let options = RestoreOptions { filter: None, clock: &SystemClock };
    restore(|| Ok(vec![rdb()]), &endpoint(&target.url()), &options, &ctx).unwrap();
    assert_eq!(contents(&mut target.client()), contents(&mut source.client()));
}

#[test]
fn a_server_that_dies_in_the_middle_fails_the_whole_intake() {
    let source = Redis::start(&[]);
    fill_bytes(&mut source.client(), 60);
    let (repository, ctx) = (repository(), Ctx::default());
    std::thread::scope(|scope| {
        let received = scope.spawn(|| receive(&repository, &source.url(), &ctx));
        while Counters::get(&ctx.counters.bytes_read) < 1 << 20 {
            std::thread::yield_now();
        }
        source.kill();
        let error = received.join().unwrap().unwrap_err();
        assert_eq!(error.kind, RedisErrorKind::SourceGone, "{error}");
    });
}
