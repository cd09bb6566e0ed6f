//! Limits on the speed of a job by the hour of the day: `start:end:KBps`, several joined by `|`.
//!
//! Hours are those of the protected machine. `NaN` is no limit. Hours that no window names are not limited.

use std::fmt;
use std::str::FromStr;

/// Windows of hours in order, none across another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeedLimit(Vec<Window>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From this hour, 0 to 23,
    pub start: u8,
    /// until before this one, 1 to 24.
    pub end: u8,
    /// `None` is no limit.
    pub kib_per_second: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a speed limit: expected start:end:KBps with 0 <= start < end <= 24, joined by |, such as \
         0:8:NaN|8:18:5120, and no hour twice"
)]
pub struct ParseSpeedLimitError {
    text: String,
}

impl SpeedLimit {
    /// The limit in force at an hour of the day.
    pub fn at(&self, hour: u8) -> Option<u64> {
        let window = self.0.iter().find(|window| (window.start..window.end).contains(&hour));
        window.and_then(|window| window.kib_per_second)
    }

    pub fn windows(&self) -> &[Window] {
        &self.0
    }
}

impl FromStr for SpeedLimit {
    type Err = ParseSpeedLimitError;

    fn from_str(text: &str) -> Result<Self, ParseSpeedLimitError> {
        let error = || ParseSpeedLimitError { text: text.to_owned() };
        let mut windows = text.split('|').map(window).collect::<Option<Vec<_>>>().ok_or_else(error)?;
        windows.sort_by_key(|window| window.start);
        let is_apart = windows.is_sorted_by(|a, b| a.end <= b.start);
        if is_apart { Ok(Self(windows)) } else { Err(error()) }
    }
}

fn window(text: &str) -> Option<Window> {
    let mut parts = text.trim().split(':');
    let (start, end, rate) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (start, end): (u8, u8) = (start.parse().ok()?, end.parse().ok()?);
    let kib_per_second = match rate {
        rate if rate.eq_ignore_ascii_case("nan") => None,
        rate => Some(rate.parse().ok().filter(|rate| *rate > 0)?),
    };
    (start < end && end <= 24).then_some(Window { start, end, kib_per_second })
}

impl fmt::Display for SpeedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, window) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "|" };
            write!(f, "{separator}{}:{}:", window.start, window.end)?;
            match window.kib_per_second {
                Some(rate) => write!(f, "{rate}")?,
                None => f.write_str("NaN")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_has_the_limit_of_its_window() {
        let limit: SpeedLimit = "8:18:5120|0:6:NaN|18:24:100".parse().unwrap();
        assert_eq!(limit.at(0), None);
        assert_eq!(limit.at(7), None);
        assert_eq!(limit.at(8), Some(5120));
        assert_eq!(limit.at(17), Some(5120));
        assert_eq!(limit.at(23), Some(100));
        assert_eq!(limit.to_string(), "0:6:NaN|8:18:5120|18:24:100");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "0:24",
            "0:24:0",
            "0:25:1",
            "8:8:1",
            "9:8:1",
            "0:12:1|11:13:1",
            "0:24:-1",
            "a:b:c",
            "0:24:1:2",
        ] {
            assert!(text.parse::<SpeedLimit>().is_err(), "{text}");
        }
    }
}
