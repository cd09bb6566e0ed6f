//! What is told of each entry, when it is told, and that it is told once.

use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_repository::tree::NodeTime;

use super::*;

/// Content that cannot be read past its middle.
struct Half(u64);

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = buffer.len().min(usize::try_from(self.0).unwrap());
        self.0 -= read as u64;
        if read == 0 { Err(io::Error::other("the disk is bad")) } else { Ok(read) }
    }
}

impl Content for Half {
    fn node(&mut self) -> Result<Node, EntryError> {
        Ok(Node::default())
    }

    fn changed(&mut self) -> Result<Option<String>, EntryError> {
        Ok(None)
    }
}

struct Files;

impl Access for Files {
    fn complete(&self, _: &mut Node) -> Result<(), EntryError> {
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        Ok(Box::new(Half(50)))
    }
}

/// Files of a hundred bytes.
#[derive(Default)]
struct Numbered(AtomicU64);

impl Source for Numbered {
    fn next_event(&mut self, _: &Ctx) -> Option<Result<Event, EntryError>> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let node = Node { size: 100, mtime: NodeTime::UNKNOWN, ..Node::default() };
        let entry = Entry { path: format!("/s/{number}").into(), node, access: Box::new(Files) };
        (number < 3).then(|| Ok(Event::Item(entry)))
    }
}

fn next(counted: &mut Counted<Numbered>) -> Option<Entry> {
    match counted.next_event(&Ctx::default())? {
        Ok(Event::Item(entry)) => Some(entry),
        _ => panic!("the source has files alone"),
    }
}

fn counted() -> (Counted<Numbered>, Arc<Progress>) {
    let (progress, paths) = (Arc::<Progress>::default(), Paths::new(&["/s".to_owned()]).unwrap());
    (Counted::new(Numbered::default(), Arc::new(paths), Arc::clone(&progress)), progress)
}

#[test]
fn what_is_dropped_unopened_before_the_next_is_asked_for_was_unchanged() {
    let (mut counted, progress) = counted();
    drop(next(&mut counted));
    assert_eq!(progress.read().items_done, 0, "the engine has not gone on");
    let kept = next(&mut counted);
    assert_eq!((progress.read().items_done, progress.read().bytes_handled), (1, 100));
    drop(next(&mut counted));
    drop(kept);
    assert!(next(&mut counted).is_none());
    let counters = progress.read();
    assert_eq!(
        (counters.items_done, counters.files_done),
        (2, 2),
        "one was dropped when the backup broke off"
    );
    assert_eq!((counters.items_actual, counters.bytes_done), (0, 0));
    assert_eq!((counters.items_total, counters.bytes_total), (Some(3), Some(300)));
}

#[test]
fn a_file_that_fails_half_way_is_handled_and_failed_and_not_stored() {
    let (mut counted, progress) = counted();
    let entry = next(&mut counted).unwrap();
    let mut content = entry.access.open().unwrap();
    assert!(content.read_to_end(&mut Vec::new()).is_err());
    drop(content);
    drop(entry);
    let counters = progress.read();
    assert_eq!((counters.items_done, counters.items_actual, progress.items_failed()), (1, 0, 1));
    assert_eq!((counters.bytes_done, counters.bytes_handled), (50, 100));
}

#[test]
fn a_file_is_stored_once_its_last_byte_is() {
    let (mut counted, progress) = counted();
    let entry = next(&mut counted).unwrap();
    let mut content = entry.access.open().unwrap();
    assert_eq!(content.changed().unwrap(), None);
    assert_eq!(progress.read().files_actual, 0);
    drop((content, entry));
    assert_eq!((progress.read().files_actual, progress.items_failed()), (1, 0));
}
