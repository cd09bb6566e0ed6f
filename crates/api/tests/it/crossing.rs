//! Work across accounts: what a role lets in, and what happens when it no longer does.

use lifeboat_service::{Caller, DocumentOwner, NewKey};
use serde_json::{Value, json};

use super::world::World;

struct Two {
    world: World,
    /// The account that backs up the machine of the root account.
    managing: NewKey,
    managed: String,
    vault: String,
}

impl Two {
    async fn start() -> Self {
        let world = World::start().await;
        let managing = world.service.create_account(&world.caller(), "managing").await.unwrap();
        let managed = world.root.account.to_string();
        std::fs::write(world.files().join("file"), "content").unwrap();
        let mut two = Self { world, managing, managed, vault: String::new() };
        let made = two.ok("CreateVault", &[("VaultName", "mine"), ("VaultRegionId", "cn-hangzhou")]).await;
        two.vault = made["VaultId"].as_str().unwrap().to_owned();
        two.world
            .until(async || {
                let found = two.ok("DescribeVaults", &[]).await;
                (found["Vaults"]["Vault"][0]["Status"] == "CREATED").then_some(())
            })
            .await;
        two
    }

    async fn call(&self, action: &str, params: &[(&str, &str)]) -> (u16, Value) {
        let (status, body) =
            self.world.call_as((&self.managing.id, self.managing.secret.expose()), action, params).await;
        (status.as_u16(), body)
    }

    async fn ok(&self, action: &str, params: &[(&str, &str)]) -> Value {
        let (status, body) = self.call(action, params).await;
        assert_eq!(status, 200, "{action} {params:?}: {body}");
        body
    }

    /// The same across to the root account.
    async fn across(&self, action: &str, params: &[(&str, &str)]) -> (u16, Value) {
        let cross = [
            ("CrossAccountType", "CROSS_ACCOUNT"),
            ("CrossAccountUserId", self.managed.as_str()),
            ("CrossAccountRoleName", "backup"),
        ];
        self.call(action, &[&cross, params].concat()).await
    }

    /// Lets the managing account in, for what the document allows.
    async fn let_in(&self, document: (&str, Option<&str>)) {
        let trust = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal":
            {"Service": [format!("{}@crossbackup.hbr.aliyuncs.com", self.managing.account)]}}]});
        let owner = self.world.caller();
        self.world.service.create_role(&owner, "backup", &trust.to_string()).await.unwrap();
        self.world.service.attach_document(&owner, DocumentOwner::Role("backup"), document).await.unwrap();
    }

    async fn plan(&self, name: &str) -> (u16, Value) {
        let files = self.world.files();
        let params = [
            ("SourceType", "ECS_FILE"),
            ("VaultId", self.vault.as_str()),
            ("InstanceId", self.world.root.instance.as_str()),
            ("PlanName", name),
            ("Path.1", files.to_str().unwrap()),
        ];
        self.across("CreateBackupPlan", &params).await
    }

    async fn back_up(&self, plan: &Value) -> Value {
        let job = self.ok("ExecuteBackupPlan", &[("PlanId", plan.as_str().unwrap())]).await["JobId"].clone();
        let filter = [("Filters.1.Key", "JobId"), ("Filters.1.Values.1", job.as_str().unwrap())];
        self.world
            .until(async || {
                let row = self.ok("DescribeBackupJobs2", &filter).await["BackupJobs"]["BackupJob"][0].clone();
                row.get("CompleteTime").is_some().then_some(row)
            })
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_another_account_is_backed_up_and_restored_through_its_role() {
    let two = Two::start().await;
    two.let_in(("AdministratorAccess", None)).await;
    let (status, body) = two.across("AddCrossAccount", &[("Alias", "theirs")]).await;
    assert_eq!(status, 200, "{body}");
    let listed = two.ok("DescribeCrossAccounts", &[]).await["CrossAccounts"]["CrossAccount"][0].clone();
    assert_eq!(listed["CrossAccountUserId"].to_string(), two.managed);
    assert_eq!((&listed["CrossAccountRoleName"], &listed["Alias"]), (&json!("backup"), &json!("theirs")));
    let (_, clients) = two.across("DescribeBackupClients", &[("ClientType", "ECS_CLIENT")]).await;
    assert_eq!(clients["Clients"][0]["InstanceId"], two.world.root.instance.as_str());
    let own = two.ok("DescribeBackupClients", &[("ClientType", "ECS_CLIENT")]).await;
    assert_eq!(own["Clients"], json!([]));

    let (status, made) = two.plan("across").await;
    assert_eq!(status, 200, "{made}");
    let plan = two.ok("DescribeBackupPlans", &[]).await["BackupPlans"]["BackupPlan"][0].clone();
    let done = two.back_up(&made["PlanId"]).await;
    assert_eq!(done["Status"], "COMPLETE");
    for row in [&plan, &done] {
        assert_eq!(row["CrossAccountType"], "CROSS_ACCOUNT");
        assert_eq!(row["CrossAccountUserId"].to_string(), two.managed);
        assert_eq!(row["CrossAccountRoleName"], "backup");
    }
    // The machine's own account sees nothing of it.
    assert_eq!(two.world.ok("DescribeBackupJobs2", &[]).await["TotalCount"], 0);

    let query = json!([{"field": "VaultId", "value": two.vault}]).to_string();
    let found = two.ok("SearchHistoricalSnapshots", &[("Query", &query)]).await;
    let snapshot = found["Snapshots"]["Snapshot"][0]["SnapshotId"].clone();
    let target = two.world.files().join("target");
    std::fs::create_dir(&target).unwrap();
    let params = [
        ("RestoreType", "ECS_FILE"),
        ("SourceType", "ECS_FILE"),
        ("SnapshotId", snapshot.as_str().unwrap()),
        ("TargetInstanceId", two.world.root.instance.as_str()),
        ("TargetPath", target.to_str().unwrap()),
    ];
    let (status, body) = two.call("CreateRestoreJob", &params).await;
    assert_eq!((status, &body["Code"]), (404, &json!("ResourceNotFound")));
    let (status, body) = two.across("CreateRestoreJob", &params).await;
    assert_eq!(status, 200, "{body}");
    let row = two
        .world
        .until(async || {
            let row = two.ok("DescribeRestoreJobs2", &[]).await["RestoreJobs"]["RestoreJob"][0].clone();
            row.get("CompleteTime").is_some().then_some(row)
        })
        .await;
    assert_eq!((&row["Status"], &row["CrossAccountType"]), (&json!("COMPLETE"), &json!("CROSS_ACCOUNT")));
    assert_eq!(std::fs::read_to_string(target.join("files/file")).unwrap(), "content");

    let (status, body) = two.across("DeleteCrossAccount", &[]).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(two.ok("DescribeCrossAccounts", &[]).await["TotalCount"], 0);
    let (status, body) = two.across("DeleteCrossAccount", &[]).await;
    assert_eq!((status, &body["Code"]), (404, &json!("ResourceNotFound")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_not_there_does_not_trust_or_does_not_allow_keeps_others_out() {
    let two = Two::start().await;
    let (status, body) = two.plan("a").await;
    assert_eq!((status, &body["Code"]), (404, &json!("RoleNotExist")));
    let owner = two.world.caller();
    // The backup service for the role's own account is not the managing account.
    let trust = r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "crossbackup.hbr.aliyuncs.com"}}]}"#;
    two.world.service.create_role(&owner, "backup", trust).await.unwrap();
    let role = DocumentOwner::Role("backup");
    two.world.service.attach_document(&owner, role, ("AdministratorAccess", None)).await.unwrap();
    for (action, params) in
        [("AddCrossAccount", [("Alias", "x")]), ("DescribeBackupClients", [("ClientType", "ECS_CLIENT")])]
    {
        let (status, body) = two.across(action, &params).await;
        assert_eq!((status, &body["Code"]), (403, &json!("AssumeRoleFail")), "{action}");
    }
    two.world.service.delete_role(&owner, "backup").await.unwrap();
    two.let_in(("ReadOnlyAccess", None)).await;
    let (status, _) = two.across("DescribeBackupClients", &[("ClientType", "ECS_CLIENT")]).await;
    assert_eq!(status, 200);
    let (status, body) = two.plan("a").await;
    assert_eq!((status, &body["Code"]), (403, &json!("NoPermission")));
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_that_is_taken_back_fails_the_next_job() {
    let two = Two::start().await;
    two.let_in(("AdministratorAccess", None)).await;
    let (status, plan) = two.plan("across").await;
    assert_eq!(status, 200, "{plan}");
    assert_eq!(two.back_up(&plan["PlanId"]).await["Status"], "COMPLETE");
    two.world.service.delete_role(&two.world.caller(), "backup").await.unwrap();
    let done = two.back_up(&plan["PlanId"]).await;
    assert_eq!(done["Status"], "FAILED");
    let message = done["ErrorMessage"].as_str().unwrap();
    assert!(message.starts_with("HBR.NoRamRoleBound"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_s_own_account_needs_no_role_and_no_id() {
    let two = Two::start().await;
    let own = two.managing.account.to_string();
    for params in [
        vec![("CrossAccountType", "SELF_ACCOUNT")],
        vec![("CrossAccountUserId", "0")],
        vec![("CrossAccountUserId", own.as_str()), ("CrossAccountRoleName", "any")],
        vec![
            ("CrossAccountType", "SELF_ACCOUNT"),
            ("CrossAccountUserId", own.as_str()),
            ("CrossAccountRoleName", "any"),
        ],
    ] {
        let clients =
            two.ok("DescribeBackupClients", &[&params[..], &[("ClientType", "ECS_CLIENT")]].concat()).await;
        assert_eq!(clients["Clients"], json!([]));
    }
    for (params, code) in [
        (vec![("CrossAccountUserId", "7")], "MissingCrossAccountType"),
        (vec![("CrossAccountType", "CROSS_ACCOUNT")], "MissingCrossAccountUserId"),
        (
            vec![("CrossAccountType", "CROSS_ACCOUNT"), ("CrossAccountUserId", "7")],
            "MissingCrossAccountRoleName",
        ),
        (
            vec![("CrossAccountType", "CROSS_ACCOUNT"), ("CrossAccountUserId", "x")],
            "InvalidParameter.CrossAccountUserId",
        ),
        (vec![("CrossAccountType", "CROSS_ACCOUNT_BY_RD")], "AccountNotEnableRdTrustedService"),
        (vec![("CrossAccountType", "OTHER")], "InvalidParameter.CrossAccountType"),
    ] {
        let params = [&params[..], &[("ClientType", "ECS_CLIENT")]].concat();
        let (status, body) = two.call("DescribeBackupClients", &params).await;
        assert_eq!((status, &body["Code"]), (400, &json!(code)), "{params:?}");
    }
    let (_, body) = two.call("AddCrossAccount", &[("CrossAccountType", "SELF_ACCOUNT")]).await;
    assert_eq!(body["Code"], "InvalidParameter.CrossAccountType");
    let caller = Caller { account: two.managing.account, user: None, access_key_id: two.managing.id.clone() };
    assert!(two.world.service.clients(&caller).await.unwrap().is_empty());
}
