//! The config file: what a repository is. Sealed, never compressed, written once.

use serde::{Deserialize, Serialize};

use crate::chunker::Polynomial;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;

/// The format version of a repository. Version 2 adds compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V1,
    #[default]
    V2,
}

/// The content of the config file (restic: Design, section "Repository Format").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub version: u32,
    /// A random name for the repository.
    pub id: Id,
    pub chunker_polynomial: Polynomial,
}

impl Config {
    pub fn version(&self) -> Result<Version> {
        match self.version {
            1 => Ok(Version::V1),
            2 => Ok(Version::V2),
            other => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the repository has format version {other}; this program knows versions 1 and 2"),
            )),
        }
    }
}
