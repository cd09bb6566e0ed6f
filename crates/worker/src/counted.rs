//! A source that counts what passes through it.
//!
//! An entry is handled when the next one is asked for or its content was read to the end; what the engine opens is
//! what is new or changed, and what it leaves closed is unchanged. So the counters come from what the engine did.

use std::io::{self, Read};
use std::sync::Arc;

use lifeboat_repository::Ctx;
use lifeboat_repository::source::{Access, Content, Entry, EntryError, Event, Source};
use lifeboat_repository::tree::{Node, NodeKind};

use crate::progress::{Progress, add};

/// Counts the entries of `inner` into a [`Progress`].
pub(crate) struct Counted<S> {
    inner: S,
    progress: Arc<Progress>,
}

impl<S: Source> Counted<S> {
    pub(crate) fn new(inner: S, progress: Arc<Progress>) -> Self {
        Self { inner, progress }
    }

    fn wrap(&self, entry: Entry) -> Entry {
        let is_file = entry.node.kind == NodeKind::File;
        let ticket = Ticket { progress: Arc::clone(&self.progress), is_file, size: entry.node.size };
        add(&self.progress.items_done, 1);
        Entry { access: Box::new(CountedAccess { inner: entry.access, ticket }), ..entry }
    }
}

impl<S: Source> Source for Counted<S> {
    fn next_event(&mut self, ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        Some(match self.inner.next_event(ctx)? {
            Ok(Event::Enter(entry)) => Ok(Event::Enter(self.wrap(entry))),
            Ok(Event::Item(entry)) => Ok(Event::Item(self.wrap(entry))),
            Ok(Event::Leave) => Ok(Event::Leave),
            Err(lost) => {
                add(&self.progress.items_done, 1);
                Err(lost)
            }
        })
    }
}

/// What is counted when an entry is done with.
struct Ticket {
    progress: Arc<Progress>,
    is_file: bool,
    size: u64,
}

/// Dropped when the engine is done with the entry.
struct CountedAccess {
    inner: Box<dyn Access>,
    ticket: Ticket,
}

impl Drop for CountedAccess {
    fn drop(&mut self) {
        let Ticket { progress, is_file, size } = &self.ticket;
        if *is_file {
            add(&progress.files_done, 1);
            add(&progress.bytes_handled, *size);
        }
    }
}

impl Access for CountedAccess {
    fn complete(&self, node: &mut Node) -> Result<(), EntryError> {
        self.inner.complete(node)
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        let content = self.inner.open()?;
        Ok(Box::new(CountedContent { inner: content, progress: Arc::clone(&self.ticket.progress) }))
    }
}

struct CountedContent {
    inner: Box<dyn Content>,
    progress: Arc<Progress>,
}

impl Read for CountedContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        add(&self.progress.bytes_done, read as u64);
        Ok(read)
    }
}

impl Content for CountedContent {
    fn node(&mut self) -> Result<Node, EntryError> {
        self.inner.node()
    }

    fn changed(&mut self) -> Result<Option<String>, EntryError> {
        let changed = self.inner.changed()?;
        add(&self.progress.files_actual, 1);
        add(&self.progress.items_actual, 1);
        Ok(changed)
    }
}
