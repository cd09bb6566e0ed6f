//! Who may do what: every operation, every kind of user, every account, against a model of a few lines.

use std::collections::BTreeSet;

use http::StatusCode;
use lifeboat_api::alibaba::HBR_ACTIONS;
use lifeboat_model::filter::Page;
use lifeboat_service::{AuditRow, Caller, DocumentOwner, NewKey, ServiceError};
use serde_json::{Value, json};

use super::world::World;

const DENY: &str =
    r#"{"Version": "1", "Statement": [{"Effect": "Deny", "Action": "hbr:*", "Resource": "*"}]}"#;
const TRUST: &str = r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal":
    {"RAM": ["acs:ram::A:root", "acs:ram::B:root"]}}]}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Root,
    Admin,
    Reader,
    /// An administrator to whom something is denied.
    Denied,
    Nobody,
}

const KINDS: [Kind; 5] = [Kind::Root, Kind::Admin, Kind::Reader, Kind::Denied, Kind::Nobody];

impl Kind {
    /// The model.
    fn may(self, action: &str) -> bool {
        let is_reading = ["Describe", "Get", "Search", "Browse", "List", "Check"]
            .iter()
            .any(|word| action.starts_with(word));
        match self {
            Self::Root | Self::Admin => true,
            Self::Reader => is_reading,
            Self::Denied | Self::Nobody => false,
        }
    }
}

struct Tenant {
    caller: Caller,
    keys: Vec<(Kind, NewKey)>,
    vault: String,
    plan: String,
    job: String,
    snapshot: Value,
    restore: String,
}

impl World {
    pub(crate) fn caller(&self) -> Caller {
        let access_key_id = self.root.access_key_id.clone();
        Caller { account: self.root.account, user: None, access_key_id }
    }

    async fn by(&self, key: &NewKey, action: &str, params: &[(&str, &str)]) -> (StatusCode, Value) {
        self.call_as((&key.id, key.secret.expose()), action, params).await
    }

    async fn ok_by(&self, key: &NewKey, action: &str, params: &[(&str, &str)]) -> Value {
        let (status, body) = self.by(key, action, params).await;
        assert_eq!(status, 200, "{action} {params:?}: {body}");
        body
    }

    /// Users of every kind, and one thing of each sort.
    async fn tenant(&self, owner: NewKey, cross: &[(&str, &str)]) -> Tenant {
        let caller = Caller { account: owner.account, user: None, access_key_id: owner.id.clone() };
        let mut keys = vec![(Kind::Root, owner)];
        for kind in KINDS.into_iter().skip(1) {
            let name = format!("{kind:?}");
            self.service.create_user(&caller, &name, None).await.unwrap();
            let documents: &[(&str, Option<&str>)] = match kind {
                Kind::Root | Kind::Nobody => &[],
                Kind::Admin => &[("AdministratorAccess", None)],
                Kind::Reader => &[("ReadOnlyAccess", None)],
                Kind::Denied => &[("AdministratorAccess", None), ("no-backup", Some(DENY))],
            };
            for document in documents {
                self.service.attach_document(&caller, DocumentOwner::User(&name), *document).await.unwrap();
            }
            keys.push((kind, self.service.create_access_key(&caller, Some(&name)).await.unwrap()));
        }
        self.things((caller, keys), cross).await
    }

    /// A vault, a plan, a job, a snapshot and a restore.
    async fn things(&self, (caller, keys): (Caller, Vec<(Kind, NewKey)>), cross: &[(&str, &str)]) -> Tenant {
        let owner = &keys[0].1;
        let account = owner.account.to_string();
        let name = format!("vault-of-{account}");
        let made =
            self.ok_by(owner, "CreateVault", &[("VaultName", &name), ("VaultRegionId", "cn-hangzhou")]).await;
        let vault = made["VaultId"].as_str().unwrap().to_owned();
        self.until(async || {
            let found = self.ok_by(owner, "DescribeVaults", &[("VaultId", &vault)]).await;
            (found["Vaults"]["Vault"][0]["Status"] == "CREATED").then_some(())
        })
        .await;
        let (path, plan_name) = (self.files(), format!("plan-of-{account}"));
        let mut params = vec![
            ("SourceType", "ECS_FILE"),
            ("VaultId", &vault),
            ("InstanceId", self.root.instance.as_str()),
            ("PlanName", &plan_name),
            ("Path.1", path.to_str().unwrap()),
        ];
        params.extend(cross);
        let plan = text(&self.ok_by(owner, "CreateBackupPlan", &params).await["PlanId"]);
        let job = text(&self.ok_by(owner, "ExecuteBackupPlan", &[("PlanId", &plan)]).await["JobId"]);
        let ended = async |action: &str, boxes: [&str; 2]| {
            self.until(async || {
                let rows = self.ok_by(owner, action, &[]).await[boxes[0]][boxes[1]].clone();
                rows[0].get("CompleteTime").is_some().then_some(rows[0].clone())
            })
            .await
        };
        let done = ended("DescribeBackupJobs2", ["BackupJobs", "BackupJob"]).await;
        assert_eq!(done["Status"], "COMPLETE", "{done}");
        let query = json!([{"field": "VaultId", "value": vault}]).to_string();
        let found = self.ok_by(owner, "SearchHistoricalSnapshots", &[("Query", &query)]).await;
        let snapshot = found["Snapshots"]["Snapshot"][0].clone();
        let target = self.files().join(&account);
        std::fs::create_dir(&target).unwrap();
        let id = text(&snapshot["SnapshotId"]);
        let mut params = vec![
            ("RestoreType", "ECS_FILE"),
            ("SourceType", "ECS_FILE"),
            ("SnapshotId", &id),
            ("TargetInstanceId", self.root.instance.as_str()),
            ("TargetPath", target.to_str().unwrap()),
        ];
        params.extend(cross);
        let restore = text(&self.ok_by(owner, "CreateRestoreJob", &params).await["RestoreId"]);
        let done = ended("DescribeRestoreJobs2", ["RestoreJobs", "RestoreJob"]).await;
        assert_eq!(done["Status"], "COMPLETE", "{done}");
        Tenant { caller, keys, vault, plan, job, snapshot, restore }
    }

    /// Everything that an account sees of itself, once its new vaults are made.
    async fn seen_by(&self, tenant: &Tenant) -> Vec<Value> {
        let query = json!([{"field": "VaultId", "value": tenant.vault}]).to_string();
        self.until(async || {
            let vaults = self.ok_by(&tenant.keys[0].1, "DescribeVaults", &[("Status", "INITIALIZING")]).await;
            (vaults["TotalCount"] == 0).then_some(())
        })
        .await;
        let mut seen = Vec::new();
        for (action, params) in [
            ("DescribeVaults", [("PageSize", "99")]),
            ("DescribeBackupPlans", [("PageSize", "99")]),
            ("DescribeBackupJobs2", [("PageSize", "99")]),
            ("DescribeRestoreJobs2", [("PageSize", "99")]),
            ("DescribeBackupClients", [("ClientType", "ECS_CLIENT")]),
            ("DescribeCrossAccounts", [("PageSize", "99")]),
            ("SearchHistoricalSnapshots", [("Query", &query)]),
        ] {
            let mut body = self.ok_by(&tenant.keys[0].1, action, &params).await;
            body.as_object_mut().unwrap().remove("RequestId");
            seen.push(body);
        }
        seen
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Parameters that name everything of a tenant: each operation takes those that it knows.
fn naming(of: &Tenant, world: &World) -> Vec<(&'static str, String)> {
    let query = json!([{"field": "VaultId", "value": of.vault}]).to_string();
    let hash = text(&of.snapshot["SnapshotHash"]);
    let instance = world.root.instance.to_string();
    vec![
        ("VaultId", of.vault.clone()),
        ("PlanId", of.plan.clone()),
        ("JobId", of.job.clone()),
        ("RestoreId", of.restore.clone()),
        ("SnapshotId", text(&of.snapshot["SnapshotId"])),
        ("SnapshotHash", hash),
        ("Query", query),
        ("ResourceId.1", of.vault.clone()),
        ("ResourceId", of.vault.clone()),
        ("ResourceType", "vault".to_owned()),
        ("NewResourceGroupId", "rg-elsewhere".to_owned()),
        ("Tag.1.Key", "stolen".to_owned()),
        ("TagKey.1", "stolen".to_owned()),
        ("VaultRegionId", "cn-hangzhou".to_owned()),
        ("SourceType", "ECS_FILE".to_owned()),
        ("RestoreType", "ECS_FILE".to_owned()),
        ("ClientType", "ECS_CLIENT".to_owned()),
        ("ClientId", world.root.client.to_string()),
        ("InstanceId", instance.clone()),
        ("TargetInstanceId", instance),
        ("TargetPath", "/nowhere".to_owned()),
        ("Path.1", "/nowhere".to_owned()),
        ("Path", "/".to_owned()),
        ("Status", "CREATED".to_owned()),
    ]
}

async fn tenants(world: &World) -> Vec<Tenant> {
    let owner = world.caller();
    let first = world.service.create_account(&owner, "first").await.unwrap();
    let second = world.service.create_account(&owner, "second").await.unwrap();
    // Both may back up the machine of the root account, which is the only one there is.
    let trust = TRUST
        .replace(":A:", &format!(":{}:", first.account))
        .replace(":B:", &format!(":{}:", second.account));
    world.service.create_role(&owner, "backup", &trust).await.unwrap();
    let role = DocumentOwner::Role("backup");
    world.service.attach_document(&owner, role, ("AdministratorAccess", None)).await.unwrap();
    let id = world.root.account.to_string();
    let cross = [
        ("CrossAccountType", "CROSS_ACCOUNT"),
        ("CrossAccountUserId", id.as_str()),
        ("CrossAccountRoleName", "backup"),
    ];
    std::fs::write(world.files().join("file"), "content").unwrap();
    let root = NewKey {
        account: world.root.account,
        user: None,
        id: world.root.access_key_id.clone(),
        secret: world.root.access_key_secret.clone(),
    };
    vec![world.tenant(root, &[]).await, world.tenant(first, &cross).await, world.tenant(second, &cross).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_he_may_not_and_no_account_sees_or_changes_another() {
    let world = World::start().await;
    let tenants = tenants(&world).await;
    let mut outcomes = BTreeSet::new();
    let (reading, changing): (Vec<&str>, Vec<&str>) =
        HBR_ACTIONS.iter().copied().partition(|action| Kind::Reader.may(action));
    // What only looks is compared once, together; what changes things after each.
    let groups = std::iter::once(reading).chain(changing.into_iter().map(|action| vec![action]));
    for actions in groups {
        for (at, victim) in tenants.iter().enumerate() {
            let before = world.seen_by(victim).await;
            for (who, tenant) in tenants.iter().enumerate() {
                for action in &actions {
                    for (kind, key) in &tenant.keys {
                        // What somebody may do to his own account is the business of other tests.
                        if who != at || !kind.may(action) {
                            let case = format!("{kind:?}-{who}-{at}");
                            outcomes.insert(attempt(&world, victim, (*kind, key), (action, &case)).await);
                        }
                    }
                }
            }
            assert_eq!(world.seen_by(victim).await, before, "{actions:?} have changed what is {at}'s");
        }
    }
    for expected in [(false, 403), (true, 200), (true, 404)] {
        assert!(outcomes.contains(&expected), "{outcomes:?}");
    }
    every_refusal_is_in_the_audit_log(&world, &tenants).await;
}

/// Lets somebody do something to what is the victim's; whether the model lets him, and the status he got.
async fn attempt(
    world: &World,
    victim: &Tenant,
    (kind, key): (Kind, &NewKey),
    (action, case): (&str, &str),
) -> (bool, u16) {
    let mut params = naming(victim, world);
    params.extend([("VaultName", case.to_owned()), ("PlanName", case.to_owned())]);
    let params: Vec<_> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, body) = world.by(key, action, &params).await;
    let is_refused = status == 403 && body["Code"] == "NoPermission";
    let case = format!("{action} {case}: {status} {body}");
    assert_eq!(is_refused, !kind.may(action), "{case}");
    assert!(!status.is_server_error(), "{case}");
    let (all, account) = (body.to_string(), victim.caller.account);
    if status == 200 {
        let hidden = [&victim.vault, &victim.plan, &victim.job, &victim.restore];
        assert!(!hidden.iter().any(|id| all.contains(id.as_str())), "{case}");
    }
    for hidden in [format!("vault-of-{account}"), format!("plan-of-{account}")] {
        assert!(!all.contains(&hidden), "{case}");
    }
    (kind.may(action), status.as_u16())
}

async fn every_refusal_is_in_the_audit_log(world: &World, tenants: &[Tenant]) {
    let page = Page { number: 1, size: 10_000 };
    for tenant in tenants {
        let rows = world.service.audit(&tenant.caller, page).await.unwrap().rows;
        assert!(rows.iter().all(|row| row.account == tenant.caller.account && row.outcome != "STARTED"));
        let is_of = |kind: Kind, outcome: &'static str| {
            let name = format!("{kind:?}");
            move |row: &&AuditRow| row.user.as_ref() == Some(&name) && row.outcome == outcome
        };
        let count = |kind, outcome| rows.iter().filter(is_of(kind, outcome)).count();
        // Thrice each operation: on what is his own and on what is the others'.
        let all = HBR_ACTIONS.len() * 3;
        assert_eq!(count(Kind::Nobody, "NoPermission"), all);
        assert_eq!(count(Kind::Denied, "NoPermission"), all);
        let changing = HBR_ACTIONS.iter().filter(|action| !Kind::Reader.may(action)).count();
        assert_eq!(count(Kind::Reader, "NoPermission"), changing * 3);
        assert_eq!(count(Kind::Reader, "OK"), 0);
        assert!(count(Kind::Admin, "OK") > 0);
        assert!(rows.iter().all(|row| row.source_ip == "127.0.0.1" && row.action.starts_with("hbr:")));
    }
}

#[tokio::test]
async fn a_refusal_says_who_may_not_do_what_and_comes_before_any_parameter_is_read() {
    let world = World::start().await;
    let owner = world.caller();
    world.service.create_user(&owner, "alice", None).await.unwrap();
    let key = world.service.create_access_key(&owner, Some("alice")).await.unwrap();
    let (status, body) = world.by(&key, "CreateVault", &[]).await;
    assert_eq!((status.as_u16(), &body["Code"]), (403, &json!("NoPermission")));
    assert_eq!(body["AccessDeniedDetail"]["AuthAction"], "hbr:CreateVault");
    assert_eq!(body["AccessDeniedDetail"]["AuthPrincipalDisplayName"], "alice");
    assert_eq!(body["AccessDeniedDetail"]["NoPermissionType"], "ImplicitDeny");
    // What does not exist is not a matter of permission.
    let (status, body) = world.by(&key, "CreateMoon", &[]).await;
    assert_eq!((status.as_u16(), &body["Code"]), (404, &json!("InvalidAction.NotFound")));
    world.service.attach_document(&owner, DocumentOwner::User("alice"), ("no", Some(DENY))).await.unwrap();
    let (_, body) = world.by(&key, "CreateVault", &[]).await;
    assert_eq!(body["AccessDeniedDetail"]["NoPermissionType"], "ExplicitDeny");
    world.service.detach_document(&owner, DocumentOwner::User("alice"), "no").await.unwrap();
    let all = ("AdministratorAccess", None);
    world.service.attach_document(&owner, DocumentOwner::User("alice"), all).await.unwrap();
    let (status, body) = world.by(&key, "CreateVault", &[]).await;
    assert_eq!((status.as_u16(), &body["Code"]), (400, &json!("MissingVaultName")));
}

#[tokio::test]
async fn what_is_allowed_on_one_vault_is_not_allowed_on_all() {
    let world = World::start().await;
    let owner = world.caller();
    let (mine, other) = (world.vault("mine").await, world.vault("other").await);
    world.service.create_user(&owner, "alice", None).await.unwrap();
    let key = world.service.create_access_key(&owner, Some("alice")).await.unwrap();
    let document = format!(
        r#"{{"Version": "1", "Statement": [{{"Effect": "Allow", "Action": "hbr:*", "Resource": "acs:hbr:*:*:vault/{mine}"}}]}}"#
    );
    let document = ("one-vault", Some(document.as_str()));
    world.service.attach_document(&owner, DocumentOwner::User("alice"), document).await.unwrap();
    for (action, params, expected) in [
        ("DescribeVaults", &[("VaultId", mine.as_str())][..], 200),
        ("DescribeVaults", &[("VaultId", other.as_str())], 403),
        ("DescribeVaults", &[], 403),
        ("DescribeBackupJobs2", &[("VaultId", mine.as_str())], 403),
        ("DescribeRestoreJobs2", &[("VaultId", mine.as_str())], 403),
        ("DescribeBackupPlans", &[("VaultId", mine.as_str())], 403),
    ] {
        let (status, body) = world.by(&key, action, params).await;
        assert_eq!(status, expected, "{action} {params:?}: {body}");
    }
}

#[tokio::test]
async fn conditions_are_compared_with_the_request_that_came() {
    let world = World::start().await;
    let owner = world.caller();
    world.service.create_user(&owner, "alice", None).await.unwrap();
    let key = world.service.create_access_key(&owner, Some("alice")).await.unwrap();
    for (condition, expected) in [
        (r#"{"IpAddress": {"acs:SourceIp": "127.0.0.0/8"}}"#, 200),
        (r#"{"IpAddress": {"acs:SourceIp": "10.0.0.0/8"}}"#, 403),
        (r#"{"Bool": {"acs:SecureTransport": "true"}}"#, 403),
        (r#"{"Bool": {"acs:SecureTransport": "false"}}"#, 200),
        (r#"{"DateLessThan": {"acs:CurrentTime": "2023-11-14T00:00:00Z"}}"#, 403),
        (r#"{"DateLessThan": {"acs:CurrentTime": "2023-11-16T00:00:00Z"}}"#, 200),
    ] {
        let document = format!(
            r#"{{"Version": "1", "Statement": [{{"Effect": "Allow", "Action": "hbr:*", "Resource": "*", "Condition": {condition}}}]}}"#
        );
        let document = ("when", Some(document.as_str()));
        world.service.attach_document(&owner, DocumentOwner::User("alice"), document).await.unwrap();
        let (status, body) = world.by(&key, "DescribeVaults", &[]).await;
        assert_eq!(status, expected, "{condition}: {body}");
    }
}

#[tokio::test]
async fn keys_are_several_are_disabled_and_are_deleted() {
    let world = World::start().await;
    let owner = world.caller();
    world.service.create_user(&owner, "alice", None).await.unwrap();
    let all = ("AdministratorAccess", None);
    world.service.attach_document(&owner, DocumentOwner::User("alice"), all).await.unwrap();
    let one = world.service.create_access_key(&owner, Some("alice")).await.unwrap();
    let other = world.service.create_access_key(&owner, Some("alice")).await.unwrap();
    for key in [&one, &other] {
        world.ok_by(key, "DescribeVaults", &[]).await;
    }
    world.service.set_access_key_active(&owner, &one.id, false).await.unwrap();
    let (status, body) = world.by(&one, "DescribeVaults", &[]).await;
    assert_eq!((status.as_u16(), &body["Code"]), (400, &json!("InvalidAccessKeyId.Inactive")));
    world.ok_by(&other, "DescribeVaults", &[]).await;
    world.service.set_access_key_active(&owner, &one.id, true).await.unwrap();
    world.ok_by(&one, "DescribeVaults", &[]).await;
    world.service.delete_access_key(&owner, &one.id).await.unwrap();
    let (status, body) = world.by(&one, "DescribeVaults", &[]).await;
    assert_eq!((status.as_u16(), &body["Code"]), (404, &json!("InvalidAccessKeyId.NotFound")));
    // A user takes his keys with him.
    world.service.delete_user(&owner, "alice").await.unwrap();
    let (status, _) = world.by(&other, "DescribeVaults", &[]).await;
    assert_eq!(status, 404);
    let keys = world.service.access_keys(&owner, None).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["testid"]);
    let shut_out = world.service.set_access_key_active(&owner, "testid", false).await;
    assert!(matches!(shut_out, Err(ServiceError::Conflict(_))));
}

#[tokio::test]
async fn the_last_use_of_a_key_is_noted_to_a_minute() {
    let world = World::start().await;
    let last_used = async || world.service.access_keys(&world.caller(), None).await.unwrap()[0].last_used;
    assert_eq!(last_used().await, None);
    world.ok("DescribeVaults", &[]).await;
    let first = last_used().await.unwrap();
    world.clock.pass(std::time::Duration::from_secs(59));
    world.ok("DescribeVaults", &[]).await;
    assert_eq!(last_used().await, Some(first));
    world.clock.pass(std::time::Duration::from_secs(2));
    world.ok("DescribeVaults", &[]).await;
    assert_eq!(last_used().await, Some(first.plus(61_000)));
}

#[tokio::test]
async fn a_user_makes_no_keys_of_the_account_itself_and_no_accounts() {
    let world = World::start().await;
    let owner = world.caller();
    let elsewhere = world.service.create_account(&owner, "elsewhere").await.unwrap();
    let stranger = Caller { account: elsewhere.account, user: None, access_key_id: elsewhere.id };
    assert!(world.service.create_account(&stranger, "more").await.is_err());
    assert!(world.service.accounts(&stranger).await.is_err());
    world.service.create_user(&owner, "alice", None).await.unwrap();
    let alice = Caller { user: Some("alice".to_owned()), ..owner.clone() };
    assert!(matches!(world.service.create_access_key(&alice, None).await, Err(ServiceError::Denied(_))));
    let deleted = world.service.delete_access_key(&alice, "testid").await;
    assert!(matches!(deleted, Err(ServiceError::Denied(_))));
    // Nor does another account find her, or her keys.
    let key = world.service.create_access_key(&owner, Some("alice")).await.unwrap();
    assert!(world.service.create_access_key(&stranger, Some("alice")).await.is_err());
    assert!(world.service.delete_access_key(&stranger, &key.id).await.is_err());
    assert!(world.service.delete_user(&stranger, "alice").await.is_err());
    let all = ("AdministratorAccess", None);
    assert!(world.service.attach_document(&stranger, DocumentOwner::User("alice"), all).await.is_err());
}

#[tokio::test]
async fn what_happened_is_in_the_audit_log_with_who_and_what() {
    let world = World::start().await;
    let vault = world.vault("mine").await;
    world.call("DeletePlanOfNobody", &[]).await;
    world.clock.pass(std::time::Duration::from_secs(1));
    world.call("CreateBackupPlan", &[("VaultId", "v-none")]).await;
    let rows = world.service.audit(&world.caller(), Page { number: 1, size: 10 }).await.unwrap().rows;
    let told: Vec<_> =
        rows.iter().map(|row| (row.action.as_str(), row.outcome.as_str(), row.user.is_none())).collect();
    assert_eq!(told, [("hbr:CreateBackupPlan", "MissingSourceType", true), ("hbr:CreateVault", "OK", true)]);
    let subjects: Vec<_> = rows.iter().map(|row| row.subject.clone().unwrap()).collect();
    assert_eq!(subjects[0], "VaultId=v-none");
    assert!(subjects[1].starts_with(&format!("VaultId={vault} TaskId=t-")), "{}", subjects[1]);
    assert!(
        rows.iter()
            .all(|row| row.access_key_id == "testid" && row.source_ip == "127.0.0.1" && row.ended.is_some())
    );
}
