//! A restore job: what is in a snapshot comes back, at its original place or below a folder.
//!
//! The selection is counted first. The engine tells what became of each entry, and from that come counters, report and
//! outcome; what was killed in the middle is restored anew, over the unfinished files it left.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use lifeboat_adapters::files::FilesTarget;
use lifeboat_model::files::{ConflictPolicy, FilesRestoreSpec};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::repository::{Repository, TreePath};
use lifeboat_repository::restore::{
    ItemFacts, ItemOutcome, Overwrite, RestoreOptions, RestoredItem, Selected, Selection,
};
use lifeboat_repository::tree::{Node, NodeKind};
use lifeboat_repository::{Ctx, Error, ErrorKind};

use crate::progress::{Fate, Item, Progress, Totals};
use crate::rules::{Rules, is_allowed};
use crate::vault::VaultAccess;
use crate::{Done, JobError};

/// How many entries may be over and not yet counted.
const ITEMS_AHEAD: usize = 1024;

/// One restore to do.
#[derive(Clone)]
pub struct RestoreOrder {
    pub vault: VaultAccess,
    pub snapshot: String,
    pub spec: FilesRestoreSpec,
    /// The folders that may be written to.
    pub allowed: Vec<PathBuf>,
    pub workers: usize,
}

/// Runs a restore.
///
/// With a target folder each path of the snapshot comes back as `TARGET/<its last component>/…`, and patterns are
/// relative to there; where two paths end alike, all come back under the whole of their paths. Without a target
/// everything comes back to where it was.
pub fn restore(order: &RestoreOrder, progress: &Arc<Progress>, ctx: &Ctx) -> Result<Done, JobError> {
    let rules = Rules::new(&order.spec.include, &order.spec.exclude)?;
    let target = order.spec.target_path.as_deref().map(PathBuf::from);
    if let Some(folder) = &target
        && !folder.is_dir()
    {
        return Err(JobError::NoTarget(folder.display().to_string()));
    }
    let repository = order.vault.open(None, ctx).map_err(JobError::of_vault)?;
    let mut denied = None;
    let restored = order.vault.locked(&repository, ctx, |_| {
        repository.load_index(ctx)?;
        let parts = parts(order, (&repository, &rules), target.as_deref())?;
        denied =
            parts.iter().map(|part| part.folder.join("x")).find(|path| !is_allowed(path, &order.allowed));
        if denied.is_none() {
            run(order, (&repository, &parts), (progress, ctx))
        } else {
            Ok(Done::default())
        }
    });
    match denied.as_deref().and_then(Path::parent) {
        Some(folder) => Err(JobError::NotAllowed(folder.display().to_string())),
        None => restored.map_err(JobError::of_vault),
    }
}

/// What there is to restore, each with the folder that it goes to.
fn parts(
    order: &RestoreOrder,
    (repository, rules): (&Repository, &Rules),
    target: Option<&Path>,
) -> Result<Vec<Part>, Error> {
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no snapshot {}", order.snapshot));
    let id: SnapshotId = order.snapshot.parse().map_err(|_| unknown())?;
    let snapshot = repository.load_snapshot(id)?;
    let part = |path: &String| match Part::find(repository, snapshot.tree, path, rules) {
        Err(error)
            if error.kind == ErrorKind::NotFound && !snapshot.program_version.starts_with("lifeboat") =>
        {
            Part::find_relative(repository, snapshot.tree, path, rules)
        }
        found => found,
    };
    let mut parts = snapshot.paths.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    let Some(target) = target else { return Ok(parts) };
    let mut names = HashSet::new();
    let are_alike = !parts.iter().all(|part| names.insert(part.select.name.clone()));
    for part in &mut parts {
        part.folder = target.to_owned();
        if are_alike {
            part.tree = snapshot.tree;
            part.select.above.clone_from(&part.above);
        }
    }
    Ok(parts)
}

fn run(
    order: &RestoreOrder,
    (repository, parts): (&Repository, &[Part]),
    (progress, ctx): (&Progress, &Ctx),
) -> Result<Done, Error> {
    let mut totals = Totals::default();
    for part in parts {
        count(repository, part, (&mut totals, ctx))?;
    }
    progress.publish(totals);
    let mut lost_count = 0;
    for part in parts {
        lost_count += restore_part(order, (repository, part), (progress, ctx))?;
    }
    let is_all_done = progress.read().items_done >= totals.items;
    progress.settle();
    let is_partial = lost_count > 0 || progress.items_failed() > 0 || !is_all_done;
    Ok(Done { is_partial, ..Done::default() })
}

fn restore_part(
    order: &RestoreOrder,
    (repository, part): (&Repository, &Part),
    (progress, ctx): (&Progress, &Ctx),
) -> Result<u64, Error> {
    let cannot = |cause| Error::new(ErrorKind::Io, "cannot open the folder to restore to").because(cause);
    let target =
        FilesTarget::open(&part.folder, Path::new("/"), &order.vault.spool_folder).map_err(cannot)?;
    let (items, told) = sync_channel(ITEMS_AHEAD);
    let options = RestoreOptions {
        select: Arc::new(part.select.clone()),
        overwrite: overwrite(order.spec.conflict),
        workers: order.workers,
        items: Some(items),
        ..RestoreOptions::default()
    };
    let ctx = progress.watch_restore(ctx);
    let report = std::thread::scope(|scope| {
        scope.spawn(move || told.iter().for_each(|item| note(part, item, progress)));
        // Moved in, so that the listener ends with it.
        let options = options;
        repository.restore(part.tree, &target, &options, &ctx)
    })?;
    Ok(report.lost_count)
}

/// Counts an entry that is over.
fn note(part: &Part, item: RestoredItem, progress: &Progress) {
    if !item.is_streamed {
        progress.handle_bytes(item.facts.size);
    }
    let fate = match item.outcome {
        ItemOutcome::Written => Fate::Done,
        ItemOutcome::Skipped => Fate::Skipped,
        ItemOutcome::Flawed(why) => Fate::Failed { why, is_stored: true },
        ItemOutcome::Lost(why) => Fate::Failed { why, is_stored: false },
    };
    let path = part.folder.join(item.path.strip_prefix("/").unwrap_or(&item.path));
    progress.end(&Item { path: &path, facts: item.facts, fate });
}

/// One path of a snapshot: the tree of the folder that it was in, and its own name.
struct Part {
    tree: BlobId,
    /// The names that lead to that tree.
    above: Vec<Vec<u8>>,
    /// Where that folder goes.
    folder: PathBuf,
    select: Within,
}

/// Keeps to one entry of a folder, and in it to what the rules take.
#[derive(Clone)]
struct Within {
    /// The names that lead to that folder from where the restore begins.
    above: Vec<Vec<u8>>,
    /// `None` for the folder itself.
    name: Option<Vec<u8>>,
    rules: Rules,
}

impl Selection for Within {
    fn judge(&self, path: &[u8], is_dir: bool) -> Selected {
        let mut rest = path;
        for name in &self.above {
            let below = rest.strip_prefix(b"/").and_then(|rest| rest.strip_prefix(name.as_slice()));
            match below {
                Some([]) => return Selected { itself: false, below: true },
                Some(below) if below.starts_with(b"/") => rest = below,
                _ => return Selected { itself: false, below: false },
            }
        }
        let first = rest.split(|byte| *byte == b'/').nth(1);
        if self.name.is_some() && first != self.name.as_deref() {
            return Selected { itself: false, below: false };
        }
        Selection::judge(&self.rules, rest, is_dir)
    }
}

impl Part {
    fn find(repository: &Repository, root: BlobId, path: &str, rules: &Rules) -> Result<Self, Error> {
        let path = Path::new(path);
        let name = path.file_name().map(|name| name.as_bytes().to_vec());
        let folder = path.parent().unwrap_or(path).to_owned();
        let mut tree = root;
        let components = folder.as_os_str().as_bytes().split(|byte| *byte == b'/');
        let above: Vec<_> = components.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
        for component in &above {
            let missing =
                || Error::new(ErrorKind::NotFound, format!("the snapshot holds no {}", folder.display()));
            let mut entries = repository.read_tree(tree)?;
            let node = entries.find(|node| node.as_ref().map_or(true, |node| node.name == *component));
            tree = node.ok_or_else(missing)??.subtree.ok_or_else(missing)?;
        }
        Ok(Self { tree, above, folder, select: Within { above: Vec::new(), name, rules: rules.clone() } })
    }

    /// restic names a path that it was given relative to a folder in full, but stores it from that folder on; of the
    /// folder itself it stores what is in it.
    fn find_relative(
        repository: &Repository,
        root: BlobId,
        path: &str,
        rules: &Rules,
    ) -> Result<Self, Error> {
        let (full, mut rest) = (Path::new(path), Path::new(path));
        while let Some(first) = rest.iter().next() {
            rest = rest.strip_prefix(first).unwrap_or(Path::new(""));
            let Some(text) = rest.to_str().filter(|text| !text.is_empty()) else { continue };
            let Ok(part) = Self::find(repository, root, text, rules) else { continue };
            let mut entries = repository.read_tree(part.tree)?;
            let is_it = |node: Node| Some(node.name) == part.select.name;
            if entries.any(|node| node.is_ok_and(is_it)) {
                return Ok(Self { folder: full.parent().unwrap_or(full).to_owned(), ..part });
            }
        }
        let select = Within { above: Vec::new(), name: None, rules: rules.clone() };
        Ok(Self { tree: root, above: Vec::new(), folder: full.to_owned(), select })
    }
}

/// Counts what is selected below a part.
fn count(repository: &Repository, part: &Part, (totals, ctx): (&mut Totals, &Ctx)) -> Result<(), Error> {
    let mut trees = TreePath::new(repository);
    let (mut path, mut ends) = (Vec::new(), vec![0]);
    let mut node = Node::default();
    trees.enter(Some(part.tree));
    while let Some(end) = ends.last() {
        ctx.cancel.check()?;
        path.truncate(*end);
        match trees.read_into(&mut node) {
            // What cannot be read is the restore's to tell.
            Err(_) if !trees.is_over() => continue,
            Ok(true) => {}
            Ok(false) | Err(_) => {
                trees.leave();
                ends.pop();
                continue;
            }
        }
        path.push(b'/');
        path.extend_from_slice(&node.name);
        let is_dir = node.kind == NodeKind::Dir;
        let selected = part.select.judge(&path, is_dir);
        // Sockets come back when the program that listens does.
        if selected.itself && node.kind != NodeKind::Socket {
            totals.add(&ItemFacts { kind: node.kind.clone(), size: node.size, mtime: node.mtime });
        }
        if let (true, true, Some(subtree)) = (is_dir, selected.below, node.subtree) {
            trees.enter(Some(subtree));
            ends.push(path.len());
        }
    }
    Ok(())
}

fn overwrite(conflict: ConflictPolicy) -> Overwrite {
    match conflict {
        ConflictPolicy::SkipTheFile => Overwrite::Never,
        ConflictPolicy::OverwriteExisting => Overwrite::Always,
        ConflictPolicy::KeepLatest => Overwrite::IfNewer,
    }
}

#[cfg(test)]
mod tests;
