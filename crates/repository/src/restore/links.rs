//! Files with several names: the first is restored, the others are linked to it.
//!
//! Where the first stays as it was, the others are linked to it only if it is that very file: with the size, the time,
//! the mode and the owner that the snapshot has, with no more names than the snapshot knows, and with its content,
//! which is read to be sure. Else the next name that may be made is restored, and those after it are linked to that
//! one. A name that stays is never touched, so it may end up apart from the others.
//!
//! Only names of such files are remembered, each until its last name was seen. The folder of the first name is held
//! that long, so that its mode does not keep the links from being made.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Shared;
use super::folder::{Folder, release};
use super::report::{ActionKind, ItemFacts, ItemOutcome};
use super::verify::compare;
use crate::Counters;
use crate::id::Id;
use crate::target::Place;
use crate::tree::{Node, NodeKind};

/// What makes two names those of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LinkKey {
    device: u64,
    inode: u64,
    /// Of kind and content: names of one file that was changed between them are those of two files.
    content: Id,
}

/// The files whose names have not all been seen.
#[derive(Default)]
pub(super) struct Links(Mutex<HashMap<LinkKey, Link>>);

struct Link {
    names_left: u64,
    state: State,
}

enum State {
    /// The first name is being restored; these wait for it.
    Waiting(Vec<Name>),
    Done(Arc<Folder>, Vec<u8>),
    /// The first name stays as it was. Nothing is linked to it before its content was read.
    Kept(Arc<Folder>, Vec<u8>, Identity),
}

/// Which file a name stands for.
type Identity = (u64, u64);

/// A name to be linked.
pub(super) struct Name {
    pub(super) folder: Arc<Folder>,
    pub(super) name: Vec<u8>,
    pub(super) place: Place,
    pub(super) facts: ItemFacts,
}

/// What to do with a name.
pub(super) enum Claim {
    /// It is the first: restore it, and say how that went.
    First,
    /// It is linked, or will be.
    Taken,
}

impl LinkKey {
    /// The key of an entry that has more names than one.
    pub(super) fn of(node: &Node) -> Option<Self> {
        if node.links < 2 || node.kind == NodeKind::Dir {
            return None;
        }
        let kind = match &node.kind {
            NodeKind::File => 0,
            NodeKind::Symlink => 1,
            NodeKind::BlockDevice => 2,
            NodeKind::CharDevice => 3,
            _ => return None,
        };
        let mut text = vec![kind];
        text.extend_from_slice(&node.device.to_le_bytes());
        text.extend_from_slice(&node.link_target);
        text.extend(node.content.iter().flatten().flat_map(|id| id.as_bytes()));
        Some(Self { device: node.device_id, inode: node.inode, content: Id::of(&text) })
    }
}

impl Links {
    fn map(&self) -> MutexGuard<'_, HashMap<LinkKey, Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name of the file `node`. `there` is what has the name now, if that passes for the file.
    pub(super) fn claim(
        &self,
        key: LinkKey,
        (node, there): (&Node, Option<Identity>),
        name: Name,
        shared: &Shared<'_>,
    ) -> Claim {
        self.prove(key, node, there, shared);
        let mut map = self.map();
        let Some(link) = map.get_mut(&key) else {
            map.insert(key, Link { names_left: node.links - 1, state: State::Waiting(Vec::new()) });
            return Claim::First;
        };
        link.names_left = link.names_left.saturating_sub(1);
        let first = match &mut link.state {
            State::Waiting(names) => {
                names.push(name);
                return Claim::Taken;
            }
            State::Done(first, first_name) => Some((Arc::clone(first), first_name.clone())),
            // The name is one of that file already, or else it would have been proved.
            State::Kept(..) => None,
        };
        let over = if link.names_left == 0 { map.remove(&key) } else { None };
        drop(map);
        match first {
            None => {
                if shared.tally.is_heard() {
                    shared.tally.act(ActionKind::Update, &name.folder.path_of(&name.name), 0);
                }
                if shared.tally.wants_items() {
                    let path = name.folder.path_of(&name.name);
                    shared.tally.end(&path, name.facts, ItemOutcome::Skipped, false);
                }
                release(name.folder, shared);
            }
            Some((first, first_name)) => {
                make(&first, &first_name, name, shared);
                release(first, shared);
            }
        }
        over.into_iter().for_each(|link| link.release(shared));
        Claim::Taken
    }

    /// Where a name is about to be linked to a file that stays as it was: reads whether that has the content of
    /// `node`. If not, it is no longer the first.
    fn prove(&self, key: LinkKey, node: &Node, there: Option<Identity>, shared: &Shared<'_>) {
        let (first, first_name) = match self.map().get(&key) {
            Some(Link { state: State::Kept(first, first_name, identity), .. })
                if there != Some(*identity) =>
            {
                (Arc::clone(first), first_name.clone())
            }
            _ => return,
        };
        let content = node.content.as_deref().unwrap_or_default();
        let is_right = first
            .target()
            .is_some_and(|target| compare(shared, (target, &first_name), content, &mut Vec::new()).is_ok());
        let mut map = self.map();
        let wrong = if is_right { None } else { map.remove(&key) };
        if let Some(link) = map.get_mut(&key) {
            link.state = State::Done(Arc::clone(&first), first_name);
        }
        drop(map);
        wrong.into_iter().for_each(|link| link.release(shared));
        release(first, shared);
    }

    /// Notes that a name of the file `node` stays as it is, with what is there if others may be linked to that.
    pub(super) fn pass(
        &self,
        key: LinkKey,
        node: &Node,
        kept: Option<(&Arc<Folder>, Identity)>,
        shared: &Shared<'_>,
    ) {
        let mut map = self.map();
        let over = match (map.get_mut(&key), kept) {
            (None, None) => None,
            (None, Some((folder, identity))) => {
                let state = State::Kept(Arc::clone(folder), node.name.clone(), identity);
                map.insert(key, Link { names_left: node.links - 1, state })
            }
            (Some(link), _) => {
                link.names_left = link.names_left.saturating_sub(1);
                let is_over = link.names_left == 0 && !matches!(link.state, State::Waiting(_));
                if is_over { map.remove(&key) } else { None }
            }
        };
        drop(map);
        over.into_iter().for_each(|link| link.release(shared));
    }

    /// Says that the first name, which is in `folder`, has kept its content.
    pub(super) fn keep(&self, key: LinkKey, (folder, name): (&Arc<Folder>, &[u8]), identity: Identity) {
        if let Some(link) = self.map().get_mut(&key) {
            link.state = State::Kept(Arc::clone(folder), name.to_vec(), identity);
        }
    }

    /// Says what became of the first name, which is in `folder`.
    pub(super) fn settle(
        &self,
        key: LinkKey,
        is_done: bool,
        (folder, first_name): (&Arc<Folder>, &[u8]),
        shared: &Shared<'_>,
    ) {
        if is_done {
            self.done(key, folder, first_name, shared);
        } else {
            self.failed(key, shared);
        }
    }

    /// The first name is restored; links those that waited.
    fn done(&self, key: LinkKey, folder: &Arc<Folder>, first_name: &[u8], shared: &Shared<'_>) {
        let mut map = self.map();
        let Some(link) = map.get_mut(&key) else { return };
        let state = State::Done(Arc::clone(folder), first_name.to_vec());
        let waiting = std::mem::replace(&mut link.state, state);
        let over = if link.names_left == 0 { map.remove(&key) } else { None };
        drop(map);
        if let State::Waiting(names) = waiting {
            names.into_iter().for_each(|name| make(folder, first_name, name, shared));
        }
        over.into_iter().for_each(|link| link.release(shared));
    }

    /// The first name could not be restored. The next one that comes will be tried as the first.
    fn failed(&self, key: LinkKey, shared: &Shared<'_>) {
        let failed = self.map().remove(&key);
        if let Some(Link { state: State::Waiting(names), .. }) = failed {
            for name in names {
                let cause = "the file could not be restored under the first of its names";
                let path = name.folder.path_of(&name.name);
                shared.tally.fail(&path, name.facts, "restore", cause.into());
                release(name.folder, shared);
            }
        }
    }

    /// Forgets all; not every name need have come.
    pub(super) fn clear(&self, shared: &Shared<'_>) {
        let links = std::mem::take(&mut *self.map());
        links.into_values().for_each(|link| link.release(shared));
    }
}

impl Link {
    fn release(self, shared: &Shared<'_>) {
        match self.state {
            State::Done(folder, _) | State::Kept(folder, ..) => release(folder, shared),
            State::Waiting(names) => names.into_iter().for_each(|name| release(name.folder, shared)),
        }
    }
}

fn make(first: &Arc<Folder>, first_name: &[u8], new: Name, shared: &Shared<'_>) {
    let Name { folder, name, place, facts } = new;
    let path = folder.path_of(&name);
    if let (Some(target), Some(first)) = (folder.target(), first.target()) {
        shared.ctx.counters.set_item(Path::new(&super::report::shown(&path)));
        match target.link(&name, place, first, first_name) {
            Ok(()) => {
                shared.tally.act(place.into(), &path, 0);
                shared.tally.end(&path, facts, ItemOutcome::Written, false);
                shared.tally.report().others += 1;
            }
            Err(error) => {
                shared.tally.pass_over(&path);
                shared.tally.fail(&path, facts, "link", error.into());
            }
        }
    }
    Counters::add(&shared.ctx.counters.items_done, 1);
    release(folder, shared);
}
