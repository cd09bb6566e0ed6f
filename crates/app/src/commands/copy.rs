//! `copy`: brings snapshots of another vault into this one.

use lifeboat_repository::copy::{CopyEnds, CopyReport, copy_snapshots};
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::retention::{GroupBy, Policy};
use serde::Serialize;

use crate::app::App;
use crate::choose::{self, Filter, Keying};
use crate::cli::copy::CopyArgs;
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;
use crate::vault::{self, Vault};

#[derive(Serialize)]
struct Copied {
    message_type: &'static str,
    source_snapshot: SnapshotId,
    snapshot_id: SnapshotId,
}

#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    snapshots_copied: u64,
    snapshots_skipped: u64,
    snapshots_held_back: u64,
    data_blobs: u64,
    tree_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
    num_errors: u64,
}

pub(super) fn run(app: &App, args: &CopyArgs) -> anyhow::Result<Status> {
    let from = vault::open_from(app, &args.from)?;
    let to = Vault::of(app)?.open(app)?;
    let filter = Filter::from_args(app, &args.filter)?;
    let workers = crate::app::workers();
    app.rehearsing(&from, LockMode::Shared, |from_lock| {
        let keying = Keying { filter: &filter, by: GroupBy::default(), policy: &Policy::default() };
        let mut chosen = choose::named_or_all(app, &from, &args.snapshots, &keying)?;
        chosen.keys.sort_unstable_by_key(|key| (key.time, key.id));
        let snapshots: Vec<SnapshotId> = chosen.keys.iter().map(|key| key.id).collect();
        let report = app.locked(&to, LockMode::Shared, |to_lock| {
            let ends = CopyEnds { from: &from, from_lock, to: &to, to_lock };
            Ok(app.watch(Kind::Upkeep, || copy_snapshots(ends, &snapshots, workers, &app.ctx))?)
        })?;
        Ok(chosen.status().and(tell(app, &report)?))
    })
}

fn tell(app: &App, report: &CopyReport) -> anyhow::Result<Status> {
    for problem in &report.problems {
        app.output.error(problem);
    }
    for id in &report.held_back {
        app.output.error(format_args!("snapshot {} is not copied: what it needs cannot be read", id.short()));
    }
    for (source_snapshot, snapshot_id) in report.copied.iter().copied() {
        if app.output.is_json() {
            app.output.json(&Copied { message_type: "copied", source_snapshot, snapshot_id })?;
        }
        app.output.note(format_args!(
            "snapshot {} saved as {}",
            source_snapshot.short(),
            snapshot_id.short()
        ));
    }
    let count = |number: usize| number as u64;
    let (copied, skipped) = (count(report.copied.len()), count(report.skipped.len()));
    if app.output.is_json() {
        app.output.json(&Summary {
            message_type: "summary",
            snapshots_copied: copied,
            snapshots_skipped: skipped,
            snapshots_held_back: count(report.held_back.len()),
            data_blobs: report.data_blobs,
            tree_blobs: report.tree_blobs,
            data_added: report.bytes_added,
            data_added_packed: report.bytes_stored,
            num_errors: report.problem_count,
        })?;
    }
    app.output.note(format_args!(
        "{} copied, {skipped} there already; {} added, {} after compression",
        text::count(copied, "snapshot"),
        text::bytes(report.bytes_added),
        text::bytes(report.bytes_stored)
    ));
    let is_complete = report.held_back.is_empty() && report.problem_count == 0;
    Ok(if is_complete { Status::Success } else { Status::Failure })
}
