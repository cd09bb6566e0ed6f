//! Rows that tests begin with: accounts, a client, a vault, a plan, jobs.

use lifeboat_catalog::{Catalog, ClientRow, NewJob, NewPlan, NewRun, NewVault};
use lifeboat_model::id::{AccountId, ClientId, InstanceId, JobId, PlanId, VaultId};
use lifeboat_model::job::{JobKind, Trigger};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::schedule::Schedule;
use lifeboat_model::time::Millis;

pub(crate) const NOW: Millis = Millis(1_700_000_000_000);

pub(crate) fn account(number: i64) -> AccountId {
    AccountId::from_number(number).unwrap()
}

pub(crate) fn client(number: u128, of: AccountId) -> ClientRow {
    ClientRow {
        id: ClientId::new(number),
        account: of,
        instance: InstanceId::new(number),
        hostname: format!("host-{number}"),
        version: "1".to_owned(),
        created: NOW,
        heard_of: NOW,
        is_protected: false,
    }
}

pub(crate) fn vault(number: u128, of: AccountId) -> NewVault {
    NewVault {
        id: VaultId::new(number),
        account: of,
        name: format!("vault {number}"),
        description: "ä \u{1f680}".to_owned(),
        region: "cn-hangzhou".to_owned(),
        redundancy: "LRS".to_owned(),
        is_worm: false,
        password: "sealed".to_owned(),
    }
}

pub(crate) fn backup_spec() -> BackupSpec {
    serde_json::from_str(r#"{"files": {"paths": ["/srv"]}, "retention_days": 7}"#).unwrap()
}

pub(crate) fn schedule() -> Schedule {
    "I|1700000000|PT1H".parse().unwrap()
}

/// The plan's own schedule, due now.
pub(crate) fn run() -> NewRun {
    NewRun { rule: String::new(), schedule: schedule(), next: NOW }
}

pub(crate) fn plan(number: u128, of: AccountId, vault: &VaultId, client: &ClientRow) -> NewPlan {
    NewPlan {
        id: PlanId::new(number),
        account: of,
        vault: vault.clone(),
        name: format!("plan {number}"),
        source_type: "ECS_FILE",
        edition: "STANDARD",
        client: client.id.clone(),
        instance: Some(client.instance.clone()),
        backup_type: "COMPLETE".to_owned(),
        spec: backup_spec(),
        schedule: Some(schedule()),
        rules: Vec::new(),
        is_disabled: false,
    }
}

/// A backup job of no plan.
pub(crate) fn job(number: u128, of: AccountId, vault: &VaultId) -> NewJob {
    NewJob {
        id: JobId::new(number).to_string(),
        kind: JobKind::Backup,
        account: of,
        vault: vault.to_string(),
        region: "cn-hangzhou".to_owned(),
        plan: None,
        parent: None,
        series: None,
        policy: None,
        rule: None,
        client: None,
        instance: None,
        source_type: "ECS_FILE".to_owned(),
        edition: "STANDARD".to_owned(),
        name: format!("job {number}"),
        backup_type: "COMPLETE".to_owned(),
        trigger: Trigger::Manual,
        spec: serde_json::to_string(&backup_spec()).unwrap(),
        snapshot: None,
        source_job: None,
        source_instance: None,
        numbers: None,
        expires: NOW.plus(1_000_000),
    }
}

/// What all of it belongs to.
pub(crate) struct World {
    pub(crate) account: AccountId,
    pub(crate) other: AccountId,
    pub(crate) client: ClientRow,
    pub(crate) vault: VaultId,
    pub(crate) plan: PlanId,
}

impl World {
    /// Two accounts; the first has a client, a vault and a plan.
    pub(crate) async fn make(catalog: &Catalog) -> Self {
        let (mine, other) = (account(1), account(2));
        for (id, name) in [(mine, "mine"), (other, "other")] {
            catalog.insert_account(id, name, NOW).await.unwrap();
        }
        let client = client(1, mine);
        catalog.upsert_client(&client).await.unwrap();
        let vault = vault(1, mine);
        let vault_id = vault.id.clone();
        catalog.insert_vault(vault, 100, NOW).await.unwrap();
        let plan = plan(1, mine, &vault_id, &client);
        let plan_id = plan.id.clone();
        catalog.insert_plan(plan, &[run()], NOW).await.unwrap();
        Self { account: mine, other, client, vault: vault_id, plan: plan_id }
    }

    pub(crate) fn planned_job(&self, number: u128) -> NewJob {
        NewJob {
            plan: Some(self.plan.to_string()),
            series: Some(self.plan.to_string()),
            ..job(number, self.account, &self.vault)
        }
    }
}
