//! Which paths a job takes: things to take and things to leave out, by restic's patterns.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lifeboat_adapters::files::Select;
use lifeboat_repository::pattern::{Case, PatternList};
use lifeboat_repository::restore::{Selected, Selection};

use crate::JobError;

/// Patterns to leave out, and patterns to keep to. No pattern to keep to keeps everything.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    include: PatternList,
    exclude: PatternList,
}

impl Rules {
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self, JobError> {
        let list =
            |patterns: &[String]| PatternList::parse(patterns, Case::Sensitive).map_err(JobError::BadPattern);
        Ok(Self { include: list(include)?, exclude: list(exclude)? })
    }

    /// Whether a path is taken, and whether something below it may be.
    fn judge(&self, path: &[u8]) -> (bool, bool) {
        if self.exclude.matches(path) {
            return (false, false);
        }
        if self.include.is_empty() {
            return (true, true);
        }
        let verdict = self.include.judge(path);
        (verdict.matches, verdict.may_match_below)
    }
}

/// A folder on the way to what may be taken is taken, too.
impl Select for Rules {
    fn includes(&self, path: &Path, is_dir: bool) -> bool {
        let (itself, below) = self.judge(path.as_os_str().as_bytes());
        itself || is_dir && below
    }
}

impl Selection for Rules {
    fn judge(&self, path: &[u8], is_dir: bool) -> Selected {
        let (itself, below) = Self::judge(self, path);
        Selected { itself, below: is_dir && below }
    }
}
