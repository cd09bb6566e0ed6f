//! The roots of a backup: from the command line and from the files that `--files-from` and its kin name.
//!
//! What a line without wildcards names is a root even if it is not there, so that it counts as missing.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use lifeboat_repository::pattern::{Case, PatternList};
use lifeboat_repository::source::EntryError;

use crate::app::App;
use crate::cli::backup::BackupArgs;

/// All roots in the order restic takes them, and the folders in which wildcards could not be tried.
pub(super) fn roots(app: &App, args: &BackupArgs) -> anyhow::Result<(Vec<PathBuf>, Vec<EntryError>)> {
    let (mut roots, mut lost) = (Vec::new(), Vec::new());
    for file in &args.files_from {
        for line in read(file)?.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let lost_before = lost.len();
            let found = expand(line, &mut lost)?;
            if found.is_empty() && lost.len() == lost_before {
                app.output.warn(format_args!("nothing matches {:?}", String::from_utf8_lossy(line)));
            }
            roots.extend(found);
        }
    }
    for file in &args.files_from_verbatim {
        let content = read(file)?;
        let lines = content.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        roots.extend(lines.filter(|line| !line.is_empty()).map(to_path));
    }
    for file in &args.files_from_raw {
        let content = read(file)?;
        let Some(names) = content.strip_suffix(b"\0") else {
            ensure!(content.is_empty(), "{} does not end with a zero byte", file.display());
            continue;
        };
        for name in names.split(|&byte| byte == 0) {
            ensure!(!name.is_empty(), "{} holds an empty path", file.display());
            roots.push(to_path(name));
        }
    }
    roots.extend(args.paths.iter().cloned());
    if roots.is_empty() {
        lost.iter().for_each(|lost| app.output.entry_error(lost, "backup"));
        bail!("nothing to back up: name files or folders");
    }
    Ok((roots, lost))
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read the list of paths from {}", file.display());
    let mut content = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut content).with_context(failed)?;
        return Ok(content);
    }
    content = std::fs::read(file).with_context(failed)?;
    Ok(content.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(content))
}

/// The existing paths that a path with wildcards stands for, in order; a path without any stands for itself.
fn expand(pattern: &[u8], lost: &mut Vec<EntryError>) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![if pattern.starts_with(b"/") { PathBuf::from("/") } else { PathBuf::new() }];
    for part in pattern.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        let is_plain = is_plain(part);
        let mut longer = Vec::new();
        for path in found {
            if is_plain {
                longer.push(path.join(to_path(part)));
            } else {
                longer.extend(matching_entries(&path, part, lost)?);
            }
        }
        found = longer;
    }
    if !is_plain(pattern) {
        // What cannot be looked at stays a root, of which the walk will tell.
        found.retain(|path| !path.symlink_metadata().is_err_and(|error| is_absence(&error)));
    }
    Ok(found)
}

fn is_plain(part: &[u8]) -> bool {
    !part.iter().any(|byte| b"*?[\\".contains(byte))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What in a folder matches one component of a pattern. A folder that is there but cannot be listed is lost.
fn matching_entries(folder: &Path, part: &[u8], lost: &mut Vec<EntryError>) -> anyhow::Result<Vec<PathBuf>> {
    // A leading `!` would negate the pattern.
    let escaped = if part.starts_with(b"!") { [b"\\", part].concat() } else { part.to_vec() };
    let list = PatternList::parse([escaped], Case::Sensitive)
        .with_context(|| format!("cannot expand {:?}", String::from_utf8_lossy(part)))?;
    let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut lose = |error: io::Error| {
        lost.push(EntryError { path: shown.to_owned(), op: "list", cause: error.into() });
    };
    let entries = match std::fs::read_dir(shown) {
        Ok(entries) => entries,
        Err(error) => {
            if !is_absence(&error) {
                lose(error);
            }
            return Ok(Vec::new());
        }
    };
    let mut matching = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) if list.matches(entry.file_name().as_bytes()) => {
                matching.push(folder.join(entry.file_name()));
            }
            Ok(_) => {}
            Err(error) => {
                lose(error);
                break;
            }
        }
    }
    matching.sort_unstable();
    Ok(matching)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_what_exists() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/x.c", "a/y.c", "a/!z.c", "b/x.c", "b/x.h"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let expanded = |pattern: &str| -> Vec<String> {
            let absolute = folder.path().join(pattern);
            let found = expand(absolute.as_os_str().as_bytes(), &mut Vec::new()).unwrap();
            let names = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap());
            names.map(|name| name.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(expanded("*/x.c"), ["a/x.c", "b/x.c"]);
        assert_eq!(expanded("a/!*"), ["a/!z.c"]);
        assert_eq!(expanded("b/[x]"), Vec::<String>::new());
        assert_eq!(expanded("b/x.h"), ["b/x.h"]);
        assert_eq!(expanded("b/none"), ["b/none"]);
        assert_eq!(expanded("*/x.h/*"), Vec::<String>::new());
        assert!(expand(b"/[", &mut Vec::new()).is_err());
    }
}
