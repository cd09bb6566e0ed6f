//! The index of an open repository while somebody looks at it or adds to it.
//!
//! The rule that keeps this lock from deadlocks: a thread holds one index at a time, of whatever repository, and while
//! it does so it neither calls the storage nor waits for what another thread does. Who asked a second time could wait behind a
//! writer who waits for the first to be given back. Debug builds, and so all tests, panic where the rule is broken.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::index::Index;

/// The index, which does not change until this is dropped.
#[must_use]
pub struct IndexGuard<'r> {
    index: RwLockReadGuard<'r, Index>,
    _held: Held,
}

/// The index, for one who adds to it.
pub(super) struct IndexGuardMut<'r> {
    index: RwLockWriteGuard<'r, Index>,
    _held: Held,
}

impl<'r> IndexGuard<'r> {
    pub(super) fn new(lock: &'r RwLock<Index>) -> Self {
        let _held = Held::new();
        Self { index: lock.read().unwrap_or_else(PoisonError::into_inner), _held }
    }
}

impl<'r> IndexGuardMut<'r> {
    pub(super) fn new(lock: &'r RwLock<Index>) -> Self {
        let _held = Held::new();
        Self { index: lock.write().unwrap_or_else(PoisonError::into_inner), _held }
    }
}

impl Deref for IndexGuard<'_> {
    type Target = Index;

    fn deref(&self) -> &Index {
        &self.index
    }
}

impl Deref for IndexGuardMut<'_> {
    type Target = Index;

    fn deref(&self) -> &Index {
        &self.index
    }
}

impl DerefMut for IndexGuardMut<'_> {
    fn deref_mut(&mut self) -> &mut Index {
        &mut self.index
    }
}

thread_local! {
    static IS_HOLDING: Cell<bool> = const { Cell::new(false) };
}

/// Stands for the one index that a thread may hold.
struct Held;

impl Held {
    fn new() -> Self {
        if cfg!(debug_assertions) {
            assert!(!IS_HOLDING.replace(true), "a thread that holds an index asks for one again");
        }
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            IS_HOLDING.set(false);
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn who_holds_an_index_is_given_no_other() {
        let (one, other) = (RwLock::new(Index::new()), RwLock::new(Index::new()));
        for second in [&one, &other] {
            let asked_again = std::panic::catch_unwind(|| {
                let _first = IndexGuard::new(&one);
                drop(IndexGuard::new(second));
            });
            assert!(asked_again.is_err());
        }
        drop(IndexGuard::new(&one));
        drop(IndexGuardMut::new(&one));
        drop(IndexGuard::new(&other));
    }
}
