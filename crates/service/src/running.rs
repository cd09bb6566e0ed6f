//! One job while this server runs it: the lease is renewed each second, a cancel is taken at once, and what came of it
//! is said until the catalog has heard it.
//!
//! A worker that has lost its lease says nothing any more. One that is stopped with its server gives the job up, so that
//! the next server goes on with it without waiting for the lease to end. A worker that does not take its cancel in time
//! is left behind with its slot; it cannot commit any more. A job that was begun before and cut off when all of it was
//! stored is not done again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lifeboat_catalog::{CatalogErrorKind, ClaimedJob, FinishedJob, JobRow, MadeInstance, NewSnapshot};
use lifeboat_model::database::Phase;
use lifeboat_model::id::SnapshotId;
use lifeboat_model::job::{JobCounters, Outcome};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::resource::ResourceId;
use lifeboat_worker::{Ctx, Done, FoundSnapshot, JobError, Progress};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::{error, info, warn};

use crate::{Service, ServiceError, bridge};

/// A little less than a second, so that a cancel that comes with the lease is taken within one.
const RENEW_EVERY: Duration = Duration::from_millis(800);
/// A catalog that takes longer for an answer has not answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// So long before a lease ends that nobody has renewed, its worker stops: by its end it writes nothing any more.
const STOP_BEFORE_END: Duration = Duration::from_secs(4);
/// A process that was stopped for long asks all the same whether its lease still holds.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// How long a worker may take to notice a cancel.
const TAKE_CANCEL_WITHIN: Duration = Duration::from_secs(10);

/// The jobs that this server runs.
#[derive(Default)]
pub(crate) struct Running {
    jobs: Mutex<HashMap<String, Ctx>>,
    is_stopping: AtomicBool,
}

impl Running {
    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Ctx>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a job, if it runs here.
    pub(crate) fn cancel(&self, id: &str) {
        if let Some(ctx) = self.jobs().get(id) {
            ctx.cancel.cancel();
        }
    }

    /// Stops all jobs, to be gone on with by another server.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.jobs().values().for_each(|ctx| ctx.cancel.cancel());
    }

    fn add(&self, id: &str, ctx: &Ctx) {
        self.jobs().insert(id.to_owned(), ctx.clone());
        if self.is_stopping.load(Ordering::SeqCst) {
            ctx.cancel.cancel();
        }
    }
}

/// Why a job did not even begin, or what it did.
pub(crate) enum Ended {
    Ran(Result<Done, JobError>),
    NotBegun(ServiceError),
    /// It did not take its cancel in time.
    LeftBehind,
}

/// A job that is this server's while its lease holds.
struct Held<'a> {
    service: &'a Service,
    job: &'a JobRow,
    fence: i64,
    progress: &'a Progress,
    ctx: &'a Ctx,
    began: Instant,
    heard: Instant,
    is_lost: bool,
    /// What it enters, in order.
    phases: UnboundedReceiver<Phase>,
}

/// Does one job, and says what came of it. The slot is held until that is said and the job's last thread has ended.
pub(crate) async fn run_job(
    service: &Service,
    ClaimedJob { job, fence }: ClaimedJob,
    slot: OwnedSemaphorePermit,
) {
    let job = service.with_retention(job).await;
    let stored = if fence > 1 { service.stored_by_earlier_attempt(&job).await } else { None };
    let (progress, phases) = progress_of(service, &job, stored.is_none()).await;
    let ctx = Ctx::default();
    service.running.add(&job.id, &ctx);
    let slot = Arc::new(slot);
    let began = Instant::now();
    let mut held = Held {
        service,
        job: &job,
        fence,
        progress: &progress,
        ctx: &ctx,
        began,
        heard: began,
        is_lost: false,
        phases,
    };
    if let Some(found) = stored {
        held.finish_with(found).await;
        service.running.jobs().remove(&job.id);
        drop(slot);
        return;
    }
    let work = service.clone().work(job.clone(), Arc::clone(&progress), (ctx.clone(), Arc::clone(&slot)));
    let ended = stopped_is_cancelled(held.until_over(work).await, &job, &ctx);
    service.running.jobs().remove(&job.id);
    if matches!(ended, Ended::Ran(Err(JobError::Cancelled)) | Ended::LeftBehind)
        && service.running.is_stopping.load(Ordering::SeqCst)
    {
        held.release().await;
        drop(slot);
        return;
    }
    let Some(ended) = held.with_nodes_shared(ended).await else {
        info!(job.id = %job.id, "job {} goes on as a job for each node", job.id);
        drop(slot);
        return;
    };
    if held.is_lost && is_cut_off(&ended) {
        drop(slot);
        return;
    }
    let error_file = service.close_item_log(&job, &progress).await;
    let (ended, made) = with_server(service, &job, ended).await;
    let finished = finished(service, &job, &ended, progress.read());
    let running_millis = held.running_millis();
    if held.finish(FinishedJob { error_file, made, ..finished }, running_millis).await {
        service.forget_notes_of(&job).await;
    }
    drop(slot);
}

/// Where a job counts, and where it says what it does: a backup of a database its phases, all else each entry.
async fn progress_of(
    service: &Service,
    job: &JobRow,
    has_to_run: bool,
) -> (Arc<Progress>, UnboundedReceiver<Phase>) {
    let (tell, phases) = unbounded_channel();
    if job.number.is_some() {
        // Whoever does not listen any more has lost the job.
        let progress = Progress::with_phases(move |phase| tell.send(phase).unwrap_or_default());
        return (Arc::new(progress), phases);
    }
    let log = if has_to_run { service.item_log(job).await } else { None };
    (Arc::new(Progress::new(log)), phases)
}

/// A cancel can reach a worker anywhere: whatever it fails with after it was told to stop, it has stopped.
fn stopped_is_cancelled(ended: Ended, job: &JobRow, ctx: &Ctx) -> Ended {
    match ended {
        Ended::Ran(Err(error)) if ctx.cancel.is_cancelled() => {
            info!(job.id = %job.id, error = %bridge::chain(&error), "job {} has stopped", job.id);
            Ended::Ran(Err(JobError::Cancelled))
        }
        other => other,
    }
}

impl Held<'_> {
    async fn until_over(&mut self, work: impl Future<Output = Ended>) -> Ended {
        tokio::pin!(work);
        let mut cancelled = None;
        loop {
            tokio::select! {
                ended = &mut work => return ended,
                Some(phase) = self.phases.recv() => {
                    self.note_phase(phase).await;
                    continue;
                }
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
            if !self.is_lost {
                self.renew().await;
            }
            if self.ctx.cancel.is_cancelled() {
                let since: &Instant = cancelled.get_or_insert_with(Instant::now);
                if since.elapsed() >= TAKE_CANCEL_WITHIN {
                    error!(job.id = %self.job.id, "job {} does not take its cancel and is left behind", self.job.id);
                    return Ended::LeftBehind;
                }
            }
        }
    }

    /// Gives each node of a cluster a job of its own; `None` when they have taken the place of this one.
    async fn with_nodes_shared(&mut self, ended: Ended) -> Option<Ended> {
        let Ended::Ran(Ok(Done { nodes: Some(nodes), .. })) = &ended else { return Some(ended) };
        match self.service.split_backup((self.job, self.fence), nodes.to_vec()).await {
            Ok(true) => None,
            Ok(false) => Some(Ended::Ran(Err(JobError::Cancelled))),
            Err(failed) => Some(Ended::NotBegun(failed)),
        }
    }

    /// Says what the job does now. Where that fails, the next phase will be heard.
    async fn note_phase(&mut self, phase: Phase) {
        let (service, id) = (self.service, &self.job.id);
        let noted = service.catalog.note_phase((id, self.fence), phase, service.now());
        match tokio::time::timeout(ANSWER_WITHIN, noted).await {
            Ok(Ok(_)) => {}
            Ok(Err(failed)) => {
                warn!(job.id = %id, error = %bridge::chain(&failed), "cannot note that job {id} is {phase}");
            }
            Err(_) => warn!(job.id = %id, "the catalog does not answer about job {id}"),
        }
    }

    /// Prolongs the lease and takes a cancel. An answer that fails to come costs nothing while the lease holds.
    async fn renew(&mut self) {
        let (service, id) = (self.service, &self.job.id);
        let lease = service.limits.lease;
        let now = service.now();
        let until = now.plus(millis(lease));
        let counters = self.progress.read();
        let renewed =
            service.catalog.renew_job((id, self.fence), (&counters, self.running_millis()), until, now);
        let asked = Instant::now();
        let patience =
            held_for(lease).saturating_sub(self.heard.elapsed()).clamp(LEAST_PATIENCE, ANSWER_WITHIN);
        match tokio::time::timeout(patience, renewed).await {
            Ok(Ok(Some(is_canceling))) => {
                self.heard = asked;
                if is_canceling {
                    self.ctx.cancel.cancel();
                }
                return;
            }
            Ok(Ok(None)) => self.lose(),
            Ok(Err(failed)) => {
                warn!(job.id = %id, error = %bridge::chain(&failed), "cannot renew the lease of job {id}");
            }
            Err(_) => warn!(job.id = %id, "the catalog does not answer about the lease of job {id}"),
        }
        if !self.is_lost && self.heard.elapsed() >= held_for(lease) {
            self.lose();
        }
    }

    fn lose(&mut self) {
        warn!(job.id = %self.job.id, "lost the lease of job {}", self.job.id);
        self.is_lost = true;
        self.ctx.cancel.cancel();
    }

    /// Says what came of an earlier attempt, as its snapshot tells.
    async fn finish_with(&mut self, found: FoundSnapshot) {
        let running_millis = found.ended.since(found.started);
        let done = Done {
            snapshot: Some(found.hash),
            parent: found.parent,
            is_partial: found.is_partial,
            ended: Some(found.ended),
            detail: found.detail,
            server: None,
            nodes: None,
        };
        let counters = found.counters.unwrap_or_default();
        let error_file = self.service.closed_item_log(self.job).await;
        let finished = finished(self.service, self.job, &Ended::Ran(Ok(done)), counters);
        self.finish(FinishedJob { error_file, ..finished }, running_millis).await;
    }

    /// Says what came of the job, again and again while the catalog fails, until it has heard or the lease is lost. False
    /// when it has not heard.
    async fn finish(&mut self, finished: FinishedJob, running_millis: u64) -> bool {
        let (service, id) = (self.service, &self.job.id);
        while let Ok(phase) = self.phases.try_recv() {
            self.note_phase(phase).await;
        }
        loop {
            let now = service.now();
            match service.catalog.finish_job((id, self.fence), (&finished, running_millis), now).await {
                Ok(true) => {
                    service.figures.note(&self.job.kind, finished.outcome.state(), &finished.counters);
                    let state = finished.outcome.state().as_str();
                    info!(job.id = %id, job.state = state, "finished job {id}");
                    return true;
                }
                Ok(false) => {
                    warn!(job.id = %id, "job {id} was given to somebody else, or its end was heard already");
                    return false;
                }
                Err(failed) => {
                    error!(job.id = %id, error = %bridge::chain(&failed), "cannot finish job {id}, trying again");
                    // A catalog that is away comes back to a lease that still holds; one that refuses does not.
                    if failed.kind == CatalogErrorKind::Unavailable {
                        self.renew().await;
                    }
                    if service.running.is_stopping.load(Ordering::SeqCst) {
                        return false;
                    }
                }
            }
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    async fn release(&self) {
        let (service, id) = (self.service, &self.job.id);
        match service.catalog.release_job((id, self.fence), service.now()).await {
            Ok(_) => info!(job.id = %id, "gave up job {id}: the server stops"),
            Err(failed) => warn!(job.id = %id, error = %bridge::chain(&failed), "cannot give up job {id}"),
        }
    }

    fn running_millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What is to be noted of the server that a restore has made; one whose server cannot be noted has failed.
async fn with_server(
    service: &Service,
    job: &JobRow,
    ended: Ended,
) -> (Ended, Option<(ResourceId, MadeInstance)>) {
    let Ended::Ran(Ok(Done { server: Some(made), .. })) = &ended else { return (ended, None) };
    match service.note_of_server(job, made).await {
        Ok(note) => (ended, note),
        Err(failed) => (Ended::NotBegun(failed), None),
    }
}

/// A worker that stopped because its lease was lost was not canceled by anybody: somebody else goes on with the job.
fn is_cut_off(ended: &Ended) -> bool {
    matches!(ended, Ended::Ran(Err(JobError::Cancelled)) | Ended::LeftBehind)
}

/// How long a worker goes on that hears nothing.
fn held_for(lease: Duration) -> Duration {
    lease.saturating_sub(STOP_BEFORE_END).max(lease / 2)
}

fn finished(service: &Service, job: &JobRow, ended: &Ended, counters: JobCounters) -> FinishedJob {
    let none = |outcome, code: &str, message: String| FinishedJob {
        outcome,
        counters,
        error_code: Some(code.to_owned()),
        error_message: Some(message),
        error_file: None,
        snapshot: None,
        made: None,
    };
    match ended {
        Ended::NotBegun(error) => {
            error!(job.id = %job.id, error = %bridge::chain(error), "cannot begin job {}", job.id);
            match error {
                ServiceError::Missing(what, _) => none(Outcome::Failed, what.code(), error.to_string()),
                ServiceError::NotLocal(_) => none(Outcome::Failed, "SOURCE_RIGHTS", error.to_string()),
                ServiceError::Denied(_) | ServiceError::NotTrusted { .. } => {
                    none(Outcome::Failed, crate::Missing::Role.code(), error.to_string())
                }
                _ => none(Outcome::Failed, "INTERNAL_ERROR", "the server could not begin the job".to_owned()),
            }
        }
        Ended::Ran(Err(JobError::Cancelled)) | Ended::LeftBehind => {
            none(Outcome::Canceled, "CANCELED", "the job was canceled".to_owned())
        }
        Ended::Ran(Err(error)) => {
            warn!(job.id = %job.id, error = %bridge::chain(error), "job {} has failed", job.id);
            none(Outcome::Failed, error.code(), error.to_string())
        }
        Ended::Ran(Ok(done)) => {
            let spec = serde_json::from_str::<BackupSpec>(&job.spec).ok();
            FinishedJob {
                outcome: if done.is_partial { Outcome::PartialComplete } else { Outcome::Complete },
                counters,
                error_code: done.is_partial.then(|| "PARTIAL_COMPLETE".to_owned()),
                error_message: None,
                error_file: None,
                snapshot: done.snapshot.clone().map(|hash| NewSnapshot {
                    id: SnapshotId::of_job(&job.id),
                    hash,
                    completed: done.ended.unwrap_or_else(|| service.now()),
                    parent_hash: done.parent.clone(),
                    retention_days: spec.as_ref().and_then(|spec| spec.retention_days),
                    keep_latest: spec.as_ref().is_some_and(|spec| spec.keep_latest),
                    detail: done.detail.clone(),
                }),
                made: None,
            }
        }
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_hears_nothing_has_stopped_before_its_lease_ends() {
        let lease = crate::Limits::default().lease;
        assert!(held_for(lease) + RENEW_EVERY + LEAST_PATIENCE < lease);
        assert!(held_for(lease) > 2 * (RENEW_EVERY + LEAST_PATIENCE), "one answer may fail to come");
        let short = Duration::from_secs(2);
        assert_eq!(held_for(short), Duration::from_secs(1));
    }

    #[test]
    fn a_lost_lease_is_no_cancel_and_no_failure_is_kept_back() {
        assert!(is_cut_off(&Ended::LeftBehind) && is_cut_off(&Ended::Ran(Err(JobError::Cancelled))));
        assert!(!is_cut_off(&Ended::NotBegun(ServiceError::Conflict(String::new()))));
        assert!(!is_cut_off(&Ended::Ran(Ok(Done::default()))));
    }
}
