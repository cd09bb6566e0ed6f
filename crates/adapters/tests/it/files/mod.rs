//! Files of this machine as a source, on real file systems in temporary folders.

mod content;
mod errors;
mod exclude;
mod layout;
mod limits;
mod nodes;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_adapters::files::{FilesOptions, FilesSource, Select};
use lifeboat_repository::Ctx;
use lifeboat_repository::source::{Entry, EntryError, Event, Source};

/// What a walk did, in words: `/a/` for a folder entered, `/a/b` for anything else, by names in the snapshot.
#[derive(Default)]
pub(crate) struct Walked {
    pub(crate) lines: Vec<String>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) errors: Vec<EntryError>,
    pub(crate) warnings: Vec<String>,
}

impl Walked {
    pub(crate) fn entry(&self, path: impl AsRef<Path>) -> &Entry {
        let path = path.as_ref();
        self.entries.iter().find(|entry| entry.path == path).unwrap_or_else(|| {
            let paths: Vec<_> = self.entries.iter().map(|entry| &entry.path).collect();
            panic!("{path:?} is not among {paths:?}")
        })
    }

    pub(crate) fn error_lines(&self) -> Vec<String> {
        self.errors.iter().map(|error| format!("{error}: {}", error.cause)).collect()
    }
}

pub(crate) fn open(roots: &[&str], current: &Path, options: FilesOptions) -> FilesSource {
    let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    FilesSource::open(&roots, current, options).unwrap()
}

pub(crate) fn walk(mut source: FilesSource) -> Walked {
    let mut walked = Walked::default();
    let mut path = Vec::new();
    let ctx = Ctx::default();
    while let Some(event) = source.next_event(&ctx) {
        match event {
            Ok(Event::Enter(entry)) => {
                path.push(String::from_utf8_lossy(&entry.node.name).into_owned());
                walked.lines.push(format!("/{}/", path.join("/")));
                walked.entries.push(entry);
            }
            Ok(Event::Item(entry)) => {
                let name = String::from_utf8_lossy(&entry.node.name).into_owned();
                let above: String = path.iter().map(|name| format!("/{name}")).collect();
                walked.lines.push(format!("{above}/{name}"));
                walked.entries.push(entry);
            }
            Ok(Event::Leave) => drop(path.pop().expect("as many leaves as enters")),
            Err(error) => walked.errors.push(error),
        }
    }
    assert!(path.is_empty(), "every folder entered is left");
    walked.warnings = source.warnings().to_vec();
    walked
}

pub(crate) fn walk_roots(roots: &[&str], current: &Path) -> Walked {
    walk(open(roots, current, FilesOptions::default()))
}

/// The content of an entry, by opening and reading it.
pub(crate) fn content(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    entry.access.open().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn write(folder: &Path, files: &[&str]) {
    for file in files {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
}

/// Selects by a function.
pub(crate) struct SelectBy<F>(pub(crate) F);

impl<F: Fn(&Path, bool) -> bool + Send + Sync> Select for SelectBy<F> {
    fn includes(&self, path: &Path, is_dir: bool) -> bool {
        (self.0)(path, is_dir)
    }
}

pub(crate) fn selecting(select: impl Fn(&Path, bool) -> bool + Send + Sync + 'static) -> FilesOptions {
    FilesOptions { select: Arc::new(SelectBy(select)), ..FilesOptions::default() }
}

/// Gives up, in this thread, what lets root read all there is.
pub(crate) fn obey_permissions() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let mut sets = capabilities(None).unwrap();
    sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, sets).unwrap();
}
