//! Memory that workers may use together for the blobs they hold.

use std::sync::{Condvar, Mutex, PoisonError};

/// For sealed bytes as read, unsealed and decompressed ones.
const BUDGET_BYTES: u64 = 48 << 20;

/// Hands out memory, in numbers.
pub(super) struct Budget {
    left: Mutex<u64>,
    freed: Condvar,
}

/// A share that goes back when it is dropped.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Mutex::new(BUDGET_BYTES), freed: Condvar::new() }
    }
}

impl Budget {
    /// Waits until so much is free; what is more than all there is waits for all there is.
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let bytes = bytes.min(BUDGET_BYTES);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left =
            self.freed.wait_while(left, |left| *left < bytes).unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
        Share { budget: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
    }
}
