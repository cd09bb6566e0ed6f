//! `unlock`: removes locks that were left behind.

use lifeboat_repository::lock::{remove_all, remove_stale};
use serde::Serialize;

use crate::app::App;
use crate::cli::upkeep::UnlockArgs;
use crate::exit::Status;
use crate::output::text;
use crate::vault::Vault;

#[derive(Serialize)]
struct Unlocked {
    message_type: &'static str,
    removed: u64,
    kept: u64,
    unreadable: u64,
}

pub(super) fn run(app: &App, args: &UnlockArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    let files = repository.files().as_ref();
    let summary = if args.remove_all {
        remove_all(files, &app.ctx)?
    } else {
        remove_stale(files, &app.holder(), &app.time, &app.ctx)?
    };
    for id in &summary.unreadable {
        app.output.warn(format_args!("lock {} cannot be read; --remove-all removes it", id.short()));
    }
    let (kept, unreadable) = (summary.kept.len() as u64, summary.unreadable.len() as u64);
    if app.output.is_json() {
        app.output.json(&Unlocked {
            message_type: "unlocked",
            removed: summary.removed,
            kept,
            unreadable,
        })?;
        return Ok(Status::Success);
    }
    app.output.note(format_args!("removed {}", text::count(summary.removed, "lock")));
    let now = app.time.clock.now();
    for lock in &summary.kept {
        app.output.note(format_args!("left alone: {}", lock.describe(now)));
    }
    Ok(Status::Success)
}
