//! The workers: read neighbouring blobs, decode each once, write it to wherever it belongs.
//!
//! A blob that is damaged where it was read is looked for elsewhere. Each worker reuses its buffers.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::Shared;
use super::file::Output;
use super::sparse::is_zero;
use super::window::{ReadJob, Wanted};
use crate::Counters;
use crate::blob::{BlobKind, BlobRef};
use crate::error::{Cause, Error, ErrorKind};
use crate::repository::BlobReader;
use crate::storage::StorageError;

/// A buffer grown beyond this by a rare blob is not kept.
const KEPT_BYTES: usize = 4 << 20;

/// Something for a worker to do.
pub(super) enum Job {
    Read(ReadJob),
    /// Files without content.
    Empty(Vec<Arc<Output>>),
}

pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    reader: BlobReader<'a>,
    plain: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, reader: shared.repository.blob_reader(), plain: Vec::new() }
    }

    /// Works until there is no more, or passes all by once cancelled.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            if self.shared.ctx.cancel.is_cancelled() {
                continue;
            }
            match job {
                Job::Read(job) => self.read(job),
                Job::Empty(files) => files.iter().for_each(|file| file.finish(self.shared)),
            }
        }
    }

    fn read(&mut self, job: ReadJob) {
        let _share = self.shared.budget.take(job.memory_bytes());
        let sealed = self.shared.repository.storage().read(job.pack.into(), job.range.clone());
        for wanted in job.blobs {
            if self.shared.ctx.cancel.is_cancelled() {
                return;
            }
            let start = wanted.location.range().start.saturating_sub(job.range.start);
            match self.decode(&wanted, &sealed, start) {
                Ok(()) => {
                    Counters::add(&self.shared.ctx.counters.bytes_read, self.plain.len() as u64);
                    self.write(&wanted);
                }
                Err(error) if error.kind == ErrorKind::Cancelled => return,
                Err(error) => self.lose(&wanted, error),
            }
        }
        if self.plain.capacity() > KEPT_BYTES {
            self.plain = Vec::new();
        }
    }

    /// Decodes a blob out of what was read, or else from wherever it can be had.
    fn decode(
        &mut self,
        wanted: &Wanted,
        sealed: &Result<Vec<u8>, StorageError>,
        start: u64,
    ) -> Result<(), Error> {
        let blob = BlobRef { kind: BlobKind::Data, id: wanted.id };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let end = start.saturating_add(wanted.location.length as usize);
        if let Some(part) = sealed.as_ref().ok().and_then(|sealed| sealed.get(start..end))
            && self.reader.open(blob, &wanted.location, part, &mut self.plain).is_ok()
        {
            return Ok(());
        }
        self.reader.read(blob, &mut self.plain)
    }

    fn write(&self, wanted: &Wanted) {
        let is_zero = self.shared.options.sparse && is_zero(&self.plain);
        if is_zero {
            self.shared.zeros.add(wanted.id);
        }
        for (file, offset) in &wanted.uses {
            if is_zero {
                Counters::add(&self.shared.ctx.counters.bytes_written, self.plain.len() as u64);
            } else {
                file.write(&self.plain, *offset, self.shared);
            }
            Counters::add(&self.shared.ctx.counters.bytes_done, self.plain.len() as u64);
            file.blobs_done(1, self.shared);
        }
    }

    fn lose(&self, wanted: &Wanted, error: Error) {
        let error = Arc::new(error);
        for (file, _) in &wanted.uses {
            file.lose_blob(Cause::from(SharedCause(Arc::clone(&error))));
            file.blobs_done(1, self.shared);
        }
    }
}

/// One cause behind the losses of several files.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SharedCause(Arc<Error>);
