//! Policies, bindings, what runs by itself, and jobs over several sources.

use lifeboat_catalog::{
    BindingRow, Catalog, CatalogErrorKind, FinishedJob, NewJob, NewRun, Place, PolicyRow, RunStart,
};
use lifeboat_model::id::{BindingId, JobId, PolicyId, RuleId};
use lifeboat_model::job::{JobCounters, JobKind, JobState, Outcome};
use lifeboat_model::plan::BackupType;
use lifeboat_model::policy::{
    BackupRule, BindingCondition, BindingField, Cursor, PolicyRule, PolicyRules, RuleKind,
};
use lifeboat_model::time::Millis;

use crate::databases::{on_both_databases, open};
use crate::rows::{NOW, World, account, backup_spec, job, run, schedule};

on_both_databases! {
    a_policy_and_its_bindings_change_only_for_who_has_seen_them_as_they_are
    bindings_are_found_page_by_page
    of_two_servers_one_starts_the_run_of_a_binding
    a_parent_ends_when_both_its_children_end_at_once
    a_plan_changes_only_for_who_has_seen_it_as_it_is
}

fn policy(number: u128, world: &World) -> PolicyRow {
    let kind = RuleKind::Backup(BackupRule {
        vault: world.vault.clone(),
        schedule: schedule(),
        backup_type: BackupType::Complete,
        retention_days: Some(7),
        keep_latest: false,
    });
    PolicyRow {
        id: PolicyId::new(number),
        account: world.account,
        name: format!("policy {number}"),
        description: "ä".to_owned(),
        rules: PolicyRules::try_from(vec![PolicyRule { id: RuleId::new(number), kind }]).unwrap(),
        created: NOW,
        updated: NOW,
        bindings: 0,
    }
}

fn binding(number: u128, world: &World, policy: &PolicyRow) -> BindingRow {
    BindingRow {
        id: BindingId::new(number),
        account: world.account,
        policy: policy.id.clone(),
        source_type: "ECS_FILE".to_owned(),
        data_source: format!("i-{number}"),
        client: world.client.id.clone(),
        description: String::new(),
        source: "/srv".to_owned(),
        spec: backup_spec(),
        is_disabled: false,
        created: NOW.plus(i64::try_from(number).unwrap() / 2),
        updated: NOW,
    }
}

fn runs(policy: &PolicyRow) -> Vec<NewRun> {
    policy.rules.backups().map(|(id, _)| NewRun { rule: id.to_string(), ..run() }).collect()
}

async fn bind(
    catalog: &Catalog,
    policy: &PolicyRow,
    bindings: &[BindingRow],
) -> lifeboat_catalog::Result<bool> {
    let bindings: Vec<_> = bindings.iter().map(|binding| (binding.clone(), runs(policy))).collect();
    catalog.insert_bindings(policy, &bindings).await
}

async fn a_policy_and_its_bindings_change_only_for_who_has_seen_them_as_they_are(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let stale = policy(1, &world);
    catalog.insert_policy(&stale).await.unwrap();
    let rows = [binding(1, &world, &stale), binding(2, &world, &stale)];
    assert!(bind(&catalog, &stale, &rows).await.unwrap());
    let twice = BindingRow { id: BindingId::new(9), ..rows[1].clone() };
    let refused = bind(&catalog, &stale, &[binding(3, &world, &stale), twice]).await.unwrap_err();
    assert_eq!(refused.kind, CatalogErrorKind::Exists);

    let seen = catalog.policy(world.account, &stale.id).await.unwrap().unwrap();
    assert_eq!((seen.bindings, &seen.rules, seen.description.as_str()), (2, &stale.rules, "ä"));
    assert!(catalog.policy(world.other, &stale.id).await.unwrap().is_none());
    let renamed = PolicyRow { name: "other".to_owned(), ..seen.clone() };
    // Even in the same millisecond.
    assert!(catalog.update_policy(&renamed, |_| Vec::new(), NOW).await.unwrap());
    assert!(!catalog.update_policy(&renamed, |_| Vec::new(), NOW).await.unwrap());
    assert!(!bind(&catalog, &seen, &[binding(3, &world, &seen)]).await.unwrap());
    assert!(!catalog.update_binding(&seen, &rows[0], &[], NOW).await.unwrap());
    // Nothing of the policy runs any more; the plan of this world does.
    let due = async |now| catalog.due_runs(now).await.unwrap().len();
    assert_eq!(due(NOW).await, 1);

    let seen = catalog.policy(world.account, &stale.id).await.unwrap().unwrap();
    let disabled = BindingRow { is_disabled: true, ..rows[0].clone() };
    assert!(catalog.update_binding(&seen, &disabled, &runs(&seen), NOW).await.unwrap());
    assert_eq!(due(NOW).await, 2);
    assert!(catalog.binding_of_run(&rows[0].id).await.unwrap().is_none());
    assert_eq!(catalog.binding_of_run(&rows[1].id).await.unwrap().unwrap().1.name, "other");
    assert!(!catalog.delete_bindings(world.account, &[rows[0].id.clone(), BindingId::new(7)]).await.unwrap());
    assert!(!catalog.delete_bindings(world.other, &[rows[0].id.clone()]).await.unwrap());
    assert!(!catalog.delete_policy(world.other, &stale.id).await.unwrap());
    assert_eq!(due(NOW).await, 2);
    assert!(catalog.delete_policy(world.account, &stale.id).await.unwrap());
    assert_eq!(due(NOW).await, 1);
    assert!(catalog.policies(world.account, None, 10).await.unwrap().0.is_empty());
}

async fn bindings_are_found_page_by_page(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let (one, two) = (policy(1, &world), policy(2, &world));
    for policy in [&one, &two] {
        catalog.insert_policy(policy).await.unwrap();
    }
    let of_one: Vec<_> = (1..=9).map(|number| binding(number, &world, &one)).collect();
    bind(&catalog, &one, &of_one).await.unwrap();
    bind(&catalog, &two, &[binding(10, &world, &two)]).await.unwrap();
    let is_one =
        BindingCondition { field: BindingField::PolicyId, is_not: false, values: vec![one.id.to_string()] };
    let is_some = BindingCondition {
        field: BindingField::DataSourceId,
        is_not: true,
        values: vec!["i-3".to_owned(), "i-10".to_owned()],
    };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let conditions = [is_one.clone(), is_some.clone()];
        let (page, total) = catalog.bindings(world.account, &conditions, (after.as_ref(), 3)).await.unwrap();
        assert_eq!(total, 8);
        let Some(last) = page.last() else { break };
        after = Some(Cursor { created: last.created, id: last.id.to_string() });
        found.extend(page.into_iter().map(|row| row.data_source));
    }
    let mut expected: Vec<_> = of_one.iter().filter(|row| row.data_source != "i-3").collect();
    expected.sort_by_key(|row| (row.created, row.id.clone()));
    assert_eq!(found, expected.iter().map(|row| row.data_source.clone()).collect::<Vec<_>>());
    assert_eq!(catalog.bindings(account(2), &[], (None, 10)).await.unwrap().1, 0);
    assert_eq!(catalog.policies(world.account, None, 1).await.unwrap().0.len(), 1);
}

async fn of_two_servers_one_starts_the_run_of_a_binding(place: Place) {
    let (catalog, other) = (open(&place).await, open(&place).await);
    let world = World::make(&catalog).await;
    let policy = policy(1, &world);
    catalog.insert_policy(&policy).await.unwrap();
    let binding = binding(1, &world, &policy);
    bind(&catalog, &policy, std::slice::from_ref(&binding)).await.unwrap();
    let due = catalog.due_runs(NOW).await.unwrap();
    let run = due.into_iter().find(|run| run.series == binding.id.to_string()).unwrap();
    let new =
        |number| NewJob { series: Some(binding.id.to_string()), ..job(number, world.account, &world.vault) };
    let (first, second) = (new(1), new(2));
    let next = Some(NOW.plus(3_600_000));
    let (first, second) = ([first], [second]);
    let (one, two) =
        tokio::join!(catalog.start_run(&run, next, &first, NOW), other.start_run(&run, next, &second, NOW));
    let mut starts = [one.unwrap(), two.unwrap()];
    starts.sort_by_key(|start| format!("{start:?}"));
    assert_eq!(starts, [RunStart::Gone, RunStart::Started]);
    assert!(catalog.due_runs(NOW).await.unwrap().iter().all(|due| due.series != run.series));
    // A schedule that has no further run is forgotten.
    let late = catalog.due_runs(NOW.plus(3_600_000)).await.unwrap();
    let last = late.into_iter().find(|due| due.series == run.series).unwrap();
    assert_eq!(catalog.start_run(&last, None, &[new(3)], NOW).await.unwrap(), RunStart::LeftOut);
    assert!(catalog.due_runs(Millis(i64::MAX)).await.unwrap().iter().all(|due| due.series != run.series));
}

async fn a_parent_ends_when_both_its_children_end_at_once(place: Place) {
    let (catalog, other) = (open(&place).await, open(&place).await);
    let world = World::make(&catalog).await;
    for round in 0..5_u128 {
        let parent = job(100 + 10 * round, world.account, &world.vault);
        let child = |number: u128| NewJob {
            parent: Some(parent.id.clone()),
            series: Some(format!("pd-{number}")),
            ..job(100 + 10 * round + number, world.account, &world.vault)
        };
        let now = NOW.plus(i64::try_from(round).unwrap());
        catalog.insert_family(&[parent.clone(), child(1), child(2)], now).await.unwrap();
        let claim = async || catalog.claim_job("worker", now.plus(15_000), now).await.unwrap();
        let (one, two) = (claim().await.unwrap(), claim().await.unwrap());
        assert!(claim().await.is_none());
        let counters = JobCounters { bytes_total: Some(5), bytes_done: 4, ..JobCounters::default() };
        let done = FinishedJob {
            outcome: Outcome::Complete,
            counters,
            error_code: None,
            error_message: None,
            error_file: None,
            snapshot: None,
            made: None,
        };
        let (first, second) = tokio::join!(
            catalog.finish_job((&one.job.id, one.fence), (&done, 1), now),
            other.finish_job((&two.job.id, two.fence), (&done, 1), now)
        );
        assert!(first.unwrap() && second.unwrap());
        let seen = catalog.job(world.account, &parent.id).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.children, seen.progress), (JobState::Complete, 2, 10_000));
        assert_eq!((seen.counters.bytes_total, seen.counters.bytes_done), (Some(10), 8));
        assert_eq!((seen.started, seen.completed), (Some(now), Some(now)));
    }
    // A job that stands for no others is what it is itself.
    let alone = job(500, world.account, &world.vault);
    catalog.insert_job(&alone, NOW).await.unwrap();
    let id: JobId = alone.id.parse().unwrap();
    catalog.claim_job("worker", NOW.plus(15_000), NOW).await.unwrap().unwrap();
    let canceled = catalog.cancel_job((world.account, JobKind::Backup), id.as_str(), NOW).await.unwrap();
    assert_eq!(canceled, JobState::Canceling);
    let seen = catalog.job(world.account, id.as_str()).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.completed), (JobState::Canceling, None));
}

async fn a_plan_changes_only_for_who_has_seen_it_as_it_is(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let mut plan = catalog.plan(world.account, &world.plan).await.unwrap().unwrap();
    plan.name = "other".to_owned();
    assert!(catalog.update_plan(&plan, &[run()], NOW).await.unwrap());
    assert!(!catalog.update_plan(&plan, &[], NOW).await.unwrap());
    assert_eq!(catalog.due_runs(NOW).await.unwrap().len(), 1);
    catalog.insert_job(&world.planned_job(1), NOW).await.unwrap();
    let seen = catalog.plan(world.account, &world.plan).await.unwrap().unwrap();
    assert_eq!((seen.name.as_str(), seen.last_job.is_some(), seen.last_ended_job), ("other", true, None));
    assert!(!catalog.delete_plan(world.account, &world.plan, true, NOW).await.unwrap());
    assert!(!catalog.delete_plan(world.other, &world.plan, false, NOW).await.unwrap());
    assert_eq!(catalog.due_runs(NOW).await.unwrap().len(), 1);
    assert!(catalog.delete_plan(world.account, &world.plan, false, NOW).await.unwrap());
    assert!(catalog.plan(world.account, &world.plan).await.unwrap().is_none());
    assert!(catalog.due_runs(NOW).await.unwrap().is_empty());
}
