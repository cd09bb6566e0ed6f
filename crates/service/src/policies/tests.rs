//! Policies, their bindings and their runs, before a real catalog with a clock of the test.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_model::filter::{JobCondition, TextComparison, TextField};
use lifeboat_model::id::VaultId;
use lifeboat_model::job::{JobCounters, JobState, Outcome};
use lifeboat_model::plan::BackupType;
use lifeboat_model::policy::TransitionRule;
use lifeboat_model::retention::{Period, RetentionRule};

use super::*;
use crate::testing::Bench;

fn at(text: &str) -> Millis {
    Millis::from(text.parse::<Timestamp>().unwrap())
}

fn backup(vault: &VaultId, schedule: &str, retention_days: u32) -> NewPolicyRule {
    let kind = RuleKind::Backup(BackupRule {
        vault: vault.clone(),
        schedule: schedule.parse().unwrap(),
        backup_type: BackupType::Incremental,
        retention_days: Some(retention_days),
        keep_latest: true,
    });
    NewPolicyRule { id: None, kind }
}

fn instance(bench: &Bench) -> NewBinding {
    NewBinding {
        source_type: SourceType::EcsFile,
        place: Place::Instance(bench.instance.clone()),
        description: String::new(),
        source: "/home".to_owned(),
        spec: Bench::spec("/home"),
        is_disabled: false,
        cross: None,
    }
}

fn client(bench: &Bench) -> NewBinding {
    let place = Place::Client(bench.client.clone());
    NewBinding { source_type: SourceType::File, place, spec: Bench::spec("/srv"), ..instance(bench) }
}

/// A bench with a policy of one rule, due at two o'clock each night, and both sources of the machine bound to it.
async fn bound() -> (Bench, PolicyId, RuleId) {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let vault = bench.vault().await;
    let names = (Some("nightly".to_owned()), String::new());
    let rules = vec![backup(&vault, "C|0|0 0 2 * * ?", 7)];
    let id = bench.service.create_policy(&bench.caller, names, rules).await.unwrap();
    bench.service.bind(&bench.caller, &id, vec![instance(&bench), client(&bench)]).await.unwrap();
    let rule = bench.service.policy(&bench.caller, &id).await.unwrap().rules.all()[0].id.clone();
    (bench, id, rule)
}

fn children_of(parent: &JobId) -> Vec<JobCondition> {
    let values = vec![parent.to_string()];
    vec![JobCondition::Text { field: TextField::ParentId, comparison: TextComparison::Equal, values }]
}

async fn parent(bench: &Bench, id: &JobId) -> lifeboat_catalog::JobRow {
    bench.service.catalog.job(bench.caller.account, id.as_str()).await.unwrap().unwrap()
}

const BOTH: (Option<SourceType>, Option<&str>) = (None, None);

#[tokio::test]
async fn each_binding_runs_by_itself_once_however_many_servers_look() {
    let (bench, id, rule) = bound().await;
    let other = bench.second_server().await;
    bench.set_clock(at("2024-05-01T02:00:00Z"));
    let (one, two) = tokio::join!(bench.service.start_due_runs(), other.start_due_runs());
    one.and(two).unwrap();
    let jobs = bench.jobs(Vec::new()).await;
    let mut kinds: Vec<_> = jobs.iter().map(|job| job.source_type.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["ECS_FILE", "File"]);
    for job in &jobs {
        let spec: BackupSpec = serde_json::from_str(&job.spec).unwrap();
        assert_eq!((spec.retention_days, spec.keep_latest), (Some(7), true));
        assert_eq!((&job.policy, &job.rule), (&Some(id.to_string()), &Some(rule.to_string())));
        assert_eq!((job.trigger.as_str(), job.name.as_str(), &job.plan), ("SCHEDULE", "nightly", &None));
    }
    // One of them goes on into the next night: only the other runs then.
    let running = bench.claim().await.unwrap();
    let ended = bench.claim().await.unwrap();
    bench.finish(ended, Outcome::Complete, JobCounters::default()).await;
    bench.set_clock(at("2024-05-02T02:00:00Z"));
    bench.service.start_due_runs().await.unwrap();
    let series = |id: &str, jobs: &[lifeboat_catalog::JobRow]| {
        jobs.iter().find(|job| job.id == id).map(|job| job.series.clone()).unwrap()
    };
    let all = bench.jobs(Vec::new()).await;
    assert_eq!(all.len(), 3);
    assert_ne!(all[2].series, series(&running.0, &all));
}

#[tokio::test]
async fn a_transition_says_how_long_what_all_rules_made_is_kept() {
    let (bench, id, rule) = bound().await;
    let weekly = RetentionRule { period: Period::Week, days: 60 };
    let transition = RuleKind::Transition(TransitionRule { retention_days: Some(30), rules: vec![weekly] });
    let former = bench.service.policy(&bench.caller, &id).await.unwrap().rules.all()[0].clone();
    let rules = vec![
        NewPolicyRule { id: Some(rule.clone()), kind: former.kind },
        NewPolicyRule { id: None, kind: transition },
    ];
    let change = PolicyChange { rules: Some(rules), ..PolicyChange::default() };
    bench.service.update_policy(&bench.caller, &id, change).await.unwrap();
    let data_source = bench.instance.to_string();
    let one = (None, Some(data_source.as_str()));
    bench.service.execute_policy(&bench.caller, (&id, &rule), one).await.unwrap();
    let spec: BackupSpec = serde_json::from_str(&bench.jobs(Vec::new()).await[0].spec).unwrap();
    assert_eq!((spec.retention_days, spec.retention_rules), (Some(30), vec![weekly]));
}

#[tokio::test]
async fn a_job_over_two_sources_follows_its_children_and_hides_them() {
    let (bench, id, rule) = bound().await;
    let made = bench.service.execute_policy(&bench.caller, (&id, &rule), BOTH).await.unwrap();
    let listed = bench.jobs(Vec::new()).await;
    assert_eq!(listed.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), [made.as_str()]);
    assert_eq!(bench.jobs(children_of(&made)).await.len(), 2);
    assert_eq!(parent(&bench, &made).await.state, JobState::Created);

    let (first, second) = (bench.claim().await.unwrap(), bench.claim().await.unwrap());
    // Nobody works on the parent.
    assert_eq!(bench.claim().await, None);
    let half =
        JobCounters { bytes_total: Some(100), bytes_done: 50, bytes_handled: 50, ..JobCounters::default() };
    let until = bench.service.now().plus(15_000);
    let renewed =
        bench.service.catalog.renew_job((&first.0, first.1), (&half, 1000), until, bench.service.now());
    assert_eq!(renewed.await.unwrap(), Some(false));
    let seen = parent(&bench, &made).await;
    assert_eq!((seen.state, seen.progress), (JobState::Running, 2_500));
    assert_eq!((seen.counters.bytes_total, seen.counters.bytes_done), (None, 50));

    let whole = JobCounters { bytes_total: Some(100), bytes_done: 100, ..JobCounters::default() };
    bench.finish(first, Outcome::Complete, whole).await;
    assert_eq!(parent(&bench, &made).await.state, JobState::Running);
    let more = JobCounters { bytes_total: Some(11), bytes_done: 1, ..JobCounters::default() };
    bench.finish(second, Outcome::Failed, more).await;
    let seen = parent(&bench, &made).await;
    assert_eq!((seen.state, seen.progress), (JobState::PartialComplete, 10_000));
    assert_eq!((seen.counters.bytes_total, seen.counters.bytes_done), (Some(111), 101));
    assert_eq!(seen.error_code.as_deref(), Some("PARTIAL_COMPLETE"));
    assert!(seen.completed.is_some());
}

#[tokio::test]
async fn a_cancel_of_a_job_over_two_sources_reaches_both() {
    let (bench, id, rule) = bound().await;
    let made = bench.service.execute_policy(&bench.caller, (&id, &rule), BOTH).await.unwrap();
    let running = bench.claim().await.unwrap();
    bench.service.cancel_job(&bench.caller, JobKind::Backup, made.as_str()).await.unwrap();
    assert_eq!(parent(&bench, &made).await.state, JobState::Canceling);
    let states: Vec<_> = bench.jobs(children_of(&made)).await.iter().map(|job| job.state).collect();
    assert!(states.contains(&JobState::Canceling) && states.contains(&JobState::Canceled), "{states:?}");
    bench.finish(running, Outcome::Canceled, JobCounters::default()).await;
    assert_eq!(parent(&bench, &made).await.state, JobState::Canceled);
}

#[tokio::test]
async fn a_job_over_two_sources_whose_workers_are_lost_or_never_come_ends_too() {
    let (bench, id, rule) = bound().await;
    let made = bench.service.execute_policy(&bench.caller, (&id, &rule), BOTH).await.unwrap();
    bench.claim().await.unwrap();
    let lost = bench.service.now().plus(20_000);
    bench.service.catalog.reap_jobs(lost).await.unwrap();
    // One ran and is in line again: the whole is under way.
    assert_eq!(parent(&bench, &made).await.state, JobState::Running);
    let late = bench.service.now().plus(25 * 60 * 60 * 1000);
    bench.service.catalog.reap_jobs(late).await.unwrap();
    // The other one was never taken and has expired; what ran once does not.
    assert_eq!(parent(&bench, &made).await.state, JobState::Running);
    let again = bench.claim().await.unwrap();
    bench.finish(again, Outcome::Failed, JobCounters::default()).await;
    let seen = parent(&bench, &made).await;
    assert_eq!((seen.state, seen.completed.is_some()), (JobState::Failed, true));
    let never = bench.service.execute_policy(&bench.caller, (&id, &rule), BOTH).await.unwrap();
    bench.service.catalog.reap_jobs(late).await.unwrap();
    assert_eq!(parent(&bench, &never).await.state, JobState::Expired);
}

#[tokio::test]
async fn a_source_is_under_one_policy_and_a_call_binds_all_or_none() {
    let (bench, id, rule) = bound().await;
    let vault = bench.vault().await;
    let rules = vec![backup(&vault, "C|0|0 0 3 * * ?", 7)];
    let other = bench.service.create_policy(&bench.caller, (None, String::new()), rules).await.unwrap();
    bench.service.unbind(&bench.caller, (&id, None), &[bench.client.to_string()]).await.unwrap();
    let both = vec![client(&bench), instance(&bench)];
    assert!(matches!(bench.service.bind(&bench.caller, &other, both).await, Err(ServiceError::Exists(_))));
    assert_eq!(bench.service.policy(&bench.caller, &other).await.unwrap().bindings, 0);
    bench.service.bind(&bench.caller, &other, vec![client(&bench)]).await.unwrap();
    // A name or none: the policy is told apart by its id.
    assert_eq!(bench.service.policy(&bench.caller, &other).await.unwrap().name, other.to_string());

    bench.service.delete_policy(&bench.caller, &id).await.unwrap();
    assert!(bench.service.execute_policy(&bench.caller, (&id, &rule), BOTH).await.is_err());
    bench.set_clock(at("2024-05-01T02:00:00Z"));
    bench.service.start_due_runs().await.unwrap();
    assert_eq!(bench.jobs(Vec::new()).await.len(), 0);
    bench.set_clock(at("2024-05-01T03:00:00Z"));
    bench.service.start_due_runs().await.unwrap();
    assert_eq!(bench.jobs(Vec::new()).await.len(), 1);
}

#[tokio::test]
async fn pages_of_bindings_hold_each_once_while_others_come_and_go() {
    let (bench, id, _) = bound().await;
    let of_policy =
        BindingCondition { field: BindingField::PolicyId, is_not: false, values: vec![id.to_string()] };
    let page = async |after: Option<&Cursor>| {
        let found = bench.service.bindings(&bench.caller, std::slice::from_ref(&of_policy), (after, 1)).await;
        found.unwrap()
    };
    let (first, total) = page(None).await;
    let cursor = Cursor { created: first[0].created, id: first[0].id.to_string() };
    bench.service.unbind(&bench.caller, (&id, None), &[first[0].data_source.clone()]).await.unwrap();
    let (second, left) = page(Some(&cursor)).await;
    assert_eq!((total, left), (2, 1));
    assert_ne!(first[0].id, second[0].id);
    let cursor = Cursor { created: second[0].created, id: second[0].id.to_string() };
    assert_eq!(page(Some(&cursor)).await.0.len(), 0);
}

#[tokio::test]
async fn a_disabled_binding_rests_and_a_changed_policy_changes_what_all_its_bindings_run() {
    let (bench, id, rule) = bound().await;
    let disabled = BindingChange { is_disabled: Some(true), ..BindingChange::default() };
    let client = bench.client.to_string();
    bench.service.update_binding(&bench.caller, (&id, SourceType::File, &client), disabled).await.unwrap();
    let vault = bench.vault().await;
    let moved = NewPolicyRule { id: Some(rule.clone()), ..backup(&vault, "C|0|0 0 4 * * ?", 9) };
    let change = PolicyChange { rules: Some(vec![moved]), ..PolicyChange::default() };
    bench.service.update_policy(&bench.caller, &id, change).await.unwrap();
    for (time, expected) in [("02:00", 0), ("04:00", 1)] {
        bench.set_clock(at(&format!("2024-05-01T{time}:00Z")));
        bench.service.start_due_runs().await.unwrap();
        assert_eq!(bench.jobs(Vec::new()).await.len(), expected, "{time}");
    }
    // One that is named runs all the same; without a name it is left out, so that there is one source, and no parent.
    bench.finish_all().await;
    let named = (None, Some(client.as_str()));
    for sources in [named, BOTH] {
        let job = bench.service.execute_policy(&bench.caller, (&id, &rule), sources).await.unwrap();
        assert_eq!(parent(&bench, &job).await.children, 0);
    }
    let unknown = NewPolicyRule { id: Some(RuleId::new(u128::MAX)), ..backup(&vault, "C|0|0 0 4 * * ?", 9) };
    let change = PolicyChange { rules: Some(vec![unknown]), ..PolicyChange::default() };
    assert!(bench.service.update_policy(&bench.caller, &id, change).await.is_err());
}
