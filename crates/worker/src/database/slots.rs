//! How many backups may read from databases at once: who comes later waits, and says so.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_repository::{Cancel, Error};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Places that are given away and come back.
#[derive(Debug)]
pub struct Slots {
    free: Mutex<usize>,
    came_back: Condvar,
}

/// A place; free again when it is dropped.
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(count.max(1)), came_back: Condvar::new() })
    }

    /// Takes a place; calls `wait` once if it has to wait for one.
    pub(crate) fn take(self: &Arc<Self>, wait: impl FnOnce(), cancel: &Cancel) -> Result<Slot, Error> {
        let mut wait = Some(wait);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            cancel.check()?;
            if let Some(wait) = wait.take() {
                wait();
            }
            let waited = self.came_back.wait_timeout(free, LOOK_EVERY);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Ok(Slot(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.came_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn who_finds_no_place_says_so_and_gets_the_next_one() {
        let (slots, cancel) = (Slots::new(1), Cancel::default());
        let first = slots.take(|| panic!("there was a place"), &cancel).unwrap();
        let (waits, told) = channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| slots.take(|| waits.send(()).unwrap(), &cancel).is_ok());
            told.recv().unwrap();
            drop(first);
            assert!(second.join().unwrap());
        });
        drop(slots.take(|| panic!("it has come back"), &cancel).unwrap());
    }

    #[test]
    fn a_cancel_ends_the_wait() {
        let (slots, cancel) = (Slots::new(1), Cancel::default());
        let _taken = slots.take(|| {}, &cancel).unwrap();
        assert!(slots.take(|| cancel.cancel(), &cancel).is_err());
    }
}
