//! Removing what is in a restored folder but not in its tree.
//!
//! Two sorted lists are compared as streams, the names in the folder and those in the tree, so that a folder of any
//! size needs little memory. Should either not be readable, nothing more is removed.

use super::Shared;
use super::folder::Folder;
use super::report::ActionKind;
use crate::error::Cause;
use crate::target::TargetFolder;
use crate::tree::Node;

impl Shared<'_> {
    /// Removes what is selected but not in the tree. What cannot be removed is named.
    pub(super) fn delete_unexpected(&self, folder: &Folder) {
        let Some(target) = folder.target() else { return };
        if let Err(cause) = self.compare(folder, target) {
            self.tally.lose(&folder.path(), "remove what does not belong in", cause);
        }
    }

    fn compare(&self, folder: &Folder, target: &dyn TargetFolder) -> Result<(), Cause> {
        let mut tree = self.repository.read_tree(folder.tree)?;
        let mut node = Node::default();
        let mut has_node = tree.read_into(&mut node)?;
        for name in target.names(&self.ctx.cancel)? {
            let name = name?;
            self.ctx.cancel.check()?;
            while has_node && node.name < name {
                has_node = tree.read_into(&mut node)?;
            }
            if !has_node || node.name != name {
                self.delete(folder, target, &name);
            }
        }
        Ok(())
    }

    fn delete(&self, folder: &Folder, target: &dyn TargetFolder, name: &[u8]) {
        let path = folder.path_of(name);
        if !self.options.select.judge(&path, false).itself {
            return;
        }
        if !self.options.dry_run
            && let Err(error) = target.remove(name, true, &self.ctx.cancel)
        {
            self.tally.lose(&path, "remove", error);
            return;
        }
        self.tally.report().deleted += 1;
        self.tally.act(ActionKind::Delete, &path, 0);
    }
}
