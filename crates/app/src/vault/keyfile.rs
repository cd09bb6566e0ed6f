//! The key file of the default vault: its password, made of random letters and digits that can be copied by hand.
//!
//! It is written under another name, synced, and only then given its own, so that it is there whole or not at
//! all. An existing one is only replaced, as a whole, when its password is changed; a crash may leave the new one
//! beside it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use lifeboat_repository::crypto::fill_random;
use lifeboat_repository::key::Password;

use crate::env::Env;
use crate::password;

pub(super) fn place(env: Env) -> anyhow::Result<PathBuf> {
    Ok(env.config_home()?.join("lifeboat/vault.key"))
}

/// The password in the file; none when there is no file.
pub(super) fn read(file: &Path) -> anyhow::Result<Option<Password>> {
    if file.try_exists().with_context(|| format!("cannot look for {}", file.display()))? {
        password::from_file(file).map(Some)
    } else {
        Ok(None)
    }
}

/// Makes a new password and the file that holds it.
pub(super) fn create(file: &Path) -> anyhow::Result<Password> {
    let folder = file.parent().context("the key file has no folder")?;
    let failed = || format!("cannot write the key file {}", file.display());
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(failed)?;
    let password = random_password();
    let temporary = folder.join(format!(".vault.key.{}", std::process::id()));
    let written = write_synced(&temporary, password.as_bytes())
        .and_then(|()| std::fs::hard_link(&temporary, file)) // unlike a rename, this replaces nothing
        .and_then(|()| File::open(folder)?.sync_all());
    let removed = std::fs::remove_file(&temporary);
    written.with_context(failed)?;
    removed.with_context(failed)?;
    let stored = password::from_file(file)?;
    ensure!(
        stored == Password::new(password.as_str()),
        "the key file {} is not what was written",
        file.display()
    );
    Ok(stored)
}

/// A key file that lies beside the one whose place it shall take.
pub(crate) struct Replacement {
    file: PathBuf,
    temporary: PathBuf,
}

impl Replacement {
    /// Writes the file; the one in use stays what it is.
    pub(crate) fn write(file: &Path, password: &Password) -> anyhow::Result<Self> {
        let failed = || format!("cannot write a new key file beside {}", file.display());
        // A link shall go on leading to the file.
        let file = file.canonicalize().with_context(failed)?;
        let folder = file.parent().context("the key file has no folder")?;
        let temporary = folder.join(format!(".vault.key.{}", std::process::id()));
        let replacement = Self { temporary, file: file.clone() };
        write_synced(&replacement.temporary, password.as_bytes()).with_context(failed)?;
        let can_be_read = password::from_file(&replacement.temporary).is_ok_and(|stored| stored == *password);
        ensure!(can_be_read, "a password with white space around it cannot be kept in a key file");
        Ok(replacement)
    }

    /// Puts the file in its place.
    pub(crate) fn put(self) -> anyhow::Result<()> {
        let put = std::fs::rename(&self.temporary, &self.file)
            .and_then(|()| File::open(self.file.parent().unwrap_or(Path::new("/")))?.sync_all());
        put.with_context(|| format!("cannot replace the key file {}", self.file.display()))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Not there once it is in its place.
        drop(std::fs::remove_file(&self.temporary));
    }
}

fn write_synced(path: &Path, password: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&[password, b"\n"].concat())?;
    file.sync_all()
}

/// 160 bits in eight groups of four; letters and digits that look alike are not among them.
fn random_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 32];
    fill_random(&mut random);
    let letters = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 32)));
    let letters: String = letters.map(|letter| char::from(*letter)).collect();
    letters
        .as_bytes()
        .chunks(4)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/vault.key");
        assert!(read(&file).unwrap().is_none());
        let password = create(&file).unwrap();
        assert!(read(&file).unwrap() == Some(password));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        assert!(create(&file).is_err());
    }

    #[test]
    fn passwords_are_random_and_easy_to_copy() {
        let (one, other) = (random_password(), random_password());
        assert_ne!(one, other);
        assert_eq!(one.len(), 39);
        assert!(one.split('-').all(|group| group.len() == 4), "{one}");
    }
}
