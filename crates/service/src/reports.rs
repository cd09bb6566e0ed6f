//! Reports about the entries of a job, the list of those that failed, and the links to fetch them by.
//!
//! Everything is below `temp/report/<account>/<job>` of the data folder. The order: the job ends, its report is claimed,
//! the files are made, the row says so. A server that dies in between leaves a claim that runs out; whoever claims next
//! makes what is missing, or says that it cannot be made. Files are removed some months later, before the row forgets
//! them. A link is signed over file, account and time, and is good for anybody until then.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_catalog::{JobRow, ReportOrder};
use lifeboat_model::id::{AccountId, JobId, RestoreId};
use lifeboat_model::time::Millis;
use lifeboat_worker::{ItemLog, error_file, make_reports, report_files};
use tracing::{info, warn};

use crate::{Caller, Missing, Result, Service, ServiceError, bridge};

const CLAIM: Duration = Duration::from_secs(60);
const PROLONG_EVERY: Duration = Duration::from_secs(15);
/// How long a link is good for.
const LINK_MILLIS: i64 = 60 * 60 * 1000;

/// A link to a file, to be put behind the address of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TempLink {
    /// Begins with `/temp/`.
    pub key: String,
    /// Seconds since 1970.
    pub expires: i64,
    pub signature: String,
}

/// Why a link leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("the link has expired")]
    Expired,
    #[error("the link was not signed by this server")]
    Forged,
    #[error("the file is not there any more")]
    Gone,
}

/// The keys of the files about a job, as far as they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportKeys {
    pub total: String,
    pub success: String,
    pub failed: String,
    pub skipped: String,
}

impl ReportKeys {
    /// Of a job whose reports are made.
    pub fn of(job: &JobRow) -> Option<Self> {
        if job.report_state.as_deref() != Some("COMPLETE") {
            return None;
        }
        let [total, success, failed, skipped] =
            report_files(&job.id).map(|file| key(job.account, &job.id, &file));
        Some(Self { total, success, failed, skipped })
    }
}

fn key(account: AccountId, job: &str, file: &str) -> String {
    format!("/temp/report/{account}/{job}/{file}")
}

/// What a key names, if it is one that this server could have given.
struct Named {
    account: AccountId,
    job: String,
    file: String,
}

impl Named {
    fn parse(key: &str) -> Option<Self> {
        let key = key.strip_prefix('/').unwrap_or(key);
        let mut parts = key.split('/');
        let (temp, report, account) = (parts.next()?, parts.next()?, parts.next()?);
        let (job, file, end) = (parts.next()?, parts.next()?, parts.next());
        let is_job = job.parse::<JobId>().is_ok() || job.parse::<RestoreId>().is_ok();
        let is_file = report_files(job).iter().any(|name| name == file) || error_file(job) == file;
        let account = account.parse().ok().and_then(AccountId::from_number)?;
        ((temp, report, end) == ("temp", "report", None) && is_job && is_file).then(|| Self {
            account,
            job: job.to_owned(),
            file: file.to_owned(),
        })
    }

    fn key(&self) -> String {
        key(self.account, &self.job, &self.file)
    }
}

impl Service {
    fn report_folder(&self, account: AccountId, job: &str) -> PathBuf {
        self.temp_folder.join("report").join(account.to_string()).join(job)
    }

    /// Where what becomes of the entries of a job is noted. Without it the job runs and has no report.
    pub(crate) async fn item_log(&self, job: &JobRow) -> Option<ItemLog> {
        let (folder, id) = (self.report_folder(job.account, &job.id), job.id.clone());
        let made = bridge::run(move || ItemLog::create(&folder, &id)).await;
        made.inspect_err(|error| warn!(job.id = %job.id, %error, "job {} will have no report", job.id)).ok()
    }

    /// Closes what was noted, and says by which key those that failed are found.
    pub(crate) async fn close_item_log(
        &self,
        job: &JobRow,
        progress: &std::sync::Arc<lifeboat_worker::Progress>,
    ) -> Option<String> {
        let progress = std::sync::Arc::clone(progress);
        let closed = bridge::run(move || progress.log().map_or(Ok(false), ItemLog::finish)).await;
        let has_errors = closed
            .inspect_err(|error| warn!(job.id = %job.id, %error, "job {} will have no report", job.id))
            .unwrap_or(false);
        has_errors.then(|| key(job.account, &job.id, &error_file(&job.id)))
    }

    /// The same of what an earlier attempt at the job has closed.
    pub(crate) async fn closed_item_log(&self, job: &JobRow) -> Option<String> {
        let file = self.report_folder(job.account, &job.id).join(error_file(&job.id));
        let has_errors = bridge::run(move || file.is_file()).await;
        has_errors.then(|| key(job.account, &job.id, &error_file(&job.id)))
    }

    /// Makes the reports that are due, one after another.
    pub(crate) async fn make_due_reports(&self) -> Result<()> {
        loop {
            let now = self.now();
            let Some(order) = self.catalog.claim_report(self.claim_until(), now).await? else {
                return Ok(());
            };
            self.make_report(order).await?;
        }
    }

    async fn make_report(&self, mut order: ReportOrder) -> Result<()> {
        let (folder, job) = (self.report_folder(order.account, &order.job), order.job.clone());
        let making = bridge::run(move || make_reports(&folder, &job));
        tokio::pin!(making);
        let made = loop {
            tokio::select! {
                made = &mut making => break made,
                () = tokio::time::sleep(PROLONG_EVERY) => {
                    self.catalog.prolong_report(&mut order, self.claim_until()).await?;
                }
            }
        };
        match &made {
            Ok(()) => info!(job.id = %order.job, "made the report about job {}", order.job),
            Err(error) => {
                warn!(job.id = %order.job, %error, "cannot make the report about job {}", order.job)
            }
        }
        Ok(self.catalog.finish_report(&order, made.is_ok(), self.now()).await?)
    }

    fn claim_until(&self) -> Millis {
        self.now().plus(i64::try_from(CLAIM.as_millis()).unwrap_or(i64::MAX))
    }

    /// Removes the files about jobs that are old enough.
    pub(crate) async fn remove_old_reports(&self) -> Result<()> {
        let kept = i64::try_from(self.limits.reports_kept.as_millis()).unwrap_or(i64::MAX);
        let (root, before) = (self.temp_folder.join("report"), self.now().plus(kept.saturating_neg()));
        let old = bridge::run(move || old_folders(&root, before)).await;
        let old = old.inspect_err(|error| warn!(%error, "cannot look for old reports")).unwrap_or_default();
        for folder in old {
            let job = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let removed = bridge::run(move || std::fs::remove_dir_all(folder)).await;
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(job.id = %job, %error, "cannot remove the report about job {job}");
                }
                _ => self.catalog.forget_report(&job, self.now()).await?,
            }
        }
        Ok(())
    }

    /// A link by which anybody can fetch one of the caller's files for an hour.
    pub async fn temp_file_link(&self, caller: &Caller, key: &str) -> Result<TempLink> {
        let missing = || ServiceError::Missing(Missing::TempFile, key.to_owned());
        let named = Named::parse(key).filter(|named| named.account == caller.account).ok_or_else(missing)?;
        let file = self.report_folder(named.account, &named.job).join(&named.file);
        if !bridge::run(move || file.is_file()).await {
            return Err(missing());
        }
        let key = named.key();
        let expires = self.now().plus(LINK_MILLIS).seconds();
        let signature = self.sealer.sign(&signed_text(&key, expires, named.account));
        Ok(TempLink { key, expires, signature })
    }

    /// The file that a link leads to, and its name.
    pub fn temp_file(&self, link: &TempLink) -> std::result::Result<(PathBuf, String), LinkError> {
        let named = Named::parse(&link.key).ok_or(LinkError::Forged)?;
        let text = signed_text(&named.key(), link.expires, named.account);
        if !self.sealer.has_signed(&text, &link.signature) {
            return Err(LinkError::Forged);
        }
        if self.now().seconds() >= link.expires {
            return Err(LinkError::Expired);
        }
        Ok((self.report_folder(named.account, &named.job).join(&named.file), named.file))
    }
}

fn signed_text(key: &str, expires: i64, account: AccountId) -> String {
    format!("temp file\n{key}\n{expires}\n{account}")
}

/// Folders of jobs that nobody has changed since.
fn old_folders(root: &Path, before: Millis) -> io::Result<Vec<PathBuf>> {
    let mut old = Vec::new();
    for account in folders(root)? {
        for job in folders(&account)? {
            let changed = std::fs::metadata(&job)?.modified()?;
            let changed = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
            if i64::try_from(changed).unwrap_or(i64::MAX) < before.0 {
                old.push(job);
            }
        }
    }
    Ok(old)
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}
