//! Choosing among snapshots: by host, tags and paths, by id, or the latest.
//!
//! Only small keys of all snapshots are held; a command loads the snapshots it prints one by one.

use std::path::PathBuf;

use anyhow::Context;
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::retention::{GroupBy, Groups, Policy, SnapshotKey, has_tags, latest};
use lifeboat_repository::snapshot::{SnapshotFile, SnapshotTime};
use lifeboat_repository::storage::{FileKind, list_ids};
use lifeboat_repository::{Error, ErrorKind};

use crate::app::App;
use crate::cli::snapshots::FilterArgs;
use crate::cli::values::{SnapshotName, TagList};
use crate::exit::Status;
use crate::output::text;

/// Which snapshots a command looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    hosts: Vec<String>,
    tags: Vec<TagList>,
    paths: Vec<String>,
}

impl Filter {
    pub(crate) fn new(
        app: &App,
        hosts: &[String],
        tags: &[TagList],
        paths: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let paths = absolute_paths(app, paths)?;
        Ok(Self { hosts: hosts.to_vec(), tags: tags.to_vec(), paths })
    }

    pub(crate) fn from_args(app: &App, args: &FilterArgs) -> anyhow::Result<Self> {
        Self::new(app, &args.host, &args.tag, &args.path)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.tags.is_empty() && self.paths.is_empty()
    }

    pub(crate) fn lets_through(&self, snapshot: &SnapshotFile) -> bool {
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.hostname))
            && (self.tags.is_empty() || self.tags.iter().any(|list| has_tags(&snapshot.tags, &list.0)))
            && self.paths.iter().all(|path| snapshot.paths.contains(path))
    }
}

/// Paths as snapshots hold them: absolute, without `.`, `..` and doubled slashes.
pub(crate) fn absolute_paths(app: &App, paths: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let current = app.env.current_folder().context("cannot tell the current folder")?;
    let absolute = |path: &PathBuf| {
        let mut clean = PathBuf::new();
        for part in current.join(path).components() {
            match part {
                std::path::Component::ParentDir => {
                    clean.pop();
                }
                part => clean.push(part),
            }
        }
        clean.to_string_lossy().into_owned()
    };
    Ok(paths.iter().map(absolute).collect())
}

/// The keys of some snapshots, and what printing them needs to know.
pub(crate) struct Chosen {
    pub(crate) keys: Vec<SnapshotKey>,
    pub(crate) groups: Groups,
    pub(crate) host_width: usize,
    pub(crate) tags_width: usize,
    /// How many snapshots could not be read; each has been named.
    pub(crate) damaged: u64,
}

impl Chosen {
    /// What a command that looked at these snapshots ends with.
    pub(crate) fn status(&self) -> Status {
        if self.damaged > 0 { Status::Failure } else { Status::Success }
    }
}

/// How keys are made.
pub(crate) struct Keying<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) by: GroupBy,
    pub(crate) policy: &'a Policy,
}

/// Looks at all snapshots and keeps keys of those that the filter lets through.
pub(crate) fn all(app: &App, repository: &Repository, keying: &Keying<'_>) -> anyhow::Result<Chosen> {
    let ids = list_ids(repository.storage(), FileKind::Snapshot).map_err(Error::from)?;
    keys_of(app, repository, ids.into_iter().map(SnapshotId::new), keying)
}

/// Those that are named, in the order given; all that the filter lets through when none is named.
pub(crate) fn named_or_all(
    app: &App,
    repository: &Repository,
    names: &[SnapshotName],
    keying: &Keying<'_>,
) -> anyhow::Result<Chosen> {
    if names.is_empty() {
        return all(app, repository, keying);
    }
    let mut ids = Vec::new();
    for name in names {
        let id = find(app, repository, name, keying.filter)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let unfiltered = Keying { filter: &Filter::default(), ..*keying };
    keys_of(app, repository, ids.into_iter(), &unfiltered)
}

fn keys_of(
    app: &App,
    repository: &Repository,
    ids: impl Iterator<Item = SnapshotId>,
    keying: &Keying<'_>,
) -> anyhow::Result<Chosen> {
    let groups = Groups::new(keying.by);
    let mut chosen = Chosen { keys: Vec::new(), groups, host_width: 0, tags_width: 0, damaged: 0 };
    for id in ids {
        app.ctx.cancel.check()?;
        let snapshot = match repository.load_snapshot(id) {
            Ok(snapshot) => snapshot,
            Err(error) if error.kind == ErrorKind::Damaged => {
                app.output.warn(text::chain(&error));
                chosen.damaged += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !keying.filter.lets_through(&snapshot) {
            continue;
        }
        chosen.host_width = chosen.host_width.max(snapshot.hostname.chars().count());
        let tags_width = snapshot.tags.iter().map(|tag| tag.chars().count()).max().unwrap_or(0);
        chosen.tags_width = chosen.tags_width.max(tags_width);
        chosen.keys.push(SnapshotKey {
            id,
            time: snapshot.time.instant(),
            offset: offset(&snapshot.time),
            group: chosen.groups.number(&snapshot.hostname, &snapshot.paths, &snapshot.tags),
            tag_lists: keying.policy.tag_lists_matching(&snapshot.tags),
        });
    }
    Ok(chosen)
}

/// The offset that a time is written with.
fn offset(time: &SnapshotTime) -> Offset {
    Pieces::parse(time.as_str()).ok().and_then(|pieces| pieces.to_numeric_offset()).unwrap_or(Offset::UTC)
}

/// The snapshot of a name. `latest` is the newest that the filter lets through; it cannot be told while a snapshot
/// cannot be read, which may be the newer one.
pub(crate) fn find(
    app: &App,
    repository: &Repository,
    name: &SnapshotName,
    filter: &Filter,
) -> anyhow::Result<SnapshotId> {
    let prefix = match name {
        SnapshotName::Id(prefix) => prefix,
        SnapshotName::Latest => {
            let keying = Keying { filter, by: GroupBy::default(), policy: &Policy::default() };
            let Chosen { keys, damaged, .. } = all(app, repository, &keying)?;
            if damaged > 0 {
                let what = format!(
                    "cannot tell which snapshot is the latest: {} cannot be read; name one by its id",
                    text::count(damaged, "snapshot")
                );
                return Err(Error::new(ErrorKind::Damaged, what).into());
            }
            let now = app.time.clock.now();
            let newest = latest(keys, now).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "there is no snapshot that could be the latest")
            })?;
            if newest.time > now {
                app.output.warn(format_args!("snapshot {} is dated in the future", newest.id.short()));
            }
            return Ok(newest.id);
        }
    };
    let mut found = Vec::new();
    let listed = repository.storage().list(FileKind::Snapshot, &mut |stored| {
        if stored.id.to_string().starts_with(prefix.as_str()) {
            found.push(SnapshotId::new(stored.id));
        }
        found.len() < 2
    });
    listed.map_err(Error::from)?;
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::new(ErrorKind::NotFound, format!("no snapshot's id begins with {prefix}")).into()),
        _ => {
            Err(Error::new(ErrorKind::NotFound, format!("several snapshots' ids begin with {prefix}")).into())
        }
    }
}
