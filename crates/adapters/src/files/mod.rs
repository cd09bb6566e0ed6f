//! Files and folders of this machine as a source.
//!
//! The walk asks for one `stat` per entry and looks nothing up through a symlink or by a long path, so it can neither
//! be redirected nor stopped by depth. What cannot be read costs one error each and never ends the walk. Nothing is
//! written but unnamed spools, so a crash leaves nothing behind.

mod attributes;
mod content;
mod dir;
mod exclude;
mod listing;
mod node;
mod plan;
mod target;
mod walk;

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_repository::source::{Access, Content, Entry, EntryError, Event, Source};
use lifeboat_repository::tree::{Node, NodeKind};
use lifeboat_repository::{Cancel, Counters, Ctx};
use rustix::fs::{OFlags, readlinkat};
use rustix::io::Errno;

pub use exclude::{Marker, ParseMarkerError, Select, SelectAll};
pub use target::FilesTarget;

use content::FileContent;
use dir::{Dir, Pool, stat_path};
use listing::Room;
use node::NodeMaker;
use plan::{Plan, base_of, clean, components};
use walk::{Found, Ground, Step, Walk};

/// What to leave out of a walk, and within which means to make it.
#[derive(Clone)]
pub struct FilesOptions {
    pub select: Arc<dyn Select>,
    pub one_file_system: bool,
    /// Keeps access times; otherwise they are given as the times of modification.
    pub with_atime: bool,
    pub exclude_caches: bool,
    pub exclude_if_present: Vec<Marker>,
    /// Files of more bytes are left out.
    pub exclude_larger_than: Option<u64>,
    /// Where the names of very large folders are sorted.
    pub spool_folder: PathBuf,
    /// Memory for the names of all folders open at a time.
    pub listing_budget_bytes: usize,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
            select: Arc::new(SelectAll),
            one_file_system: false,
            with_atime: false,
            exclude_caches: false,
            exclude_if_present: Vec::new(),
            exclude_larger_than: None,
            spool_folder: PathBuf::from("/tmp"),
            listing_budget_bytes: 8 * 1024 * 1024,
        }
    }
}

/// A source that cannot even begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the current folder {}", .path.display())]
    CurrentFolder { path: PathBuf, source: io::Error },
    /// Not one root exists.
    #[error("none of the paths to back up can be found")]
    NoRoot { missing: Vec<EntryError> },
}

/// Files and folders below some roots.
///
/// Roots are never excluded, whatever patterns, markers or limits say; what is in them is. A root that is only dots or
/// `/` stands for what is in it, which can be excluded.
pub struct FilesSource {
    walk: Walk,
    ground: Arc<Ground>,
    maker: Arc<NodeMaker>,
    missing: Vec<PathBuf>,
}

impl FilesSource {
    /// Prepares a walk over roots as the user typed them in the folder `current`. Those that cannot be found are the
    /// first errors of the walk.
    pub fn open(roots: &[PathBuf], current: &Path, options: FilesOptions) -> Result<Self, OpenError> {
        let pool = Pool::open(current)
            .map_err(|source| OpenError::CurrentFolder { path: current.to_owned(), source })?;
        let maker = Arc::new(NodeMaker::new(options.with_atime));
        let mut markers = options.exclude_if_present.clone();
        markers.extend(options.exclude_caches.then(Marker::cache));
        let (plan, base_paths) = (Plan::default(), Vec::new());
        let mut ground = Ground { pool, plan, base_paths, markers, options };
        let missing = ground.place_roots(roots);
        if ground.plan.roots.is_empty() {
            return Err(OpenError::NoRoot { missing });
        }
        ground.locate_bases(current);
        let ground = Arc::new(ground);
        let mut source = Self { walk: Walk::new(Arc::clone(&ground)), ground, maker, missing: Vec::new() };
        for lost in missing {
            source.missing.push(lost.path.clone());
            source.walk.announce(lost);
        }
        Ok(source)
    }

    /// The roots that cannot be found. The walk reports each as an error as well.
    pub fn missing(&self) -> &[PathBuf] {
        &self.missing
    }

    /// What the user should know besides errors, such as roots of which nothing is left; complete after the walk.
    pub fn warnings(&self) -> &[String] {
        self.walk.warnings()
    }

    /// A walk over the same entries that only counts them, to be run beside this one.
    pub fn scanner(&self) -> Scanner {
        Scanner { walk: Walk::new(Arc::clone(&self.ground)) }
    }

    fn entry(&self, found: Found) -> Result<Entry, EntryError> {
        let path = self.walk.shown();
        let Found { dir, name, snapshot_name, stat } = found;
        let from_path = || path.file_name().map_or(name.to_bytes(), |name| name.as_bytes());
        let snapshot_name = snapshot_name.as_deref().unwrap_or_else(|| match name.to_bytes() {
            b"." => from_path(),
            name => name,
        });
        let mut node = self.maker.node(snapshot_name, &stat);
        if node.kind == NodeKind::Symlink {
            let target = dir.fd().and_then(|fd| Ok(readlinkat(fd, &name, Vec::new())?));
            match target {
                Ok(target) => node.link_target = target.into_bytes(),
                Err(cause) => return Err(EntryError { path, op: "read the link", cause: cause.into() }),
            }
        }
        let alias = (node.name != name.to_bytes()).then(|| node.name.clone());
        let access = FileAccess { dir, name, alias, maker: Arc::clone(&self.maker) };
        Ok(Entry { path, node, access: Box::new(access) })
    }
}

impl Source for FilesSource {
    fn next_event(&mut self, ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        let event = match self.walk.step(&ctx.cancel)? {
            Step::Enter(found) => self.entry(found).map(Event::Enter),
            Step::Item(found) => self.entry(found).map(Event::Item),
            Step::Leave => Ok(Event::Leave),
            Step::Lost(lost) => Err(lost),
        };
        Some(event)
    }
}

impl Ground {
    /// Gives each root that exists its place. Returns those that do not.
    fn place_roots(&mut self, roots: &[PathBuf]) -> Vec<EntryError> {
        let mut missing = Vec::new();
        for typed in roots {
            if let Err(error) = self.place_root(typed, roots.len() == 1) {
                missing.push(EntryError { path: typed.clone(), op: "find", cause: error.into() });
            }
        }
        missing
    }

    fn place_root(&mut self, typed: &Path, is_only: bool) -> io::Result<()> {
        let typed_bytes = typed.as_os_str().as_bytes();
        if typed_bytes.is_empty() {
            return Err(Errno::NOENT.into());
        }
        let path = clean(typed_bytes);
        let names = components(&path);
        let stat = stat_path(&self.pool, &base_of(&path), &names)?;
        let root = self.plan.add_root(typed, stat.st_dev);
        if !names.is_empty() {
            self.plan.place(&path, root, true);
            return Ok(());
        }
        let base = self.plan.base(base_of(&path));
        if is_only {
            self.plan.only_content = Some(base);
            return Ok(());
        }
        let (spool_folder, cancel) = (self.options.spool_folder.clone(), Cancel::default());
        let budget_bytes = self.options.listing_budget_bytes;
        self.place_content(base, root, Room { budget_bytes, spool_folder: &spool_folder, cancel: &cancel })
    }
}

/// Counts what a walk will find.
pub struct Scanner {
    walk: Walk,
}

impl Scanner {
    /// Counts files and their bytes into the totals of `ctx.counters`, as it goes; errors are left to the real walk.
    pub fn run(mut self, ctx: &Ctx) {
        while let Some(step) = self.walk.step(&ctx.cancel) {
            if let Step::Item(found) = step {
                let is_file = node::file_type(&found.stat) == rustix::fs::FileType::RegularFile;
                Counters::add(&ctx.counters.total_items, 1);
                Counters::add(&ctx.counters.total_bytes, if is_file { node::size(&found.stat) } else { 0 });
            }
        }
        let is_complete = !ctx.cancel.is_cancelled();
        ctx.counters.totals_known.store(is_complete, std::sync::atomic::Ordering::Relaxed);
    }
}

/// How to reach an entry again for what its `stat` did not tell.
struct FileAccess {
    dir: Arc<Dir>,
    name: CString,
    /// The name in the snapshot, where it is another one.
    alias: Option<Vec<u8>>,
    maker: Arc<NodeMaker>,
}

impl FileAccess {
    fn lost(&self, op: &'static str, cause: io::Error) -> EntryError {
        EntryError { path: self.dir.path_of(&self.name), op, cause: cause.into() }
    }
}

impl Access for FileAccess {
    fn complete(&self, node: &mut Node) -> Result<(), EntryError> {
        let fd = self.dir.fd().map_err(|cause| self.lost("open", cause))?;
        attributes::read_attributes(&fd, &self.name, &mut node.extended_attributes)
            .map_err(|cause| self.lost("read the attributes of", cause))
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        let lost = |cause| self.lost("open", cause);
        let fd = self.dir.fd().map_err(lost)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = self.dir.pool().open_at(fd.as_fd(), &self.name, flags).map_err(lost)?;
        let path = self.dir.path_of(&self.name);
        let name = self.alias.as_deref().unwrap_or(self.name.to_bytes());
        Ok(Box::new(FileContent::new(file.into(), path, name, Arc::clone(&self.maker))?))
    }
}
