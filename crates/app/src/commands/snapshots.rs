//! `snapshots`: lists snapshots, one loaded at a time.

use std::io;

use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::retention::{GroupBy, GroupKey, Policy, SnapshotKey, sort_by_group};
use lifeboat_repository::snapshot::SnapshotFile;
use serde::Serialize;

use crate::app::App;
use crate::choose::{self, Chosen, Filter, Keying};
use crate::cli::snapshots::SnapshotsArgs;
use crate::exit::Status;
use crate::output::{table, text};
use crate::vault::Vault;

/// A snapshot as JSON, as restic prints it.
#[derive(Serialize)]
pub(crate) struct SnapshotJson<'a> {
    #[serde(flatten)]
    pub(crate) snapshot: &'a SnapshotFile,
    pub(crate) id: SnapshotId,
    pub(crate) short_id: String,
}

impl<'a> SnapshotJson<'a> {
    pub(crate) fn new(id: SnapshotId, snapshot: &'a SnapshotFile) -> Self {
        Self { snapshot, id, short_id: id.short() }
    }
}

pub(super) fn run(app: &App, args: &SnapshotsArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    let filter = Filter::from_args(app, &args.filter)?;
    // --latest counts for each host and paths when no other grouping is asked for.
    let by = args.group_by.unwrap_or(match args.latest {
        Some(_) => GroupBy::HOST_AND_PATHS,
        None => GroupBy::default(),
    });
    app.reading(&repository, || {
        let keying = Keying { filter: &filter, by, policy: &Policy::default() };
        let mut chosen = choose::named_or_all(app, &repository, &args.snapshots, &keying)?;
        sort_by_group(&mut chosen.keys);
        if let Some(latest) = args.latest {
            keep_latest(&mut chosen.keys, latest);
        }
        let status = chosen.status();
        let by = args.group_by.filter(|by| !by.is_nothing());
        let listing = Listing { app, repository: &repository, is_compact: args.compact, by };
        listing.print(chosen)?;
        Ok(status)
    })
}

fn keep_latest(keys: &mut Vec<SnapshotKey>, latest: u32) {
    let (mut group, mut taken) = (None, 0);
    keys.retain(|key| {
        if group != Some(key.group) {
            (group, taken) = (Some(key.group), 0);
        }
        taken += 1;
        taken <= latest
    });
}

struct Listing<'a> {
    app: &'a App,
    repository: &'a Repository,
    is_compact: bool,
    by: Option<GroupBy>,
}

impl Listing<'_> {
    fn print(&self, chosen: Chosen) -> anyhow::Result<()> {
        let Chosen { mut keys, groups, host_width, tags_width, .. } = chosen;
        let rows = Rows::new(self.app, self.repository, host_width, tags_width, self.is_compact);
        let Some(by) = self.by else {
            keys.sort_unstable_by_key(|key| (key.time, key.id));
            return if self.app.output.is_json() { self.print_json(&keys) } else { rows.print(&keys) };
        };
        if self.app.output.is_json() {
            self.app.output.bytes(b"[")?;
        }
        let mut is_first = true;
        for (group, number) in groups.into_sorted() {
            let mut members: Vec<_> = keys.iter().filter(|key| key.group == number).copied().collect();
            if members.is_empty() {
                continue;
            }
            members.sort_unstable_by_key(|key| (key.time, key.id));
            if self.app.output.is_json() {
                self.print_json_group(&group, &members, is_first)?;
            } else {
                self.app.output.line(format_args!("snapshots for {}:", describe_group(&group, by)))?;
                rows.print(&members)?;
                self.app.output.line("")?;
            }
            is_first = false;
        }
        if self.app.output.is_json() {
            self.app.output.bytes(b"]\n")?;
        }
        Ok(())
    }

    fn print_json_group(&self, group: &GroupKey, keys: &[SnapshotKey], is_first: bool) -> anyhow::Result<()> {
        let key = serde_json::to_string(group)?;
        let comma = if is_first { "" } else { "," };
        self.app.output.bytes(format!("{comma}{{\"group_key\":{key},\"snapshots\":").as_bytes())?;
        self.print_json(keys)?;
        Ok(self.app.output.bytes(b"}")?)
    }

    /// One array, written element by element.
    fn print_json(&self, keys: &[SnapshotKey]) -> anyhow::Result<()> {
        for (at, key) in keys.iter().enumerate() {
            self.app.ctx.cancel.check()?;
            let snapshot = self.repository.load_snapshot(key.id)?;
            let json = serde_json::to_string(&SnapshotJson::new(key.id, &snapshot))?;
            self.app.output.bytes(if at == 0 { b"[" } else { b"," })?;
            self.app.output.bytes(json.as_bytes())?;
        }
        let end: &[u8] = match (keys.is_empty(), self.by.is_some()) {
            (true, false) => b"[]\n",
            (true, true) => b"[]",
            (false, false) => b"]\n",
            (false, true) => b"]",
        };
        Ok(self.app.output.bytes(end)?)
    }
}

/// `host [h], paths [/a, /b]`
pub(crate) fn describe_group(group: &GroupKey, by: GroupBy) -> String {
    let list = |words: &Option<Vec<String>>| words.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    if by.tags {
        parts.push(format!("tags [{}]", list(&group.tags)));
    }
    if by.host {
        parts.push(format!("host [{}]", group.hostname));
    }
    if by.paths {
        parts.push(format!("paths [{}]", list(&group.paths)));
    }
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

/// Prints snapshots as a table.
pub(crate) struct Rows<'a> {
    app: &'a App,
    repository: &'a Repository,
    widths: [usize; 4],
    is_compact: bool,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(
        app: &'a App,
        repository: &'a Repository,
        host_width: usize,
        tags_width: usize,
        is_compact: bool,
    ) -> Self {
        Self { app, repository, widths: [8, 19, host_width.max(4), tags_width.max(4)], is_compact }
    }

    pub(crate) fn print(&self, keys: &[SnapshotKey]) -> anyhow::Result<()> {
        self.head("Paths")?;
        for key in keys {
            self.app.ctx.cancel.check()?;
            let snapshot = self.repository.load_snapshot(key.id)?;
            self.print_one(key, &snapshot, &[])?;
        }
        self.foot(keys.len() as u64)?;
        Ok(())
    }

    /// The headings; `last` names the column that may be as wide as it likes.
    pub(crate) fn head(&self, last: &str) -> io::Result<()> {
        let last = if self.is_compact && last == "Paths" { "" } else { last };
        self.app.output.line(table::row(&self.widths, &["ID", "Time", "Host", "Tags", last]))?;
        self.app.output.line(table::rule(self.width()))
    }

    pub(crate) fn foot(&self, count: u64) -> io::Result<()> {
        self.app.output.line(table::rule(self.width()))?;
        self.app.output.line(text::count(count, "snapshot"))
    }

    /// One snapshot: tags one below the other, in the last column reasons and then paths.
    pub(crate) fn print_one(
        &self,
        key: &SnapshotKey,
        snapshot: &SnapshotFile,
        reasons: &[String],
    ) -> io::Result<()> {
        let time = self.app.local(key.time);
        let short = key.id.short();
        let paths: &[String] = if self.is_compact { &[] } else { &snapshot.paths };
        let mut last = reasons.iter().chain(paths);
        let mut tags = snapshot.tags.iter();
        let mut cells = [short.as_str(), &time, &snapshot.hostname];
        loop {
            let (tag, word) = (tags.next(), last.next());
            if cells == [""; 3] && tag.is_none() && word.is_none() {
                return Ok(());
            }
            let [id, time, host] = cells;
            let tag = tag.map_or("", String::as_str);
            let word = word.map_or("", String::as_str);
            self.app.output.line(table::row(&self.widths, &[id, time, host, tag, word]))?;
            cells = [""; 3];
        }
    }

    fn width(&self) -> usize {
        self.widths.iter().map(|width| width + 2).sum::<usize>() + 16
    }
}
