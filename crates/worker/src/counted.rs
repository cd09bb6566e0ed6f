//! A source that tells what the engine did with each of its entries.
//!
//! The engine opens what is new or changed and leaves the rest closed; every error it names about an entry has passed
//! through here. So what becomes of an entry is known when the engine drops it, and is told once. An entry dropped
//! unread because the backup ended early is not told at all. What came of all is told to the snapshot file as well, when
//! the lines about the entries are closed: who finds the one finds the others whole.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lifeboat_repository::Ctx;
use lifeboat_repository::restore::ItemFacts;
use lifeboat_repository::source::{Access, Content, Entry, EntryError, Event, Source};
use lifeboat_repository::tree::{Node, NodeKind};
use serde_json::{Map, Value};

use crate::import::{JobResult, result_fields};
use crate::progress::{Fate, Item, Progress, Totals};
use crate::reason;
use crate::rules::Paths;

/// Tells of the entries of `inner`.
pub(crate) struct Counted<S> {
    inner: S,
    paths: Arc<Paths>,
    progress: Arc<Progress>,
    seen: Seen,
    /// The entry handed out last.
    last: Option<Arc<Ticket>>,
}

/// Counts what a walk comes upon.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) totals: Totals,
    folder: PathBuf,
}

impl Seen {
    /// Counts an event, and says whether it stands for an item.
    pub(crate) fn count(&mut self, event: &Result<Event, EntryError>, paths: &Paths) -> bool {
        match event {
            Ok(Event::Enter(entry)) => {
                self.folder.clone_from(&entry.path);
                self.entry(entry, paths)
            }
            Ok(Event::Item(entry)) => self.entry(entry, paths),
            Ok(Event::Leave) => false,
            Err(error) => {
                let is_item = !self.is_of_folder(error);
                self.totals.items += u64::from(is_item);
                is_item
            }
        }
    }

    fn entry(&mut self, entry: &Entry, paths: &Paths) -> bool {
        let is_item = paths.is_item(&entry.path);
        if is_item {
            self.totals.add(&facts_of(&entry.node));
        }
        is_item
    }

    /// Of a folder that cannot be listed the walk tells after it has entered it.
    fn is_of_folder(&self, error: &EntryError) -> bool {
        error.op == "list" && error.path == self.folder
    }
}

fn facts_of(node: &Node) -> ItemFacts {
    let size = if node.kind == NodeKind::File { node.size } else { 0 };
    ItemFacts { kind: node.kind.clone(), size, mtime: node.mtime }
}

impl<S: Source> Counted<S> {
    pub(crate) fn new(inner: S, paths: Arc<Paths>, progress: Arc<Progress>) -> Self {
        Self { inner, paths, progress, seen: Seen::default(), last: None }
    }

    fn wrap(&mut self, entry: Entry, is_item: bool) -> Entry {
        let ticket = Arc::new(Ticket {
            path: entry.path.clone(),
            facts: facts_of(&entry.node),
            is_item,
            progress: Arc::clone(&self.progress),
            state: Mutex::default(),
        });
        self.last = Some(Arc::clone(&ticket));
        Entry { access: Box::new(CountedAccess { inner: entry.access, ticket }), ..entry }
    }

    /// The engine asks for the next entry: what it has dropped of the last one without opening it, it took as it is.
    fn pass_last(&mut self) {
        if let Some(ticket) = self.last.take() {
            ticket.pass();
        }
    }

    fn lose(&mut self, error: &EntryError, is_item: bool) {
        if !is_item && let Some(folder) = &self.last {
            folder.fail(error);
            return;
        }
        self.pass_last();
        let fate = Fate::Failed { why: reason(error), is_stored: false };
        let facts = ItemFacts { kind: NodeKind::Other(String::new()), ..ItemFacts::default() };
        self.progress.end(&Item { path: &error.path, facts, fate });
    }
}

impl<S: Source> Source for Counted<S> {
    fn next_event(&mut self, ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        let Some(event) = self.inner.next_event(ctx) else {
            self.pass_last();
            if !ctx.cancel.is_cancelled() {
                self.progress.publish(self.seen.totals);
            }
            return None;
        };
        if ctx.cancel.is_cancelled() {
            return Some(event);
        }
        let is_item = self.seen.count(&event, &self.paths);
        if event.is_ok() {
            self.pass_last();
        }
        Some(match event {
            Ok(Event::Enter(entry)) => Ok(Event::Enter(self.wrap(entry, is_item))),
            Ok(Event::Item(entry)) => Ok(Event::Item(self.wrap(entry, is_item))),
            Ok(Event::Leave) => Ok(Event::Leave),
            Err(error) => {
                self.lose(&error, is_item);
                Err(error)
            }
        })
    }

    fn last_words(&mut self) -> Map<String, Value> {
        self.progress.settle();
        if let Some(log) = self.progress.log() {
            // A failure is told to whoever asks for the report.
            drop(log.finish());
        }
        let is_partial = self.progress.items_failed() > 0;
        result_fields(&JobResult { counters: self.progress.read(), is_partial })
    }
}

/// What is known of an entry until it is over.
struct Ticket {
    path: PathBuf,
    facts: ItemFacts,
    /// Not a folder on the way to what was asked for.
    is_item: bool,
    progress: Arc<Progress>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The engine asked for more than the `stat` told: the entry is new or changed.
    was_asked: bool,
    was_opened: bool,
    is_stored: bool,
    is_dropped: bool,
    is_over: bool,
    bytes_read: u64,
    why: Option<String>,
}

impl Ticket {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: &EntryError) {
        self.state().why.get_or_insert_with(|| reason(error));
    }

    /// Ends an entry that was not opened.
    fn pass(&self) {
        let mut state = self.state();
        if !state.is_dropped || state.was_opened || state.is_over {
            return;
        }
        let is_new = state.was_asked && self.facts.kind != NodeKind::File;
        let fate = match state.why.take() {
            Some(why) => Fate::Failed { why, is_stored: is_new },
            None if is_new => Fate::Done,
            None => Fate::Skipped,
        };
        self.end(&mut state, fate);
    }

    /// Ends an entry that was opened; one that was not is ended by [`Ticket::pass`].
    fn drop_access(&self) {
        let mut state = self.state();
        state.is_dropped = true;
        if !state.was_opened {
            return;
        }
        let is_stored = state.is_stored;
        match state.why.take() {
            Some(why) => self.end(&mut state, Fate::Failed { why, is_stored }),
            None if is_stored => self.end(&mut state, Fate::Done),
            // The backup ended in the middle of it.
            None => {}
        }
    }

    fn end(&self, state: &mut State, fate: Fate) {
        state.is_over = true;
        let left = self.facts.size.saturating_sub(state.bytes_read);
        self.progress.handle_bytes(left);
        if self.is_item || matches!(fate, Fate::Failed { .. }) {
            self.progress.end(&Item { path: Path::new(&self.path), facts: self.facts.clone(), fate });
        }
    }
}

/// Dropped when the engine is done with the entry.
struct CountedAccess {
    inner: Box<dyn Access>,
    ticket: Arc<Ticket>,
}

impl Drop for CountedAccess {
    fn drop(&mut self) {
        self.ticket.drop_access();
    }
}

impl Access for CountedAccess {
    fn complete(&self, node: &mut Node) -> Result<(), EntryError> {
        self.ticket.state().was_asked = true;
        self.inner.complete(node).inspect_err(|error| self.ticket.fail(error))
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        self.ticket.state().was_opened = true;
        let content = self.inner.open().inspect_err(|error| self.ticket.fail(error))?;
        Ok(Box::new(CountedContent { inner: content, ticket: Arc::clone(&self.ticket) }))
    }
}

struct CountedContent {
    inner: Box<dyn Content>,
    ticket: Arc<Ticket>,
}

impl Read for CountedContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        match &read {
            Ok(read) => {
                self.ticket.state().bytes_read += *read as u64;
                self.ticket.progress.read_bytes(*read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.ticket.state().why.get_or_insert_with(|| format!("read: {error}"));
            }
        }
        read
    }
}

impl Content for CountedContent {
    fn node(&mut self) -> Result<Node, EntryError> {
        self.inner.node().inspect_err(|error| self.ticket.fail(error))
    }

    fn changed(&mut self) -> Result<Option<String>, EntryError> {
        // Asked for once all of its content is stored.
        self.ticket.state().is_stored = true;
        let changed = self.inner.changed().inspect_err(|error| self.ticket.fail(error))?;
        if let Some(how) = &changed {
            self.ticket.state().why.get_or_insert_with(|| format!("read a steady state of: {how}"));
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests;
