//! Opening and making vaults in folders of this machine.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_model::speed_limit::SpeedLimit;
use lifeboat_repository::clock::{RealPace, Time};
use lifeboat_repository::config::Version;
use lifeboat_repository::key::{KdfCost, KeyOrigin, Password};
use lifeboat_repository::lock::{Holder, LockGuard, LockMode, LockOptions};
use lifeboat_repository::pack::Compression;
use lifeboat_repository::repository::{NewRepository, Repository, Settings};
use lifeboat_repository::storage::{Interruptible, LocalStorage, Retry, RetryPolicy, Storage, Throttle};
use lifeboat_repository::{Ctx, Error, Result};

use crate::speed::Hourly;

/// How to get into a vault, and who says so.
#[derive(Clone)]
pub struct VaultAccess {
    pub place: PathBuf,
    pub password: String,
    pub hostname: String,
    pub time: Time,
    pub spool_folder: PathBuf,
    /// How long to wait for somebody else's lock.
    pub lock_wait: std::time::Duration,
}

impl VaultAccess {
    fn settings(&self) -> Settings {
        Settings {
            time: self.time.clone(),
            spool_folder: self.spool_folder.clone(),
            compression: Compression::Auto,
            pack_bytes: Settings::PACK_BYTES,
        }
    }

    pub(crate) fn storage(&self, limit: Option<&SpeedLimit>, ctx: &Ctx) -> Arc<dyn Storage> {
        let cancel = || ctx.cancel.clone();
        let local = Interruptible::new(Arc::new(LocalStorage::new(&self.place)), cancel());
        let patient = Retry::new(local, RetryPolicy::default(), Arc::new(RealPace), cancel());
        match limit {
            None => Arc::new(patient),
            Some(limit) => {
                let rates = Arc::new(Hourly { limit: limit.clone(), time: self.time.clone() });
                Arc::new(Throttle::new(patient, rates, Arc::new(RealPace), cancel()))
            }
        }
    }

    /// Opens the vault, whose storage gives up when `ctx` is cancelled.
    pub(crate) fn open(&self, limit: Option<&SpeedLimit>, ctx: &Ctx) -> Result<Repository> {
        Repository::open(self.storage(limit, ctx), &Password::new(self.password.as_str()), self.settings())
    }

    /// Runs `work` with a shared lock that is kept fresh meanwhile.
    pub(crate) fn locked<T, E: From<Error>>(
        &self,
        repository: &Repository,
        ctx: &Ctx,
        work: impl FnOnce(&LockGuard) -> Result<T, E>,
    ) -> Result<T, E> {
        self.locked_as(LockMode::Shared, repository, ctx, work)
    }

    pub(crate) fn locked_as<T, E: From<Error>>(
        &self,
        mode: LockMode,
        repository: &Repository,
        ctx: &Ctx,
        work: impl FnOnce(&LockGuard) -> Result<T, E>,
    ) -> Result<T, E> {
        let options = LockOptions {
            mode,
            holder: Holder::of_this_process(self.hostname.clone(), "lifeboat".to_owned()),
            retry_for: self.lock_wait,
            time: self.time.clone(),
            pace: Arc::new(RealPace),
        };
        let guard = repository.lock(options, ctx)?;
        let worked = guard.keep_while(ctx, || work(&guard));
        // What was done is done: a lock that cannot be removed grows stale by itself.
        drop(guard.release());
        worked
    }
}

/// Makes an empty vault. One that an earlier attempt has made with the same password is taken for the same.
pub fn create_vault(access: &VaultAccess, ctx: &Ctx) -> std::result::Result<(), Error> {
    let origin = KeyOrigin {
        created: access.time.clock.now(),
        hostname: access.hostname.clone(),
        username: "lifeboat".to_owned(),
    };
    let password = Password::new(access.password.as_str());
    let new =
        NewRepository { version: Version::V2, polynomial: None, password, cost: KdfCost::default(), origin };
    match Repository::init(access.storage(None, ctx), new, access.settings()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == lifeboat_repository::ErrorKind::RepositoryExists => {
            access.open(None, ctx).map(drop)
        }
        Err(error) => Err(error),
    }
}
