//! `docs/wire/hbr.md` against what is really read and sent. Each test of this crate holds the answers it gets against the
//! page; here each operation is called, each field of the page is seen with what it can hold, and each parameter by itself
//! makes a difference, while one that is not listed makes none.

use std::collections::BTreeSet;

use http::StatusCode;
use lifeboat_api::alibaba::HBR_ACTIONS;
use serde_json::{Value, json};

use crate::page::{PAGE, Parameter, Seen};
use crate::story::Story;

/// Operations after which what others name is gone; the last of all.
const LAST: [&str; 7] = [
    "UpdatePolicyV2",
    "DeletePolicyBinding",
    "DeletePolicyV2",
    "DeleteBackupPlan",
    "DeleteSnapshot",
    "DeleteCrossAccount",
    "DeleteVault",
];

#[test]
fn the_page_lists_the_operations_that_are_served() {
    assert_eq!(PAGE.actions("").collect::<BTreeSet<_>>(), HBR_ACTIONS.iter().copied().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_lists_is_what_is_read_and_sent() {
    let (first, second) = tokio::join!(Story::tell(false), Story::tell(true));
    let (mut seen, mut unproven) = (Seen::default(), Vec::new());
    for story in [first.stop().await, second.stop().await] {
        for action in in_order() {
            unproven.extend(story.probe(action).await);
        }
        seen.extend(&story.world.seen.lock().unwrap());
    }
    unproven.extend(seen.unproven(""));
    unproven.extend(seen.wrong.iter().cloned());
    assert!(unproven.is_empty(), "{}", unproven.join("\n"));
}

fn in_order() -> impl Iterator<Item = &'static str> {
    let others = HBR_ACTIONS.iter().copied().filter(|action| !LAST.contains(action));
    others.chain(LAST)
}

/// What only looks.
fn is_reading(action: &str) -> bool {
    ["Describe", "Search", "List", "Browse"].iter().any(|word| action.starts_with(word))
}

type Owned = Vec<(String, String)>;

/// The same request with another value, or with one more.
fn with(params: &Owned, name: &str, value: &str) -> Owned {
    let mut other: Owned = params.iter().filter(|(given, _)| given != name).cloned().collect();
    other.push((name.to_owned(), value.to_owned()));
    other
}

fn owned(params: &[(&str, &str)]) -> Owned {
    params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Story {
    async fn send(&self, action: &str, params: &Owned) -> (StatusCode, Value) {
        let params: Vec<_> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (status, mut body) = self.world.call(action, &params).await;
        body.as_object_mut().unwrap().remove("RequestId");
        (status, body)
    }

    /// What is wrong with the parameters of an operation. At the end it is done, once.
    async fn probe(&self, action: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let listed = PAGE.parameters(action);
        let job = self.waiting(action).await;
        let good = self.good(action, "", &job);
        for parameter in listed {
            let numbered = [1, 2].map(|number| parameter.name.replace(".N", &format!(".{number}")));
            let names: BTreeSet<_> = numbered.iter().map(|name| name.replace(".M", ".1")).collect();
            let mut found = Err(String::new());
            for name in names {
                if found.is_err() {
                    found = self.makes_a_difference((action, &job), parameter, &name).await;
                }
            }
            wrong.extend(found.err());
        }
        // All at once that is listed elsewhere.
        let mut more = good.clone();
        for other in HBR_ACTIONS.iter().flat_map(|other| PAGE.parameters(other)) {
            let is_own = |own: &Parameter| own.name.split('.').next() == other.name.split('.').next();
            if !listed.iter().any(is_own) {
                more = with(&more, &other.name.replace(".N", ".1").replace(".M", ".1"), NONSENSE);
            }
        }
        let (status, body) = self.send(action, &more).await;
        let is_right = if is_reading(action) {
            self.send(action, &good).await == (status, body.clone())
        } else {
            (status == 200) == (action != "CreateBackupJob")
        };
        if !is_right {
            wrong.push(format!("{action} reads what is not listed: {body}"));
        }
        for (name, value) in
            [("PageNumber", "2"), ("PageSize", "9"), ("MaxResults", "11"), ("MaxResults", "12")]
        {
            if is_reading(action) && listed.iter().any(|parameter| parameter.name == name) {
                self.send(action, &with(&good, name, value)).await;
            }
        }
        wrong
    }

    /// A value that is none is refused by name, or leaves another answer; so does a mandatory one's absence.
    async fn makes_a_difference(
        &self,
        (action, job): (&str, &str),
        parameter: &Parameter,
        name: &str,
    ) -> Result<(), String> {
        let good = self.good(action, name, job);
        let without: Owned = good.iter().filter(|(given, _)| given != name).cloned().collect();
        let is_named = |body: &Value| {
            let (code, message) = (body["Code"].to_string(), body["Message"].to_string());
            code.contains(name) || message.contains(name) || message.contains(NONSENSE)
        };
        if parameter.is_mandatory && without.len() < good.len() {
            let (status, body) = self.send(action, &without).await;
            if status == StatusCode::OK || !is_named(&body) {
                return Err(format!("{action} does not miss {name}: {body}"));
            }
        }
        let (status, body) = self.send(action, &with(&good, name, NONSENSE)).await;
        let is_read = match status {
            StatusCode::OK => is_reading(action) && self.send(action, &good).await != (status, body.clone()),
            // Of what is not there, not every answer says by which parameter it was looked for.
            StatusCode::NOT_FOUND => true,
            _ => is_named(&body),
        };
        // What is taken off need not be there.
        if is_read || name == "TagKey.1" {
            return Ok(());
        }
        Err(format!("{action} does not read {name}: {status} {body}"))
    }

    /// A request that makes sense, such that a value of the parameter `about` makes a difference.
    fn good(&self, action: &str, about: &str, job: &str) -> Owned {
        let of_policies = || self.of_policies(action);
        let mut own = self.of_plans(action).or_else(of_policies).unwrap_or_else(|| self.of_rest(action, job));
        let client = self.world.root.client.as_str();
        let (prefix, last) = about.rsplit_once('.').unwrap_or(("", about));
        if last.starts_with("CrossAccount") && !own.iter().any(|(name, _)| name == about) {
            let place =
                |name| if prefix.is_empty() { String::from(name) } else { format!("{prefix}.{name}") };
            let across = self.across(self.others.len() - 1);
            own.extend(across.map(|(name, value)| (place(name), value.to_owned())));
        } else if about.starts_with("Filters") {
            let (key, value) = match action {
                "DescribeBackupClients" => ("ClientId", client),
                "DescribePolicyBindings" => ("PolicyId", self.policy.as_str()),
                _ => ("VaultId", self.vault.as_str()),
            };
            own.extend(owned(&[("Filters.1.Key", key), ("Filters.1.Values.1", value)]));
        } else if about.starts_with("Tag.") && is_reading(action) {
            own.extend(owned(&[("Tag.1.Key", "team"), ("Tag.1.Value", self.pick("red", "blue"))]));
        }
        own
    }

    fn of_plans(&self, action: &str) -> Option<Owned> {
        let folder = self.folder("small");
        let plan = ("PlanId", self.plan.as_str());
        let rule = [("Rule.1.Schedule", "I|4602673264|P1D"), ("Rule.1.BackupType", "COMPLETE")];
        let new = [
            ("SourceType", "File"),
            ("VaultId", self.vault.as_str()),
            ("DataSourceId", self.world.root.client.as_str()),
            ("PlanName", "probe"),
            ("Path.1", folder.to_str().unwrap()),
        ];
        Some(match action {
            "CreateBackupPlan" => owned(&[&new[..], &rule].concat()),
            "UpdateBackupPlan" => owned(&[&[plan], &rule[..]].concat()),
            "EnableBackupPlan" | "DisableBackupPlan" | "DeleteBackupPlan" => owned(&[plan]),
            "ExecuteBackupPlan" => owned(&[("PlanId", &self.file_plan), ("RuleId", &self.plan_rule)]),
            _ => return None,
        })
    }

    fn of_policies(&self, action: &str) -> Option<Owned> {
        let policy = ("PolicyId", self.policy.as_str());
        let instance = self.world.root.instance.as_str();
        let rules = [
            ("Rules.1.RuleType", "BACKUP"),
            ("Rules.1.VaultId", &self.vault),
            ("Rules.1.Schedule", "I|1|P1D"),
            ("Rules.2.RuleType", "TRANSITION"),
            ("Rules.2.RetentionRules.2.AdvancedRetentionType", "DAILY"),
            ("Rules.2.RetentionRules.2.Retention", "3"),
        ];
        let (number, last) = self.others.last().unwrap();
        let binding = [
            policy,
            ("PolicyBindingList.1.SourceType", "File"),
            ("PolicyBindingList.1.DataSourceId", last.root.client.as_str()),
            ("PolicyBindingList.1.CrossAccountType", "CROSS_ACCOUNT"),
            ("PolicyBindingList.1.CrossAccountUserId", number),
            ("PolicyBindingList.1.CrossAccountRoleName", &self.role),
        ];
        Some(match action {
            "CreatePolicyV2" => owned(&rules),
            "UpdatePolicyV2" => owned(&[&[policy], &rules[..]].concat()),
            "DeletePolicyV2" => owned(&[policy]),
            "ExecutePolicyV2" => owned(&[policy, ("RuleId", &self.policy_rule)]),
            "CreatePolicyBindings" => owned(&binding),
            "UpdatePolicyBinding" => owned(&[policy, ("SourceType", "ECS_FILE"), ("DataSourceId", instance)]),
            "DeletePolicyBinding" => owned(&[policy, ("DataSourceIds.1", instance)]),
            _ => return None,
        })
    }

    fn of_rest(&self, action: &str, job: &str) -> Owned {
        let query = json!([{"field": "VaultId", "value": self.vault}]).to_string();
        let resource = format!("pr-e{}", self.world.root.client.as_str().trim_start_matches("c-"));
        let vault = ("VaultId", self.vault.as_str());
        let kind = ("SourceType", "ECS_FILE");
        let tagged = [("ResourceType", "vault"), ("ResourceId.1", self.vault.as_str())];
        let params: Vec<(&str, &str)> = match action {
            "CreateVault" => vec![("VaultName", "probe"), ("VaultRegionId", "cn-hangzhou")],
            "UpdateVault" => vec![vault],
            "DeleteVault" => vec![("VaultId", self.spare_vault.as_str())],
            "DescribeTask" => vec![("TaskId", &self.task)],
            "CancelBackupJob" => vec![("JobId", job)],
            "CancelRestoreJob" => vec![("RestoreId", job)],
            "SearchHistoricalSnapshots" => vec![("Query", &query)],
            "DeleteSnapshot" => vec![("SnapshotId", self.spare_snapshot.as_str())],
            "ListSnapshots" => vec![("ProtectedResourceId", &resource), kind],
            "CreateRestoreJob" => {
                vec![("RestoreType", "ECS_FILE"), kind, ("SnapshotId", self.snapshot("SnapshotId"))]
            }
            "CreateBackupJob" => vec![kind],
            "GetTempFileDownloadLink" => vec![("TempFileKey", &self.report)],
            "BrowseFiles" => vec![("SnapshotHash", self.snapshot("SnapshotHash")), vault],
            "DescribeBackupClients" => vec![("ClientType", "ECS_CLIENT")],
            "AddCrossAccount" | "DeleteCrossAccount" => self.across(0).to_vec(),
            "TagResources" => [&tagged[..], &[("Tag.1.Key", "k")]].concat(),
            "UntagResources" => [&tagged[..], &[("TagKey.1", "k")]].concat(),
            "ChangeResourceGroup" => {
                vec![tagged[0], ("ResourceId", &self.vault), ("NewResourceGroupId", "rg-9")]
            }
            _ => Vec::new(),
        };
        owned(&params)
    }

    /// A job that waits, for what stops one.
    async fn waiting(&self, action: &str) -> String {
        let (action, id, like) = match action {
            "CancelBackupJob" => ("ExecuteBackupPlan", "JobId", "EnableBackupPlan"),
            "CancelRestoreJob" => ("CreateRestoreJob", "RestoreId", "CreateRestoreJob"),
            _ => return String::new(),
        };
        let (status, body) = self.send(action, &self.good(like, "", "")).await;
        assert_eq!(status, 200, "{body}");
        body[id].as_str().unwrap().to_owned()
    }
}

/// No name, no number, no JSON, nothing that there is, and longer than anything may be.
pub(crate) const NONSENSE: &str = concat!(
    "nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense ",
    "nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense ",
    "nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense nonsense"
);
