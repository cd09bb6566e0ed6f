//! The data folder: `root.json`, the server's key, the catalog's file, the vaults.
//!
//! `root.json` and the key are written once, whole, under a temporary name first, and never changed: who has signed
//! with a key once can do so for ever.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lifeboat_model::id::{AccountId, ClientId, InstanceId, random_characters};
use lifeboat_repository::crypto::fill_random;
use lifeboat_service::{Random, Root, Secret};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::SystemRandom;

const REGION: &str = "cn-hangzhou";

/// The folder, held by this process alone for as long as this value lives.
pub(super) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// What `root.json` says.
#[derive(Deserialize, Serialize)]
pub(super) struct RootFile {
    account_id: String,
    access_key_id: String,
    access_key_secret: String,
    pub(super) region: String,
    client_id: String,
    instance_id: String,
}

impl DataFolder {
    /// Makes the folder if it is not there, and locks it. The lock goes with the process, however that ends.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        make_folder(folder)?;
        let file = folder.join("server.lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
        let lock = lock.with_context(|| format!("cannot open {}", file.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: folder.to_owned(), _lock: lock }),
            Err(Errno::WOULDBLOCK) => {
                bail!(
                    "another server works on {}; stop it, or name another folder with --data",
                    folder.display()
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", file.display())),
        }
    }

    /// Opens a folder that a server has made and may be at work in, for who only looks.
    pub(super) fn beside_a_server(folder: &Path) -> anyhow::Result<Self> {
        let root = folder.join("root.json");
        let root = File::open(&root).with_context(|| {
            format!("{} is no data folder of a server that you may read", folder.display())
        })?;
        Ok(Self { path: folder.to_owned(), _lock: root })
    }

    pub(super) fn catalog(&self) -> PathBuf {
        self.path.join("catalog.sqlite")
    }

    /// Makes sure that the catalog's file is its owner's alone, also one that was made before that was seen to.
    pub(super) fn close_catalog(&self) -> anyhow::Result<()> {
        for end in ["", "-wal", "-shm"] {
            let file = self.path.join(format!("catalog.sqlite{end}"));
            match fs::set_permissions(&file, fs::Permissions::from_mode(0o600)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                closed => closed.with_context(|| format!("cannot close {}", file.display()))?,
            }
        }
        Ok(())
    }

    /// Where vaults are made: below this folder, unless another place is given.
    pub(super) fn vaults(&self, elsewhere: Option<&Path>) -> anyhow::Result<PathBuf> {
        let folder = elsewhere.map_or_else(|| self.path.join("vaults"), Path::to_owned);
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Where servers are that are made of backups. Others have to get to their own below it.
    pub(super) fn instances(&self, elsewhere: Option<&Path>) -> anyhow::Result<PathBuf> {
        let folder = elsewhere.map_or_else(|| self.path.join("instances"), Path::to_owned);
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Where files are made that are to be fetched for some time: in the data folder, or beside vaults that are elsewhere,
    /// where every server finds them that works on the same vaults.
    pub(super) fn temp(&self, vaults_elsewhere: Option<&Path>) -> anyhow::Result<PathBuf> {
        let folder = vaults_elsewhere.map_or_else(|| self.path.join("temp"), |vaults| vaults.join(".temp"));
        make_folder(&folder)?;
        Ok(folder)
    }

    /// What `root.json` says. It is written with `region`; from then on it decides, and another one is refused.
    pub(super) fn root(&self, region: Option<&str>) -> anyhow::Result<RootFile> {
        let file = self.path.join("root.json");
        let new = RootFile::new(region.unwrap_or(REGION));
        let content = read_or_create(&file, || serde_json::to_vec_pretty(&new).context("cannot write JSON"))?;
        let root: RootFile = serde_json::from_slice(&content)
            .with_context(|| format!("{} is not what a root.json is", file.display()))?;
        match region.filter(|region| *region != root.region) {
            Some(region) => {
                bail!(
                    "the region {region} is asked for, and {} says {}: that cannot change",
                    file.display(),
                    root.region
                )
            }
            None => Ok(root),
        }
    }

    /// What tells this server from others of the same catalog, each of which has a data folder of its own.
    pub(super) fn server_id(&self) -> anyhow::Result<String> {
        let file = self.path.join("server.id");
        let content = read_or_create(&file, || Ok(random_characters(SystemRandom.number()).into_bytes()))?;
        String::from_utf8(content).with_context(|| format!("{} is no text", file.display()))
    }

    /// The key that secrets in the catalog are sealed with.
    pub(super) fn key(&self) -> anyhow::Result<[u8; 32]> {
        let file = self.path.join("server.key");
        let new = || {
            let mut key = vec![0; 32];
            fill_random(&mut key);
            Ok(key)
        };
        let content = read_or_create(&file, new)?;
        let length = content.len();
        let key = content.try_into();
        key.ok().with_context(|| format!("{} is {length} bytes long, not 32", file.display()))
    }
}

impl RootFile {
    fn new(region: &str) -> Self {
        let characters = || random_characters(SystemRandom.number());
        Self {
            account_id: AccountId::new(SystemRandom.number()).to_string(),
            access_key_id: format!("LTAI{}", characters()),
            access_key_secret: format!("{}{}", characters(), characters()),
            region: region.to_owned(),
            client_id: ClientId::new(SystemRandom.number()).to_string(),
            instance_id: InstanceId::new(SystemRandom.number()).to_string(),
        }
    }

    pub(super) fn who(&self) -> anyhow::Result<Root> {
        let account = self.account_id.parse().ok().and_then(AccountId::from_number);
        Ok(Root {
            account: account.context("root.json has no account_id that makes sense")?,
            access_key_id: self.access_key_id.clone(),
            access_key_secret: Secret::new(self.access_key_secret.as_str()),
            client: self.client_id.parse().context("root.json has no client_id that makes sense")?,
            instance: self.instance_id.parse().context("root.json has no instance_id that makes sense")?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// A file that is written once, readable by its owner alone.
fn read_or_create(file: &Path, new: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    let cannot = |what: &str| format!("cannot {what} {}", file.display());
    match fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        read => return read.with_context(|| cannot("read")),
    }
    let content = new()?;
    let temporary = file.with_extension("new");
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let mut open = options.with_context(|| cannot("write"))?;
    open.write_all(&content).and_then(|()| open.sync_all()).with_context(|| cannot("write"))?;
    // Of two servers that start at once one makes the file; the other reads it.
    match fs::hard_link(&temporary, file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            bail!("{}: {error}", cannot("make"))
        }
        _ => {}
    }
    fs::remove_file(&temporary).with_context(|| cannot("tidy up beside"))?;
    let folder = file.parent().map(File::open);
    folder
        .transpose()
        .and_then(|folder| folder.map_or(Ok(()), |folder| folder.sync_all()))
        .with_context(|| cannot("flush"))?;
    fs::read(file).with_context(|| cannot("read"))
}
