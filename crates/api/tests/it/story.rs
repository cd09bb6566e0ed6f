//! One story through every operation, in which each field that is ever sent takes two values or more. It is told on two
//! servers whose names, numbers and files differ, for what one server has only one of.

use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_service::{Dispatcher, DocumentOwner};
use lifeboat_testkit::random::Random;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::world::World;

/// How many other accounts let this one in: more than one page of bindings has rows.
const OTHERS: i64 = 12;

pub(crate) type Params<'a> = [(&'a str, &'a str)];

/// A server, and the ids of what the story has left on it.
pub(crate) struct Story {
    pub(crate) world: World,
    /// The other accounts' numbers and clients.
    pub(crate) others: Vec<(String, World)>,
    pub(crate) role: String,
    pub(crate) vault: String,
    pub(crate) task: String,
    pub(crate) plan: String,
    pub(crate) file_plan: String,
    pub(crate) plan_rule: String,
    pub(crate) policy: String,
    pub(crate) policy_rule: String,
    pub(crate) snapshot: Value,
    /// The id of another one.
    pub(crate) spare_snapshot: String,
    pub(crate) spare_vault: String,
    pub(crate) report: String,
    /// When the plan runs by itself, in seconds.
    first_run: i64,
    is_second: bool,
    server: (Arc<Notify>, JoinHandle<()>),
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn is_over(row: &Value) -> bool {
    row.get("CompleteTime").is_some()
}

impl Story {
    /// Everything that happens while jobs are run.
    pub(crate) async fn tell(is_second: bool) -> Self {
        let world = World::start_stopped_as(if is_second { 7_000_000_000_000_001 } else { 17 }).await;
        if is_second {
            world.clock.pass(Duration::from_secs(86_400));
        }
        let dispatcher = Dispatcher::new(world.service.clone());
        let stop = dispatcher.stop_handle();
        let server = (stop, tokio::spawn(dispatcher.run()));
        let mut story = Self {
            world,
            others: Vec::new(),
            role: if is_second { "backup" } else { "guests" }.to_owned(),
            vault: String::new(),
            task: String::new(),
            plan: String::new(),
            file_plan: String::new(),
            plan_rule: String::new(),
            policy: String::new(),
            policy_rule: String::new(),
            snapshot: Value::Null,
            spare_snapshot: String::new(),
            spare_vault: String::new(),
            report: String::new(),
            first_run: 0,
            is_second,
            server,
        };
        story.vaults().await;
        story.accounts().await;
        story.plans().await;
        story.backups().await;
        story.policies().await;
        story.snapshots().await;
        story.restores().await;
        story.listings().await;
        story
    }

    /// From here on nothing changes by itself, and jobs wait.
    pub(crate) async fn stop(mut self) -> Self {
        self.server.0.notify_one();
        (&mut self.server.1).await.unwrap();
        self
    }

    /// The same word on neither server.
    pub(crate) fn pick<'a>(&self, first: &'a str, second: &'a str) -> &'a str {
        if self.is_second { second } else { first }
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.world.files().join(self.pick("a", "b")).join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn path(&self, name: &str) -> String {
        self.folder(name).to_str().unwrap().to_owned()
    }

    fn ok<'a>(
        &'a self,
        action: &'a str,
        params: &'a Params<'a>,
    ) -> Pin<Box<dyn Future<Output = Value> + Send + 'a>> {
        Box::pin(self.world.ok(action, params))
    }

    async fn made(&self, action: &str, id: &str, params: &Params<'_>) -> String {
        text(&self.ok(action, params).await[id])
    }

    /// The parameters by which a request is about another account's client.
    pub(crate) fn across(&self, other: usize) -> [(&str, &str); 3] {
        [
            ("CrossAccountType", "CROSS_ACCOUNT"),
            ("CrossAccountUserId", &self.others[other].0),
            ("CrossAccountRoleName", &self.role),
        ]
    }

    /// A vault of each sort, one of them just begun, and one that cannot be made.
    async fn vaults(&mut self) {
        self.vault = self.world.vault(self.pick("first", "erster")).await;
        let params = [
            ("VaultName", self.pick("second", "zweiter")),
            ("VaultRegionId", "cn-hangzhou"),
            ("Description", self.pick("another", "noch einer")),
            ("RedundancyType", "ZRS"),
            ("WormEnabled", "true"),
        ];
        let task = self
            .world
            .until(async || {
                let task = self.made("CreateVault", "TaskId", &params).await;
                let begun = self.ok("DescribeTask", &[("TaskId", &task)]).await;
                (begun["Description"] == "created").then_some(task)
            })
            .await;
        self.world.clock.pass(Duration::from_secs(3));
        self.has_ended(&task, 100).await;
        let (folder, aside) = (self.world.vault_folder(""), self.world.files().with_file_name("aside"));
        fs::rename(&folder, &aside).unwrap();
        fs::write(folder.parent().unwrap().join("vaults"), "").unwrap();
        let failed = self.made("CreateVault", "TaskId", &params[..2]).await;
        self.has_ended(&failed, -1).await;
        fs::remove_file(folder.parent().unwrap().join("vaults")).unwrap();
        fs::rename(&aside, &folder).unwrap();
        self.task = task;
        self.spare_vault = self.world.vault("spare").await;
        let group = self.pick("rg-1", "rg-2");
        let to =
            [("ResourceType", "vault"), ("ResourceId", self.vault.as_str()), ("NewResourceGroupId", group)];
        self.ok("ChangeResourceGroup", &to).await;
    }

    async fn has_ended(&self, task: &str, progress: i64) {
        self.world
            .until(async || {
                let task = self.ok("DescribeTask", &[("TaskId", task)]).await;
                (task["Progress"] == progress).then_some(())
            })
            .await;
    }

    /// Others that let this account in; two of them are listed.
    async fn accounts(&mut self) {
        let trust = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"RAM": [format!("acs:ram::{}:root", self.world.root.account)]}}]})
        .to_string();
        let first = if self.is_second { 500 } else { 300 };
        for number in first..first + OTHERS {
            let other = self.world.other_account(number).await;
            let (owner, role) = (other.caller(), DocumentOwner::Role(&self.role));
            other.service.create_role(&owner, &self.role, &trust).await.unwrap();
            other.service.attach_document(&owner, role, ("AdministratorAccess", None)).await.unwrap();
            self.others.push((number.to_string(), other));
        }
        let alias = ("Alias", self.pick("theirs", "ihre"));
        self.ok("AddCrossAccount", &[&self.across(0)[..], &[alias]].concat()).await;
        self.ok("AddCrossAccount", &self.across(1)).await;
        self.ok("DescribeCrossAccounts", &[]).await;
        self.ok("DeleteCrossAccount", &self.across(1)).await;
    }

    /// A plan of an instance, one of a client, and one of another account's client.
    async fn plans(&mut self) {
        let (small, large) = (self.path("small"), self.path("large"));
        fs::create_dir(self.folder("small").join("below")).unwrap();
        fs::write(self.folder("small").join("a.txt"), self.pick("one", "eins")).unwrap();
        fs::write(self.folder("small").join("b.txt"), self.pick("two", "zwei")).unwrap();
        let (random, seed) = if self.is_second { (3 << 20, 1) } else { (4 << 20, 2) };
        fs::write(self.folder("large").join("file"), Random::new(seed).bytes(random)).unwrap();
        let world = &self.world;
        self.first_run = world.service.now().seconds() + 3600;
        let schedule = format!("I|{}|P1D", self.first_run);
        let params = [
            ("SourceType", "ECS_FILE"),
            ("VaultId", self.vault.as_str()),
            ("InstanceId", world.root.instance.as_str()),
            ("PlanName", self.pick("files", "dateien")),
            ("Path.1", &small),
            ("Include", self.pick("[\"*.txt\"]", "[\"*\"]")),
            ("Exclude", self.pick("[\"*.log\"]", "[\"*.none\"]")),
            ("Options", self.pick("{\"UseVSS\":false}", "{}")),
            ("SpeedLimit", self.pick("0:24:500000", "0:12:600000")),
            ("Schedule", &schedule),
            ("Retention", self.pick("7", "8")),
        ];
        let plan = self.made("CreateBackupPlan", "PlanId", &params).await;
        world.clock.pass(Duration::from_secs(10));
        let missing = world.files().join("missing");
        let params = [
            ("SourceType", "File"),
            ("VaultId", self.vault.as_str()),
            ("DataSourceId", world.root.client.as_str()),
            ("PlanName", self.pick("rules", "regeln")),
            ("Path.1", &large),
            ("Path.2", missing.to_str().unwrap()),
            ("KeepLatestSnapshots", "1"),
            ("Rule.1.RuleName", "daily"),
            ("Rule.1.Schedule", "I|1602673264|P1D"),
            ("Rule.1.BackupType", "INCREMENTAL"),
            ("Rule.1.Retention", self.pick("3", "4")),
            ("Rule.1.Disabled", "true"),
            ("Rule.2.RuleName", self.pick("nightly", "nachts")),
            ("Rule.2.Schedule", "C|1602673264|0 0 2 ? * 1"),
            ("Disabled", "true"),
        ];
        let file_plan = self.made("CreateBackupPlan", "PlanId", &params).await;
        self.ok("DescribeBackupPlans", &[]).await;
        let tag = |key, value| [("Tag.1.Key", key), ("Tag.1.Value", value)];
        for (kind, id) in
            [("vault", &self.vault), ("plan", &plan), ("client", &world.root.client.to_string())]
        {
            let here = [("ResourceType", kind), ("ResourceId.1", id)];
            self.ok("TagResources", &[&here[..], &tag("team", self.pick("red", "blue"))].concat()).await;
            self.ok("TagResources", &[&here[..], &tag(self.pick("cost", "preis"), "7")].concat()).await;
        }
        (self.plan, self.file_plan) = (plan, file_plan);
        let plan = self.plan_across().await;
        self.ok("DescribeBackupPlans", &[]).await;
        self.back_up(&[("PlanId", &plan)], &["COMPLETE"]).await;
    }

    async fn plan_across(&self) -> String {
        let client = &self.others[0].1.root.client;
        let params = [
            ("SourceType", "File"),
            ("VaultId", self.vault.as_str()),
            ("DataSourceId", client.as_str()),
            ("PlanName", "across"),
            ("Path.1", &self.path("small")),
        ];
        self.made("CreateBackupPlan", "PlanId", &[&params[..], &self.across(0)].concat()).await
    }

    /// Runs a plan to the end of its reports.
    async fn back_up(&self, plan: &Params<'_>, states: &[&str]) -> Value {
        let job = self.made("ExecuteBackupPlan", "JobId", plan).await;
        let row = self.reported("DescribeBackupJobs2", "JobId", &job).await;
        assert!(states.contains(&row["Status"].as_str().unwrap()), "{row}");
        self.world.clock.pass(Duration::from_secs(3));
        row
    }

    async fn row(&self, action: &str, key: &str, id: &str) -> Value {
        let filter = [("Filters.1.Key", key), ("Filters.1.Values.1", id)];
        let found = self.ok(action, &filter).await;
        let rows = if key == "JobId" {
            &found["BackupJobs"]["BackupJob"]
        } else {
            &found["RestoreJobs"]["RestoreJob"]
        };
        rows[0].clone()
    }

    async fn reported(&self, action: &str, key: &str, id: &str) -> Value {
        self.world
            .until(async || {
                let row = self.row(action, key, id).await;
                let state = &row["Report"]["ReportTaskStatus"];
                (is_over(&row) && (state == "COMPLETE" || state == "FAILED")).then_some(row)
            })
            .await
    }

    /// Jobs of every end, one of them by schedule.
    async fn backups(&mut self) {
        let (plan, file_plan) = (self.plan.clone(), self.file_plan.clone());
        self.back_up(&[("PlanId", &plan)], &["COMPLETE"]).await;
        fs::write(self.folder("small").join("b.txt"), self.pick("three", "drei")).unwrap();
        let query = json!([{"field": "VaultId", "value": self.vault}]).to_string();
        self.ok("SearchHistoricalSnapshots", &[("Query", &query)]).await;
        let done = self.back_up(&[("PlanId", &plan)], &["COMPLETE"]).await;
        self.report = text(&done["Report"]["TotalFiles"]);
        self.ok("GetTempFileDownloadLink", &[("TempFileKey", &self.report)]).await;
        let rules = self.ok("DescribeBackupPlans", &[("SourceType", "File")]).await;
        let rules = rules["BackupPlans"]["BackupPlan"].as_array().unwrap().clone();
        let rules = rules.into_iter().find(|row| row["PlanId"] == file_plan.as_str()).unwrap();
        self.plan_rule = text(&rules["Rules"]["Rule"][0]["RuleId"]);
        let by_rule = [("PlanId", file_plan.as_str()), ("RuleId", &self.plan_rule)];
        self.back_up(&by_rule, &["PARTIAL_COMPLETE"]).await;
        fs::write(self.folder("large").join("new"), Random::new(9).bytes(1000)).unwrap();
        self.back_up(&[("PlanId", &file_plan)], &["PARTIAL_COMPLETE"]).await;
        let nothing = self.world.files().join("missing");
        self.ok("UpdateBackupPlan", &[("PlanId", &file_plan), ("Path.1", nothing.to_str().unwrap())]).await;
        self.without_reports(async || {
            self.back_up(&[("PlanId", &file_plan)], &["FAILED"]).await;
        })
        .await;
        self.endless(&file_plan).await;
        // A run that nobody comes for in time is missed.
        let left = self.first_run + 5 - self.world.service.now().seconds();
        self.world.clock.pass(Duration::from_secs(left.unsigned_abs()));
        let filter = [("Filters.1.Key", "PlanId"), ("Filters.1.Values.1", plan.as_str())];
        self.world
            .until(async || {
                let found = self.ok("DescribeBackupJobs2", &filter).await;
                let rows = found["BackupJobs"]["BackupJob"].as_array().unwrap().clone();
                rows.iter().any(|row| row["TriggerMode"] == "SCHEDULE" && is_over(row)).then_some(())
            })
            .await;
        for action in ["DisableBackupPlan", "DescribeBackupPlans", "EnableBackupPlan"] {
            let named: &Params<'_> =
                if action.starts_with('D') && action.ends_with('s') { &[] } else { &[("PlanId", &plan)] };
            self.ok(action, named).await;
        }
    }

    /// What happens meanwhile has no report.
    async fn without_reports(&self, meanwhile: impl AsyncFnOnce()) {
        let (folder, aside) =
            (self.world.files().with_file_name("temp"), self.world.files().with_file_name("aside"));
        fs::rename(&folder, &aside).unwrap();
        fs::write(&folder, "").unwrap();
        meanwhile().await;
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
    }

    /// A job that goes on until it is stopped, and one that waits for it.
    async fn endless(&self, plan: &str) {
        fs::File::create(self.folder("endless").join("file")).unwrap().set_len(1 << 40).unwrap();
        self.ok("UpdateBackupPlan", &[("PlanId", plan), ("Path.1", &self.path("endless"))]).await;
        let job = self.made("ExecuteBackupPlan", "JobId", &[("PlanId", plan)]).await;
        let is = async |state: &str| {
            self.world
                .until(async || {
                    let row = self.row("DescribeBackupJobs2", "JobId", &job).await;
                    (row["Status"] == state).then_some(())
                })
                .await;
        };
        is("RUNNING").await;
        self.ok("CancelBackupJob", &[("JobId", &job)]).await;
        is("CANCELED").await;
    }

    fn rules(&self) -> String {
        json!([
            {"RuleType": "BACKUP", "VaultId": self.vault, "Retention": if self.is_second { 6 } else { 5 },
             "Schedule": self.pick("C|1631685600|0 0 2 ? * 3", "C|1631685600|0 0 3 ? * 3"),
             "BackupType": self.pick("INCREMENTAL", "COMPLETE"),
             "KeepLatestSnapshots": i64::from(self.is_second)},
            {"RuleType": "BACKUP", "VaultId": self.vault, "Schedule": "I|4602673264|P1D"},
            {"RuleType": "TRANSITION", "Retention": 9, "RetentionRules": [
                {"AdvancedRetentionType": "DAILY", "WhichSnapshot": 1, "Retention": 30},
                {"AdvancedRetentionType": "YEARLY", "WhichSnapshot": 1, "Retention": 400}]},
        ])
        .to_string()
    }

    fn sources(&self) -> String {
        let world = &self.world;
        let mut sources = vec![
            json!({"SourceType": "ECS_FILE", "DataSourceId": world.root.instance, "Source": self.path("small"),
                   "AdvancedOptions": {"FileDetail": {"UseVSS": false}},
                   "PolicyBindingDescription": self.pick("", "mine")}),
            json!({"SourceType": "File", "DataSourceId": world.root.client, "Source": self.path("large"),
                   "Include": self.pick("[\"*\"]", "[\"file\"]"), "Exclude": self.pick("[\"*.x\"]", "[\"*.y\"]"),
                   "SpeedLimit": self.pick("0:24:500000", "0:12:600000"),
                   "AdvancedOptions": {"FileDetail": {"UseVSS": false, "AdvPolicy": self.is_second}}}),
        ];
        // The last is left for others to bind.
        for (number, other) in self.others.iter().rev().skip(1) {
            sources.push(
                json!({"SourceType": "File", "DataSourceId": other.root.client, "Source": self.path("small"),
                "Disabled": true, "CrossAccountType": "CROSS_ACCOUNT", "CrossAccountUserId": number,
                "CrossAccountRoleName": self.role}),
            );
        }
        sources[2]["AdvancedOptions"] = json!({"FileDetail": {"AdvPolicy": true}});
        json!(sources).to_string()
    }

    /// A policy with sources in this account and in others.
    async fn policies(&mut self) {
        let world = &self.world;
        let rules = self.rules();
        let names = [
            ("PolicyName", self.pick("p", "q")),
            ("PolicyDescription", self.pick("", "policy")),
            ("Rules", &rules),
        ];
        let policy = self.made("CreatePolicyV2", "PolicyId", &names).await;
        let named = ("PolicyId", policy.as_str());
        let list = self.sources();
        self.ok("CreatePolicyBindings", &[named, ("PolicyBindingList", &list)]).await;
        let shown = self.ok("DescribePoliciesV2", &[named]).await;
        let rule = text(&shown["Policies"][0]["Rules"][0]["RuleId"]);
        for _ in 0..2 {
            let job = self.made("ExecutePolicyV2", "JobId", &[named, ("RuleId", &rule)]).await;
            self.world
                .until(async || is_over(&self.row("DescribeBackupJobs2", "JobId", &job).await).then_some(()))
                .await;
            let parts = [("Filters.1.Key", "ParentId"), ("Filters.1.Values.1", job.as_str())];
            assert_eq!(self.ok("DescribeBackupJobs2", &parts).await["TotalCount"], 2);
        }
        world.clock.pass(Duration::from_secs(60));
        let which = [named, ("SourceType", "ECS_FILE"), ("DataSourceId", world.root.instance.as_str())];
        self.ok("UpdatePolicyBinding", &[&which[..], &[("SpeedLimit", "0:24:700000")]].concat()).await;
        for token in self.tokens("DescribePolicyBindings", &[]).await {
            assert!(!token.is_empty());
        }
        for number in 0..OTHERS {
            let name = format!("policy {number}");
            let names = [("PolicyName", name.as_str()), names[2]];
            self.ok("CreatePolicyV2", &names).await;
        }
        assert!(!self.tokens("DescribePoliciesV2", &[]).await.is_empty());
        (self.policy, self.policy_rule) = (policy, rule);
    }

    /// Goes through a listing portion by portion; the tokens on the way.
    async fn tokens(&self, action: &str, params: &Params<'_>) -> Vec<String> {
        let mut tokens = Vec::new();
        let mut found = self.ok(action, params).await;
        while let Some(token) = found.get("NextToken").map(text) {
            found = self.ok(action, &[params, &[("NextToken", &token)]].concat()).await;
            tokens.push(token);
        }
        tokens
    }

    /// Snapshots of jobs, one of restic, and what is in them.
    async fn snapshots(&mut self) {
        self.world.restic(&self.vault).backup(&self.world.files(), [self.pick("a/small", "b/small")]);
        self.world.service.end_what_is_over().await.unwrap();
        let query = json!([{"field": "VaultId", "value": self.vault}]).to_string();
        let all = [("Query", query.as_str()), ("Limit", "100")];
        let found = self.ok("SearchHistoricalSnapshots", &all).await;
        let rows = found["Snapshots"]["Snapshot"].as_array().unwrap().clone();
        assert!(rows.iter().any(|row| row.get("JobId").is_none()), "{rows:?}");
        assert!(self.tokens("SearchHistoricalSnapshots", &[all[0], ("Limit", "2")]).await.len() > 1);
        let of_plan = |row: &&Value| row["PlanId"] == self.plan.as_str();
        let of_file_plan = |row: &&Value| row["PlanId"] == self.file_plan.as_str();
        self.spare_snapshot = text(&rows.iter().rfind(of_file_plan).unwrap()["SnapshotId"]);
        let snapshot = rows.iter().rfind(of_plan).unwrap().clone();
        let here = ("SnapshotId", snapshot["SnapshotId"].as_str().unwrap());
        let folder = ("AbsolutePath", &*self.path("small"));
        assert!(self.tokens("BrowseFiles", &[here, folder, ("MaxResults", "1")]).await.len() > 1);
        self.ok("BrowseFiles", &[here]).await;
        self.snapshot = snapshot;
        self.ok("DescribeVaults", &[]).await;
        self.tokens("ListProtectedResources", &[("MaxResults", "1")]).await;
        let resources = self.ok("ListProtectedResources", &[]).await;
        for resource in resources["ProtectedResources"].as_array().unwrap() {
            let (id, kind) = (text(&resource["ProtectedResourceId"]), text(&resource["SourceType"]));
            let which = [("ProtectedResourceId", id.as_str()), ("SourceType", kind.as_str())];
            self.tokens("ListSnapshots", &[&which[..], &[("MaxResults", "1")]].concat()).await;
        }
    }

    pub(crate) fn snapshot(&self, name: &str) -> &str {
        self.snapshot[name].as_str().unwrap()
    }

    /// Restores of every end.
    async fn restores(&self) {
        let query = json!([{"field": "VaultId", "value": self.vault}]).to_string();
        let found = self.ok("SearchHistoricalSnapshots", &[("Query", &query), ("Limit", "100")]).await;
        let rows = found["Snapshots"]["Snapshot"].as_array().unwrap();
        let of_restic = text(&rows.iter().find(|row| row.get("JobId").is_none()).unwrap()["SnapshotId"]);
        let of_client = |row: &&Value| row["PlanId"] == self.file_plan.as_str();
        let of_client = text(&rows.iter().find(of_client).unwrap()["SnapshotId"]);
        let (target, blocked) = (self.path("target"), self.folder("blocked"));
        fs::create_dir_all(blocked.join("small/a.txt/full")).unwrap();
        let to = |path: &str| ("TargetPath", path.to_owned());
        let own = self.snapshot("SnapshotId");
        let client = self.world.root.client.to_string();
        let cases = [
            (own, "ECS_FILE", vec![to("/nowhere/at/all")], "FAILED"),
            (own, "ECS_FILE", vec![], "COMPLETE"),
            (
                own,
                "ECS_FILE",
                vec![
                    to(&target),
                    ("Include", self.pick("[\"*\"]", "[\"*.txt\"]").to_owned()),
                    ("Exclude", self.pick("[\"*.x\"]", "[\"*.y\"]").to_owned()),
                ],
                "COMPLETE",
            ),
            (
                own,
                "ECS_FILE",
                vec![
                    to(blocked.to_str().unwrap()),
                    (
                        "Options",
                        self.pick(
                            r#"{"ConflictPolicy":"OVERWRITE_EXISTING"}"#,
                            r#"{"ConflictPolicy":"OVERWRITE_EXISTING","x":1}"#,
                        )
                        .to_owned(),
                    ),
                ],
                "PARTIAL_COMPLETE",
            ),
            (&of_client, "File", vec![to(&target), ("TargetInstanceId", client.clone())], "COMPLETE"),
            (&of_client, "File", vec![to(&target)], "COMPLETE"),
            (&of_restic, "File", vec![to(&target), ("TargetInstanceId", client)], "COMPLETE"),
        ];
        for (snapshot, kind, more, state) in &cases {
            self.restore(snapshot, kind, more, state).await;
        }
        let other = self.others[0].1.root.client.to_string();
        let across = self.across(0).map(|(name, value)| (name, value.to_owned()));
        let more = [&across[..], &[to(&target), ("TargetInstanceId", other)]].concat();
        self.restore(own, "File", &more, "COMPLETE").await;
        self.without_reports(async || {
            self.restore(own, "ECS_FILE", &[to("/nowhere/at/all")], "FAILED").await
        })
        .await;
    }

    async fn restore(&self, snapshot: &str, kind: &str, more: &[(&str, String)], state: &str) {
        let mut params = vec![("RestoreType", kind), ("SourceType", kind), ("SnapshotId", snapshot)];
        params.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        let id = self.made("CreateRestoreJob", "RestoreId", &params).await;
        let row = self.reported("DescribeRestoreJobs2", "RestoreId", &id).await;
        assert_eq!(row["Status"], state, "{row}");
        self.world.clock.pass(Duration::from_secs(2));
    }

    /// Whatever has pages, as others have it, too.
    async fn listings(&self) {
        let client = [("ClientType", "ECS_CLIENT")];
        let across = self.across(0);
        for action in ["DescribeBackupClients", "DescribeClients"] {
            self.ok(action, &client).await;
            self.ok(action, &[&client[..], &across].concat()).await;
            self.others[2].1.ok(action, &client).await;
        }
    }
}
