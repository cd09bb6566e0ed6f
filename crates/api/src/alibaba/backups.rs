//! What the products of databases say of backups alike: one job as two projections, modes, windows, moments.
//!
//! Nothing is shown that no line of code has entered: a stage is the phase that the job is in, or was in last.

use lifeboat_model::database::{DatabasePolicy, Phase};
use lifeboat_model::job::{JobState, Trigger};
use lifeboat_model::time::Millis;
use lifeboat_service::{JobRow, Missing, ServiceError};

use super::hbr::sentence;
use super::{Call, Params, WireError};

/// More ids than these nobody may name at once.
const MOST_IDS: usize = 100;
/// Ids are below 2^53, so that no client loses digits of them.
const LAST_ID: i64 = (1 << 53) - 1;
const MINUTES_OF_HOUR: u16 = 60;
const MINUTES_OF_DAY: u16 = 24 * MINUTES_OF_HOUR;
const MODES: [(&str, Trigger); 2] = [("Automated", Trigger::Schedule), ("Manual", Trigger::Manual)];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// How far a task is, and how far its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stages {
    /// `BackupStatus`.
    pub(super) task: &'static str,
    /// `BackupProgressStatus`.
    pub(super) program: &'static str,
}

impl Stages {
    pub(super) fn of(job: &JobRow) -> Self {
        let (task, program) = match job.phase {
            None | Some(Phase::Checking) => ("Checking", "NoStart"),
            Some(Phase::Waiting) => ("Waiting", "Waiting"),
            Some(Phase::Preparing) => ("Preparing", "Preparing"),
            Some(Phase::Streaming) => ("Uploading", "Uploading"),
            Some(Phase::ReadingBack) => ("Uploading", "Checking"),
        };
        match job.state {
            JobState::Created | JobState::Queued => Self { task: "NoStart", program: "NoStart" },
            JobState::Running | JobState::Canceling => Self { task, program },
            JobState::Complete | JobState::PartialComplete => Self { task: "Finished", program: "Finished" },
            JobState::Failed | JobState::Canceled | JobState::Expired | JobState::Unavailable => {
                Self { task: "Failed", program }
            }
        }
    }
}

/// Whole percent of what was estimated at the start; 100 once what was stored is verified, and not before.
pub(super) fn percent(job: &JobRow) -> String {
    let is_done = matches!(job.state, JobState::Complete | JobState::PartialComplete);
    if is_done { "100".to_owned() } else { (job.progress / 100).min(99).to_string() }
}

/// Automated exactly when the scheduler made it.
pub(super) fn mode(trigger: &str) -> &'static str {
    if trigger == Trigger::Schedule.as_str() { "Automated" } else { "Manual" }
}

pub(super) fn task_action(trigger: &str) -> &'static str {
    if trigger == Trigger::Schedule.as_str() { "NormalBackupTask" } else { "TempBackupTask" }
}

impl Call<'_> {
    /// A mode that is asked for.
    pub(super) fn mode(&self, name: &str) -> Result<Option<Trigger>, WireError> {
        let text = self.one_of(name, &MODES.map(|(mode, _)| mode))?;
        Ok(MODES.into_iter().find(|(mode, _)| Some(*mode) == text).map(|(_, trigger)| trigger))
    }

    /// The id of a job or of a set: a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, WireError> {
        self.params.number(name, 1, LAST_ID)
    }

    /// One to a hundred ids of sets, joined by commas.
    pub(super) fn set_numbers(&self) -> Result<Vec<i64>, WireError> {
        let text = self.params.required("BackupId")?;
        let refused = || {
            let accepted = format!("It must be 1 to {MOST_IDS} numbers, joined by commas.");
            WireError::invalid("BackupId", text, accepted)
        };
        let number = |part: &str| part.parse().ok().filter(|number| (1..=LAST_ID).contains(number));
        let mut numbers = text.split(',').map(number).collect::<Option<Vec<i64>>>().ok_or_else(refused)?;
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() > MOST_IDS { Err(refused()) } else { Ok(numbers) }
    }

    /// Refuses parameters that would change what is not to be changed here; each may say what is so anyway.
    pub(super) fn fixed(&self, parameters: &[(&str, &[&str])]) -> Result<(), WireError> {
        for (name, accepted) in parameters {
            match (self.params.text(name), accepted) {
                (Some(value), []) => {
                    return Err(WireError::invalid(name, value, "It cannot be set on this server."));
                }
                _ => drop(self.one_of(name, accepted)?),
            }
        }
        Ok(())
    }
}

/// A moment to the minute, or to the second.
pub(super) fn moment(params: &Params, name: &str) -> Result<Option<Millis>, WireError> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let read = |format| jiff::civil::DateTime::strptime(format, text).ok();
    let time = read("%Y-%m-%dT%H:%MZ").or_else(|| read("%Y-%m-%dT%H:%M:%SZ"));
    let time = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let accepted = "It must be a time such as 2026-11-23T08:00Z.";
    time.map(|time| Some(time.timestamp().into())).ok_or_else(|| WireError::invalid(name, text, accepted))
}

/// A moment to the minute, as it is asked for.
pub(super) fn utc_minute(time: Millis) -> String {
    jiff::Timestamp::from(time).strftime("%Y-%m-%dT%H:%MZ").to_string()
}

/// What a request says of a policy, over what is known.
pub(super) struct PolicyWords<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) known: Option<DatabasePolicy>,
    /// How many days of the week there must be at least.
    pub(super) least_days: usize,
    /// Of Tair: the window is one whole hour.
    pub(super) is_whole_hour: bool,
}

const WINDOW: &str = "PreferredBackupTime";
const DAYS: &str = "PreferredBackupPeriod";
pub(super) const RETENTION: &str = "BackupRetentionPeriod";
/// How many days backups may be kept.
pub(super) const RETENTION_DAYS: (i64, i64) = (7, 730);

impl PolicyWords<'_> {
    pub(super) fn read(&self) -> Result<DatabasePolicy, WireError> {
        let (from_minute, to_minute) = self.window()?;
        let retention = retention(self.call)?;
        let known = self.known.as_ref();
        Ok(DatabasePolicy {
            weekdays: self.weekdays()?,
            from_minute,
            to_minute,
            retention_days: retention
                .or(known.map(|known| known.retention_days))
                .unwrap_or(lifeboat_model::database::DEFAULT_RETENTION_DAYS),
            method: known.map(|known| known.method).unwrap_or_default(),
        })
    }

    fn window(&self) -> Result<(u16, u16), WireError> {
        let Some(text) = self.call.params.text(WINDOW) else {
            let known = self.known.as_ref().map(|known| (known.from_minute, known.to_minute));
            return known.ok_or_else(|| WireError::missing(WINDOW));
        };
        let accepted = if self.is_whole_hour {
            "one whole hour such as 18:00Z-19:00Z"
        } else {
            "a window such as 18:00Z-19:00Z"
        };
        let window = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        let is_accepted = |(from, to): &(u16, u16)| {
            let length = (MINUTES_OF_DAY + to - from) % MINUTES_OF_DAY;
            *from < MINUTES_OF_DAY
                && length > 0
                && (!self.is_whole_hour || (length == MINUTES_OF_HOUR && from % MINUTES_OF_HOUR == 0))
        };
        window
            .filter(is_accepted)
            .ok_or_else(|| WireError::invalid(WINDOW, text, format!("It must be {accepted}, in UTC.")))
    }

    fn weekdays(&self) -> Result<Vec<u8>, WireError> {
        let Some(text) = self.call.params.text(DAYS) else {
            let known = self.known.as_ref().map(|known| known.weekdays.clone());
            return known.ok_or_else(|| WireError::missing(DAYS));
        };
        let number = |name: &str| (0..).zip(WEEKDAYS).find(|(_, day)| *day == name).map(|(number, _)| number);
        let days: Option<std::collections::BTreeSet<u8>> = text.split(',').map(number).collect();
        let refused = || {
            let least = self.least_days;
            let accepted = format!("It must be {least} to 7 days such as Monday,Thursday.");
            WireError::invalid(DAYS, text, accepted)
        };
        days.filter(|days| days.len() >= self.least_days).map(Vec::from_iter).ok_or_else(refused)
    }
}

/// For how many days a backup is to be kept.
pub(super) fn retention(call: &Call<'_>) -> Result<Option<u32>, WireError> {
    let (least, most) = RETENTION_DAYS;
    let days = call.params.number(RETENTION, least, most)?;
    Ok(days.map(|days| u32::try_from(days).unwrap_or(u32::MAX)))
}

/// `HH:mmZ`, up to `24:00Z`.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.strip_suffix('Z')?.split_once(':')?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2);
    let (hour, minute) = (number(hour)?, number(minute)?);
    let at = hour * MINUTES_OF_HOUR + minute;
    (minute < MINUTES_OF_HOUR && at <= MINUTES_OF_DAY).then_some(at)
}

/// `18:00Z-19:00Z`.
pub(super) fn window(policy: &DatabasePolicy) -> String {
    let write = |at: u16| format!("{:02}:{:02}Z", at / MINUTES_OF_HOUR, at % MINUTES_OF_HOUR);
    format!("{}-{}", write(policy.from_minute), write(policy.to_minute))
}

/// `Monday,Thursday`.
pub(super) fn weekdays(policy: &DatabasePolicy) -> String {
    let names = policy.weekdays.iter().filter_map(|day| WEEKDAYS.get(usize::from(*day)).copied());
    names.collect::<Vec<_>>().join(",")
}

/// The code for a refusal of the service that two products share.
pub(super) fn refuse(error: &ServiceError) -> WireError {
    let told = |code| WireError::bad_request(code, sentence(&error.to_string()));
    match error {
        ServiceError::BackupRuns(_) => told("BackupJobExists"),
        ServiceError::Quota(_) => told("BackupTimesExceeded"),
        ServiceError::Conflict(_) => told("IncorrectDBInstanceState"),
        ServiceError::Source(cause) => {
            WireError::bad_request("IncorrectDBInstanceState", sentence(&cause.to_string()))
        }
        ServiceError::Missing(Missing::BackupSet, number) => {
            let what = format!("The backup set {number} does not exist.");
            WireError::not_found("InvalidBackupSetID.NotFound", what)
        }
        other => super::refuse(other),
    }
}

/// The same where sets are to be changed, and not the instance.
pub(super) fn refuse_set(error: &ServiceError) -> WireError {
    match error {
        ServiceError::Conflict(what) | ServiceError::Worm(what) => {
            WireError::bad_request("IncorrectBackupSetState", sentence(what))
        }
        other => refuse(other),
    }
}
