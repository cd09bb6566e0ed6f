//! Which paths a job takes: the paths asked for, and by restic's patterns things to take and things to leave out.
//!
//! A path with a wildcard stands for the folder before the first `*`, of which nothing is taken but what matches.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use lifeboat_adapters::files::Select;
use lifeboat_repository::pattern::{Case, PatternList};
use lifeboat_repository::restore::{Selected, Selection};

use lifeboat_repository::Cancel;

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

/// The paths that a backup was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    roots: Vec<PathBuf>,
    wildcard: Option<PatternList>,
}

impl Paths {
    pub(crate) fn new(paths: &[String]) -> Result<Self, JobError> {
        let roots: Vec<_> = paths.iter().map(|path| clean(path)).collect();
        let [only] = roots.as_slice() else { return Ok(Self { roots, wildcard: None }) };
        let names: Vec<_> = only.iter().map(OsStr::as_bytes).collect();
        let Some(first) = names.iter().position(|name| name.contains(&b'*')) else {
            return Ok(Self { roots, wildcard: None });
        };
        let root = only.iter().take(first).collect();
        let pattern = literal(only.as_os_str().as_bytes());
        let wildcard = PatternList::parse([pattern], Case::Sensitive).map_err(JobError::BadPattern)?;
        Ok(Self { roots: vec![root], wildcard: Some(wildcard) })
    }

    /// Where the walk begins.
    pub(crate) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Whether a path was asked for, and is not merely on the way to one that was.
    pub(crate) fn is_item(&self, path: &Path) -> bool {
        match &self.wildcard {
            Some(wildcard) => wildcard.matches(path.as_os_str().as_bytes()),
            None => self.roots.iter().any(|root| path.starts_with(root)),
        }
    }

    fn takes(&self, path: &[u8], is_dir: bool) -> bool {
        self.wildcard.as_ref().is_none_or(|wildcard| {
            let verdict = wildcard.judge(path);
            verdict.matches || is_dir && verdict.may_match_below
        })
    }

    /// Whether something is there that a wildcard stands for. What cannot be looked into holds nothing.
    pub(crate) fn exist(&self, cancel: &Cancel) -> bool {
        let Some(wildcard) = &self.wildcard else { return true };
        let mut folders = self.roots.clone();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let verdict = wildcard.judge(path.as_os_str().as_bytes());
                if verdict.matches || cancel.is_cancelled() {
                    return true;
                }
                if verdict.may_match_below && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                }
            }
        }
        false
    }
}

/// The shortest path that means the same without looking at the disk.
fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// A pattern in which nothing but `*` has a meaning of its own.
fn literal(path: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b'?' | b'[' | b']' | b'\\' => vec![b'\\', *byte],
        byte => vec![*byte],
    };
    path.iter().flat_map(escaped).collect()
}

/// What a backup takes: what was asked for, as far as the rules let it.
pub(crate) struct Chosen {
    pub(crate) paths: std::sync::Arc<Paths>,
    pub(crate) rules: Rules,
}

/// A folder on the way to what may be taken is taken, too.
impl Select for Chosen {
    fn includes(&self, path: &Path, is_dir: bool) -> bool {
        self.paths.takes(path.as_os_str().as_bytes(), is_dir) && self.rules.includes(path, is_dir)
    }
}

/// Whether a path leads to below one of the folders that jobs may touch. Links on the way to it are followed.
pub(crate) fn is_allowed(path: &Path, allowed: &[PathBuf]) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let path = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => real(folder).join(name),
        _ => path.to_owned(),
    };
    allowed.iter().any(|folder| path.starts_with(real(folder)))
}

/// A folder on the way to what may be taken is taken, too.
impl Rules {
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
