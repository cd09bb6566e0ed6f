//! Progress: the counters of a running command, shown as a bar, as plain lines, or as JSON.
//!
//! The bar is two rows: how far it is, and the current item.
//!
//! The command runs on its own thread and knows nothing of this; a scoped thread beside it reads the counters.

use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lifeboat_repository::{Counters, Ctx};
use serde_json::{Map, Value, json};

use super::{Output, bar, text};
use crate::env::Env;

/// What the items of a command are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Backup,
    Restore,
    /// Named by the phases themselves.
    Upkeep,
}

const REDRAW_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(10);
const JSON_EVERY: Duration = Duration::from_secs(1);

/// Runs `work` while showing how far it is.
pub(crate) fn watch<T>(output: &Output, kind: Kind, ctx: &Ctx, work: impl FnOnce() -> T) -> T {
    if !output.shows_progress() {
        return work();
    }
    let (finished, finish) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut view = View::new(output, kind);
            while finish.recv_timeout(view.interval()) == Err(RecvTimeoutError::Timeout) {
                view.show(&ctx.counters);
            }
            output.bar().clear();
        });
        let result = work();
        drop(finished);
        result
    })
}

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
struct Sample {
    phase: &'static str,
    items: u64,
    total_items: u64,
    bytes: u64,
    total_bytes: u64,
    totals_known: bool,
    errors: u64,
    item: String,
}

impl Sample {
    fn take(counters: &Counters) -> Self {
        Self {
            phase: counters.phase(),
            items: Counters::get(&counters.items_done),
            total_items: Counters::get(&counters.total_items),
            bytes: Counters::get(&counters.bytes_done),
            total_bytes: Counters::get(&counters.total_bytes),
            totals_known: counters.totals_known.load(std::sync::atomic::Ordering::Relaxed),
            errors: Counters::get(&counters.errors),
            item: counters.item().to_string_lossy().into_owned(),
        }
    }

    /// How much is done, from 0 to 1; by bytes where there are any, else by items.
    fn fraction(&self) -> Option<f64> {
        let (done, total) = if self.total_bytes > 0 {
            (self.bytes, self.total_bytes)
        } else {
            (self.items, self.total_items)
        };
        (total > 0).then(|| ratio(done, total).min(1.0))
    }

    /// How long the rest will take at the speed so far.
    fn remaining(&self, elapsed: Duration) -> Option<Duration> {
        let fraction = self.fraction().filter(|fraction| *fraction > 0.0 && self.totals_known)?;
        Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - fraction) / fraction).ok()
    }

    /// What matters most comes first: where there is no room, the end is left out.
    fn line(&self, kind: Kind, elapsed: Duration) -> String {
        let mut parts = Vec::new();
        if let Some(fraction) = self.fraction() {
            let about = if self.totals_known { "" } else { "about " };
            parts.push(format!("{about}{:.1}%", fraction * 100.0));
        }
        let unit = if kind == Kind::Upkeep { "" } else { " files" };
        if let Some(remaining) = self.remaining(elapsed) {
            parts.push(format!("{} left", text::duration(remaining)));
        }
        if self.total_items > 0 {
            parts.push(format!("{}/{}{unit}", self.items, self.total_items));
        } else if self.items > 0 {
            parts.push(format!("{}{unit}", self.items));
        }
        if self.bytes > 0 && elapsed >= Duration::from_secs(1) {
            let per_second = u128::from(self.bytes) * 1000 / elapsed.as_millis();
            parts.push(format!("{}/s", text::bytes(u64::try_from(per_second).unwrap_or(u64::MAX))));
        }
        if self.errors > 0 {
            parts.push(text::count(self.errors, "error"));
        }
        if self.total_bytes > 0 {
            parts.push(format!("{} of {}", text::bytes(self.bytes), text::bytes(self.total_bytes)));
        } else if self.bytes > 0 {
            parts.push(text::bytes(self.bytes));
        }
        let phase = if self.phase.is_empty() { "working" } else { self.phase };
        if parts.is_empty() { phase.to_owned() } else { format!("{phase}: {}", parts.join(", ")) }
    }

    fn status(&self, kind: Kind, elapsed: Duration) -> Value {
        let (items, bytes) = match kind {
            Kind::Backup => ("files_done", "bytes_done"),
            Kind::Restore => ("files_restored", "bytes_restored"),
            Kind::Upkeep => ("items_done", "bytes_done"),
        };
        let total_items = if kind == Kind::Upkeep { "total_items" } else { "total_files" };
        let mut status = Map::new();
        status.insert("message_type".into(), json!("status"));
        status.insert("seconds_elapsed".into(), json!(elapsed.as_secs()));
        if let Some(remaining) = self.remaining(elapsed) {
            status.insert("seconds_remaining".into(), json!(remaining.as_secs()));
        }
        status.insert("percent_done".into(), json!(self.fraction().unwrap_or(0.0)));
        if !self.phase.is_empty() {
            status.insert("phase".into(), json!(self.phase));
        }
        for (name, number) in [
            (total_items, self.total_items),
            (items, self.items),
            ("total_bytes", self.total_bytes),
            (bytes, self.bytes),
            ("error_count", self.errors),
        ] {
            if number > 0 {
                status.insert(name.into(), json!(number));
            }
        }
        if kind == Kind::Backup && !self.item.is_empty() {
            status.insert("current_files".into(), json!([self.item]));
        }
        Value::Object(status)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
fn ratio(done: u64, total: u64) -> f64 {
    done as f64 / total as f64
}

/// One way of showing progress.
struct View<'a> {
    output: &'a Output,
    kind: Kind,
    style: Style,
    /// When the running phase began.
    began: Instant,
    phase: &'static str,
    started: Instant,
}

enum Style {
    Bar,
    Lines,
    Json,
}

impl<'a> View<'a> {
    fn new(output: &'a Output, kind: Kind) -> Self {
        let style = if output.is_json() {
            Style::Json
        } else if std::io::stderr().is_terminal() && Env.get("TERM").is_some_and(|kind| kind != "dumb") {
            Style::Bar
        } else {
            Style::Lines
        };
        let started = Instant::now();
        Self { output, kind, style, began: started, phase: "", started }
    }

    fn interval(&self) -> Duration {
        match self.style {
            Style::Bar => REDRAW_EVERY,
            Style::Lines => LINE_EVERY,
            Style::Json => JSON_EVERY,
        }
    }

    fn show(&mut self, counters: &Counters) {
        let sample = Sample::take(counters);
        if sample.phase != self.phase {
            (self.phase, self.began) = (sample.phase, Instant::now());
        }
        let elapsed = self.began.elapsed();
        match &self.style {
            Style::Json => self.output.json_now(&sample.status(self.kind, self.started.elapsed())),
            Style::Lines => self.output.trouble(sample.line(self.kind, elapsed)),
            Style::Bar => {
                let columns = bar::columns();
                let item = text::printable(&sample.item);
                let first = first_row(&sample, self.kind, elapsed, columns);
                self.output.bar().draw(&first, bar::fitting(&item, columns));
            }
        }
    }
}

/// How far it is: a bar where the terminal has room for it, and in words as many as there is room for.
fn first_row(sample: &Sample, kind: Kind, elapsed: Duration, columns: usize) -> String {
    const CELLS: u32 = 20;
    let mut row = sample.line(kind, elapsed);
    if let Some(fraction) = sample.fraction()
        && row.len() + CELLS as usize + 3 <= columns
    {
        let done = |cell: &u32| f64::from(*cell) < fraction * f64::from(CELLS);
        let bar: String = (0..CELLS).map(|cell| if done(&cell) { '#' } else { '-' }).collect();
        row = format!("[{bar}] {row}");
    }
    while row.len() > columns {
        match row.rfind(", ") {
            Some(end) => row.truncate(end),
            None => row.truncate(columns),
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            phase: "backup",
            items: 3,
            total_items: 12,
            bytes: 1 << 20,
            total_bytes: 4 << 20,
            totals_known: true,
            errors: 1,
            item: "/a/b".into(),
        }
    }

    #[test]
    fn a_line_tells_share_files_bytes_speed_and_rest() {
        let line = sample().line(Kind::Backup, Duration::from_secs(2));
        assert_eq!(
            line,
            "backup: 25.0%, 0:06 left, 3/12 files, 512.000 KiB/s, 1 error, 1.000 MiB of 4.000 MiB"
        );
    }

    #[test]
    fn no_end_is_foretold_while_totals_still_grow() {
        let sample = Sample { totals_known: false, ..sample() };
        assert_eq!(sample.remaining(Duration::from_secs(2)), None);
        assert!(sample.line(Kind::Backup, Duration::ZERO).starts_with("backup: about 25.0%"));
        assert_eq!(Sample::default().line(Kind::Upkeep, Duration::ZERO), "working");
    }

    #[test]
    fn a_status_has_restics_names() {
        let backup = sample().status(Kind::Backup, Duration::from_secs(2));
        assert_eq!(
            backup,
            json!({"message_type": "status", "phase": "backup", "seconds_elapsed": 2, "seconds_remaining": 6,
                "percent_done": 0.25, "total_files": 12, "files_done": 3, "total_bytes": 4 << 20,
                "bytes_done": 1 << 20, "error_count": 1, "current_files": ["/a/b"]})
        );
        let restore = sample().status(Kind::Restore, Duration::from_secs(2));
        assert_eq!((&restore["files_restored"], &restore["bytes_restored"]), (&3.into(), &(1 << 20).into()));
    }

    #[test]
    fn the_first_row_is_never_wider_than_the_terminal() {
        let row = |columns| first_row(&sample(), Kind::Backup, Duration::from_secs(2), columns);
        let words = sample().line(Kind::Backup, Duration::from_secs(2));
        assert_eq!(row(200), format!("[#####---------------] {words}"));
        assert_eq!(row(80), "backup: 25.0%, 0:06 left, 3/12 files, 512.000 KiB/s, 1 error");
        assert_eq!(row(40), "backup: 25.0%, 0:06 left, 3/12 files");
        assert_eq!(row(5), "backu");
    }
}
