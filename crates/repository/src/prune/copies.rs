//! Blobs that are stored more than once: no copy goes before the one that stays was read and found good.

use super::Pruning;
use super::plan::{Fate, Plan};
use crate::check::{Findings, Problem};
use crate::ctx::Counters;
use crate::error::Result;
use crate::index::Entry;
use crate::live::LiveSet;

impl Pruning<'_> {
    /// Reads the copies that shall stay of blobs whose other copies shall go. Should one be damaged, another one
    /// stays in its place.
    pub(super) fn verify_copies(&self, plan: &mut Plan, live: &LiveSet, findings: &Findings) -> Result<()> {
        self.ctx.counters.begin_phase("verify copies", plan.duplicate_blobs, 0);
        if plan.duplicate_blobs == 0 {
            return Ok(());
        }
        let len = self.repository.index().len();
        let mut reader = self.repository.blob_reader();
        for ordinal in 0..len {
            self.ctx.cancel.check()?;
            let Some(copies) = self.copies_at_stake(plan, live, ordinal) else { continue };
            let Some(chosen) = copies.iter().find(|copy| plan.chosen.contains(copy.ordinal)).copied() else {
                continue;
            };
            Counters::add(&self.ctx.counters.items_done, copies.len() as u64 - 1);
            let Err(error) = reader.verify_at(chosen.blob, &chosen.location) else { continue };
            let mut others = copies.iter().filter(|copy| copy.ordinal != chosen.ordinal);
            match others.find(|copy| reader.verify_at(copy.blob, &copy.location).is_ok()) {
                Some(good) => plan.choose_instead(&chosen, good),
                // Beyond help here; but whoever repairs it may want every copy.
                None => {
                    copies.iter().for_each(|copy| plan.keep_stored(copy.pack_number));
                    findings.problem(Problem::of_error(chosen.blob, &error));
                }
            }
        }
        Ok(())
    }

    /// All copies of a used blob, if `ordinal` is the first of several, one stays unread, and another goes.
    fn copies_at_stake(&self, plan: &Plan, live: &LiveSet, ordinal: u32) -> Option<Vec<Entry>> {
        if !live.contains(ordinal) {
            return None;
        }
        let index = self.repository.index();
        let entry = index.entry(ordinal)?;
        // Few blobs have copies: most are seen off here.
        index.find_all(entry.blob).nth(1)?;
        let copies: Vec<Entry> = index.find_all(entry.blob).collect();
        let goes = |copy: &Entry| plan.fate(copy.pack_number) != Fate::Keep;
        copies.iter().any(goes).then_some(copies)
    }
}
