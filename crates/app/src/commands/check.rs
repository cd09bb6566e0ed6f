//! `check`: verifies a vault and names all that is wrong.

use lifeboat_repository::check::{CheckOptions, CheckReport, ReadData};
use lifeboat_repository::crypto::fill_random;
use lifeboat_repository::lock::LockMode;
use serde::Serialize;

use crate::app::App;
use crate::cli::upkeep::CheckArgs;
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;
use crate::vault::Vault;

#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    num_errors: u64,
    hints: u64,
    snapshots: u64,
    packs: u64,
    pack_bytes: u64,
    blobs: u64,
    unused_blobs: u64,
    unused_bytes: u64,
    packs_read: u64,
    bytes_read: u64,
    suggest_prune: bool,
}

pub(super) fn run(app: &App, args: &CheckArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    let mut seed = [0; 8];
    fill_random(&mut seed);
    let read_data = if args.read_data { ReadData::All } else { args.read_data_subset.unwrap_or_default() };
    let workers = crate::app::workers();
    let options = CheckOptions { read_data, seed: u64::from_le_bytes(seed), workers };
    let work = || Ok(app.watch(Kind::Upkeep, || repository.check(&options, &app.ctx))?);
    // Alone, as restic: what a backup beside it is about to index would look like something left over.
    let report =
        if app.args.no_lock { work()? } else { app.locked(&repository, LockMode::Exclusive, |_| work())? };
    tell(app, &report)
}

fn tell(app: &App, report: &CheckReport) -> anyhow::Result<Status> {
    for problem in &report.problems {
        app.output.error(problem);
    }
    let unnamed = report.problem_count.saturating_sub(report.problems.len() as u64);
    if unnamed > 0 {
        app.output.error(format_args!("{} more are not named", text::count(unnamed, "error")));
    }
    for hint in &report.hints {
        app.output.note(format_args!("note: {hint}"));
    }
    if app.output.is_json() {
        app.output.json(&Summary {
            message_type: "summary",
            num_errors: report.problem_count,
            hints: report.hint_count,
            snapshots: report.snapshots,
            packs: report.packs,
            pack_bytes: report.pack_bytes,
            blobs: report.blobs,
            unused_blobs: report.unused_blobs,
            unused_bytes: report.unused_bytes,
            packs_read: report.packs_read,
            bytes_read: report.bytes_read,
            suggest_prune: report.hint_count > 0,
        })?;
    }
    app.output.note(format_args!(
        "{}, {} of {}, {} ({} unused)",
        text::count(report.snapshots, "snapshot"),
        text::count(report.packs, "pack"),
        text::bytes(report.pack_bytes),
        text::count(report.blobs, "blob"),
        report.unused_blobs,
    ));
    if report.packs_read > 0 {
        let (packs, bytes) = (text::count(report.packs_read, "pack"), text::bytes(report.bytes_read));
        app.output.note(format_args!("{packs} read in full, {bytes}"));
    }
    if report.is_sound() {
        app.output.note("no errors were found");
        return Ok(Status::Success);
    }
    app.output.note(format_args!("{} found", text::count(report.problem_count, "error")));
    Ok(Status::Failure)
}
