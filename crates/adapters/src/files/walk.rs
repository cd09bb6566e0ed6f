//! The walk itself: depth first, names in byte order, one `stat` each, no recursion.
//!
//! Two lists of names are merged in each folder: what is there, and what the roots call for below it. The latter is
//! never excluded. A folder that cannot be read is kept, empty, and named. The names of all folders entered share one
//! budget of memory: beyond it those of the outer ones are set aside in one spool, behind each other as the folders
//! lie in each other, so neither memory nor open files grow with the depth.

use std::collections::btree_map::IntoIter;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString};
use std::io;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_repository::Cancel;
use lifeboat_repository::error::Cause;
use lifeboat_repository::source::EntryError;
use lifeboat_repository::spool::Spool;
use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;

use super::FilesOptions;
use super::dir::{Dir, Pool, Reach, c_string};
use super::exclude::{Marker, Marks, is_too_large};
use super::listing::{Kind, Listing, Name, Room, Run};
use super::node::file_type;
use super::plan::{Plan, Planned, as_path, clean, join};

/// What several walks over the same roots have in common.
pub(super) struct Ground {
    pub(super) pool: Arc<Pool>,
    pub(super) plan: Plan,
    /// The absolute path of each base.
    pub(super) base_paths: Vec<Vec<u8>>,
    pub(super) markers: Vec<Marker>,
    pub(super) options: FilesOptions,
}

/// One step of a walk.
pub(super) enum Step {
    Enter(Found),
    Item(Found),
    Leave,
    Lost(EntryError),
}

/// Something to be saved, and where to reach it again.
pub(super) struct Found {
    pub(super) dir: Arc<Dir>,
    /// Its name in `dir`; `.` when it is that folder itself.
    pub(super) name: CString,
    /// Its name in the snapshot, where that is another one.
    pub(super) snapshot_name: Option<Vec<u8>>,
    pub(super) stat: Stat,
}

/// What was found and left out below one root.
#[derive(Clone, Copy, Default)]
struct Tally {
    entries: u64,
    excluded: u64,
}

pub(super) struct Walk {
    ground: Arc<Ground>,
    stack: Vec<Frame>,
    queued: VecDeque<Step>,
    base_dirs: BTreeMap<usize, Arc<Dir>>,
    /// The absolute path of what was visited last, and the base it hangs from.
    absolute: Vec<u8>,
    base: usize,
    tallies: Vec<Tally>,
    /// Of the folders on the way to the roots; of no interest.
    above_roots: Tally,
    warnings: Vec<String>,
    /// Of the folders that have their names in memory,
    names_bytes: usize,
    /// which are those from this one on.
    first_in_memory: usize,
    /// Where the names of the others are.
    aside: Option<Spool>,
}

/// A folder being walked.
struct Frame {
    /// None at the top, where each name has its own base.
    dir: Option<Arc<Dir>>,
    planned: Peekable<IntoIter<Vec<u8>, Planned>>,
    names: Names,
    names_bytes: usize,
    ahead: Option<Name>,
    path_len: usize,
    root: Option<usize>,
    device: u64,
}

/// The names that are there.
enum Names {
    /// Only what the roots call for is of interest.
    NotWanted,
    Unread,
    Read(Listing),
    Aside(Run),
}

/// A name to visit.
struct Child {
    name: CString,
    snapshot_name: Option<Vec<u8>>,
    kind: Kind,
    planned: Option<Planned>,
}

impl Walk {
    pub(super) fn new(ground: Arc<Ground>) -> Self {
        let mut walk = Self {
            stack: Vec::new(),
            queued: VecDeque::new(),
            base_dirs: BTreeMap::new(),
            absolute: Vec::new(),
            base: 0,
            above_roots: Tally::default(),
            tallies: vec![Tally::default(); ground.plan.roots.len()],
            warnings: Vec::new(),
            names_bytes: 0,
            first_in_memory: 0,
            aside: None,
            ground: Arc::clone(&ground),
        };
        let mut top = Frame::new(None, ground.plan.top.clone().into_iter().peekable());
        if let Some(base) = ground.plan.only_content {
            walk.absolute = ground.base_paths.get(base).cloned().unwrap_or_default();
            walk.base = base;
            top.path_len = walk.absolute.len();
            top.root = Some(0);
            top.device = ground.plan.roots.first().map_or(0, |root| root.device);
            let folder = ground.plan.bases.get(base).cloned().unwrap_or_default();
            match Dir::open_base(&ground.pool, &folder, Reach::WalkThrough) {
                Ok((dir, _)) => (top.dir, top.names) = (Some(dir), Names::Unread),
                Err(error) => walk.queued.push_back(walk.lost("open", error)),
            }
        }
        walk.stack.push(top);
        walk
    }

    /// Puts a step before all others.
    pub(super) fn announce(&mut self, lost: EntryError) {
        self.queued.push_back(Step::Lost(lost));
    }

    /// What the user should know besides errors; complete once the walk is over.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The path of what was visited last, as the user would write it.
    pub(super) fn shown(&self) -> PathBuf {
        let (Some(base), Some(above)) =
            (self.ground.plan.bases.get(self.base), self.ground.base_paths.get(self.base))
        else {
            return PathBuf::new();
        };
        let below = self.absolute.get(above.len()..).unwrap_or_default();
        let below = below.strip_prefix(b"/").unwrap_or(below);
        as_path(&if below.is_empty() { base.clone() } else { join(base, below) }).to_owned()
    }

    pub(super) fn step(&mut self, cancel: &Cancel) -> Option<Step> {
        loop {
            if let Some(step) = self.queued.pop_front() {
                return Some(step);
            }
            if cancel.is_cancelled() && !self.stack.is_empty() {
                self.stack.clear();
                return Some(self.lost("walk", Errno::CANCELED));
            }
            let frame = self.stack.last_mut()?;
            if matches!(frame.names, Names::Unread)
                && let Some(lost) = self.list(cancel)
            {
                return Some(lost);
            }
            let frame = self.stack.last_mut()?;
            self.absolute.truncate(frame.path_len);
            match frame.next_child(self.aside.as_ref()) {
                Some(Ok(child)) => {
                    if let Some(step) = self.visit(child) {
                        return Some(step);
                    }
                }
                Some(Err(error)) => return Some(self.lost("list", error)),
                None => {
                    if let Some(leave) = self.pop() {
                        return Some(leave);
                    }
                }
            }
        }
    }

    fn pop(&mut self) -> Option<Step> {
        let frame = self.stack.pop()?;
        if let Some(dir) = &frame.dir {
            dir.reopen_parent();
        }
        match &frame.names {
            Names::Aside(run) => self.aside.iter_mut().for_each(|spool| spool.truncate(run.start())),
            _ => self.names_bytes -= frame.names_bytes,
        }
        self.first_in_memory = self.first_in_memory.min(self.stack.len());
        if !self.stack.is_empty() {
            return Some(Step::Leave);
        }
        for (root, tally) in self.ground.plan.roots.iter().zip(&self.tallies) {
            if tally.entries == 0 && tally.excluded > 0 {
                let root = root.typed.display();
                self.warnings.push(format!("nothing of {root} was backed up: all that is in it is excluded"));
            }
        }
        None
    }

    /// Reads the names of the innermost folder.
    fn list(&mut self, cancel: &Cancel) -> Option<Step> {
        let budget_bytes = self.ground.options.listing_budget_bytes;
        self.set_aside(budget_bytes / 2);
        let budget_bytes = budget_bytes.saturating_sub(self.names_bytes).max(1);
        let room = Room { budget_bytes, spool_folder: &self.ground.options.spool_folder, cancel };
        let frame = self.stack.last_mut()?;
        frame.names = Names::NotWanted;
        let (listing, error) = match frame.dir.as_ref()?.fd() {
            Ok(fd) => Listing::read(&fd, room),
            Err(error) => (Listing::default(), Some(error)),
        };
        frame.names_bytes = listing.bytes();
        self.names_bytes += frame.names_bytes;
        frame.names = Names::Read(listing);
        error.map(|error| self.lost("list", error))
    }

    /// Sets names of folders around the innermost aside, until those in memory take `most_bytes` at most.
    fn set_aside(&mut self, most_bytes: usize) {
        while self.names_bytes > most_bytes && self.first_in_memory + 1 < self.stack.len() {
            let spool = match self.aside.take() {
                Some(spool) => Ok(spool),
                None => Spool::create(&self.ground.options.spool_folder),
            };
            // Without a spool there is no more to be done than to keep the names.
            let (Ok(mut spool), Some(frame)) = (spool, self.stack.get_mut(self.first_in_memory)) else {
                return;
            };
            self.first_in_memory += 1;
            self.names_bytes -= std::mem::take(&mut frame.names_bytes);
            let path_len = frame.path_len;
            match std::mem::replace(&mut frame.names, Names::NotWanted) {
                Names::Read(listing) => {
                    let (run, moved) = listing.set_aside(&mut spool);
                    frame.names = Names::Aside(run);
                    if let Err(error) = moved {
                        let absolute = self.absolute.get(..path_len).unwrap_or_default().to_vec();
                        let inner = std::mem::replace(&mut self.absolute, absolute);
                        self.queued.push_back(self.lost("list", error));
                        self.absolute = inner;
                    }
                }
                others => frame.names = others,
            }
            self.aside = Some(spool);
        }
        let above = self.stack.len().checked_sub(2).and_then(|above| self.stack.get_mut(above));
        if let Some(Frame { names: Names::Aside(run), .. }) = above {
            run.close_window();
        }
    }

    fn visit(&mut self, child: Child) -> Option<Step> {
        let parent = match self.parent_of(&child) {
            Ok(parent) => parent,
            Err(error) => return Some(self.lost("open", error)),
        };
        if !self.absolute.ends_with(b"/") {
            self.absolute.push(b'/');
        }
        self.absolute.extend_from_slice(child.name.to_bytes());
        let is_way = child.planned.as_ref().is_some_and(|planned| !planned.below.is_empty());
        if is_way {
            return Some(self.enter_way(&parent, child));
        }
        let fd = match parent.fd() {
            Ok(fd) => fd,
            Err(error) => return Some(self.lost("open", error)),
        };
        let stat = || statat(&fd, &child.name, AtFlags::SYMLINK_NOFOLLOW);
        let is_explicit = child.planned.as_ref().is_some_and(|planned| planned.is_explicit);
        let mut known = (child.kind == Kind::Unknown).then(stat);
        let is_dir = match &known {
            Some(stat) => stat.as_ref().is_ok_and(|stat| file_type(stat) == FileType::Directory),
            None => child.kind == Kind::Dir,
        };
        let selected = is_explicit || self.ground.options.select.includes(as_path(&self.absolute), is_dir);
        if !selected {
            self.tally(&child).excluded += 1;
            return None;
        }
        let stat = match known.take().unwrap_or_else(stat) {
            Ok(stat) => stat,
            Err(error) => return Some(self.lost("stat", error)),
        };
        self.take(&parent, child, stat)
    }

    /// Decides on something included by its path, now that its `stat` is known.
    fn take(&mut self, parent: &Arc<Dir>, child: Child, stat: Stat) -> Option<Step> {
        let is_explicit = child.planned.as_ref().is_some_and(|planned| planned.is_explicit);
        let is_foreign = self.ground.options.one_file_system && stat.st_dev != self.device(&child);
        match file_type(&stat) {
            FileType::Directory => return Some(self.enter(parent, child, stat, is_foreign)),
            FileType::Socket => return None,
            _ => {}
        }
        if !is_explicit && (is_foreign || is_too_large(&stat, self.ground.options.exclude_larger_than)) {
            self.tally(&child).excluded += 1;
            return None;
        }
        self.tally(&child).entries += 1;
        let Child { name, snapshot_name, .. } = child;
        Some(Step::Item(Found { dir: Arc::clone(parent), name, snapshot_name, stat }))
    }

    /// Enters a folder that is saved with its content.
    fn enter(&mut self, parent: &Arc<Dir>, child: Child, stat: Stat, is_foreign: bool) -> Step {
        let root = child.planned.as_ref().and_then(|planned| planned.root);
        let mut frame = Frame::new(None, BTreeMap::new().into_iter().peekable());
        frame.path_len = self.absolute.len();
        frame.root = root.or(self.stack.last().and_then(|above| above.root));
        frame.device = self.device(&child);
        let mut found =
            Found { dir: Arc::clone(parent), name: child.name.clone(), snapshot_name: None, stat };
        if !is_foreign {
            match parent.open_child(&child.name, Reach::Walk) {
                Ok((dir, stat)) => {
                    let is_automounted = self.ground.options.one_file_system && stat.st_dev != frame.device;
                    if !is_automounted {
                        frame.names = self.marked_names(&dir, &child).unwrap_or(Names::Unread);
                    }
                    found = Found { dir: Arc::clone(&dir), name: c".".to_owned(), stat, ..found };
                    frame.dir = Some(dir);
                }
                Err(error) if has_gone(&error) => return self.lost("open", error),
                Err(error) => self.queued.push_back(self.lost("list", error)),
            }
        }
        self.tally(&child).entries += 1;
        found.snapshot_name = child.snapshot_name;
        self.stack.push(frame);
        Step::Enter(found)
    }

    /// Enters a folder on the way to a root; its other content is of interest only if it is below a root itself.
    fn enter_way(&mut self, parent: &Arc<Dir>, child: Child) -> Step {
        let above = self.stack.last();
        let is_walked = above.is_some_and(|above| !matches!(above.names, Names::NotWanted))
            || child.planned.as_ref().is_some_and(|planned| planned.root.is_some());
        let reach = if is_walked { Reach::WalkThrough } else { Reach::Pass };
        let mut names = if is_walked { Names::Unread } else { Names::NotWanted };
        let mut opened = parent.open_child(&child.name, reach);
        if let Err(error) = &opened
            && error.kind() == io::ErrorKind::PermissionDenied
            && is_walked
        {
            self.queued.push_back(self.lost("list", io::Error::from(error.kind())));
            names = Names::NotWanted;
            opened = parent.open_child(&child.name, Reach::Pass);
        }
        let (dir, stat) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.queued.pop_front().unwrap_or_else(|| self.lost("open", error)),
        };
        if is_walked {
            names = self.marked_names(&dir, &child).unwrap_or(names);
        }
        let planned = child.planned.clone().unwrap_or_default();
        let mut frame = Frame::new(Some(Arc::clone(&dir)), planned.below.into_iter().peekable());
        frame.path_len = self.absolute.len();
        frame.root = planned.root.or(self.stack.last().and_then(|above| above.root));
        frame.device = if is_walked { self.device(&child) } else { stat.st_dev };
        frame.names = names;
        self.tally(&child).entries += 1;
        self.stack.push(frame);
        Step::Enter(Found { dir, name: c".".to_owned(), snapshot_name: child.snapshot_name, stat })
    }

    /// The names left in a folder that a marker file keeps out.
    fn marked_names(&mut self, dir: &Arc<Dir>, child: &Child) -> Option<Names> {
        let marks = Marks::look(&self.ground.markers, dir);
        self.warnings.extend_from_slice(&marks.warnings);
        let marker = marks.found.first()?;
        if child.planned.as_ref().is_some_and(|planned| planned.is_explicit) {
            let (shown, marker) = (self.shown(), marker.to_string_lossy());
            let shown = shown.display();
            self.warnings.push(format!("nothing in {shown} was backed up: {marker} in it says not to"));
        }
        let kept: Vec<&CStr> = marks.kept().into_iter().map(CString::as_c_str).collect();
        Some(Names::Read(Listing::of(&kept)))
    }

    fn parent_of(&mut self, child: &Child) -> io::Result<Arc<Dir>> {
        if let Some(dir) = self.stack.last().and_then(|frame| frame.dir.as_ref()) {
            return Ok(Arc::clone(dir));
        }
        self.base = child.planned.as_ref().map_or(0, |planned| planned.base);
        self.absolute = self.ground.base_paths.get(self.base).cloned().unwrap_or_default();
        if let Some(dir) = self.base_dirs.get(&self.base) {
            return Ok(Arc::clone(dir));
        }
        let base = self.ground.plan.bases.get(self.base).ok_or(Errno::NOENT)?;
        let (dir, _) = Dir::open_base(&self.ground.pool, base, Reach::Pass)?;
        self.base_dirs.insert(self.base, Arc::clone(&dir));
        Ok(dir)
    }

    /// The device that counts as this file system for `child`.
    fn device(&self, child: &Child) -> u64 {
        let root = child.planned.as_ref().and_then(|planned| planned.root);
        let root = root.and_then(|root| self.ground.plan.roots.get(root));
        root.map_or_else(|| self.stack.last().map_or(0, |frame| frame.device), |root| root.device)
    }

    /// The tally that `child` counts for: of the root it is in.
    fn tally(&mut self, child: &Child) -> &mut Tally {
        let own =
            child.planned.as_ref().filter(|planned| !planned.is_explicit).and_then(|planned| planned.root);
        let root = own.or(self.stack.last().and_then(|frame| frame.root));
        root.and_then(|root| self.tallies.get_mut(root)).unwrap_or(&mut self.above_roots)
    }

    fn lost(&self, op: &'static str, cause: impl Into<io::Error>) -> Step {
        let cause: Cause = cause.into().into();
        Step::Lost(EntryError { path: self.shown(), op, cause })
    }
}

impl Frame {
    fn new(dir: Option<Arc<Dir>>, planned: Peekable<IntoIter<Vec<u8>, Planned>>) -> Self {
        let names = Names::NotWanted;
        Self { dir, planned, names, names_bytes: 0, ahead: None, path_len: 0, root: None, device: 0 }
    }

    /// The smallest name not visited yet, be it there, called for, or both.
    fn next_child(&mut self, aside: Option<&Spool>) -> Option<io::Result<Child>> {
        if self.ahead.is_none() {
            let next = match &mut self.names {
                Names::Read(listing) => listing.next_name(),
                Names::Aside(run) => aside.and_then(|spool| run.next_name(spool)),
                Names::NotWanted | Names::Unread => None,
            };
            self.ahead = match next {
                Some(Err(error)) => return Some(Err(error)),
                next => next.and_then(Result::ok),
            };
        }
        let ahead = self.ahead.as_ref().map(|ahead| ahead.name.to_bytes());
        let is_planned = |key: &Vec<u8>| ahead.is_none_or(|ahead| key.as_slice() <= ahead);
        match self.planned.next_if(|(key, _)| is_planned(key)) {
            Some((key, planned)) => {
                let there = self.ahead.take_if(|ahead| ahead.name.to_bytes() == key);
                Some(Child::called_for(key, planned, there.map_or(Kind::Unknown, |there| there.kind)))
            }
            None => {
                let Name { name, kind } = self.ahead.take()?;
                Some(Ok(Child { name, snapshot_name: None, kind, planned: None }))
            }
        }
    }
}

impl Child {
    fn called_for(key: Vec<u8>, planned: Planned, kind: Kind) -> io::Result<Self> {
        let name = c_string(&planned.name)?;
        let snapshot_name = (key != planned.name).then_some(key);
        Ok(Self { name, snapshot_name, kind, planned: Some(planned) })
    }
}

/// Whether what was a folder a moment ago is none now.
fn has_gone(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Ground {
    /// Puts the names in a folder at the top, each as if it had been typed, but open to exclusion.
    pub(super) fn place_content(&mut self, base: usize, root: usize, room: Room<'_>) -> io::Result<()> {
        let folder = self.plan.bases.get(base).cloned().unwrap_or_default();
        let (dir, _) = Dir::open_base(&self.pool, &folder, Reach::WalkThrough)?;
        let (mut listing, error) = Listing::read(&*dir.fd()?, room);
        while let Some(name) = listing.next_name() {
            self.plan.place(&join(&folder, name?.name.to_bytes()), root, false);
        }
        error.map_or(Ok(()), Err)
    }

    /// Fills in where the bases are.
    pub(super) fn locate_bases(&mut self, current: &Path) {
        let current = clean(std::os::unix::ffi::OsStrExt::as_bytes(current.as_os_str()));
        let absolute = |base: &Vec<u8>| match base.as_slice() {
            b"/" => b"/".to_vec(),
            _ => clean(&join(&current, base)),
        };
        self.base_paths = self.plan.bases.iter().map(absolute).collect();
    }
}
