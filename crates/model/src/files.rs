//! What files to back up, and how to bring them back.

use serde::{Deserialize, Serialize};

/// Patterns of more characters are refused.
pub const MOST_PATTERN_CHARACTERS: usize = 255;
/// More paths than this make a source hard to watch over; one path if it has wildcards.
pub const MOST_PATHS: usize = 8;

/// Which files of a client to back up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesSpec {
    pub paths: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// A [`FilesSpec`] that makes no sense, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesSpecError {
    #[error("no path is given")]
    NoPath,
    #[error("{given} paths are given; at most {MOST_PATHS} are accepted, and one if it has a wildcard")]
    TooManyPaths { given: usize },
    #[error("the path {path:?} is not absolute")]
    Relative { path: String },
    #[error("a pattern is {characters} characters long; at most {MOST_PATTERN_CHARACTERS} are accepted")]
    LongPattern { characters: usize },
    #[error("a pattern is empty")]
    EmptyPattern,
}

impl FilesSpec {
    /// The same, if it makes sense.
    pub fn checked(self) -> Result<Self, FilesSpecError> {
        if self.paths.is_empty() {
            return Err(FilesSpecError::NoPath);
        }
        let most = if self.paths.iter().any(|path| path.contains('*')) { 1 } else { MOST_PATHS };
        if self.paths.len() > most {
            return Err(FilesSpecError::TooManyPaths { given: self.paths.len() });
        }
        if let Some(path) = self.paths.iter().find(|path| !path.starts_with('/')) {
            return Err(FilesSpecError::Relative { path: path.clone() });
        }
        check_patterns(&self.include)?;
        check_patterns(&self.exclude)?;
        Ok(self)
    }
}

pub fn check_patterns(patterns: &[String]) -> Result<(), FilesSpecError> {
    for pattern in patterns {
        match pattern.chars().count() {
            0 => return Err(FilesSpecError::EmptyPattern),
            characters if characters > MOST_PATTERN_CHARACTERS => {
                return Err(FilesSpecError::LongPattern { characters });
            }
            _ => {}
        }
    }
    Ok(())
}

/// What becomes of a file that is in the target already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConflictPolicy {
    #[default]
    SkipTheFile,
    OverwriteExisting,
    /// The newer of the two stays.
    KeepLatest,
}

/// Which files of a snapshot to restore, and to where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesRestoreSpec {
    /// The folder to restore into; the original place when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    #[serde(default)]
    pub conflict: ConflictPolicy,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(paths: &[&str]) -> FilesSpec {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        FilesSpec { paths, ..FilesSpec::default() }
    }

    #[test]
    fn paths_are_absolute_and_few() {
        assert!(spec(&["/home", "/etc"]).checked().is_ok());
        assert_eq!(spec(&[]).checked(), Err(FilesSpecError::NoPath));
        assert_eq!(spec(&["/a"; 9]).checked(), Err(FilesSpecError::TooManyPaths { given: 9 }));
        assert_eq!(spec(&["/a*", "/b"]).checked(), Err(FilesSpecError::TooManyPaths { given: 2 }));
        assert!(matches!(spec(&["etc"]).checked(), Err(FilesSpecError::Relative { .. })));
    }

    #[test]
    fn patterns_are_counted_in_characters() {
        assert_eq!(check_patterns(&["ä".repeat(255)]), Ok(()));
        assert_eq!(check_patterns(&["ä".repeat(256)]), Err(FilesSpecError::LongPattern { characters: 256 }));
        assert_eq!(check_patterns(&[String::new()]), Err(FilesSpecError::EmptyPattern));
    }
}
