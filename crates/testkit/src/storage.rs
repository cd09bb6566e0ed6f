//! A storage that fails on order and remembers what it was asked, and the tests every storage must pass.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lifeboat_repository::storage::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};

mod suite;

pub use suite::storage_suite;

/// The operations of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    Create,
    Put,
    Read,
    Size,
    List,
    Delete,
    Sweep,
}

/// One recorded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub op: Op,
    pub kind: Option<FileKind>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing happened.
    Error,
    /// An error, although everything happened.
    ErrorButDone,
    /// A put stores the first half and fails; a read finds the file too short; others just fail.
    Short,
    /// The storage is full. Only puts fail of it.
    Full,
    /// No answer until [`FaultStorage::release`]; an error then.
    Hang,
}

/// Every kind of fault, for tests that try all.
pub const FAULTS: [Fault; 5] = [Fault::Error, Fault::ErrorButDone, Fault::Short, Fault::Full, Fault::Hang];

#[derive(Clone, Copy)]
struct Plan {
    at: usize,
    goes_on: bool,
    fault: Fault,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    plan: Option<Plan>,
    action: Option<(usize, Box<dyn FnOnce() + Send>)>,
    faults: usize,
    hanging: usize,
    is_released: bool,
    /// Files that listings do not show yet; `None` when they show everything.
    unlisted: Option<HashSet<FileId>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Wraps another storage; clones share everything.
#[derive(Clone)]
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    shared: Arc<Shared>,
}

impl FaultStorage {
    pub fn new(inner: impl Storage + 'static) -> Self {
        Self { inner: Arc::new(inner), shared: Arc::default() }
    }

    /// Makes one call fail, counted from zero and from now on.
    pub fn fail_call(&self, number: usize, fault: Fault) {
        self.plan(number, fault, false);
    }

    /// Makes a call and all after it fail.
    pub fn fail_from(&self, number: usize, fault: Fault) {
        self.plan(number, fault, true);
    }

    fn plan(&self, number: usize, fault: Fault, goes_on: bool) {
        let mut state = self.state();
        let at = state.calls.len() + number;
        state.plan = Some(Plan { at, goes_on, fault });
        state.is_released = false;
    }

    /// Ends all trouble: no fault any more, and what hangs fails now.
    pub fn release(&self) {
        let mut state = self.state();
        state.plan = None;
        state.is_released = true;
        self.shared.changed.notify_all();
    }

    /// Does something right before a call, counted from zero and from now on.
    pub fn before_call(&self, number: usize, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let at = state.calls.len() + number;
        state.action = Some((at, Box::new(action)));
    }

    /// Waits until a call hangs; false when [`FaultStorage::release`] came first.
    pub fn wait_for_hang(&self) -> bool {
        let is_quiet = |state: &mut State| state.hanging == 0 && !state.is_released;
        let waiting = self.shared.changed.wait_while(self.state(), is_quiet);
        waiting.unwrap_or_else(PoisonError::into_inner).hanging > 0
    }

    /// How many calls have failed on order.
    pub fn faults(&self) -> usize {
        self.state().faults
    }

    /// Everything asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub fn forget_calls(&self) {
        self.state().calls.clear();
    }

    pub fn count(&self, op: Op, kind: FileKind) -> usize {
        let wanted = Call { op, kind: Some(kind) };
        self.state().calls.iter().filter(|call| **call == wanted).count()
    }

    /// From now on listings omit what is put from now on, as storages do whose listings lag behind.
    pub fn freeze_listings(&self) {
        self.state().unlisted = Some(HashSet::new());
    }

    pub fn thaw_listings(&self) {
        self.state().unlisted = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a call and says what shall go wrong with it.
    fn record(&self, op: Op, kind: Option<FileKind>) -> Option<Fault> {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push(Call { op, kind });
        if let Some((_, action)) = state.action.take_if(|(at, _)| *at == number) {
            drop(state);
            action();
            state = self.state();
        }
        let plan = state.plan.filter(|plan| number == plan.at || plan.goes_on && number > plan.at);
        let fault = plan.map(|plan| plan.fault).filter(|fault| *fault != Fault::Full || op == Op::Put);
        state.faults += usize::from(fault.is_some());
        if fault == Some(Fault::Hang) {
            state.hanging += 1;
            self.shared.changed.notify_all();
            let waiting = self.shared.changed.wait_while(state, |state| !state.is_released);
            waiting.unwrap_or_else(PoisonError::into_inner).hanging -= 1;
        }
        fault
    }

    fn call<T>(
        &self,
        op: Op,
        file: Option<FileId>,
        work: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let kind = file.map(|file| file.kind);
        suffer(self.record(op, kind), Call { op, kind }, file, work)
    }
}

/// Does a call, or what the fault leaves of it.
fn suffer<T>(
    fault: Option<Fault>,
    call: Call,
    file: Option<FileId>,
    work: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let fail = |kind, cause: &str| Err(StorageError { kind, op: "reach", file, cause: cause.into() });
    match fault {
        None => work(),
        Some(Fault::ErrorButDone) => {
            drop(work()?);
            fail(StorageErrorKind::Io, "a fault made for a test, after the call")
        }
        Some(Fault::Short) if call.op == Op::Read => fail(StorageErrorKind::Truncated, "cut for a test"),
        Some(Fault::Full) => fail(StorageErrorKind::Full, "full for a test"),
        Some(Fault::Error | Fault::Short | Fault::Hang) => {
            fail(StorageErrorKind::Io, "a fault made for a test")
        }
    }
}

fn first_half(body: &Body) -> Body {
    let mut content = Vec::new();
    let half = body.len() / 2;
    let mut reader = std::io::Read::take(body.reader(), half);
    std::io::Read::read_to_end(&mut reader, &mut content).expect("the body can be read");
    drop(reader);
    Body::from_bytes(content)
}

impl Storage for FaultStorage {
    fn create(&self) -> Result<(), StorageError> {
        self.call(Op::Create, None, || self.inner.create())
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        if let Some(unlisted) = &mut self.state().unlisted {
            unlisted.insert(file);
        }
        let fault = self.record(Op::Put, Some(file.kind));
        if fault == Some(Fault::Short) {
            self.inner.put(file, &first_half(body))?;
        }
        suffer(fault, Call { op: Op::Put, kind: Some(file.kind) }, Some(file), || self.inner.put(file, body))
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.call(Op::Read, Some(file), || self.inner.read(file, range))
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.call(Op::Size, Some(file), || self.inner.size(file))
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        let unlisted = self.state().unlisted.clone().unwrap_or_default();
        let fault = self.record(Op::List, Some(kind));
        suffer(fault, Call { op: Op::List, kind: Some(kind) }, None, || {
            self.inner
                .list(kind, &mut |stored| unlisted.contains(&FileId::new(kind, stored.id)) || visit(stored))
        })
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.call(Op::Delete, Some(file), || self.inner.delete(file))
    }

    fn sweep(&self, before: Timestamp) -> Result<u64, StorageError> {
        self.call(Op::Sweep, None, || self.inner.sweep(before))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
