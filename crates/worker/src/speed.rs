//! The speed limit of a job: by the hour of the day where the machine is.

use std::num::NonZeroU64;
use std::time::Duration;

use lifeboat_model::speed_limit::SpeedLimit;
use lifeboat_repository::clock::Time;
use lifeboat_repository::storage::{RateSource, Rates};

/// A clock that is set, or a zone that shifts, is noticed after this.
const MOST_RELIANCE: Duration = Duration::from_secs(60);
const HOUR_SECONDS: u64 = 3600;

/// Rates that follow the windows of a limit.
pub(crate) struct Hourly {
    pub(crate) limit: SpeedLimit,
    pub(crate) time: Time,
}

impl RateSource for Hourly {
    fn rates(&self) -> (Rates, Duration) {
        let now = self.time.clock.now().to_zoned(self.time.zone.clone());
        let part = |number: i8| u64::try_from(number).unwrap_or_default();
        let rate = self.limit.at(u8::try_from(now.hour()).unwrap_or_default());
        let rate = rate.and_then(|rate| NonZeroU64::new(rate.saturating_mul(1024)));
        let left = HOUR_SECONDS.saturating_sub(part(now.minute()) * 60 + part(now.second()));
        let left = Duration::from_secs(left.max(1));
        (Rates { upload: rate, download: rate }, left.min(MOST_RELIANCE))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;
    use lifeboat_repository::id::Id;
    use lifeboat_repository::storage::{Body, FileId, FileKind, MemStorage, Storage, Throttle};
    use lifeboat_repository::{Cancel, clock::Pace};
    use lifeboat_testkit::time::FakeTime;

    use super::*;

    const PACK: usize = 1 << 20;

    /// The clock begins at 22:13:20 UTC.
    fn throttled(limit: &str, zone: TimeZone) -> (Arc<FakeTime>, Throttle<MemStorage>) {
        let fake = Arc::<FakeTime>::default();
        let time = Time { clock: Arc::<FakeTime>::clone(&fake), zone };
        let hourly = Arc::new(Hourly { limit: limit.parse().unwrap(), time });
        let pace = Arc::<FakeTime>::clone(&fake);
        (fake, Throttle::new(MemStorage::new(), hourly, pace, Cancel::default()))
    }

    fn put(storage: &Throttle<MemStorage>, mebibytes: u64) {
        for number in 0..mebibytes {
            let file = FileId::new(FileKind::Pack, Id::of(&number.to_le_bytes()));
            storage.put(file, &Body::from_bytes(vec![0; PACK])).unwrap();
        }
    }

    #[test]
    fn what_a_window_allows_goes_through_in_it_and_no_more() {
        let (fake, storage) = throttled("0:1:2048|22:23:1024|23:24:512", TimeZone::UTC);
        let seconds = |storage: &_, mebibytes| {
            let before = fake.uptime();
            put(storage, mebibytes);
            (fake.uptime() - before).as_secs()
        };
        assert_eq!(seconds(&storage, 100), 100, "22:13 at one a second");
        fake.pass(Duration::from_secs(2600));
        // 22:58:20: a hundred go in what is left of the hour, the others take two seconds each.
        assert_eq!(seconds(&storage, 200), 100 + 200);
        fake.pass(Duration::from_secs(3600));
        // 00:03:20 at two a second, until one o'clock; then there is no limit.
        assert_eq!(seconds(&storage, 100), 50);
        fake.pass(Duration::from_secs(3600));
        assert_eq!(seconds(&storage, 100), 0);
    }

    #[test]
    fn hours_are_those_of_the_machine() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let (fake, storage) = throttled("6:7:1024", zone);
        put(&storage, 7);
        assert_eq!(fake.uptime(), Duration::from_secs(7), "22:13 UTC is 06:13 there");
    }
}
