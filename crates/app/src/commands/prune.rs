//! `prune`: removes data that no snapshot needs.

use lifeboat_repository::lock::{LockGuard, LockMode};
use lifeboat_repository::prune::{Amount, MaxUnused, PruneOptions, PruneReport};
use lifeboat_repository::repository::Repository;
use serde::Serialize;

use crate::app::{App, workers};
use crate::cli::forget::{PruneArgs, RepackArgs, UnusedLimit};
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;
use crate::vault::Vault;

pub(super) fn run(app: &App, args: &PruneArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    let options = options(&args.repack, args.dry_run);
    let work = |lock: &LockGuard| prune(app, &repository, &options, lock);
    if args.dry_run {
        app.rehearsing(&repository, LockMode::Shared, work)
    } else {
        app.locked(&repository, LockMode::Exclusive, work)
    }
}

pub(super) fn options(args: &RepackArgs, dry_run: bool) -> PruneOptions {
    PruneOptions {
        max_unused: match args.max_unused {
            UnusedLimit::Bytes(bytes) => MaxUnused::Bytes(bytes),
            UnusedLimit::Percent(percent) => MaxUnused::Percent(percent),
            UnusedLimit::Unlimited => MaxUnused::Unlimited,
        },
        max_repack_bytes: args.max_repack_size.map(|size| size.0),
        repack_cacheable_only: args.repack_cacheable_only,
        repack_small: args.repack_small,
        repack_uncompressed: args.repack_uncompressed,
        dry_run,
        ignored_snapshots: Vec::new(),
        workers: workers(),
    }
}

/// Prunes under a lock that is held, and tells what came of it.
pub(super) fn prune(
    app: &App,
    repository: &Repository,
    options: &PruneOptions,
    lock: &LockGuard,
) -> anyhow::Result<Status> {
    let report = app.watch(Kind::Upkeep, || repository.prune(options, lock, &app.ctx))?;
    tell(app, &report)
}

#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    dry_run: bool,
    blobs: ByFate,
    bytes: ByFate,
    packs: Packs,
    num_errors: u64,
}

#[derive(Serialize)]
struct ByFate {
    used: u64,
    duplicate: u64,
    unused: u64,
    repack: u64,
    repack_frees: u64,
    delete: u64,
    remain: u64,
}

#[derive(Serialize)]
struct Packs {
    unreferenced: u64,
    keep: u64,
    repack: u64,
    delete: u64,
    kept_damaged: u64,
    not_deleted: u64,
}

fn summary(report: &PruneReport) -> Summary {
    let by_fate = |number: fn(&Amount) -> u64| ByFate {
        used: number(&report.used),
        duplicate: number(&report.duplicate),
        unused: number(&report.unused),
        repack: number(&report.to_repack),
        repack_frees: number(&report.repack_frees),
        delete: number(&report.to_delete),
        remain: number(&report.remaining),
    };
    Summary {
        message_type: "summary",
        dry_run: report.is_dry_run,
        blobs: by_fate(|amount| amount.blobs),
        bytes: by_fate(|amount| amount.bytes),
        packs: Packs {
            unreferenced: report.unreferenced_packs,
            keep: report.packs_to_keep,
            repack: report.packs_to_repack,
            delete: report.packs_to_delete,
            kept_damaged: report.packs_kept_damaged,
            not_deleted: report.packs_not_deleted,
        },
        num_errors: report.problem_count + report.packs_not_deleted,
    }
}

fn tell(app: &App, report: &PruneReport) -> anyhow::Result<Status> {
    for problem in &report.problems {
        app.output.error(problem);
    }
    for (pack, cause) in &report.undeleted {
        app.output.error(format_args!("cannot remove pack {pack}: {}", text::chain(cause)));
    }
    if report.packs_not_deleted > 0 {
        let packs = text::count(report.packs_not_deleted, "pack");
        app.output.warn(format_args!("{packs} could not be removed; the next prune tries again"));
    }
    let status = match report.problem_count {
        _ if report.is_complete() => Status::Success,
        0 => Status::Incomplete,
        _ => Status::Failure,
    };
    if app.output.is_json() {
        app.output.json(&summary(report))?;
        return Ok(status);
    }
    let output = &app.output;
    let amount =
        |amount: Amount| format!("{}, {}", text::count(amount.blobs, "blob"), text::bytes(amount.bytes));
    output.note(format_args!("used:      {}", amount(report.used)));
    output.note(format_args!("duplicate: {}", amount(report.duplicate)));
    output.note(format_args!("unused:    {}", amount(report.unused)));
    let (repack, delete) = (report.packs_to_repack, report.packs_to_delete + report.unreferenced_packs);
    let would = if report.is_dry_run { "would be " } else { "" };
    let frees = text::bytes(report.repack_frees.bytes + report.to_delete.bytes + report.unreferenced_bytes);
    output.note(format_args!(
        "{} {would}repacked, {} {would}deleted: {frees} {would}freed",
        text::count(repack, "pack"),
        text::count(delete, "pack"),
    ));
    let unused = text::bytes(report.unused_after_bytes);
    output.note(format_args!("remaining: {}, of which {unused} unused", amount(report.remaining)));
    Ok(status)
}
