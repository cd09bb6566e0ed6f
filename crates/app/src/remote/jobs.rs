//! `job`: what a server is doing and has done.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lifeboat_api::native::Job;
use lifeboat_model::id::RestoreId;
use serde_json::json;

use super::Remote;
use super::show::percent;
use crate::cli::remote::{JobAction, JobListArgs};
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;

const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) fn run(remote: &Remote<'_>, action: &JobAction) -> anyhow::Result<Status> {
    match action {
        JobAction::List(args) => list(remote, "/jobs", args),
        JobAction::Show { job } => show(remote, "/jobs/{job}", job),
        JobAction::Watch { job } => watch(remote, "/jobs/{job}", job),
        // Who may stop restores need not be who may stop the rest.
        JobAction::Cancel { job } if job.starts_with(RestoreId::PREFIX) => {
            cancel(remote, "/restore-jobs/{restore}/cancel", job)
        }
        JobAction::Cancel { job } => cancel(remote, "/jobs/{job}/cancel", job),
    }
}

pub(super) fn list(remote: &Remote<'_>, path: &str, args: &JobListArgs) -> anyhow::Result<Status> {
    let vault = remote.vault()?;
    let query =
        [("vault_id", vault.as_deref()), ("plan_id", args.plan.as_deref()), ("state", args.state.as_deref())];
    let (jobs, total) = remote.list(path, &[], &query, args.limit.limit)?;
    let headings = ["ID", "Kind", "State", "Done", "Size", "Created", "Name"];
    remote.table(&headings, (&jobs, total), |job: &Job| {
        vec![
            job.job_id.clone(),
            job.kind.clone(),
            state(job),
            percent(job.progress),
            job.bytes_total.map(text::bytes).unwrap_or_default(),
            remote.moment(Some(job.created)),
            job.name.clone(),
        ]
    })
}

pub(super) fn show(remote: &Remote<'_>, path: &str, id: &str) -> anyhow::Result<Status> {
    let job: Job = remote.get(path, &[id])?;
    remote.details(&job)
}

pub(super) fn cancel(remote: &Remote<'_>, path: &str, id: &str) -> anyhow::Result<Status> {
    let job: Job = remote.post(path, &[id], &json!({}))?;
    if remote.app.output.is_json() {
        remote.app.output.json(&job)?;
    } else {
        remote.app.output.line(format_args!("job {id} is {}", job.state))?;
    }
    Ok(Status::Success)
}

/// Shows how far a job is until it has ended; the exit code is what a backup or restore here would have ended with.
pub(super) fn watch(remote: &Remote<'_>, path: &str, id: &str) -> anyhow::Result<Status> {
    let app = remote.app;
    let first: Job = remote.get(path, &[id])?;
    let kind = if first.kind == "restore" { Kind::Restore } else { Kind::Backup };
    let ended = app.watch(kind, || {
        let mut job = first;
        loop {
            count(remote, &job);
            if job.is_final {
                return anyhow::Ok(job);
            }
            // Whoever stops watching does not stop the job.
            app.ctx.cancel.check()?;
            std::thread::sleep(LOOK_EVERY);
            job = remote.get(path, &[id])?;
        }
    })?;
    if app.output.is_json() {
        app.output.json(&ended)?;
    } else {
        app.output.line(summary(&ended))?;
    }
    Ok(match ended.state.as_str() {
        "COMPLETE" => Status::Success,
        "PARTIAL_COMPLETE" => Status::Incomplete,
        "CANCELED" => Status::Interrupted,
        _ => Status::Failure,
    })
}

/// Tells whoever draws the progress how far the job is.
fn count(remote: &Remote<'_>, job: &Job) {
    let counters = &remote.app.ctx.counters;
    let phase = match job.state.as_str() {
        "CREATED" | "QUEUED" => "waiting",
        "CANCELING" => "stopping",
        _ if job.kind == "database_restore" => "restore",
        _ if let Some(phase) = database_phase(job) => phase,
        _ if job.kind == "restore" => "restore",
        _ => "backup",
    };
    if counters.phase() != phase {
        counters.begin_phase(phase, 0, 0);
    }
    let total = job.bytes_total.unwrap_or(0);
    let handled = u128::from(total) * u128::from(job.progress) / 10_000;
    for (counter, number) in [
        (&counters.total_bytes, total),
        (&counters.bytes_done, u64::try_from(handled).unwrap_or(total)),
        (&counters.total_items, job.files_total.unwrap_or(0)),
        (&counters.items_done, job.files_done),
    ] {
        counter.store(number, Ordering::Relaxed);
    }
    counters.totals_known.store(job.bytes_total.is_some(), Ordering::Relaxed);
}

/// How far a job is, and of a backup of a database what it does.
fn state(job: &Job) -> String {
    let phase = database_phase(job).filter(|_| !job.is_final);
    phase.map_or_else(|| job.state.clone(), |phase| format!("{} ({phase})", job.state))
}

fn database_phase(job: &Job) -> Option<&'static str> {
    Some(match job.phase.as_deref()? {
        "checking" => "checking",
        "waiting" => "waiting for its turn",
        "preparing" => "preparing",
        "streaming" => "streaming",
        "reading_back" => "reading back",
        _ => return None,
    })
}

fn summary(job: &Job) -> String {
    let mut line = format!("job {} is {}", job.job_id, job.state);
    if let Some(message) = job.error_message.as_ref().or(job.error_code.as_ref()) {
        line.push_str(&format!(": {message}"));
    }
    let (done, new) =
        if job.kind.ends_with("restore") { ("written", "fetched") } else { ("read", "new to the vault") };
    let (read, added) = (text::bytes(job.bytes_done), text::bytes(job.bytes_actual));
    line.push_str(&format!("; {}, {read} {done}, {added} {new}", text::count(job.files_done, "file")));
    line
}
