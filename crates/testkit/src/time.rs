//! A clock that moves only when told, or when somebody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_repository::Cancel;
use lifeboat_repository::clock::{Clock, Pace};

/// Both the clock on the wall and the pace of time. A wait takes no time, but moves both on.
#[derive(Debug, Default)]
pub struct FakeTime {
    clock_ms: AtomicU64,
    uptime_ms: AtomicU64,
    waits: Mutex<Vec<Duration>>,
}

impl FakeTime {
    /// Lets time pass.
    pub fn pass(&self, duration: Duration) {
        self.set_clock_forward(duration);
        self.uptime_ms.fetch_add(milliseconds(duration), Ordering::SeqCst);
    }

    /// Moves the clock on the wall without any time passing.
    pub fn set_clock_forward(&self, duration: Duration) {
        self.clock_ms.fetch_add(milliseconds(duration), Ordering::SeqCst);
    }

    /// The waits asked for since the last call of this.
    pub fn take_waits(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.waits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("no test takes so long")
}

impl Clock for FakeTime {
    fn now(&self) -> Timestamp {
        let ms = 1_700_000_000_000 + self.clock_ms.load(Ordering::SeqCst);
        let ms = i64::try_from(ms).expect("no test takes so long");
        Timestamp::from_millisecond(ms).expect("no test takes so long")
    }
}

impl Pace for FakeTime {
    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime_ms.load(Ordering::SeqCst))
    }

    fn wait(&self, duration: Duration, cancels: &[&Cancel]) -> bool {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(duration);
        self.pass(duration);
        !cancels.iter().any(|cancel| cancel.is_cancelled())
    }
}
