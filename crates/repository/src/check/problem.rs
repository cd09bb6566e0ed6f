//! What a check finds: problems, which mean that something is or will be lost, and hints, which do not.
//!
//! Both are counted without end but kept only up to a limit, so that a repository that has lost everything does
//! not take all memory to say so.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::blob::BlobRef;
use crate::error::Error;
use crate::storage::FileId;

/// How many problems, and how many hints, are kept word for word.
const MOST_KEPT: usize = 1000;

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    File(FileId),
    Blob(BlobRef),
}

/// In which way a thing is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// It is needed and not there.
    Missing,
    /// The storage failed to read it.
    Unreadable,
    /// It is longer or shorter than it should be.
    WrongSize,
    /// Its bytes were altered: they have another name, do not verify or do not unpack.
    Damaged,
    /// It verifies, but makes no sense.
    Malformed,
    /// The index says something else about it than it does itself.
    Contradicted,
}

/// Something that is lost or will be missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub subject: Subject,
    pub kind: ProblemKind,
    sentence: String,
}

/// What kind of remark a hint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HintKind {
    /// No index names the pack: an interrupted backup left it; `prune` removes it.
    UnreferencedPack,
    /// Several index files name the pack.
    PackInSeveralIndexes,
    /// The index file is in the form of the first versions of restic.
    LegacyIndex,
    /// A file's noted size is not the sum of its blobs.
    SizeDiffers,
    /// An entry of a kind unknown here.
    UnknownEntry,
}

/// Something worth knowing that endangers nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub subject: Subject,
    pub kind: HintKind,
    sentence: String,
}

impl Problem {
    pub fn new(subject: impl Into<Subject>, kind: ProblemKind, sentence: impl Into<String>) -> Self {
        Self { subject: subject.into(), kind, sentence: sentence.into() }
    }

    /// What a failed operation says about its subject.
    pub fn of_error(subject: impl Into<Subject>, error: &Error) -> Self {
        Self::new(subject, kind_of(error), chain(error))
    }
}

/// Decides by the storage's word where there is one behind the error.
fn kind_of(error: &Error) -> ProblemKind {
    use crate::error::ErrorKind;
    use crate::storage::{StorageError, StorageErrorKind};
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(storage) = this.downcast_ref::<StorageError>() {
            return match storage.kind {
                StorageErrorKind::NotFound => ProblemKind::Missing,
                StorageErrorKind::Truncated => ProblemKind::WrongSize,
                _ => ProblemKind::Unreadable,
            };
        }
        cause = this.source();
    }
    match error.kind {
        ErrorKind::NotFound => ProblemKind::Missing,
        ErrorKind::Damaged => ProblemKind::Damaged,
        ErrorKind::Unsupported => ProblemKind::Malformed,
        _ => ProblemKind::Unreadable,
    }
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        let this_text = this.to_string();
        if !text.ends_with(&this_text) {
            text.push_str(": ");
            text.push_str(&this_text);
        }
        cause = this.source();
    }
    text
}

impl From<FileId> for Subject {
    fn from(file: FileId) -> Self {
        Self::File(file)
    }
}

impl From<BlobRef> for Subject {
    fn from(blob: BlobRef) -> Self {
        Self::Blob(blob)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.fmt(f),
            Self::Blob(blob) => blob.fmt(f),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Collects findings from many threads.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) problems: Vec<Problem>,
    pub(crate) problem_count: u64,
    pub(crate) hints: Vec<Hint>,
    pub(crate) hint_count: u64,
}

impl Findings {
    pub(crate) fn problem(&self, problem: Problem) {
        let mut kept = self.lock();
        kept.problem_count += 1;
        if kept.problems.len() < MOST_KEPT {
            kept.problems.push(problem);
        }
    }

    pub(crate) fn hint(&self, subject: impl Into<Subject>, kind: HintKind, sentence: impl Into<String>) {
        let mut kept = self.lock();
        kept.hint_count += 1;
        if kept.hints.len() < MOST_KEPT {
            kept.hints.push(Hint { subject: subject.into(), kind, sentence: sentence.into() });
        }
    }

    /// True once there was a problem.
    pub(crate) fn any(&self) -> bool {
        self.lock().problem_count > 0
    }

    pub(crate) fn into_kept(self) -> Kept {
        self.kept.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn findings_are_counted_beyond_what_is_kept() {
        let findings = Findings::default();
        for _ in 0..MOST_KEPT + 7 {
            findings.problem(Problem::new(FileId::CONFIG, ProblemKind::Missing, "the config is missing"));
            findings.hint(FileId::CONFIG, HintKind::SizeDiffers, "a remark");
        }
        let kept = findings.into_kept();
        assert_eq!((kept.problems.len(), kept.problem_count), (MOST_KEPT, MOST_KEPT as u64 + 7));
        assert_eq!((kept.hints.len(), kept.hint_count), (MOST_KEPT, MOST_KEPT as u64 + 7));
    }

    #[test]
    fn a_problem_tells_the_whole_chain_of_causes() {
        let inner = Error::new(ErrorKind::Io, "disk on fire");
        let problem =
            Problem::of_error(FileId::CONFIG, &Error::damaged("cannot read the config").because(inner));
        assert_eq!(problem.to_string(), "cannot read the config: disk on fire");
        assert_eq!(problem.kind, ProblemKind::Damaged);
    }
}
