//! A single file made of a stream, such as standard input, as a source.
//!
//! The folders above it are made up. The stream can be read once; what ends it early is for whoever writes it to
//! know, so that a broken pipe in front of us looks like its end.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lifeboat_repository::Ctx;
use lifeboat_repository::source::{Access, Content, Entry, EntryError, Event, Source};
use lifeboat_repository::tree::{Node, NodeKind, NodeTime, mode};

/// A stream that becomes the file `path` of a snapshot.
pub struct StreamSource {
    events: VecDeque<Event>,
}

/// A path that names no file.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no file")]
pub struct NoFileName(PathBuf);

type Stream = Box<dyn Read + Send>;

impl StreamSource {
    /// The file and the folders above it get the time `time`.
    pub fn new(path: &Path, stream: Stream, time: NodeTime) -> Result<Self, NoFileName> {
        let mut names = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => names.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(NoFileName(path.to_owned())),
            }
        }
        let file_name = names.pop().ok_or_else(|| NoFileName(path.to_owned()))?;
        let mut events = VecDeque::new();
        let mut at = PathBuf::from("/");
        for folder in &names {
            at.push(folder);
            let node = node(folder, NodeKind::Dir, mode::DIR | 0o755, time);
            events.push_back(Event::Enter(entry(at.clone(), node, None)));
        }
        at.push(file_name);
        let node = node(file_name, NodeKind::File, 0o644, time);
        events.push_back(Event::Item(entry(at, node, Some(stream))));
        events.extend(names.iter().map(|_| Event::Leave));
        Ok(Self { events })
    }
}

fn node(name: &OsStr, kind: NodeKind, mode: u32, time: NodeTime) -> Node {
    let name = name.as_bytes().to_vec();
    Node { name, kind, mode, mtime: time, atime: time, ctime: time, ..Node::default() }
}

fn entry(path: PathBuf, node: Node, stream: Option<Stream>) -> Entry {
    let access =
        StreamAccess { path: path.clone(), node: node.clone(), stream: Arc::new(Mutex::new(stream)) };
    Entry { path, node, access: Box::new(access) }
}

impl Source for StreamSource {
    fn next_event(&mut self, ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        if ctx.cancel.is_cancelled() {
            return None;
        }
        self.events.pop_front().map(Ok)
    }
}

struct StreamAccess {
    path: PathBuf,
    node: Node,
    stream: Arc<Mutex<Option<Stream>>>,
}

impl Access for StreamAccess {
    fn complete(&self, _node: &mut Node) -> Result<(), EntryError> {
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gone = || io::Error::other("a stream can be read only once");
        let stream =
            stream.ok_or_else(|| EntryError { path: self.path.clone(), op: "open", cause: gone().into() })?;
        Ok(Box::new(StreamContent { node: self.node.clone(), stream }))
    }
}

struct StreamContent {
    node: Node,
    stream: Stream,
}

impl Read for StreamContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Content for StreamContent {
    fn node(&mut self) -> Result<Node, EntryError> {
        Ok(self.node.clone())
    }

    fn changed(&mut self) -> Result<Option<String>, EntryError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(path: &str) -> Vec<String> {
        let stream = Box::new(io::Cursor::new(b"content".to_vec()));
        let mut source = StreamSource::new(Path::new(path), stream, NodeTime::UNKNOWN).unwrap();
        let ctx = Ctx::default();
        std::iter::from_fn(|| source.next_event(&ctx))
            .map(|event| match event.unwrap() {
                Event::Enter(entry) => format!("enter {}", entry.path.display()),
                Event::Item(entry) => {
                    let mut content = String::new();
                    entry.access.open().unwrap().read_to_string(&mut content).unwrap();
                    assert!(entry.access.open().is_err(), "a stream was opened twice");
                    format!("{} {content}", entry.path.display())
                }
                Event::Leave => "leave".to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_stream_is_a_file_below_folders_that_are_made_up() {
        assert_eq!(events("x"), ["/x content"]);
        assert_eq!(events("/a/./b/x"), ["enter /a", "enter /a/b", "/a/b/x content", "leave", "leave"]);
    }

    #[test]
    fn a_path_without_a_name_is_refused() {
        for path in ["", "/", ".", "a/../x"] {
            let stream = Box::new(io::empty());
            assert!(StreamSource::new(Path::new(path), stream, NodeTime::UNKNOWN).is_err(), "{path}");
        }
    }
}
