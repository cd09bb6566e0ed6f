//! Storage calls that can be given up: a disk or server that does not answer must not keep a cancelled
//! operation from ending.
//!
//! Each call runs on a worker thread while the caller waits for its result or for the cancellation. After a
//! cancellation calls get a moment to end in order (a lock is to be removed), then they are abandoned: the worker
//! stays stuck until the storage answers or the process ends, and what it was doing may still happen.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select_biased};
use jiff::Timestamp;

use super::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};
use crate::ctx::Cancel;

/// What a call still gets after a cancellation.
const GRACE: Duration = Duration::from_millis(400);
const PUT: &str = "write";
/// Listings cross threads in parts of this many files.
const BATCH: usize = 256;

/// A storage whose calls end soon after `cancel`, whatever the storage does.
pub struct Interruptible {
    inner: Arc<dyn Storage>,
    cancel: Cancel,
    workers: Arc<Workers>,
    /// A call had to be abandoned: the storage hangs, the next ones need not try.
    is_stuck: AtomicBool,
    /// One of them was a `put`: the file may still appear.
    is_put_pending: AtomicBool,
}

impl Interruptible {
    pub fn new(inner: Arc<dyn Storage>, cancel: Cancel) -> Self {
        Self {
            inner,
            cancel,
            workers: Arc::default(),
            is_stuck: AtomicBool::new(false),
            is_put_pending: AtomicBool::new(false),
        }
    }

    fn call<T: Send + 'static>(
        &self,
        what: Call,
        work: impl FnOnce(&dyn Storage) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (done, result) = bounded(1);
        let inner = Arc::clone(&self.inner);
        let job = move || {
            let outcome = work(inner.as_ref());
            match done.send(outcome) {
                // Nobody waits for the result of an abandoned call.
                Ok(()) | Err(_) => {}
            }
        };
        self.workers.run(Box::new(job)).map_err(|cause| what.failed(StorageErrorKind::Io, cause))?;
        self.wait(what, &result)?
    }

    fn wait<T>(&self, what: Call, result: &Receiver<T>) -> Result<T, StorageError> {
        let broken = || what.failed(StorageErrorKind::Io, "the storage broke off in the middle of the call");
        if !self.cancel.is_cancelled() {
            select_biased! {
                recv(result) -> received => return received.map_err(|_| broken()),
                recv(self.cancel.closed()) -> _closed => {}
            }
        }
        // Deletions may be of our lock: they are given their moment in any case.
        let is_hopeless = self.is_stuck.load(Ordering::Relaxed) && what.op != "delete";
        match result.recv_timeout(if is_hopeless { Duration::ZERO } else { GRACE }) {
            Ok(received) => Ok(received),
            Err(RecvTimeoutError::Disconnected) => Err(broken()),
            Err(RecvTimeoutError::Timeout) => {
                self.is_stuck.store(true, Ordering::Relaxed);
                if what.op == PUT {
                    self.is_put_pending.store(true, Ordering::Relaxed);
                }
                Err(what.failed(StorageErrorKind::Cancelled, "the storage did not answer in time"))
            }
        }
    }
}

/// Names a call in errors.
#[derive(Clone, Copy)]
struct Call {
    op: &'static str,
    file: Option<FileId>,
}

impl Call {
    fn failed(self, kind: StorageErrorKind, cause: impl Into<crate::error::Cause>) -> StorageError {
        StorageError { kind, op: self.op, file: self.file, cause: cause.into() }
    }
}

impl Storage for Interruptible {
    fn create(&self) -> Result<(), StorageError> {
        self.call(Call { op: "make its folders", file: None }, |inner| inner.create())
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        let body = body.clone();
        self.call(Call { op: PUT, file: Some(file) }, move |inner| inner.put(file, &body))
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.call(Call { op: "read", file: Some(file) }, move |inner| inner.read(file, range))
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.call(Call { op: "inspect", file: Some(file) }, move |inner| inner.size(file))
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        let what = Call { op: "list the files of", file: None };
        let (parts, listing) = bounded(2);
        let inner = Arc::clone(&self.inner);
        let job = move || list_in_parts(inner.as_ref(), kind, &parts);
        self.workers.run(Box::new(job)).map_err(|cause| what.failed(StorageErrorKind::Io, cause))?;
        loop {
            match self.wait(what, &listing)? {
                Part::Files(files) if files.iter().copied().all(&mut *visit) => {}
                Part::Files(_) => return Ok(()),
                Part::End(result) => return result,
            }
        }
    }

    /// A lock stays while a `put` may still come true: an index that appears after a prune of somebody else
    /// would name packs that are gone. The lock grows stale, or its process is found dead.
    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        let what = Call { op: "delete", file: Some(file) };
        if file.kind == FileKind::Lock && self.is_put_pending.load(Ordering::Relaxed) {
            return Err(
                what.failed(StorageErrorKind::Cancelled, "a file that was being written may still appear")
            );
        }
        self.call(what, move |inner| inner.delete(file))
    }

    fn sweep(&self, before: Timestamp) -> Result<u64, StorageError> {
        let what = Call { op: "remove temporary files of", file: None };
        self.call(what, move |inner| inner.sweep(before))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

enum Part {
    Files(Vec<Stored>),
    End(Result<(), StorageError>),
}

fn list_in_parts(storage: &dyn Storage, kind: FileKind, parts: &Sender<Part>) {
    let mut part = Vec::with_capacity(BATCH);
    let result = storage.list(kind, &mut |stored| {
        part.push(stored);
        part.len() < BATCH || parts.send(Part::Files(std::mem::take(&mut part))).is_ok()
    });
    for last in [Part::Files(part), Part::End(result)] {
        if parts.send(last).is_err() {
            // The visitor has seen enough, or the call was abandoned.
            return;
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Work for a worker, with the way to give it more once it is done.
struct Errand {
    job: Job,
    again: Sender<Errand>,
}

/// Threads that wait for work; as many as calls were ever running or stuck at once. They end with the last
/// reference to this.
#[derive(Default)]
struct Workers {
    idle: Mutex<Vec<Sender<Errand>>>,
}

impl Workers {
    fn run(self: &Arc<Self>, job: Job) -> std::io::Result<()> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let worker = match idle {
            Some(worker) => worker,
            None => self.hire()?,
        };
        let again = worker.clone();
        worker.send(Errand { job, again }).map_err(|_| std::io::Error::other("a storage thread has ended"))
    }

    fn hire(self: &Arc<Self>) -> std::io::Result<Sender<Errand>> {
        let (worker, errands) = bounded::<Errand>(1);
        let workers = Arc::downgrade(self);
        // Not scoped, because a scope waits for its threads and this one may never come back; it holds nothing
        // that anybody waits for. The handle is let go for the same reason.
        let thread = std::thread::Builder::new().name("storage".to_owned());
        drop(thread.spawn(move || work(&errands, &workers))?);
        Ok(worker)
    }
}

fn work(errands: &Receiver<Errand>, workers: &Weak<Workers>) {
    while let Ok(Errand { job, again }) = errands.recv() {
        job();
        let Some(workers) = workers.upgrade() else { return };
        workers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(again);
    }
}
