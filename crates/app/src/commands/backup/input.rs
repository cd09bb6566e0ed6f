//! What a backup reads: files and folders, or standard input.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use lifeboat_adapters::files::{FilesOptions, FilesSource, OpenError, Scanner};
use lifeboat_adapters::stream::StreamSource;
use lifeboat_repository::source::{EntryError, Source};
use lifeboat_repository::tree::NodeTime;

use super::files_from;
use crate::app::App;
use crate::choose;
use crate::cli::backup::BackupArgs;
use crate::select::PathRules;

pub(super) enum Input {
    Files { source: Box<FilesSource>, roots: Vec<PathBuf>, lost: Vec<EntryError> },
    Stdin(StreamSource),
}

impl Input {
    /// `time` is when the backup is dated.
    pub(super) fn open(app: &App, args: &BackupArgs, time: Timestamp) -> anyhow::Result<Self> {
        if args.stdin {
            let seconds = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
            let nanoseconds = time.subsec_nanosecond().rem_euclid(1_000_000_000).unsigned_abs();
            let time = NodeTime { seconds, nanoseconds };
            return Ok(Self::Stdin(StreamSource::new(
                &args.stdin_filename,
                Box::new(std::io::stdin()),
                time,
            )?));
        }
        let rules = PathRules::new(app.env, &args.exclude, &args.include)?;
        let (roots, lost) = files_from::roots(app, args)?;
        let options = FilesOptions {
            select: Arc::new(rules),
            one_file_system: args.one_file_system,
            with_atime: args.with_atime,
            exclude_caches: args.exclude_caches,
            exclude_if_present: args.exclude_if_present.clone(),
            exclude_larger_than: args.exclude_larger_than.map(|size| size.0),
            spool_folder: app.env.spool_folder(),
            ..FilesOptions::default()
        };
        let current = app.env.current_folder().context("cannot tell the current folder")?;
        let source = FilesSource::open(&roots, &current, options).inspect_err(|error| {
            if let OpenError::NoRoot { missing } = error {
                missing.iter().for_each(|lost| app.output.entry_error(lost, "backup"));
            }
        })?;
        Ok(Self::Files { source: Box::new(source), roots, lost })
    }

    /// The paths to note in the snapshot: absolute, without those that do not exist.
    pub(super) fn paths(&self, app: &App, args: &BackupArgs) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Stdin(_) => {
                let name = args.stdin_filename.to_str();
                ensure!(name.is_some(), "the name given with --stdin-filename is not UTF-8");
                Ok(vec![format!("/{}", name.unwrap_or_default().trim_start_matches('/'))])
            }
            Self::Files { source, roots, .. } => {
                let is_found = |root: &&PathBuf| !source.missing().contains(root);
                choose::absolute_paths(app, &roots.iter().filter(is_found).cloned().collect::<Vec<_>>())
            }
        }
    }

    /// Counts what there is, where that can be known beforehand.
    pub(super) fn scanner(&self) -> Option<Scanner> {
        match self {
            Self::Files { source, .. } => Some(source.scanner()),
            Self::Stdin(_) => None,
        }
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Files { source, .. } => &mut **source,
            Self::Stdin(source) => source,
        }
    }

    /// What was lost before the walk began; takes it.
    pub(super) fn lost(&mut self) -> Vec<EntryError> {
        match self {
            Self::Files { lost, .. } => std::mem::take(lost),
            Self::Stdin(_) => Vec::new(),
        }
    }

    pub(super) fn warnings(&self) -> &[String] {
        match self {
            Self::Files { source, .. } => source.warnings(),
            Self::Stdin(_) => &[],
        }
    }
}
