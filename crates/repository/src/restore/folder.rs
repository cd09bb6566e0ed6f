//! Folders while entries in them are under way.
//!
//! Whoever has work to do in a folder holds it: the walk, files being written, names waiting for their file, the
//! folders below. Who lets go last finishes it: removes what does not belong in it, then sets mode, owner and times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Shared;
use super::report::ItemOutcome;
use super::walk::Entered;
use crate::id::BlobId;
use crate::target::TargetFolder;
use crate::tree::Node;

/// A folder of the target.
pub(super) struct Folder {
    /// None in a dry run, where the folder would be made.
    target: Option<Arc<dyn TargetFolder>>,
    /// None for the root, which keeps its own.
    node: Option<Box<Node>>,
    pub(super) tree: BlobId,
    /// All of its tree could be read, so that what is missing there does not belong here.
    is_sound: AtomicBool,
    has_entries: AtomicBool,
    /// Incomplete files were put in it beside their names.
    has_parts: AtomicBool,
    /// Selected itself, and not only on the way to something that is.
    is_selected: bool,
    parent: Option<Arc<Folder>>,
}

impl Folder {
    pub(super) fn root(target: Option<Arc<dyn TargetFolder>>, tree: BlobId) -> Self {
        Self {
            target,
            node: None,
            tree,
            is_sound: AtomicBool::new(false),
            has_entries: AtomicBool::new(false),
            has_parts: AtomicBool::new(false),
            is_selected: false,
            parent: None,
        }
    }

    pub(super) fn below(
        parent: &Arc<Self>,
        place: &Entered<'_>,
        target: Option<Arc<dyn TargetFolder>>,
    ) -> Self {
        let mut folder = Self::root(target, place.tree);
        folder.node = Some(Box::new(place.node.clone()));
        folder.parent = Some(Arc::clone(parent));
        folder.is_selected = place.is_selected;
        // An empty folder is restored as well as a full one.
        folder.note_entry();
        folder
    }

    pub(super) fn target(&self) -> Option<&dyn TargetFolder> {
        self.target.as_deref()
    }

    /// Its path in the snapshot, put together from the names above it: kept in each, paths would fill the memory
    /// with the square of the depth.
    pub(super) fn path(&self) -> Vec<u8> {
        self.path_of(b"")
    }

    /// The path of an entry in it.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut names = if name.is_empty() { Vec::new() } else { vec![name] };
        let mut next = Some(self);
        while let Some(folder) = next {
            names.extend(folder.node.as_ref().map(|node| node.name.as_slice()));
            next = folder.parent.as_deref();
        }
        names.into_iter().rev().flat_map(|name| [b"/", name]).flatten().copied().collect()
    }

    /// Notes that something in it is restored.
    pub(super) fn note_entry(&self) {
        self.has_entries.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_sound(&self) {
        self.is_sound.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_part(&self) {
        self.has_parts.store(true, Ordering::Relaxed);
    }

    fn may_delete(&self) -> bool {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        is(&self.is_sound) && is(&self.has_entries) && !is(&self.has_parts)
    }

    fn finish(&self, shared: &Shared<'_>) {
        if shared.options.delete && self.may_delete() {
            shared.delete_unexpected(self);
        }
        let Some(node) = &self.node else { return };
        shared.tally.report().folders += 1;
        let finished = match &self.target {
            Some(target) if !shared.options.dry_run => target.finish(node),
            _ => Ok(()),
        };
        match finished {
            Err(error) => shared.tally.fail_folder(&self.path(), "restore all of", error.into()),
            Ok(()) if self.is_selected && shared.tally.wants_items() => {
                shared.tally.end_folder(&self.path(), node, ItemOutcome::Written);
            }
            Ok(()) => {}
        }
    }
}

/// Lets go of a folder; the last one to do so finishes it, and lets go of the one above.
pub(super) fn release(folder: Arc<Folder>, shared: &Shared<'_>) {
    let mut next = Arc::into_inner(folder);
    while let Some(mut folder) = next {
        if !shared.ctx.cancel.is_cancelled() {
            folder.finish(shared);
        }
        next = folder.parent.take().and_then(Arc::into_inner);
    }
}

/// Chains of folders may be thousands long: they are let go one by one.
impl Drop for Folder {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut folder) = next.and_then(Arc::into_inner) {
            next = folder.parent.take();
        }
    }
}
