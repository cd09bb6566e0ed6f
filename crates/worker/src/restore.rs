//! A restore job: what is in a snapshot comes back, at its original place or below a folder.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_adapters::files::FilesTarget;
use lifeboat_model::files::{ConflictPolicy, FilesRestoreSpec};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::repository::{Repository, TreePath};
use lifeboat_repository::restore::{Overwrite, RestoreOptions, Selected, Selection};
use lifeboat_repository::tree::{Node, NodeKind};
use lifeboat_repository::{Ctx, Error, ErrorKind};

use crate::progress::{Progress, add};
use crate::rules::Rules;
use crate::vault::VaultAccess;
use crate::{Done, JobError, Lost};

/// One restore to do.
#[derive(Clone)]
pub struct RestoreOrder {
    pub vault: VaultAccess,
    pub snapshot: String,
    pub spec: FilesRestoreSpec,
    pub kib_per_second: Option<u64>,
    pub workers: usize,
}

/// Runs a restore.
///
/// With a target folder each path of the snapshot comes back as `TARGET/<its last component>/…`, and patterns are
/// relative to there; without one everything comes back to where it was.
pub fn restore(order: &RestoreOrder, progress: &Arc<Progress>, ctx: &Ctx) -> Result<Done, JobError> {
    let rules = Rules::new(&order.spec.include, &order.spec.exclude)?;
    let target = order.spec.target_path.as_deref().map(PathBuf::from);
    if let Some(folder) = &target
        && !folder.is_dir()
    {
        return Err(JobError::NoTarget(folder.display().to_string()));
    }
    let repository = order.vault.open(order.kib_per_second, ctx).map_err(JobError::of_vault)?;
    let restored = order.vault.locked(&repository, ctx, |_| {
        repository.load_index(ctx)?;
        run(order, (&repository, &rules), target.as_deref(), (progress, ctx))
    });
    restored.map_err(JobError::of_vault)
}

fn run(
    order: &RestoreOrder,
    (repository, rules): (&Repository, &Rules),
    target: Option<&Path>,
    (progress, ctx): (&Progress, &Ctx),
) -> Result<Done, Error> {
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no snapshot {}", order.snapshot));
    let id: SnapshotId = order.snapshot.parse().map_err(|_| unknown())?;
    let snapshot = repository.load_snapshot(id)?;
    let parts = snapshot.paths.iter().map(|path| Part::find(repository, snapshot.tree, path, rules));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    for part in &parts {
        count(repository, part, (progress, ctx))?;
    }
    progress.publish_totals();
    let mut done = Done::default();
    for part in &parts {
        let folder = target.map_or(part.folder.as_path(), |target| target);
        restore_part(order, (repository, part), folder, (progress, ctx), &mut done)?;
    }
    Ok(done)
}

fn restore_part(
    order: &RestoreOrder,
    (repository, part): (&Repository, &Part),
    folder: &Path,
    (progress, ctx): (&Progress, &Ctx),
    done: &mut Done,
) -> Result<(), Error> {
    let cannot = |cause| Error::new(ErrorKind::Io, "cannot open the folder to restore to").because(cause);
    let target = FilesTarget::open(folder, Path::new("/"), &order.vault.spool_folder).map_err(cannot)?;
    let options = RestoreOptions {
        select: Arc::new(part.select.clone()),
        overwrite: overwrite(order.spec.conflict),
        workers: order.workers,
        ..RestoreOptions::default()
    };
    let report = repository.restore(part.tree, &target, &options, ctx)?;
    let written = report.files + report.folders + report.others;
    add(&progress.items_done, written + report.skipped + report.lost_count);
    add(&progress.items_actual, written);
    add(&progress.files_done, report.files + report.skipped);
    add(&progress.files_actual, report.files);
    add(&progress.bytes_done, report.bytes);
    add(&progress.bytes_handled, report.bytes + report.skipped_bytes);
    done.lost.extend(report.lost.iter().map(Lost::of));
    done.lost_count += report.lost_count;
    Ok(())
}

/// One path of a snapshot: the tree of the folder that it was in, and its own name.
struct Part {
    tree: BlobId,
    /// Where that folder was.
    folder: PathBuf,
    select: Within,
}

/// Keeps to one entry of a folder, and in it to what the rules take.
#[derive(Clone)]
struct Within {
    /// `None` for the folder itself.
    name: Option<Vec<u8>>,
    rules: Rules,
}

impl Selection for Within {
    fn judge(&self, path: &[u8], is_dir: bool) -> Selected {
        let first = path.split(|byte| *byte == b'/').nth(1);
        if self.name.is_some() && first != self.name.as_deref() {
            return Selected { itself: false, below: false };
        }
        Selection::judge(&self.rules, path, is_dir)
    }
}

impl Part {
    fn find(repository: &Repository, root: BlobId, path: &str, rules: &Rules) -> Result<Self, Error> {
        let path = Path::new(path);
        let name = path.file_name().map(|name| name.as_bytes().to_vec());
        let folder = path.parent().unwrap_or(path).to_owned();
        let mut tree = root;
        for component in
            folder.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty())
        {
            let missing =
                || Error::new(ErrorKind::NotFound, format!("the snapshot holds no {}", folder.display()));
            let mut entries = repository.read_tree(tree)?;
            let node = entries.find(|node| node.as_ref().map_or(true, |node| node.name == component));
            tree = node.ok_or_else(missing)??.subtree.ok_or_else(missing)?;
        }
        Ok(Self { tree, folder, select: Within { name, rules: rules.clone() } })
    }
}

/// Counts what is selected below a part.
fn count(repository: &Repository, part: &Part, (progress, ctx): (&Progress, &Ctx)) -> Result<(), Error> {
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
        if selected.itself {
            add(&progress.items_total, 1);
            if node.kind == NodeKind::File {
                add(&progress.files_total, 1);
                add(&progress.bytes_total, node.size);
            }
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
