//! What every command is given: the options, where to print, the surroundings, the way to be cancelled.

use std::num::NonZero;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Context;
use lifeboat_repository::clock::{RealPace, Time};
use lifeboat_repository::lock::{Holder, LockGuard, LockMode, LockOptions};
use lifeboat_repository::repository::{Repository, Settings};
use lifeboat_repository::{Ctx, key::KeyOrigin};

use crate::cli::GlobalArgs;
use crate::clock::local_time;
use crate::env::Env;
use crate::output::progress::{self, Kind};
use crate::output::{Output, text};
use crate::vault;

const MOST_WORKERS: usize = 8;
/// How many items may wait to be shown.
const ITEMS_AHEAD: usize = 256;

pub(crate) struct App {
    pub(crate) args: GlobalArgs,
    pub(crate) output: Output,
    pub(crate) env: Env,
    pub(crate) time: Time,
    pub(crate) ctx: Ctx,
}

impl App {
    pub(crate) fn new(args: GlobalArgs) -> Self {
        let output = Output::new(&args);
        Self { args, output, env: Env, time: local_time(), ctx: Ctx::default() }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            time: self.time.clone(),
            spool_folder: self.env.spool_folder(),
            compression: self.args.compression.into(),
            pack_bytes: (self.args.pack_size as usize) << 20,
        }
    }

    /// Who makes a key here and now.
    pub(crate) fn key_origin(&self) -> KeyOrigin {
        KeyOrigin {
            created: self.time.clock.now(),
            hostname: self.env.hostname(),
            username: self.env.username(),
        }
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder::of_this_process(self.env.hostname(), self.env.username())
    }

    /// Runs `work` with a lock on the vault that is kept fresh meanwhile.
    pub(crate) fn locked<T>(
        &self,
        repository: &Repository,
        mode: LockMode,
        work: impl FnOnce(&LockGuard) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let options = LockOptions {
            mode,
            holder: self.holder(),
            retry_for: self.args.retry_lock,
            time: self.time.clone(),
            pace: std::sync::Arc::new(RealPace),
        };
        let guard = repository.lock(options, &self.ctx)?;
        for dead in guard.removed() {
            let what = dead.describe(self.time.clock.now());
            self.output.warn(format_args!("removed a lock whose process is dead: {what}"));
        }
        let worked = guard.keep_while(&self.ctx, || work(&guard));
        match (worked, guard.release().context("cannot give up the lock")) {
            (Ok(done), released) => released.map(|()| done),
            (Err(error), _) => Err(error),
        }
    }

    /// Runs `work`, which only reads, with a lock unless there shall be none.
    pub(crate) fn reading<T>(
        &self,
        repository: &Repository,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if self.args.no_lock { work() } else { self.locked(repository, LockMode::Shared, |_| work()) }
    }

    /// Runs `work`, which stores and deletes nothing, with a lock; with `--no-lock` with one that only it can see.
    pub(crate) fn rehearsing<T>(
        &self,
        repository: &Repository,
        mode: LockMode,
        work: impl FnOnce(&LockGuard) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if self.args.no_lock {
            self.locked(&vault::in_memory(self)?, mode, work)
        } else {
            self.locked(repository, mode, work)
        }
    }

    /// Runs `work`, handing it a way to tell of single items; each is shown as it comes. Whatever `work` does, it must
    /// let go of that way.
    pub(crate) fn hear<I: Send, T>(
        &self,
        show: impl Fn(I) + Send,
        work: impl FnOnce(SyncSender<I>) -> T,
    ) -> T {
        let (tell, told) = sync_channel(ITEMS_AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(move || told.into_iter().for_each(show));
            work(tell)
        })
    }

    /// Runs `work` while showing how far it is.
    pub(crate) fn watch<T>(&self, kind: Kind, work: impl FnOnce() -> T) -> T {
        progress::watch(&self.output, kind, &self.ctx, work)
    }

    /// A moment as people here write it.
    pub(crate) fn local(&self, time: jiff::Timestamp) -> String {
        text::time(time, &self.time.zone)
    }
}

/// How many threads a command may keep busy. Each of them has buffers, so there is an end to it.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get).min(MOST_WORKERS)
}
