//! `backup`: saves files and folders, or standard input, as a new snapshot.

mod files_from;
mod input;
mod items;

use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use lifeboat_repository::Counters;
use lifeboat_repository::backup::{BackupOptions, BackupReport, ChangeDetection};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::lock::{LockGuard, LockMode};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::retention::{GroupBy, Policy, latest};
use lifeboat_repository::snapshot::{SnapshotFile, SnapshotTime};
use serde::Serialize;

use self::input::Input;
use crate::app::{App, workers};
use crate::choose::{self, Filter, Keying};
use crate::cli::backup::BackupArgs;
use crate::cli::values::TagList;
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;
use crate::vault::Vault;

pub(super) fn run(app: &App, args: &BackupArgs) -> anyhow::Result<Status> {
    let began = app.time.clock.now();
    let time = match args.time {
        Some(moment) => moment.at(&app.time.zone)?,
        None => app.time.clock.now(),
    };
    let mut input = Input::open(app, args, time)?;
    let snapshot = new_snapshot(app, args, &input, time)?;
    let vault = Vault::of(app)?;
    let repository =
        if args.dry_run { vault.open_or_imagine_default(app)? } else { vault.open_or_create_default(app)? };
    let work = |lock: &LockGuard| {
        app.watch(Kind::Backup, || {
            let parent = parent(app, args, &repository, &snapshot)?;
            repository.load_index(&app.ctx)?;
            save(app, &repository, &mut input, options(args, snapshot, parent), lock)
        })
    };
    let report = if args.dry_run {
        app.rehearsing(&repository, LockMode::Shared, work)
    } else {
        app.locked(&repository, LockMode::Shared, work)
    };
    let mut report = report.inspect_err(|error| tell_what_stays(app, error))?;
    let lost = input.lost();
    report.lost_count += lost.len() as u64;
    report.lost.extend(lost);
    tell(app, args, &input, &report, began)
}

/// The snapshot as far as it is known before the walk.
fn new_snapshot(
    app: &App,
    args: &BackupArgs,
    input: &Input,
    time: Timestamp,
) -> anyhow::Result<SnapshotFile> {
    let (uid, gid) = app.env.user_ids();
    let tree_to_come = BlobId::of(b"");
    Ok(SnapshotFile {
        paths: input.paths(app, args)?,
        hostname: args.host.clone().unwrap_or_else(|| app.env.hostname()),
        username: app.env.username(),
        uid,
        gid,
        excludes: args.exclude.exclude.iter().chain(&args.exclude.iexclude).cloned().collect(),
        tags: args.tag.iter().flat_map(|list| &list.0).filter(|tag| !tag.is_empty()).cloned().collect(),
        program_version: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
        ..SnapshotFile::new(SnapshotTime::new(time, &app.time.zone), tree_to_come)
    })
}

/// The snapshot to compare with: the one named, else the latest of the same group that is not younger.
fn parent(
    app: &App,
    args: &BackupArgs,
    repository: &Repository,
    snapshot: &SnapshotFile,
) -> anyhow::Result<Option<SnapshotId>> {
    // What comes on standard input is read in any case.
    if args.force || args.stdin {
        return Ok(None);
    }
    if let Some(name) = &args.parent {
        return choose::find(app, repository, name, &Filter::default()).map(Some);
    }
    let by = args.group_by;
    let hosts = by.host.then(|| snapshot.hostname.clone());
    let tags = by.tags.then(|| TagList(snapshot.tags.clone()));
    let paths: Vec<PathBuf> =
        if by.paths { snapshot.paths.iter().map(PathBuf::from).collect() } else { Vec::new() };
    let filter = Filter::new(app, hosts.as_slice(), tags.as_slice(), &paths)?;
    let keying = Keying { filter: &filter, by: GroupBy::default(), policy: &Policy::default() };
    let mut keys = choose::all(app, repository, &keying)?.keys;
    keys.retain(|key| key.time <= snapshot.time.instant());
    let parent = latest(keys, app.time.clock.now()).map(|key| key.id);
    match parent {
        Some(id) => app.output.detail(format_args!("comparing with snapshot {}", id.short())),
        None => app.output.detail("there is no snapshot to compare with, so all files are read"),
    }
    Ok(parent)
}

fn options(args: &BackupArgs, snapshot: SnapshotFile, parent: Option<SnapshotId>) -> BackupOptions {
    BackupOptions {
        snapshot,
        parent,
        detection: ChangeDetection { ignore_ctime: args.ignore_ctime, ignore_inode: args.ignore_inode },
        dry_run: args.dry_run,
        skip_if_unchanged: args.skip_if_unchanged,
        workers: workers(),
        items: None,
    }
}

/// Runs the backup with a scan beside it that finds out how much there is.
fn save(
    app: &App,
    repository: &Repository,
    input: &mut Input,
    options: BackupOptions,
    lock: &LockGuard,
) -> anyhow::Result<BackupReport> {
    app.ctx.counters.begin_phase("backup", 0, 0);
    let scanner = app.output.shows_progress().then(|| input.scanner()).flatten();
    let began = Instant::now();
    std::thread::scope(|scope| {
        if let Some(scanner) = scanner {
            scope.spawn(move || {
                scanner.run(&app.ctx);
                items::tell_scanned(app, began.elapsed());
            });
        }
        let mut save = |options| Ok(repository.backup(input.source(), options, lock, &app.ctx)?);
        if !app.output.lists(true) {
            return save(options);
        }
        let listing = |items| BackupOptions { items: Some(items), ..options };
        app.hear(|item| items::tell(app, item), |items| save(listing(items)))
    })
}

/// Says what a backup that was interrupted has left for the next one.
fn tell_what_stays(app: &App, error: &anyhow::Error) {
    if Status::of(error) == Status::Interrupted {
        let counters = &app.ctx.counters;
        app.output.warn(format_args!(
            "interrupted after {}, {}: no snapshot was made; {} of new data stay in the vault and the next backup \
             will find them",
            text::count(Counters::get(&counters.items_done), "item"),
            text::bytes(Counters::get(&counters.bytes_done)),
            text::bytes(Counters::get(&counters.bytes_stored)),
        ));
    }
}

/// The last message of a backup, with restic's names and two of our own.
#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    dirs_new: u64,
    dirs_changed: u64,
    dirs_unmodified: u64,
    data_blobs: u64,
    tree_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
    total_duration: f64,
    backup_start: SnapshotTime,
    backup_end: SnapshotTime,
    bytes_read: u64,
    error_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<SnapshotId>,
}

fn tell(
    app: &App,
    args: &BackupArgs,
    input: &Input,
    report: &BackupReport,
    began: Timestamp,
) -> anyhow::Result<Status> {
    for warning in input.warnings() {
        app.output.warn(warning);
    }
    for error in &report.parent_errors {
        app.output.warn(format_args!("the parent snapshot is damaged, its files were read again: {error}"));
    }
    for lost in &report.lost {
        app.output.entry_error(lost, "backup");
    }
    let unnamed = report.lost_count.saturating_sub(report.lost.len() as u64);
    if unnamed > 0 {
        app.output.warn(format_args!("{} more are not named", text::count(unnamed, "error")));
    }
    let status = if report.lost_count > 0 { Status::Incomplete } else { Status::Success };
    if app.output.is_json() {
        app.output.json(&summary(app, args, report, began))?;
        return Ok(status);
    }
    tell_people(app, args, report, began);
    Ok(status)
}

fn summary(app: &App, args: &BackupArgs, report: &BackupReport, began: Timestamp) -> Summary {
    Summary {
        message_type: "summary",
        dry_run: args.dry_run,
        files_new: report.files.new,
        files_changed: report.files.changed,
        files_unmodified: report.files.unmodified,
        dirs_new: report.dirs.new,
        dirs_changed: report.dirs.changed,
        dirs_unmodified: report.dirs.unmodified,
        data_blobs: report.data_blobs,
        tree_blobs: report.tree_blobs,
        data_added: report.bytes_added,
        data_added_packed: report.bytes_stored,
        total_files_processed: report.files.total(),
        total_bytes_processed: report.bytes_processed,
        total_duration: app.time.clock.since(began).as_secs_f64(),
        backup_start: SnapshotTime::new(began, &app.time.zone),
        backup_end: SnapshotTime::new(app.time.clock.now(), &app.time.zone),
        bytes_read: report.bytes_read,
        error_count: report.lost_count,
        snapshot_id: report.snapshot,
    }
}

fn tell_people(app: &App, args: &BackupArgs, report: &BackupReport, began: Timestamp) {
    let (files, dirs) = (report.files, report.dirs);
    let output = &app.output;
    output.note(format_args!(
        "files:   {} new, {} changed, {} unmodified",
        files.new, files.changed, files.unmodified
    ));
    output.note(format_args!(
        "folders: {} new, {} changed, {} unmodified",
        dirs.new, dirs.changed, dirs.unmodified
    ));
    output.note(format_args!(
        "{} of {} read in {}",
        text::bytes(report.bytes_read),
        text::bytes(report.bytes_processed),
        text::duration(app.time.clock.since(began))
    ));
    let would = if args.dry_run { "would be added" } else { "added" };
    output.note(format_args!(
        "{} {would}, {} after compression",
        text::bytes(report.bytes_added),
        text::bytes(report.bytes_stored)
    ));
    if report.lost_count > 0 {
        output.note(format_args!("{} could not be read completely", text::count(report.lost_count, "item")));
    }
    match report.snapshot {
        Some(id) => output.note(format_args!("snapshot {} saved", id.short())),
        None if args.dry_run => output.note("nothing was stored: this was a dry run"),
        None => output.note("no snapshot was made"),
    }
}
