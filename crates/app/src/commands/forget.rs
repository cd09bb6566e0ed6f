//! `forget`: removes snapshots by policy or by id. Data stays until `prune`.
//!
//! Snapshot files are deleted one by one under an exclusive lock; a crash in between leaves some of those that
//! were to go, and the same command run again removes the rest.

use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::lock::{LockGuard, LockMode};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::retention::{
    Count, Decision, GroupBy, GroupKey, Kept, PerPeriod, Policy, SnapshotKey, decide, sort_by_group,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::prune;
use super::snapshots::{Rows, SnapshotJson, describe_group};
use crate::app::App;
use crate::choose::{self, Chosen, Filter, Keying};
use crate::cli::forget::{ForgetArgs, KeepArgs};
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;
use crate::vault::Vault;

pub(super) fn run(app: &App, args: &ForgetArgs) -> anyhow::Result<Status> {
    let policy = policy(&args.keep);
    policy.check()?;
    let filter = Filter::new(app, &args.host, &args.tag, &args.path)?;
    if args.snapshots.is_empty() {
        refuse_empty(&policy, args.unsafe_allow_remove_all, &filter)?;
    }
    let repository = Vault::of(app)?.open(app)?;
    let run = Run { app, args, repository: &repository, policy: &policy };
    let work = |lock: &LockGuard| run.decide_and_remove(&filter, lock);
    if args.dry_run {
        app.rehearsing(&repository, LockMode::Shared, work)
    } else {
        app.locked(&repository, LockMode::Exclusive, work)
    }
}

/// A policy that keeps nothing is a mistake unless it is asked for, and then only among some snapshots.
fn refuse_empty(policy: &Policy, may_remove_all: bool, filter: &Filter) -> anyhow::Result<()> {
    if !policy.is_empty() {
        return Ok(());
    }
    if !may_remove_all {
        anyhow::bail!("no policy was given, so no snapshot is removed (see the options --keep-...)");
    }
    if filter.is_empty() {
        anyhow::bail!("--unsafe-allow-remove-all needs --host, --tag or --path to say which snapshots");
    }
    Ok(())
}

fn policy(args: &KeepArgs) -> Policy {
    let mut policy = Policy {
        counts: PerPeriod {
            last: args.keep_last.unwrap_or_default(),
            hourly: args.keep_hourly.unwrap_or_default(),
            daily: args.keep_daily.unwrap_or_default(),
            weekly: args.keep_weekly.unwrap_or_default(),
            monthly: args.keep_monthly.unwrap_or_default(),
            yearly: args.keep_yearly.unwrap_or_default(),
        },
        within: args.keep_within.unwrap_or_default(),
        tags: args.keep_tag.iter().map(|list| list.0.clone()).collect(),
        ..Policy::default()
    };
    let each = &mut policy.within_each;
    each.hourly = args.keep_within_hourly.unwrap_or_default();
    each.daily = args.keep_within_daily.unwrap_or_default();
    each.weekly = args.keep_within_weekly.unwrap_or_default();
    each.monthly = args.keep_within_monthly.unwrap_or_default();
    each.yearly = args.keep_within_yearly.unwrap_or_default();
    policy
}

/// What the policy says of one group, as restic prints it.
#[derive(Serialize)]
struct GroupJson<'a> {
    tags: &'a Option<Vec<String>>,
    host: &'a str,
    paths: &'a Option<Vec<String>>,
    keep: Vec<Box<RawValue>>,
    remove: Vec<Box<RawValue>>,
    reasons: Vec<ReasonJson>,
}

#[derive(Serialize)]
struct ReasonJson {
    snapshot: Box<RawValue>,
    matches: Vec<String>,
    counters: PerPeriod<Count>,
}

struct Run<'a> {
    app: &'a App,
    args: &'a ForgetArgs,
    repository: &'a Repository,
    policy: &'a Policy,
}

impl Run<'_> {
    fn decide_and_remove(&self, filter: &Filter, lock: &LockGuard) -> anyhow::Result<Status> {
        let by = self.args.group_by;
        let keying = Keying { filter, by, policy: self.policy };
        let chosen = choose::named_or_all(self.app, self.repository, &self.args.snapshots, &keying)?;
        let status = if chosen.damaged > 0 { Status::Incomplete } else { Status::Success };
        let removed = if self.args.snapshots.is_empty() {
            self.apply_policy(chosen, by)?
        } else {
            chosen.keys.iter().map(|key| key.id).collect()
        };
        let status = status.and(self.remove(&removed, lock)?);
        if !self.args.prune || removed.is_empty() {
            return Ok(status);
        }
        let mut options = prune::options(&self.args.repack, self.args.dry_run);
        if self.args.dry_run {
            options.ignored_snapshots = removed;
        }
        Ok(status.and(prune::prune(self.app, self.repository, &options, lock)?))
    }

    /// Decides group by group and prints what becomes of each snapshot. Returns those to be removed.
    fn apply_policy(&self, mut chosen: Chosen, by: GroupBy) -> anyhow::Result<Vec<SnapshotId>> {
        self.app.output.note(format_args!("applying policy: {}", self.policy));
        let now = self.app.time.clock.now();
        sort_by_group(&mut chosen.keys);
        let rows =
            Rows::new(self.app, self.repository, chosen.host_width, chosen.tags_width, self.args.compact);
        let keys = &chosen.keys;
        let in_group = |number| {
            let start = keys.partition_point(|key| key.group < number);
            let end = keys.partition_point(|key| key.group <= number);
            keys.get(start..end).unwrap_or_default()
        };
        let groups: Vec<_> = chosen.groups.into_sorted().into_iter().collect();
        // All groups before the first is printed: a refusal shall not come in the middle of the output.
        for (group, number) in &groups {
            let mut decided = decide(in_group(*number), self.policy, now, &self.app.time.zone);
            if !self.policy.is_empty() && decided.all(|decision| decision.kept.is_none()) {
                let group = describe_group(group, by);
                anyhow::bail!("refusing to remove the last snapshot of the group {group}");
            }
        }
        let mut removed = Vec::new();
        let mut is_first = true;
        for (group, number) in groups {
            let keys = in_group(number);
            let decided: Vec<Decision> = decide(keys, self.policy, now, &self.app.time.zone).collect();
            if self.app.output.is_json() {
                self.app.output.bytes(if is_first { b"[" } else { b"," })?;
                let json = self.group_json(&group, keys, &decided)?;
                self.app.output.bytes(&serde_json::to_vec(&json)?)?;
            } else if !self.app.output.is_quiet() {
                self.app.output.line(format_args!("snapshots for {}:", describe_group(&group, by)))?;
                self.print_part(&rows, keys, &decided, true)?;
                self.print_part(&rows, keys, &decided, false)?;
            }
            is_first = false;
            removed.extend(
                decided.iter().filter(|decision| decision.kept.is_none()).map(|decision| decision.id),
            );
        }
        if self.app.output.is_json() {
            self.app.output.bytes(if is_first { b"[]\n" } else { b"]\n" })?;
        }
        Ok(removed)
    }

    fn print_part(
        &self,
        rows: &Rows<'_>,
        keys: &[SnapshotKey],
        decided: &[Decision],
        kept: bool,
    ) -> anyhow::Result<()> {
        let part: Vec<_> =
            keys.iter().zip(decided).filter(|(_, decision)| decision.kept.is_some() == kept).collect();
        if part.is_empty() {
            return Ok(());
        }
        let verb = if kept { "keep" } else { "remove" };
        let count = part.len() as u64;
        self.app.output.line(format_args!("{verb} {}:", text::count(count, "snapshot")))?;
        rows.head(if kept { "Reasons, paths" } else { "Paths" })?;
        for (key, decision) in part {
            self.app.ctx.cancel.check()?;
            let snapshot = self.repository.load_snapshot(key.id)?;
            rows.print_one(key, &snapshot, &self.reasons(decision.kept.as_ref()))?;
        }
        rows.foot(count)?;
        Ok(self.app.output.line("")?)
    }

    fn reasons(&self, kept: Option<&Kept>) -> Vec<String> {
        kept.iter().flat_map(|kept| &kept.reasons).map(|&reason| self.policy.describe(reason)).collect()
    }

    fn group_json<'g>(
        &self,
        group: &'g GroupKey,
        keys: &[SnapshotKey],
        decided: &[Decision],
    ) -> anyhow::Result<GroupJson<'g>> {
        let (tags, host, paths) = (&group.tags, group.hostname.as_str(), &group.paths);
        let mut json =
            GroupJson { tags, host, paths, keep: Vec::new(), remove: Vec::new(), reasons: Vec::new() };
        for (key, decision) in keys.iter().zip(decided) {
            self.app.ctx.cancel.check()?;
            let snapshot = self.repository.load_snapshot(key.id)?;
            let with_id = to_raw_value(&SnapshotJson::new(key.id, &snapshot))?;
            match &decision.kept {
                None => json.remove.push(with_id),
                Some(kept) => {
                    json.keep.push(with_id.clone());
                    json.reasons.push(ReasonJson {
                        snapshot: with_id,
                        matches: self.reasons(Some(kept)),
                        counters: kept.counters,
                    });
                }
            }
        }
        Ok(json)
    }

    fn remove(&self, snapshots: &[SnapshotId], lock: &LockGuard) -> anyhow::Result<Status> {
        if snapshots.is_empty() {
            return Ok(Status::Success);
        }
        if self.args.dry_run {
            let ids: Vec<_> = snapshots.iter().map(SnapshotId::short).collect();
            self.app.output.note(format_args!("would remove {}", ids.join(" ")));
            return Ok(Status::Success);
        }
        let app = self.app;
        let failed =
            app.watch(Kind::Upkeep, || self.repository.delete_snapshots(snapshots, lock, &app.ctx))?;
        for (id, error) in &failed {
            app.output.error(format_args!("cannot remove snapshot {}: {}", id.short(), text::chain(error)));
        }
        let removed = snapshots.len().saturating_sub(failed.len()) as u64;
        app.output.note(format_args!("removed {}", text::count(removed, "snapshot")));
        Ok(if failed.is_empty() { Status::Success } else { Status::Incomplete })
    }
}
