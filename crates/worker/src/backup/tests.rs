//! Backup jobs over real folders, into vaults whose storage the tests hold in hand.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Mutex;

use crossbeam_channel::{Receiver, Sender, bounded};
use lifeboat_model::files::FilesSpec;
use lifeboat_model::job::FULL_PROGRESS;
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::source::{Access, Content, Entry, EntryError, Event};
use lifeboat_repository::storage::{Body, FileId, FileKind, MemStorage, Storage, StorageError, Stored};
use lifeboat_repository::tree::{Node, NodeKind};
use lifeboat_testkit::repository;

use super::*;

/// A folder with files of so many bytes; at one byte reading stops until it is told to go on.
#[derive(Clone)]
struct Gated {
    sizes: Vec<u64>,
    next: usize,
    gate: Option<(u64, Sender<()>, Receiver<()>)>,
}

impl Source for Gated {
    fn next_event(&mut self, _: &Ctx) -> Option<Result<Event, EntryError>> {
        let at = self.next;
        self.next += 1;
        if at == 0 {
            let node = Node { name: b"s".to_vec(), kind: NodeKind::Dir, ..Node::default() };
            let access = Box::new(File { size: 0, before: 0, gate: None });
            return Some(Ok(Event::Enter(Entry { path: "/s".into(), node, access })));
        }
        if at == self.sizes.len() + 1 {
            return Some(Ok(Event::Leave));
        }
        let size = *self.sizes.get(at - 1)?;
        let before = self.sizes[..at - 1].iter().sum();
        let node = Node { name: format!("{at:04}").into_bytes(), size, ..Node::default() };
        let access = Box::new(File { size, before, gate: self.gate.clone() });
        Some(Ok(Event::Item(Entry { path: format!("/s/{at:04}").into(), node, access })))
    }
}

#[derive(Clone)]
struct File {
    size: u64,
    before: u64,
    gate: Option<(u64, Sender<()>, Receiver<()>)>,
}

impl Access for File {
    fn complete(&self, _: &mut Node) -> Result<(), EntryError> {
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        Ok(Box::new(Open { file: self.clone(), at: 0, random: self.before + 1 }))
    }
}

struct Open {
    file: File,
    at: u64,
    random: u64,
}

impl Read for Open {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut most = (self.file.size - self.at).min(buffer.len() as u64);
        if let Some((stop, at_gate, go)) = &self.file.gate {
            let here = self.file.before + self.at;
            if here == *stop {
                at_gate.send(()).unwrap();
                go.recv().unwrap_err();
            } else if here < *stop {
                most = most.min(*stop - here);
            }
        }
        let most = usize::try_from(most).unwrap();
        for byte in &mut buffer[..most] {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.random >> 56) as u8;
        }
        self.at += most as u64;
        Ok(most)
    }
}

impl Content for Open {
    fn node(&mut self) -> Result<Node, EntryError> {
        Ok(Node { size: self.file.size, ..Node::default() })
    }

    fn changed(&mut self) -> Result<Option<String>, EntryError> {
        Ok(None)
    }
}

fn order() -> BackupOrder {
    let settings = repository::settings();
    BackupOrder {
        about: serde_json::Value::Null,
        vault: VaultAccess {
            place: PathBuf::new(),
            password: String::new(),
            hostname: "test".to_owned(),
            time: settings.time,
            spool_folder: settings.spool_folder,
            lock_wait: std::time::Duration::ZERO,
        },
        spec: BackupSpec {
            files: FilesSpec { paths: vec!["/s".to_owned()], ..FilesSpec::default() },
            ..BackupSpec::default()
        },
        tags: Vec::new(),
        parent: None,
        allowed: Vec::new(),
        speed_limit: None,
        workers: 1,
    }
}

fn sources(source: &Gated, progress: &Arc<Progress>) -> Sources<Gated> {
    let paths = Arc::new(Paths::new(&["/s".to_owned()]).unwrap());
    let saved = Counted::new(source.clone(), Arc::clone(&paths), Arc::clone(progress));
    Sources { saved, counted: source.clone(), paths }
}

#[test]
fn a_source_that_stops_at_a_byte_stops_bytes_done_and_progress_there() {
    let repository = repository::init(Arc::new(MemStorage::new()));
    let lock = repository::lock(&repository, LockMode::Shared);
    let (at_gate, stopped) = bounded(0);
    let (release, go) = bounded::<()>(0);
    let source = Gated { sizes: vec![300_000, 1_000_000], next: 0, gate: Some((700_000, at_gate, go)) };
    let progress = Arc::<Progress>::default();
    let ctx = Ctx::default();
    std::thread::scope(|scope| {
        let saving = scope.spawn(|| {
            save(&order(), (&repository, &lock), sources(&source, &progress), (&progress, &ctx)).unwrap()
        });
        stopped.recv().unwrap();
        let counters = progress.read();
        assert_eq!((counters.bytes_done, counters.bytes_handled), (700_000, 700_000));
        assert_eq!((counters.bytes_total, counters.items_total), (Some(1_300_000), Some(3)));
        assert_eq!((counters.files_done, counters.files_actual), (1, 1));
        assert_eq!(counters.progress(), 5384);
        drop(release);
        let (report, _) = saving.join().unwrap();
        assert!(report.snapshot.is_some());
    });
    let counters = progress.read();
    assert_eq!((counters.bytes_done, counters.bytes_actual), (1_300_000, 1_300_000));
    assert_eq!((counters.items_done, counters.items_actual, counters.files_done), (3, 3, 2));
    assert_eq!(counters.progress(), FULL_PROGRESS - 1, "what makes it whole is the commit");
}

/// Bytes stored, bytes done, progress.
type Noted = (u64, u64, u32);

/// Notes how far the job is before each pack is stored, and how much was stored until then.
struct Watched {
    inner: MemStorage,
    progress: Mutex<Option<Arc<Progress>>>,
    stored: Mutex<(u64, Vec<Noted>)>,
}

impl Storage for Watched {
    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        let mut stored = self.stored.lock().unwrap();
        if let (FileKind::Pack | FileKind::Snapshot, Some(progress)) =
            (file.kind, &*self.progress.lock().unwrap())
        {
            let (counters, before) = (progress.read(), stored.0);
            stored.1.push((before, counters.bytes_done, counters.progress()));
            stored.0 += body.len();
        }
        self.inner.put(file, body)
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.inner.read(file, range)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.inner.size(file)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        self.inner.list(kind, visit)
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.inner.delete(file)
    }

    fn sweep(&self, before: jiff::Timestamp) -> Result<u64, StorageError> {
        self.inner.sweep(before)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Packs under way, of a mebibyte each and a chunk more, and the chunk at hand.
const MOST_AHEAD: u64 = 6 * (9 << 20);

#[test]
fn bytes_done_is_never_far_ahead_of_what_is_stored() {
    let storage =
        Arc::new(Watched { inner: MemStorage::new(), progress: Mutex::default(), stored: Mutex::default() });
    drop(repository::init(Arc::<Watched>::clone(&storage)));
    let settings =
        lifeboat_repository::repository::Settings { pack_bytes: 1 << 20, ..repository::settings() };
    let password = lifeboat_repository::key::Password::new(repository::PASSWORD);
    let repository = Repository::open(Arc::<Watched>::clone(&storage), &password, settings).unwrap();
    let lock = repository::lock(&repository, LockMode::Shared);
    let (source, progress) =
        (Gated { sizes: vec![2 << 20; 48], next: 0, gate: None }, Arc::<Progress>::default());
    *storage.progress.lock().unwrap() = Some(Arc::clone(&progress));
    let ctx = Ctx::default();
    save(&order(), (&repository, &lock), sources(&source, &progress), (&progress, &ctx)).unwrap();
    let (_, noted) = &*storage.stored.lock().unwrap();
    assert!(noted.len() > 20, "{}", noted.len());
    for (stored, done, progress) in noted {
        assert!(done.saturating_sub(*stored) <= MOST_AHEAD, "{done} bytes done, {stored} stored");
        assert!(*progress < FULL_PROGRESS);
    }
    assert!(noted.is_sorted_by_key(|(_, done, progress)| (*done, *progress)));
    assert!(noted[0].2 < 6000, "{:?}", noted[0]);
}
