//! The names in a folder in byte order, within a budget of memory.
//!
//! Names beyond the budget go to a spool as sorted runs, merged while they are read. What is left of a listing can be
//! set aside in a spool that it shares with others. Spools have no name on disk, so a crash leaves nothing behind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use lifeboat_repository::Cancel;
use lifeboat_repository::spool::Spool;
use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// Bytes of directory entries asked of the kernel at a time.
const KERNEL_BUFFER_BYTES: usize = 32 * 1024;
/// Memory for reading one run back.
const RUN_BUFFER_BYTES: u64 = 16 * 1024;

/// A name and what the folder says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: CString,
    pub(super) kind: Kind,
}

/// What a folder says of its entries before any is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Dir,
    NotDir,
    Unknown,
}

/// Where and within which budget names are sorted.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) budget_bytes: usize,
    pub(super) spool_folder: &'a Path,
    pub(super) cancel: &'a Cancel,
}

/// The sorted names of a folder, handed out one by one.
#[derive(Default)]
pub(super) struct Listing {
    names: Names,
    next: usize,
    merge: Option<Merge>,
}

impl Listing {
    /// Reads all names of an open folder. Those read before an error are kept, the error comes beside them.
    pub(super) fn read(dir: &OwnedFd, room: Room<'_>) -> (Self, Option<io::Error>) {
        let mut collector = Collector { names: Names::default(), runs: None };
        let outcome = collector.collect(dir, room);
        let (listing, finished) = collector.finish();
        (listing, outcome.and(finished).err())
    }

    /// A listing of given names, whatever they are.
    pub(super) fn of(names: &[&CStr]) -> Self {
        let mut listing = Self::default();
        for name in names {
            listing.names.push(name, Kind::Unknown);
        }
        listing.names.sort();
        listing
    }

    /// Memory taken by the names.
    pub(super) fn bytes(&self) -> usize {
        let buffers = self
            .merge
            .as_ref()
            .map_or(0, |merge| merge.runs.iter().map(|run| run.buffer.capacity().max(1024)).sum());
        self.names.bytes() + buffers
    }

    pub(super) fn next_name(&mut self) -> Option<io::Result<Name>> {
        if let Some(merge) = &mut self.merge {
            return merge.next_name();
        }
        let (name, kind) = self.names.get(self.next)?;
        self.next += 1;
        Some(Ok(Name { name: name.to_owned(), kind }))
    }

    /// Moves the names still to come to the end of `spool`. After an error none are left.
    pub(super) fn set_aside(mut self, spool: &mut Spool) -> (Run, io::Result<()>) {
        let start = spool.len();
        let mut out = io::BufWriter::with_capacity(KERNEL_BUFFER_BYTES, &mut *spool);
        let mut moved = std::iter::from_fn(|| self.next_name()).try_for_each(|name| {
            let Name { name, kind } = name?;
            write_name(&mut out, &name, kind)
        });
        moved = out.flush().and(moved);
        // What is left in the buffer after a failed flush is not written again.
        drop(out.into_parts());
        let end = if moved.is_ok() { spool.len() } else { start };
        (Run { start, next: start, end, buffer: Vec::new(), at: 0 }, moved)
    }
}

fn write_name(out: &mut dyn Write, name: &CStr, kind: Kind) -> io::Result<()> {
    let bytes = name.to_bytes();
    let len = u16::try_from(bytes.len()).map_err(|_| io::Error::from(Errno::NAMETOOLONG))?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(&[kind.code()])?;
    out.write_all(bytes)
}

/// Names end to end, each behind its kind and before a zero, and where they start.
#[derive(Default)]
struct Names {
    text: Vec<u8>,
    starts: Vec<u32>,
}

impl Names {
    fn push(&mut self, name: &CStr, kind: Kind) {
        let start = u32::try_from(self.text.len()).expect("the budget keeps the names below 4 GiB");
        self.starts.push(start);
        self.text.push(kind.code());
        self.text.extend_from_slice(name.to_bytes_with_nul());
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.starts.len() * size_of::<u32>()
    }

    fn sort(&mut self) {
        let text = &self.text;
        self.starts.sort_unstable_by_key(|start| name_at(text, *start).map(|(name, _)| name));
    }

    fn get(&self, index: usize) -> Option<(&CStr, Kind)> {
        self.starts.get(index).and_then(|start| name_at(&self.text, *start))
    }
}

fn name_at(text: &[u8], start: u32) -> Option<(&CStr, Kind)> {
    let (kind, name) = text.get(start as usize..)?.split_first()?;
    Some((CStr::from_bytes_until_nul(name).ok()?, Kind::of_code(*kind)))
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::Directory => Self::Dir,
            FileType::Unknown => Self::Unknown,
            _ => Self::NotDir,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Dir => b'd',
            Self::NotDir => b'-',
            Self::Unknown => b'?',
        }
    }

    fn of_code(code: u8) -> Self {
        match code {
            b'd' => Self::Dir,
            b'-' => Self::NotDir,
            _ => Self::Unknown,
        }
    }
}

/// Takes names in and spills them in sorted runs.
struct Collector {
    names: Names,
    runs: Option<(Spool, Vec<Run>)>,
}

impl Collector {
    fn collect(&mut self, dir: &OwnedFd, room: Room<'_>) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(KERNEL_BUFFER_BYTES);
        let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.names.push(entry.file_name(), Kind::of(entry.file_type()));
            if self.names.bytes() >= room.budget_bytes {
                if room.cancel.is_cancelled() {
                    return Err(Errno::CANCELED.into());
                }
                self.spill(room.spool_folder)?;
            }
        }
        Ok(())
    }

    fn spill(&mut self, folder: &Path) -> io::Result<()> {
        let (spool, runs) = match &mut self.runs {
            Some(runs) => runs,
            None => self.runs.insert((Spool::create(folder)?, Vec::new())),
        };
        self.names.sort();
        let start = spool.len();
        let mut out = io::BufWriter::with_capacity(KERNEL_BUFFER_BYTES, &mut *spool);
        for start in &self.names.starts {
            let Some((name, kind)) = name_at(&self.names.text, *start) else { continue };
            write_name(&mut out, name, kind)?;
        }
        out.flush()?;
        drop(out);
        runs.push(Run { start, next: start, end: spool.len(), buffer: Vec::new(), at: 0 });
        self.names.text.clear();
        self.names.starts.clear();
        Ok(())
    }

    fn finish(mut self) -> (Listing, io::Result<()>) {
        let Some((spool, mut runs)) = self.runs.take() else {
            self.names.sort();
            self.names.text.shrink_to_fit();
            self.names.starts.shrink_to_fit();
            return (Listing { names: self.names, ..Listing::default() }, Ok(()));
        };
        self.names.sort();
        runs.push(Run::in_memory(&self.names));
        let mut merge = Merge { spool, runs, heap: BinaryHeap::new() };
        let started = (0..merge.runs.len()).try_for_each(|run| merge.refill(run));
        (Listing { merge: Some(merge), ..Listing::default() }, started)
    }
}

/// One sorted run: a range of the spool and a window on it.
pub(super) struct Run {
    start: u64,
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl Run {
    /// The last names, which never went to the spool.
    fn in_memory(names: &Names) -> Self {
        let mut buffer = Vec::with_capacity(names.text.len() + names.starts.len());
        for start in &names.starts {
            let Some((name, kind)) = name_at(&names.text, *start) else { continue };
            write_name(&mut buffer, name, kind).expect("a name from the kernel is short and memory takes it");
        }
        Self { start: 0, next: 0, end: 0, buffer, at: 0 }
    }

    /// Where it begins in its spool.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The next name of a listing set aside in `spool`.
    pub(super) fn next_name(&mut self, spool: &Spool) -> Option<io::Result<Name>> {
        match self.take(spool) {
            Ok(taken) => taken.map(|(name, kind)| Ok(Name { name, kind })),
            Err(error) => {
                (self.next, self.at) = (self.end, self.buffer.len());
                Some(Err(error))
            }
        }
    }

    /// Gives up the memory for reading; what was read ahead is read again.
    pub(super) fn close_window(&mut self) {
        let unread = self.buffer.len() - self.at;
        self.next -= unread as u64;
        self.buffer = Vec::new();
        self.at = 0;
    }

    fn take(&mut self, spool: &Spool) -> io::Result<Option<(CString, Kind)>> {
        let Some(head) = self.bytes(3, spool)? else { return Ok(None) };
        let &[low, high, kind] = head else { return Ok(None) };
        let len = usize::from(u16::from_le_bytes([low, high]));
        let name = self.bytes(len, spool)?.ok_or(Errno::IO)?;
        let name = CString::new(name).map_err(|_| Errno::IO)?;
        Ok(Some((name, Kind::of_code(kind))))
    }

    fn bytes(&mut self, len: usize, spool: &Spool) -> io::Result<Option<&[u8]>> {
        if self.buffer.len() - self.at < len && self.next < self.end {
            self.buffer.drain(..self.at);
            self.at = 0;
            let kept = self.buffer.len();
            let wanted = (self.end - self.next).min(RUN_BUFFER_BYTES);
            self.buffer.resize(kept + usize::try_from(wanted).unwrap_or_default(), 0);
            spool.read_exact_at(self.buffer.get_mut(kept..).unwrap_or_default(), self.next)?;
            self.next += wanted;
        }
        let bytes = self.buffer.get(self.at..self.at + len);
        self.at += if bytes.is_some() { len } else { 0 };
        Ok(bytes)
    }
}

/// The runs of one folder, the smallest name of each on the heap.
struct Merge {
    spool: Spool,
    runs: Vec<Run>,
    heap: BinaryHeap<Reverse<(CString, Kind, usize)>>,
}

impl Merge {
    fn refill(&mut self, run: usize) -> io::Result<()> {
        let taken = self.runs.get_mut(run).map_or(Ok(None), |run| run.take(&self.spool))?;
        self.heap.extend(taken.map(|(name, kind)| Reverse((name, kind, run))));
        Ok(())
    }

    fn next_name(&mut self) -> Option<io::Result<Name>> {
        let Reverse((name, kind, run)) = self.heap.pop()?;
        match self.refill(run) {
            Ok(()) => Some(Ok(Name { name, kind })),
            Err(error) => {
                self.heap.clear();
                Some(Err(error))
            }
        }
    }
}
