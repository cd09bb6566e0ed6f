//! Figures for Prometheus, in its text format. `docs/operation.md` names each; a test compares.
//!
//! What the catalog knows is asked for when somebody looks; what this process did is counted since its start.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use lifeboat_model::time::Millis;
use lifeboat_service::{Result, Service};

/// Upper ends of the classes that durations are counted in, in milliseconds.
const CLASSES_MILLIS: [u32; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];

/// What this process has answered.
pub(super) struct Metrics {
    started: Millis,
    answered: Mutex<BTreeMap<String, Answered>>,
}

#[derive(Clone, Default)]
struct Answered {
    by_status: BTreeMap<u16, u64>,
    by_class: [u64; CLASSES_MILLIS.len()],
    count: u64,
    total: Duration,
}

impl Metrics {
    pub(super) fn new(started: Millis) -> Self {
        Self { started, answered: Mutex::default() }
    }

    /// Counts an answer. Only actions that there are have a name, so there is an end to the names.
    pub(super) fn note(&self, action: Option<&str>, status: StatusCode, took: Duration) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = answered.entry(action.unwrap_or("unknown").to_owned()).or_default();
        *answered.by_status.entry(status.as_u16()).or_default() += 1;
        answered.count += 1;
        answered.total += took;
        for (class, count) in CLASSES_MILLIS.iter().zip(&mut answered.by_class) {
            *count += u64::from(took <= Duration::from_millis(u64::from(*class)));
        }
    }

    pub(super) async fn write(&self, service: &Service) -> Result<String> {
        let mut text = Text::default();
        text.family("lifeboat_info", "gauge", "The version that runs; always 1");
        text.sample("lifeboat_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.family("lifeboat_start_time_seconds", "gauge", "When the server started, in Unix seconds");
        text.sample("lifeboat_start_time_seconds", &[], self.started.seconds());
        self.write_jobs(service, &mut text).await?;
        text.family(
            "lifeboat_source_last_success_timestamp_seconds",
            "gauge",
            "When the last backup that is complete ended, for each plan and binding; 0 before the first",
        );
        for source in service.sources().await? {
            let labels = [("source_id", source.id.as_str()), ("vault_id", source.vault.as_str())];
            let last = source.last_success.map_or(0, |time| time.seconds());
            text.sample("lifeboat_source_last_success_timestamp_seconds", &labels, last);
        }
        self.write_answered(&mut text);
        Ok(text.0)
    }

    async fn write_jobs(&self, service: &Service, text: &mut Text) -> Result<()> {
        text.family("lifeboat_jobs", "gauge", "Jobs that have not ended, by kind and state");
        for (kind, state, count) in service.open_jobs().await? {
            text.sample("lifeboat_jobs", &[("kind", &kind), ("state", &state)], count);
        }
        let ended = service.ended_jobs();
        text.family(
            "lifeboat_jobs_ended_total",
            "counter",
            "Jobs that this process has ended, by kind and state",
        );
        for ((kind, state), jobs) in &ended {
            text.sample("lifeboat_jobs_ended_total", &[("kind", kind), ("state", state)], jobs.count);
        }
        text.family("lifeboat_job_bytes_total", "counter", "Bytes of the jobs that this process has ended");
        for ((kind, state), jobs) in &ended {
            for (of, bytes) in [("done", jobs.bytes_done), ("actual", jobs.bytes_actual)] {
                let labels = [("kind", kind.as_str()), ("state", state), ("of", of)];
                text.sample("lifeboat_job_bytes_total", &labels, bytes);
            }
        }
        Ok(())
    }

    fn write_answered(&self, text: &mut Text) {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        text.family("lifeboat_api_requests_total", "counter", "Requests answered, by action and HTTP status");
        for (action, answered) in &answered {
            for (status, count) in &answered.by_status {
                let labels = [("action", action.as_str()), ("status", &status.to_string())];
                text.sample("lifeboat_api_requests_total", &labels, count);
            }
        }
        const NAME: &str = "lifeboat_api_request_duration_seconds";
        text.family(NAME, "histogram", "How long requests took, body included, by action");
        for (action, answered) in &answered {
            let action = ("action", action.as_str());
            for (class, count) in CLASSES_MILLIS.iter().zip(answered.by_class) {
                let end = (f64::from(*class) / 1000.0).to_string();
                text.sample(&format!("{NAME}_bucket"), &[action, ("le", &end)], count);
            }
            text.sample(&format!("{NAME}_bucket"), &[action, ("le", "+Inf")], answered.count);
            text.sample(&format!("{NAME}_sum"), &[action], answered.total.as_secs_f64());
            text.sample(&format!("{NAME}_count"), &[action], answered.count);
        }
    }
}

/// Prometheus' text, as it grows.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        self.push(format_args!("# HELP {name} {about}.\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        if labels.is_empty() {
            self.push(format_args!("{name} {value}\n"));
        } else {
            self.push(format_args!("{name}{{{}}} {value}\n", labels.join(",")));
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("text grows without failing");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_every_class_they_fit() {
        let metrics = Metrics::new(Millis(0));
        metrics.note(Some("A"), StatusCode::OK, Duration::from_millis(3));
        metrics.note(Some("A"), StatusCode::BAD_REQUEST, Duration::from_secs(60));
        let mut text = Text::default();
        metrics.write_answered(&mut text);
        for line in [
            "lifeboat_api_requests_total{action=\"A\",status=\"400\"} 1",
            "lifeboat_api_request_duration_seconds_bucket{action=\"A\",le=\"0.002\"} 0",
            "lifeboat_api_request_duration_seconds_bucket{action=\"A\",le=\"0.005\"} 1",
            "lifeboat_api_request_duration_seconds_bucket{action=\"A\",le=\"10\"} 1",
            "lifeboat_api_request_duration_seconds_bucket{action=\"A\",le=\"+Inf\"} 2",
            "lifeboat_api_request_duration_seconds_sum{action=\"A\"} 60.003",
        ] {
            assert!(text.0.lines().any(|is| is == line), "{line} is not in\n{}", text.0);
        }
    }

    #[test]
    fn values_of_labels_cannot_end_them() {
        let mut text = Text::default();
        text.sample("x", &[("y", "a\"b\\c\nd")], 1);
        assert_eq!(text.0, "x{y=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
