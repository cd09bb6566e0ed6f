//! What the pipelines have in common: a thread that panics must not leave others waiting for it.
//!
//! The panic goes on in whoever joins the thread; until then somebody has to take what is still handed to it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::ScopedJoinHandle;

/// Does `work`. Should it panic, `drain` takes what is still handed in, then the panic goes on.
pub(crate) fn or_drain(work: impl FnOnce(), drain: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        drain();
        resume_unwind(panic);
    }
}

/// The result of a thread; a panic goes on in this one.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
