//! `restore`: brings back what a snapshot holds, below a target folder.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use lifeboat_adapters::files::FilesTarget;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::{
    Action, ActionKind, Overwrite, RestoreOptions, RestoreReport, Selected, Selection,
};
use serde::Serialize;

use crate::app::{App, workers};
use crate::choose::{self, Filter};
use crate::cli::restore::{OverwriteArg, RestoreArgs};
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;
use crate::read::{self, Opened};
use crate::select::PathRules;
use crate::vault::Vault;

/// A folder on the way to what an include may match is made only when something in it is.
impl Selection for PathRules {
    fn judge(&self, path: &[u8], is_dir: bool) -> Selected {
        let verdict = PathRules::judge(self, path);
        Selected { itself: verdict.matches, below: is_dir && verdict.may_match_below }
    }
}

pub(super) fn run(app: &App, args: &RestoreArgs) -> anyhow::Result<Status> {
    let began = Instant::now();
    let rules = PathRules::new(app.env, &args.exclude, &args.include)?;
    let filter = Filter::from_args(app, &args.filter)?;
    let current = app.env.current_folder().context("cannot tell the current folder")?;
    if args.delete && rules.takes_all() && is_root(app, args)? {
        bail!("--delete with the target / needs an include or exclude: it would remove the whole system");
    }
    let target = FilesTarget::open(&args.target, &current, &app.env.spool_folder())
        .with_context(|| format!("cannot restore to {}", args.target.display()))?;
    let repository = Vault::of(app)?.open(app)?;
    let report = app.reading(&repository, || {
        read::load_index(app, &repository)?;
        let opened = read::open(app, &repository, &args.snapshot, &filter)?;
        let (id, place) = (opened.id.short(), args.target.display());
        app.output.note(format_args!("restoring snapshot {id} to {place}"));
        let options = options(args, &opened, rules);
        app.watch(Kind::Restore, || restore(app, &repository, (&opened, options), &target))
    })?;
    tell(app, args, &report, began)
}

/// Whether the target is `/`, by whatever name. A target that is not there yet is told by its name alone.
fn is_root(app: &App, args: &RestoreArgs) -> anyhow::Result<bool> {
    if choose::absolute_paths(app, std::slice::from_ref(&args.target))?.iter().any(|path| path == "/") {
        return Ok(true);
    }
    let root = std::fs::metadata("/").context("cannot look at /")?;
    let is_same = |target: Metadata| (target.dev(), target.ino()) == (root.dev(), root.ino());
    Ok(std::fs::metadata(&args.target).is_ok_and(is_same))
}

fn options(args: &RestoreArgs, opened: &Opened, rules: PathRules) -> RestoreOptions {
    let takes_all = rules.takes_all() && args.snapshot.path.is_none();
    let summary = opened.snapshot.summary.as_ref().filter(|_| takes_all);
    RestoreOptions {
        select: Arc::new(rules),
        overwrite: match args.overwrite {
            OverwriteArg::Always => Overwrite::Always,
            OverwriteArg::IfChanged => Overwrite::IfChanged,
            OverwriteArg::IfNewer => Overwrite::IfNewer,
            OverwriteArg::Never => Overwrite::Never,
        },
        delete: args.delete,
        dry_run: args.dry_run,
        verify: args.verify,
        sparse: true,
        workers: workers(),
        expected: summary.map(|summary| (summary.total_files_processed, summary.total_bytes_processed)),
        actions: None,
        items: None,
    }
}

fn restore(
    app: &App,
    repository: &Repository,
    (opened, options): (&Opened, RestoreOptions),
    target: &FilesTarget,
) -> anyhow::Result<RestoreReport> {
    let is_dry = options.dry_run;
    let restore = |options: &_| repository.restore(opened.tree, target, options, &app.ctx);
    let restored = if is_dry || app.output.lists(true) {
        let listing = |actions| RestoreOptions { actions: Some(actions), ..options };
        app.hear(|action| tell_action(app, is_dry, &action), |actions| restore(&listing(actions)))
    } else {
        restore(&options)
    };
    restored.with_context(|| format!("cannot restore snapshot {}", opened.id.short()))
}

/// The last message of a restore, with restic's names and some of our own.
#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    seconds_elapsed: u64,
    total_files: u64,
    files_restored: u64,
    files_skipped: u64,
    files_deleted: u64,
    total_bytes: u64,
    bytes_restored: u64,
    bytes_skipped: u64,
    files_verified: u64,
    error_count: u64,
    dry_run: bool,
}

/// What was done to one entry, or would be.
#[derive(Serialize)]
struct ActionJson<'a> {
    message_type: &'static str,
    action: &'static str,
    item: std::borrow::Cow<'a, str>,
    size: u64,
}

fn tell(app: &App, args: &RestoreArgs, report: &RestoreReport, began: Instant) -> anyhow::Result<Status> {
    for warning in &report.warnings {
        app.output.warn(warning);
    }
    for lost in &report.lost {
        app.output.entry_error(lost, "restore");
    }
    let unnamed = report.lost_count.saturating_sub(report.lost.len() as u64);
    if unnamed > 0 {
        app.output.warn(format_args!("{} more are not named", text::count(unnamed, "error")));
    }
    let restored = report.files + report.folders + report.others;
    if app.output.is_json() {
        app.output.json(&Summary {
            message_type: "summary",
            seconds_elapsed: began.elapsed().as_secs(),
            total_files: restored + report.skipped,
            files_restored: restored,
            files_skipped: report.skipped,
            files_deleted: report.deleted,
            total_bytes: report.bytes + report.skipped_bytes,
            bytes_restored: report.bytes,
            bytes_skipped: report.skipped_bytes,
            files_verified: report.verified,
            error_count: report.lost_count,
            dry_run: args.dry_run,
        })?;
    } else {
        tell_people(app, args, report, began);
    }
    Ok(if report.lost_count > 0 { Status::Failure } else { Status::Success })
}

/// Tells of one entry, if that much is asked for. A dry run is asked for what it would change.
fn tell_action(app: &App, is_dry: bool, action: &Action) {
    let word = match action.kind {
        ActionKind::Create => "restored",
        ActionKind::Replace => "updated",
        ActionKind::Update | ActionKind::Skip => "unchanged",
        ActionKind::Delete => "deleted",
    };
    let is_change = word != "unchanged";
    if !app.output.lists(is_change) && !(is_dry && (is_change || app.output.is_json())) {
        return;
    }
    if app.output.is_json() {
        let item = action.path.to_string_lossy();
        let message = ActionJson { message_type: "verbose_status", action: word, item, size: action.size };
        // Nobody may be there any more; the restore goes on.
        return drop(app.output.json(&message));
    }
    let size = if action.size > 0 { format!(", {}", text::bytes(action.size)) } else { String::new() };
    app.output.note_path(word, action.path.as_os_str().as_bytes(), &size);
}

fn tell_people(app: &App, args: &RestoreArgs, report: &RestoreReport, began: Instant) {
    let output = &app.output;
    let done = if args.dry_run { "would be restored" } else { "restored" };
    let (files, folders) = (text::count(report.files, "file"), text::count(report.folders, "folder"));
    let items = match report.others {
        0 => format!("{files} and {folders}"),
        others => format!("{files}, {folders} and {}", text::count(others, "other item")),
    };
    output.note(format_args!(
        "{items} {done}: {} in {}",
        text::bytes(report.bytes),
        text::duration(began.elapsed())
    ));
    if report.skipped > 0 {
        let skipped = text::bytes(report.skipped_bytes);
        output.note(format_args!("{} left as they were, {skipped}", text::count(report.skipped, "item")));
    }
    if report.deleted > 0 {
        let done = if args.dry_run { "would be deleted" } else { "deleted" };
        output.note(format_args!("{} {done}", text::count(report.deleted, "item")));
    }
    if args.verify && !args.dry_run {
        output.note(format_args!("{} read again and found right", text::count(report.verified, "file")));
    }
    if report.lost_count > 0 {
        let lost = text::count(report.lost_count, "item");
        output.note(format_args!("{lost} could not be restored completely"));
    }
}
