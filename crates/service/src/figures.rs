//! What the server counts about itself: of the catalog's rows what is still open, and what this process has ended.
//!
//! Counts of this process begin with it; whoever collects them knows that counters start again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lifeboat_catalog::SourceFigure;
use lifeboat_model::job::{JobCounters, JobState};

use crate::{Result, Service};

/// Kind and state, by their names.
type Class = (String, String);

/// Jobs of one kind that have ended in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedJobs {
    pub count: u64,
    pub bytes_done: u64,
    pub bytes_actual: u64,
}

/// What this process has ended.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<BTreeMap<Class, EndedJobs>>);

impl Figures {
    pub(crate) fn note(&self, kind: &str, state: JobState, counters: &JobCounters) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = all.entry((kind.to_owned(), state.as_str().to_owned())).or_default();
        ended.count += 1;
        ended.bytes_done += counters.bytes_done;
        ended.bytes_actual += counters.bytes_actual;
    }
}

impl Service {
    /// Jobs that this process has ended, by kind and state.
    pub fn ended_jobs(&self) -> BTreeMap<Class, EndedJobs> {
        self.figures.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many jobs of every account have not ended, by kind and state.
    pub async fn open_jobs(&self) -> Result<Vec<(String, String, u64)>> {
        Ok(self.catalog.open_jobs().await?)
    }

    /// The plans and bindings of every account, and when each last came to a backup that is complete.
    pub async fn sources(&self) -> Result<Vec<SourceFigure>> {
        Ok(self.catalog.source_figures().await?)
    }
}
