//! Policies: rules that say when sources are backed up into which vault and how long that is kept. A binding puts a
//! source under a policy. A job over several sources has a child for each, and what becomes of it follows from them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{RuleId, VaultId};
use crate::job::{JobEvent, JobState, Outcome};
use crate::plan::{BackupSpec, BackupType};
use crate::retention::RetentionRule;
use crate::schedule::Schedule;
use crate::time::Millis;

/// The rules of a policy: one or more of backup, at most one of transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<PolicyRule>", into = "Vec<PolicyRule>")]
pub struct PolicyRules(Vec<PolicyRule>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    pub id: RuleId,
    #[serde(flatten)]
    pub kind: RuleKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    Backup(BackupRule),
    Transition(TransitionRule),
}

/// When to back up, and into which vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRule {
    pub vault: VaultId,
    pub schedule: Schedule,
    pub backup_type: BackupType,
    /// Days to keep its snapshots, unless the transition says so.
    pub retention_days: Option<u32>,
    pub keep_latest: bool,
}

/// How long to keep what all rules of the policy have made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionRule {
    pub retention_days: Option<u32>,
    pub rules: Vec<RetentionRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a policy has at least one rule of the type BACKUP and at most one of the type TRANSITION")]
pub struct PolicyRulesError;

impl TryFrom<Vec<PolicyRule>> for PolicyRules {
    type Error = PolicyRulesError;

    fn try_from(rules: Vec<PolicyRule>) -> Result<Self, PolicyRulesError> {
        let rules = Self(rules);
        let transitions = rules.0.len() - rules.backups().count();
        if rules.backups().next().is_none() || transitions > 1 { Err(PolicyRulesError) } else { Ok(rules) }
    }
}

impl From<PolicyRules> for Vec<PolicyRule> {
    fn from(rules: PolicyRules) -> Self {
        rules.0
    }
}

impl PolicyRules {
    pub fn all(&self) -> &[PolicyRule] {
        &self.0
    }

    pub fn backups(&self) -> impl Iterator<Item = (&RuleId, &BackupRule)> {
        self.0.iter().filter_map(|rule| match &rule.kind {
            RuleKind::Backup(backup) => Some((&rule.id, backup)),
            RuleKind::Transition(_) => None,
        })
    }

    fn transition(&self) -> Option<&TransitionRule> {
        self.0.iter().find_map(|rule| match &rule.kind {
            RuleKind::Backup(_) => None,
            RuleKind::Transition(transition) => Some(transition),
        })
    }

    /// What a job of `rule` does with `source`.
    pub fn spec(&self, rule: &BackupRule, source: &BackupSpec) -> BackupSpec {
        let transition = self.transition();
        BackupSpec {
            retention_days: transition.and_then(|rule| rule.retention_days).or(rule.retention_days),
            retention_rules: transition.map(|rule| rule.rules.clone()).unwrap_or_default(),
            keep_latest: rule.keep_latest,
            ..source.clone()
        }
    }
}

/// What bindings can be searched by; one is found when it has one of the values, or with `is_not` none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingCondition {
    pub field: BindingField,
    pub is_not: bool,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingField {
    PolicyId,
    DataSourceId,
    SourceType,
}

/// The last row of a page: the next page begins behind it, whatever was added or deleted meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub created: Millis,
    pub id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be the NextToken of the answer before")]
pub struct ParseCursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.created.0, self.id)
    }
}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (created, id) = text.split_once('.').ok_or(ParseCursorError)?;
        let created = i64::from_str_radix(created, 16).map_err(|_| ParseCursorError)?;
        Ok(Self { created: Millis(created), id: id.to_owned() })
    }
}

/// What has happened to a job in the state `state` whose children are in `children`, in order.
pub fn events_of_parent(state: JobState, children: &[JobState]) -> Vec<JobEvent> {
    let is_any = |wanted: &[JobState]| children.iter().any(|child| wanted.contains(child));
    let are_all = |wanted: &[JobState]| children.iter().all(|child| wanted.contains(child));
    let mut events = Vec::new();
    let has_begun = {
        use JobState::{Canceling, Complete, Failed, PartialComplete, Running};
        is_any(&[Running, Canceling, Complete, PartialComplete, Failed])
    };
    let mut is_running = matches!(state, JobState::Running | JobState::Canceling);
    if has_begun && !is_running {
        events.push(JobEvent::Claim);
        is_running = true;
    }
    if !children.iter().all(|child| child.is_final()) {
        return events;
    }
    events.push(if !is_running && is_any(&[JobState::Expired]) {
        JobEvent::Expire
    } else if !is_running && is_any(&[JobState::Unavailable]) {
        JobEvent::BecomeUnavailable
    } else if !is_running {
        JobEvent::AskCancel
    } else if are_all(&[JobState::Complete]) {
        JobEvent::Finish(Outcome::Complete)
    } else if is_any(&[JobState::Complete, JobState::PartialComplete]) {
        JobEvent::Finish(Outcome::PartialComplete)
    } else if are_all(&[JobState::Canceled]) {
        JobEvent::Finish(Outcome::Canceled)
    } else {
        JobEvent::Finish(Outcome::Failed)
    });
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(state: JobState, children: &[JobState]) -> JobState {
        let events = events_of_parent(state, children);
        events.into_iter().fold(state, |state, event| {
            state.after(event).unwrap_or_else(|| panic!("{event:?} cannot happen to {state:?}"))
        })
    }

    #[test]
    fn a_parent_is_what_its_children_make_of_it() {
        use JobState::{
            Canceled, Canceling, Complete, Created, Expired, Failed, PartialComplete, Queued, Running,
        };
        for (state, children, expected) in [
            (Created, [Created, Created], Created),
            (Created, [Running, Created], Running),
            (Running, [Complete, Created], Running),
            (Running, [Queued, Queued], Running),
            (Canceling, [Canceling, Canceled], Canceling),
            (Running, [Complete, Complete], Complete),
            (Running, [Complete, Failed], PartialComplete),
            (Running, [Canceled, PartialComplete], PartialComplete),
            (Canceling, [Canceled, Canceled], Canceled),
            (Running, [Canceled, Failed], Failed),
            (Created, [Canceled, Canceled], Canceled),
            (Created, [Canceled, Expired], Expired),
            (Created, [Complete, Complete], Complete),
        ] {
            assert_eq!(state_of(state, &children), expected, "{state:?} {children:?}");
        }
    }

    #[test]
    fn whatever_children_do_nothing_illegal_happens_to_their_parent() {
        let open = JobState::ALL.into_iter().filter(|state| !state.is_final());
        for state in open {
            for one in JobState::ALL {
                for other in JobState::ALL {
                    let after = state_of(state, &[one, other]);
                    assert_eq!(
                        after.is_final(),
                        one.is_final() && other.is_final(),
                        "{state:?} {one:?} {other:?}"
                    );
                    let is_whole = (one, other) == (JobState::Complete, JobState::Complete);
                    assert_eq!(after == JobState::Complete, is_whole, "{state:?} {one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn rules_are_one_backup_at_least_and_one_transition_at_most() {
        let rule = |kind| PolicyRule { id: RuleId::new(1), kind };
        let backup = RuleKind::Backup(BackupRule {
            vault: VaultId::new(1),
            schedule: "I|0|P1D".parse().unwrap(),
            backup_type: BackupType::Complete,
            retention_days: None,
            keep_latest: false,
        });
        let transition = RuleKind::Transition(TransitionRule { retention_days: Some(9), rules: Vec::new() });
        let is_good = |kinds: &[&RuleKind]| {
            let rules: Vec<_> = kinds.iter().map(|kind| rule((*kind).clone())).collect();
            let Ok(rules) = PolicyRules::try_from(rules) else { return false };
            let json = serde_json::to_string(&rules).unwrap();
            assert_eq!(serde_json::from_str::<PolicyRules>(&json).unwrap(), rules, "{json}");
            true
        };
        assert!(is_good(&[&backup]) && is_good(&[&backup, &backup, &transition]));
        assert!(!is_good(&[]) && !is_good(&[&transition]) && !is_good(&[&backup, &transition, &transition]));
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = Cursor { created: Millis(1_700_000_000_123), id: "pd-1.2".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert!("".parse::<Cursor>().is_err() && "x.y".parse::<Cursor>().is_err());
    }
}
