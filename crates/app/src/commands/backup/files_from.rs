//! The roots of a backup: from the command line and from the files that `--files-from` and its kin name.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use lifeboat_repository::pattern::{Case, PatternList};

use crate::app::App;
use crate::cli::backup::BackupArgs;

/// All roots in the order restic takes them.
pub(super) fn roots(app: &App, args: &BackupArgs) -> anyhow::Result<Vec<PathBuf>> {
    let mut roots = Vec::new();
    for file in &args.files_from {
        for line in read(file)?.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let found = expand(line)?;
            if found.is_empty() {
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
        bail!("nothing to back up: name files or folders");
    }
    Ok(roots)
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

/// The existing paths that a path with wildcards stands for, in order.
fn expand(pattern: &[u8]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![if pattern.starts_with(b"/") { PathBuf::from("/") } else { PathBuf::new() }];
    for part in pattern.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        let is_plain = !part.iter().any(|byte| b"*?[\\".contains(byte));
        let mut longer = Vec::new();
        for path in found {
            if is_plain {
                longer.push(path.join(to_path(part)));
            } else {
                longer.extend(matching_entries(&path, part)?);
            }
        }
        found = longer;
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    Ok(found)
}

/// What in a folder matches one component of a pattern. A folder that cannot be read has no entries.
fn matching_entries(folder: &Path, part: &[u8]) -> anyhow::Result<Vec<PathBuf>> {
    // A leading `!` would negate the pattern.
    let escaped = if part.starts_with(b"!") { [b"\\", part].concat() } else { part.to_vec() };
    let list = PatternList::parse([escaped], Case::Sensitive)
        .with_context(|| format!("cannot expand {:?}", String::from_utf8_lossy(part)))?;
    let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(shown) else { return Ok(Vec::new()) };
    let names = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
    let mut matching: Vec<PathBuf> =
        names.filter(|name| list.matches(name.as_bytes())).map(|name| folder.join(name)).collect();
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
            let found = expand(absolute.as_os_str().as_bytes()).unwrap();
            let names = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap());
            names.map(|name| name.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(expanded("*/x.c"), ["a/x.c", "b/x.c"]);
        assert_eq!(expanded("a/!*"), ["a/!z.c"]);
        assert_eq!(expanded("b/[x]"), Vec::<String>::new());
        assert_eq!(expanded("b/x.h"), ["b/x.h"]);
        assert!(expand(b"/[").is_err());
    }
}
