//! What runs by itself, over years of a clock of the test.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use lifeboat_model::id::VaultId;
use lifeboat_model::job::JobState;
use lifeboat_model::plan::{BackupType, Place, SourceType};

use super::*;
use crate::dispatch::Dispatcher;
use crate::plans::{NewPlanRequest, NewPlanRule, PlanChange};
use crate::testing::Bench;

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn at(text: &str) -> Millis {
    Millis::from(text.parse::<Timestamp>().unwrap())
}

fn plan(bench: &Bench, vault: &VaultId, schedule: &str) -> NewPlanRequest {
    NewPlanRequest {
        vault: vault.clone(),
        name: "nightly".to_owned(),
        source_type: SourceType::EcsFile,
        edition: "STANDARD",
        place: Place::Instance(bench.instance.clone()),
        cross: None,
        backup_type: BackupType::Complete,
        spec: Bench::spec("/home"),
        schedule: (!schedule.is_empty()).then(|| schedule.parse().unwrap()),
        rules: Vec::new(),
        is_disabled: false,
    }
}

fn rule(name: &str, schedule: &str, retention_days: u32) -> NewPlanRule {
    NewPlanRule {
        name: name.to_owned(),
        schedule: schedule.parse().unwrap(),
        backup_type: BackupType::Complete,
        retention_days: Some(retention_days),
        is_disabled: false,
    }
}

/// When each job was made.
async fn made(bench: &Bench) -> Vec<Millis> {
    bench.jobs(Vec::new()).await.iter().map(|job| job.created).collect()
}

/// Sundays are the days on which clocks are changed.
#[tokio::test]
async fn in_ten_years_of_sundays_two_servers_start_each_run_exactly_once() {
    let bench = Bench::new(at("2023-01-01T12:00:00Z"), TimeZone::posix(BERLIN).unwrap()).await;
    let vault = bench.vault().await;
    bench.service.create_plan(&bench.caller, plan(&bench, &vault, "C|0|0 30 2 ? * SUN")).await.unwrap();
    let other = bench.second_server().await;
    let mut expected = Vec::new();
    let mut sunday = date(2023, 1, 8);
    while sunday.year() < 2033 {
        let night = sunday.at(2, 30, 0, 0);
        // Summer is from the last Sunday of March to that of October; in the night it begins, 02:30 is 03:00.
        let is_last = sunday.day() > 24;
        let utc = match sunday.month() {
            3 if is_last => sunday.at(1, 0, 0, 0),
            4..=9 => night - jiff::SignedDuration::from_hours(2),
            10 => night - jiff::SignedDuration::from_hours(2),
            _ => night - jiff::SignedDuration::from_hours(1),
        };
        let due = Millis::from(TimeZone::UTC.to_timestamp(utc).unwrap());
        for (look, is_first) in [(due.plus(-1), false), (due, true), (due.plus(3_600_000), false)] {
            bench.set_clock(look);
            let (one, two) = tokio::join!(bench.service.start_due_runs(), other.start_due_runs());
            one.and(two).unwrap();
            if is_first {
                expected.push(look);
                bench.finish_all().await;
            }
        }
        sunday = sunday.checked_add(jiff::Span::new().days(7)).unwrap();
    }
    assert_eq!(expected.len(), 521);
    assert_eq!(made(&bench).await, expected);
}

#[tokio::test]
async fn a_missed_run_is_not_made_up_for() {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let vault = bench.vault().await;
    let schedule = format!("I|{}|P1D", at("2024-05-01T02:00:00Z").seconds());
    bench.service.create_plan(&bench.caller, plan(&bench, &vault, &schedule)).await.unwrap();
    // The server was off for three nights, and comes back at noon.
    bench.set_clock(at("2024-05-03T12:00:00Z"));
    bench.service.start_due_runs().await.unwrap();
    assert_eq!(made(&bench).await, []);
    // A look that comes a little late is none that was missed.
    let late = at("2024-05-04T02:00:45Z");
    bench.set_clock(late);
    bench.service.start_due_runs().await.unwrap();
    assert_eq!(made(&bench).await, [late]);
}

#[tokio::test]
async fn a_clock_that_is_years_ahead_for_a_moment_delays_no_run_and_takes_no_job_from_its_worker() {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let vault = bench.vault().await;
    let asked = NewPlanRequest { name: "asked".to_owned(), ..plan(&bench, &vault, "") };
    let asked = bench.service.create_plan(&bench.caller, asked).await.unwrap();
    bench.service.create_plan(&bench.caller, plan(&bench, &vault, "C|0|0 0 2 * * ?")).await.unwrap();
    bench.service.execute_plan(&bench.caller, &asked, None).await.unwrap();
    let mut dispatcher = Dispatcher::new(bench.service.clone());
    bench.claim().await.unwrap();
    for time in ["2024-05-01T00:00:01Z", "2031-01-01T00:00:00Z", "2024-05-01T00:01:00Z"] {
        bench.set_clock(at(time));
        dispatcher.look().await.unwrap();
        assert_eq!(bench.jobs(Vec::new()).await[0].state, JobState::Running);
    }
    let due = at("2024-05-01T02:00:00Z");
    bench.set_clock(due);
    bench.service.start_due_runs().await.unwrap();
    assert_eq!(made(&bench).await.into_iter().max(), Some(due));
}

#[tokio::test]
async fn a_run_is_left_out_while_the_former_job_has_not_ended_and_jobs_asked_for_wait_in_line() {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let vault = bench.vault().await;
    let id = bench.service.create_plan(&bench.caller, plan(&bench, &vault, "C|0|0 0 2 * * ?")).await.unwrap();
    bench.set_clock(at("2024-05-01T02:00:00Z"));
    bench.service.start_due_runs().await.unwrap();
    let running = bench.claim().await.unwrap();
    bench.set_clock(at("2024-05-02T02:00:00Z"));
    bench.service.start_due_runs().await.unwrap();
    assert_eq!(made(&bench).await, [at("2024-05-01T02:00:00Z")]);
    let asked = bench.service.execute_plan(&bench.caller, &id, None).await.unwrap();
    assert_eq!(bench.claim().await, None);
    bench.finish(running, lifeboat_model::job::Outcome::Failed, Default::default()).await;
    assert_eq!(bench.claim().await.unwrap().0, asked.to_string());
    let plan = bench.service.plan(&bench.caller, &id).await.unwrap();
    assert_eq!(plan.last_job, Some(asked.to_string()));
    assert_ne!(plan.last_ended_job, plan.last_job);
}

#[tokio::test]
async fn each_rule_has_its_schedule_and_retention_and_the_longer_one_wins_a_moment_both_want() {
    let bench = Bench::new(at("2024-05-30T00:00:00Z"), TimeZone::UTC).await;
    let vault = bench.vault().await;
    let rules = vec![rule("nightly", "C|0|0 0 2 * * ?", 3), rule("monthly", "C|0|0 0 2 1 * ?", 365)];
    let request = NewPlanRequest { rules, ..plan(&bench, &vault, "") };
    let id = bench.service.create_plan(&bench.caller, request).await.unwrap();
    for day in ["2024-05-30", "2024-05-31", "2024-06-01", "2024-06-02"] {
        bench.set_clock(at(&format!("{day}T02:00:00Z")));
        bench.service.start_due_runs().await.unwrap();
        bench.finish_all().await;
    }
    let monthly = bench.service.plan(&bench.caller, &id).await.unwrap().rules[1].id.clone();
    bench.service.execute_plan(&bench.caller, &id, Some(&monthly)).await.unwrap();
    let jobs = bench.jobs(Vec::new()).await;
    let kept = jobs.iter().map(|job| {
        serde_json::from_str::<lifeboat_model::plan::BackupSpec>(&job.spec).unwrap().retention_days.unwrap()
    });
    assert_eq!(kept.collect::<Vec<_>>(), [3, 3, 365, 3, 365]);
    assert_eq!(jobs[2].rule, Some(monthly.to_string()));
    let unknown = lifeboat_model::id::RuleId::new(u128::MAX);
    assert!(bench.service.execute_plan(&bench.caller, &id, Some(&unknown)).await.is_err());
}

#[tokio::test]
async fn a_plan_that_is_disabled_or_deleted_runs_no_more_and_keeps_its_jobs() {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let vault = bench.vault().await;
    let id = bench.service.create_plan(&bench.caller, plan(&bench, &vault, "C|0|0 0 2 * * ?")).await.unwrap();
    let disable = |is_disabled| PlanChange { is_disabled: Some(is_disabled), ..PlanChange::default() };
    let night = async |day: &str| {
        bench.set_clock(at(&format!("{day}T02:00:00Z")));
        bench.service.start_due_runs().await.unwrap();
        made(&bench).await.len()
    };
    bench.service.update_plan(&bench.caller, &id, disable(true)).await.unwrap();
    assert_eq!(night("2024-05-01").await, 0);
    bench.service.update_plan(&bench.caller, &id, disable(false)).await.unwrap();
    // What was disabled at its time was missed.
    assert_eq!(night("2024-05-01").await, 0);
    assert_eq!(night("2024-05-02").await, 1);
    assert!(bench.service.delete_plan(&bench.caller, &id, true).await.is_err());
    bench.finish_all().await;
    bench.service.delete_plan(&bench.caller, &id, true).await.unwrap();
    assert_eq!(night("2024-05-03").await, 1);
    assert!(bench.service.plan(&bench.caller, &id).await.is_err());
    assert_eq!(bench.jobs(Vec::new()).await[0].state, JobState::Complete);
    // Its name is free again.
    bench.service.create_plan(&bench.caller, plan(&bench, &vault, "")).await.unwrap();
    assert!(bench.service.create_plan(&bench.caller, plan(&bench, &vault, "")).await.is_err());
    // Names are unique for each type of source.
    let place = Place::Client(bench.client.clone());
    let file = NewPlanRequest { source_type: SourceType::File, place, ..plan(&bench, &vault, "") };
    bench.service.create_plan(&bench.caller, file).await.unwrap();
}

#[tokio::test]
async fn a_change_at_the_moment_of_a_run_does_not_lose_it_and_rules_keep_their_ids() {
    let bench = Bench::new(at("2024-05-01T00:00:00Z"), TimeZone::UTC).await;
    let vault = bench.vault().await;
    let rules = || vec![rule("a", "C|0|0 0 2 * * ?", 3), rule("b", "C|0|0 0 5 * * ?", 4)];
    let request = NewPlanRequest { rules: rules(), ..plan(&bench, &vault, "") };
    let id = bench.service.create_plan(&bench.caller, request).await.unwrap();
    let ids = async || {
        let rules = bench.service.plan(&bench.caller, &id).await.unwrap().rules;
        rules.into_iter().map(|rule| rule.id).collect::<BTreeSet<_>>()
    };
    let before = ids().await;
    bench.set_clock(at("2024-05-01T02:00:00Z"));
    let change = PlanChange {
        name: Some("other".to_owned()),
        rules: Some(rules().into_iter().rev().collect()),
        ..PlanChange::default()
    };
    bench.service.update_plan(&bench.caller, &id, change).await.unwrap();
    assert_eq!(ids().await, before);
    bench.service.start_due_runs().await.unwrap();
    let jobs = bench.jobs(Vec::new()).await;
    assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["other"]);
}
