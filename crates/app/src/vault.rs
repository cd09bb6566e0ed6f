//! Which vault a command works on, and how it is opened.
//!
//! A vault that nobody named is the default vault, which `backup` and `init` make on first use. Its key file is
//! written and synced before the vault is begun: a crash in between leaves a key that the second run uses, never
//! a vault that nobody can open.

pub(crate) mod keyfile;

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use lifeboat_repository::chunker::Polynomial;
use lifeboat_repository::clock::RealPace;
use lifeboat_repository::config::Version;
use lifeboat_repository::id::Id;
use lifeboat_repository::key::{KdfCost, Password};
use lifeboat_repository::repository::{NewRepository, Repository};
use lifeboat_repository::storage::{
    Cache, FileId, Interruptible, LocalStorage, MemStorage, Rates, Retry, RetryPolicy, Storage,
    StorageErrorKind, Throttle,
};
use lifeboat_repository::{Error, ErrorKind};

use crate::app::App;
use crate::cli::copy::FromArgs;
use crate::password;

const KIB: NonZeroU64 = NonZeroU64::new(1024).expect("1024 is not zero");

/// A place that is or will be a vault.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    place: PathBuf,
    is_default: bool,
}

impl Vault {
    /// The vault that options or variables name, or the default one.
    pub(crate) fn of(app: &App) -> anyhow::Result<Self> {
        let default = || app.env.data_home().map(|home| home.join("lifeboat/vault"));
        if let Some(place) = named(app)? {
            let is_default = default().is_ok_and(|default| default == place);
            return Ok(Self { place, is_default });
        }
        Ok(Self { place: default()?, is_default: true })
    }

    /// Opens the vault; one that does not exist is [`ErrorKind::NoRepository`], whatever the password.
    pub(crate) fn open(&self, app: &App) -> anyhow::Result<Repository> {
        open_at(app, &self.place, || self.password(app))
    }

    /// The key file, when it holds the password that `repository` was opened with.
    pub(crate) fn key_file_in_use(
        &self,
        app: &App,
        repository: &Repository,
    ) -> anyhow::Result<Option<PathBuf>> {
        if !self.is_default {
            return Ok(None);
        }
        let file = keyfile::place(app.env)?;
        let Some(password) = keyfile::read(&file)? else { return Ok(None) };
        match repository.load_key(repository.key_id())?.open(&password) {
            Ok(_) => Ok(Some(file)),
            Err(error) if error.kind == ErrorKind::WrongPassword => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Vault::open`], but the default vault is made if it is not there yet.
    pub(crate) fn open_or_create_default(&self, app: &App) -> anyhow::Result<Repository> {
        if !self.is_default || exists(&*storage(app, &self.place))? {
            return self.open(app);
        }
        self.create(app, Version::V2, None)
    }

    /// The same for a dry run: in the place of the default vault that is not there yet, an empty one in memory.
    pub(crate) fn open_or_imagine_default(&self, app: &App) -> anyhow::Result<Repository> {
        if !self.is_default || exists(&*storage(app, &self.place))? {
            return self.open(app);
        }
        app.output.note(format_args!("would make a vault at {}", self.place.display()));
        in_memory(app)
    }

    /// Makes the vault and says so.
    pub(crate) fn create(
        &self,
        app: &App,
        version: Version,
        polynomial: Option<Polynomial>,
    ) -> anyhow::Result<Repository> {
        let storage = storage(app, &self.place);
        if exists(&*storage)? {
            let what = format!("there is already a vault at {}", self.place.display());
            return Err(Error::new(ErrorKind::RepositoryExists, what).into());
        }
        let (password, key_file) = self.new_password(app)?;
        let origin = app.key_origin();
        let new = NewRepository { version, polynomial, password, cost: KdfCost::default(), origin };
        let repository = Repository::init(storage, new, app.settings())
            .with_context(|| format!("cannot make a vault at {}", self.place.display()))?;
        crate::commands::init::announce(app, &repository, key_file.as_deref())?;
        Ok(repository)
    }

    /// The password of a vault that exists; none when somebody has to be asked for it.
    fn password(&self, app: &App) -> anyhow::Result<Option<Password>> {
        let given = given_password(app, self.is_default)?;
        if given.is_some() || !self.is_default {
            return Ok(given);
        }
        let file = keyfile::place(app.env)?;
        let in_file = keyfile::read(&file)?.with_context(|| {
            format!(
                "the key of the default vault is not at {}; give its password with --password-file",
                file.display()
            )
        })?;
        Ok(Some(in_file))
    }

    /// The password for a vault to be made, and the file that was made to hold it.
    fn new_password(&self, app: &App) -> anyhow::Result<(Password, Option<PathBuf>)> {
        if let Some(password) = given_password(app, self.is_default)? {
            return Ok((password, None));
        }
        if !self.is_default {
            return Ok((password::ask_new()?, None));
        }
        let file = keyfile::place(app.env)?;
        let password = match keyfile::read(&file)? {
            Some(password) => password, // left by a run that died before the vault was there
            None => keyfile::create(&file)?,
        };
        Ok((password, Some(file)))
    }
}

/// An empty vault that is gone with the process, for what must not touch a real one.
pub(crate) fn in_memory(app: &App) -> anyhow::Result<Repository> {
    let new = NewRepository {
        version: Version::V2,
        polynomial: None,
        password: Password::new("nobody can get at it"),
        cost: KdfCost::CHEAPEST,
        origin: app.key_origin(),
    };
    Ok(Repository::init(Arc::new(MemStorage::new()), new, app.settings())?)
}

/// Opens the second vault that `copy` and `init` may name.
pub(crate) fn open_from(app: &App, args: &FromArgs) -> anyhow::Result<Repository> {
    let place = args.from_vault.clone().map(OsString::from).or_else(|| app.env.get("RESTIC_FROM_REPOSITORY"));
    let place = place.context("no vault to copy from is named: use --from-vault")?;
    open_at(app, &local_place(place)?, || {
        let (file, command) = (args.from_password_file.as_deref(), args.from_password_command.as_deref());
        match password::from_options(file, command)? {
            Some(password) => Ok(Some(password)),
            None => password::from_variables(app.env, &password::RESTICS_FROM),
        }
    })
}

/// Opens the vault at a place with the password that is given, else with one that is asked for; a mistyped one is
/// asked for again.
fn open_at(
    app: &App,
    place: &Path,
    given: impl FnOnce() -> anyhow::Result<Option<Password>>,
) -> anyhow::Result<Repository> {
    const TRIES: u32 = 3;
    let storage = storage(app, place);
    if !exists(&*storage).with_context(|| format!("cannot look for a vault at {}", place.display()))? {
        let hint = if place.is_file() { ", which is a file" } else { "" };
        let what = format!("there is no vault at {}{hint}", place.display());
        return Err(Error::new(ErrorKind::NoRepository, what).into());
    }
    let open = |password: &Password| Repository::open(Arc::clone(&storage), password, app.settings());
    if let Some(password) = given()? {
        return Ok(open(&password)?);
    }
    for _ in 1..TRIES {
        match open(&password::ask(&place.display().to_string())?) {
            Err(error) if error.kind == ErrorKind::WrongPassword => {
                app.output.trouble("wrong password, try again");
            }
            opened => return Ok(opened?),
        }
    }
    Ok(open(&password::ask(&place.display().to_string())?)?)
}

/// The storage at a place: cancelled when the command is, patient with passing failures, as fast as it may be.
fn storage(app: &App, place: &Path) -> Arc<dyn Storage> {
    let (args, cancel) = (&app.args, || app.ctx.cancel.clone());
    let policy = RetryPolicy { retries: 5, ..RetryPolicy::default() };
    let local = Interruptible::new(Arc::new(LocalStorage::new(place)), cancel());
    let patient = Retry::new(local, policy, Arc::new(RealPace), cancel());
    let bytes = |kib: Option<NonZeroU32>| kib.map(NonZeroU64::from).and_then(|kib| kib.checked_mul(KIB));
    let rates = Rates { upload: bytes(args.limit_upload), download: bytes(args.limit_download) };
    let throttled = Throttle::new(patient, Arc::new(rates), Arc::new(RealPace), cancel());
    match &args.cache_dir {
        None => Arc::new(throttled),
        // One folder for each place; what another vault left there is not in this one and never served.
        Some(folder) => {
            let name = Id::of(std::path::absolute(place).unwrap_or_default().as_os_str().as_encoded_bytes());
            Arc::new(Cache::new(throttled, folder.join(name.to_string())))
        }
    }
}

/// The place that options or variables name.
fn named(app: &App) -> anyhow::Result<Option<PathBuf>> {
    let from_file = |file: &Path| -> anyhow::Result<OsString> {
        let content = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the place of the vault from {}", file.display()))?;
        Ok(content.trim().into())
    };
    let place = if let Some(place) = &app.args.vault {
        Some(place.into())
    } else if let Some(file) = &app.args.repository_file {
        Some(from_file(file)?)
    } else if let Some(place) = app.env.get("LIFEBOAT_VAULT").or_else(|| app.env.get("RESTIC_REPOSITORY")) {
        Some(place)
    } else if let Some(file) = app.env.get("RESTIC_REPOSITORY_FILE") {
        Some(from_file(Path::new(&file))?)
    } else {
        None
    };
    place.map(local_place).transpose()
}

/// The password that options or variables give. restic's variables speak of the repository they name, so they do
/// not hold for the default vault.
fn given_password(app: &App, is_default: bool) -> anyhow::Result<Option<Password>> {
    let args = &app.args;
    let by_option = password::from_options(args.password_file.as_deref(), args.password_command.as_deref())?;
    if by_option.is_some() {
        return Ok(by_option);
    }
    let ours = password::from_variables(app.env, &password::OURS)?;
    if ours.is_some() || is_default {
        return Ok(ours);
    }
    password::from_variables(app.env, &password::RESTICS)
}

/// A folder of this machine, as restic writes it, too: with or without `local:`.
fn local_place(place: OsString) -> anyhow::Result<PathBuf> {
    let Some(text) = place.to_str() else { return Ok(place.into()) };
    if let Some(path) = text.strip_prefix("local:") {
        return Ok(path.into());
    }
    const OTHERS: [&str; 8] = ["sftp:", "rest:", "s3:", "b2:", "azure:", "gs:", "swift:", "rclone:"];
    if OTHERS.iter().any(|scheme| text.starts_with(scheme)) {
        bail!("the vault {text} is not a folder of this machine, and other places are not supported");
    }
    if text.is_empty() {
        bail!("the place of the vault is empty");
    }
    Ok(place.into())
}

fn exists(storage: &dyn Storage) -> Result<bool, Error> {
    match storage.size(FileId::CONFIG) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == StorageErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_is_a_folder_of_this_machine() {
        assert_eq!(local_place("local:/a/b".into()).unwrap(), Path::new("/a/b"));
        assert_eq!(local_place("/a/b:c".into()).unwrap(), Path::new("/a/b:c"));
        assert!(local_place("sftp:host:/x".into()).is_err());
        assert!(local_place("".into()).is_err());
    }
}
