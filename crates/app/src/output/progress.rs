//! Progress: the counters of a running command, shown as a bar, as plain lines, or as JSON.
//!
//! The command runs on its own thread and knows nothing of this; a scoped thread beside it reads the counters.

use std::borrow::Cow;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat_repository::{Counters, Ctx};
use serde_json::{Map, Value, json};

use super::{Output, is_watched, text};

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
            view.clear();
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

    fn line(&self, kind: Kind, elapsed: Duration) -> String {
        let mut parts = Vec::new();
        if let Some(fraction) = self.fraction() {
            let about = if self.totals_known { "" } else { "about " };
            parts.push(format!("{about}{:.1}%", fraction * 100.0));
        }
        let unit = if kind == Kind::Upkeep { "" } else { " files" };
        if self.total_items > 0 {
            parts.push(format!("{}/{}{unit}", self.items, self.total_items));
        } else if self.items > 0 {
            parts.push(format!("{}{unit}", self.items));
        }
        if self.total_bytes > 0 {
            parts.push(format!("{} of {}", text::bytes(self.bytes), text::bytes(self.total_bytes)));
        } else if self.bytes > 0 {
            parts.push(text::bytes(self.bytes));
        }
        if self.bytes > 0 && elapsed >= Duration::from_secs(1) {
            let per_second = u128::from(self.bytes) * 1000 / elapsed.as_millis();
            parts.push(format!("{}/s", text::bytes(u64::try_from(per_second).unwrap_or(u64::MAX))));
        }
        if let Some(remaining) = self.remaining(elapsed) {
            parts.push(format!("{} left", text::duration(remaining)));
        }
        if self.errors > 0 {
            parts.push(text::count(self.errors, "error"));
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
    Bar(ProgressBar),
    Lines,
    Json,
}

impl<'a> View<'a> {
    fn new(output: &'a Output, kind: Kind) -> Self {
        let style = if output.is_json() {
            Style::Json
        } else if is_watched() {
            Style::Bar(new_bar())
        } else {
            Style::Lines
        };
        let started = Instant::now();
        Self { output, kind, style, began: started, phase: "", started }
    }

    fn interval(&self) -> Duration {
        match self.style {
            Style::Bar(_) => REDRAW_EVERY,
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
            Style::Bar(bar) => {
                // Thousandths: indicatif counts in whole numbers.
                let thousandths =
                    (0..=1000).rev().find(|n| f64::from(*n) <= sample.fraction().unwrap_or(0.0) * 1000.0);
                bar.set_position(thousandths.unwrap_or(0).try_into().unwrap_or(0));
                bar.set_prefix(printable(&sample.line(self.kind, elapsed)).into_owned());
                bar.set_message(printable(&sample.item).into_owned());
                bar.tick();
            }
        }
    }

    fn clear(&self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template("{bar:24} {prefix}\n{wide_msg}");
    bar.with_style(style.expect("the template names fields that exist"))
}

/// Names of files may hold control characters, which must not reach the terminal.
fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
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
            "backup: 25.0%, 3/12 files, 1.000 MiB of 4.000 MiB, 512.000 KiB/s, 0:06 left, 1 error"
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
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
