//! Requests that no honest client sends, thousands of them: whatever comes in, an answer goes out that says what is
//! wrong, and nothing of another account goes out or changes.
//!
//! `LIFEBOAT_SOAK=hostile=100000` is how many, `LIFEBOAT_TEST_SEED` which ones.

use bytes::Bytes;
use http::{HeaderValue, Method};
use lifeboat_api::http_types::{Reply, Request};
use lifeboat_service::CatalogPlace;
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::random::Random;
use lifeboat_testkit::soak;
use serde_json::Value;

use crate::world::World;

/// Is in everything that the other account has, and in no request.
const MARK: &str = "belongs-to-somebody-else";

const ACTIONS: &str = "
    CreateVault DescribeVaults UpdateVault DeleteVault DescribeTask CreateBackupPlan DescribeBackupPlans
    UpdateBackupPlan DeleteBackupPlan EnableBackupPlan DisableBackupPlan ExecuteBackupPlan CreatePolicyV2
    DescribePoliciesV2 UpdatePolicyV2 DeletePolicyV2 CreatePolicyBindings DescribePolicyBindings
    UpdatePolicyBinding DeletePolicyBinding ExecutePolicyV2 CreateBackupJob DescribeBackupJobs2
    CancelBackupJob SearchHistoricalSnapshots ListSnapshots ListProtectedResources DeleteSnapshot
    BrowseFiles CreateRestoreJob DescribeRestoreJobs2 CancelRestoreJob DescribeBackupClients DescribeClients
    OpenHbrService TagResources UntagResources ChangeResourceGroup GetTempFileDownloadLink AddCrossAccount
    DescribeCrossAccounts DeleteCrossAccount describebackupjobs2 ../../etc/passwd";

const NAMES: &str = "
    VaultId VaultName VaultRegionId VaultType VaultStorageClass EncryptType Description Replication Status
    TaskId PlanId PlanName SourceType RestoreType InstanceId DataSourceId DataSourceIds Schedule Retention
    KeepLatestSnapshots BackupType Include Exclude Options SpeedLimit Path Path.1 Path.2 Rule.1.Schedule
    Rule.1.Retention Rules Disabled Detail JobId RestoreId SnapshotId SnapshotHash TargetPath
    TargetInstanceId Query Order SortBy SortDirection Limit NextToken MaxResults PageNumber PageSize Edition
    AbsolutePath ClientType ClientId ClientIds InstanceIds ClusterId PolicyId PolicyName PolicyBindingList
    RuleId ResourceType ResourceId ResourceId.1 ProtectedResourceId Tag.1.Key Tag.1.Value TagKey.1 All
    NewResourceGroupId ResourceGroupId TempFileKey CrossAccountType CrossAccountUserId CrossAccountRoleName
    Filters Filters.1.Key Filters.1.Operator Filters.1.Values.1 Filters.1.Values.2 Filters.2.Key
    Filters.2.Operator Filters.2.Values.1 Filters.99999999999.Key Filters..Key WormEnabled Force
    RequireNoRunningJobs";

const WORDS: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "10",
    "99",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e9",
    "NaN",
    "true",
    "False",
    "null",
    "[]",
    "{}",
    "[[[[",
    "[1,2]",
    "[\"a\",\"b\"]",
    "[null]",
    "{\"UseVSS\":true}",
    "[{\"field\":\"VaultId\",\"value\":1}]",
    "[{\"RuleType\":\"BACKUP\",\"Schedule\":\"I|1|P1D\",\"Retention\":1}]",
    "ECS_FILE",
    "File",
    "OSS",
    "UDM_ECS_DISK",
    "STANDARD",
    "BASIC",
    "ASCEND",
    "EQUAL",
    "BETWEEN",
    "IN",
    "NOT_EQUAL",
    "LESS_THAN",
    "JobId",
    "vaultId",
    "CompleteTime",
    "CreatedTime",
    "Status",
    "RUNNING",
    "cn-hangzhou",
    "vault",
    "client",
    "ECS_CLIENT",
    "SELF_ACCOUNT",
    "CROSS_ACCOUNT",
    "I|1602673264|P1D",
    "I|-1|PT0S",
    "I|99999999999999999999|P1D",
    "C|1631685600|0 0 2 ? * 3,5,7",
    "0:24:5120",
    "0:24:0|3:4:5",
    "/",
    "/nonexistent",
    "/*/*/../..",
    "' OR 1=1 --",
    "\"; DROP TABLE jobs; --",
    "%00",
    "[\"\\u0000\"]",
    "[{\"field\":\"JobId\",\"operation\":\"IN\",\"value\":[\"\\u0000\"]}]",
    "[{\"DataSourceId\":\"\\u0000\",\"SourceType\":\"ECS_FILE\",\"PolicyBindingDescription\":\"\\u0000\"}]",
    "\u{0}",
    "\u{feff}\u{202e}ü𝄞",
    "<x>&amp;]]>",
    "=cmd|' /C calc'!A0",
    "..%2f..%2f",
];

struct Generator<'w> {
    random: Random,
    world: &'w World,
    /// Ids of things that are there, the caller's and somebody else's.
    ids: Vec<String>,
    actions: Vec<&'static str>,
    names: Vec<&'static str>,
}

impl Generator<'_> {
    fn value(&mut self) -> String {
        match self.random.below(10) {
            0..=2 => self.random.pick(&self.ids).clone(),
            3 => {
                let length = usize::try_from(self.random.below(5000)).unwrap();
                String::from_utf8_lossy(&self.random.bytes(length)).into_owned()
            }
            4 => self.random.number().to_string(),
            _ => (*self.random.pick(WORDS)).to_owned(),
        }
    }

    fn params(&mut self) -> Vec<(String, String)> {
        let mut params = Vec::new();
        for _ in 0..self.random.below(12) {
            let name = (*self.random.pick(&self.names)).to_owned();
            let name = if self.random.one_in(20) { format!("{name}{}", self.random.below(3)) } else { name };
            if params.iter().all(|(other, _)| *other != name) {
                let value = self.value();
                params.push((name, value));
            }
        }
        params
    }

    fn request(&mut self) -> Request {
        let action = *self.random.pick(&self.actions);
        let params = self.params();
        let mut request = if self.random.one_in(3) {
            let half = params.len() / 2;
            self.world.signed_acs3(action, &params[..half], &params[half..])
        } else {
            let format = *self.random.pick(&["JSON", "XML", "None", ""]);
            let version = if self.random.one_in(20) { "2014-08-15" } else { "2017-09-08" };
            let all = [("Action", action), ("Version", version), ("Format", format)];
            let all = all.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter();
            let method = if self.random.one_in(2) { Method::GET } else { Method::POST };
            self.world.sign(&method, all.chain(params).collect(), self.world.keys())
        };
        if self.random.one_in(4) {
            self.spoil(&mut request);
        }
        request
    }

    /// Changes something after the signing.
    fn spoil(&mut self, request: &mut Request) {
        match self.random.below(8) {
            0 => {
                let methods = ["PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"];
                request.method = self.random.pick(&methods).parse().unwrap();
            }
            1 => request.path = self.random.pick(&["", "//", "/x", "/%2e%2e/", "*"]).to_string(),
            2 => {
                let cut = self.random.below(request.query.len() as u64 + 1);
                request.query.truncate(usize::try_from(cut).unwrap());
            }
            3 => {
                let tails = ["&Action=x", "&%", "&%ff=%fe", "&&=&=", "&a=1&a=2"];
                let tail = self.random.pick(&tails);
                request.query.push_str(tail);
            }
            4 => {
                let length = usize::try_from(self.random.below(70_000)).unwrap();
                request.body = Bytes::from(self.random.bytes(length));
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers.insert("content-type", form);
            }
            5 => {
                let headers = ["authorization", "x-acs-date", "x-acs-action", "host", "content-type"];
                let value = HeaderValue::from_bytes(&self.random.bytes(9).map_printable()).unwrap();
                request.headers.insert(*self.random.pick(&headers), value);
            }
            6 => {
                request.headers.remove(*self.random.pick(&["authorization", "host", "x-acs-version"]));
            }
            _ => {
                let digit = usize::try_from(self.random.below(request.query.len() as u64 + 1)).unwrap();
                request.query.insert(digit, 'Z');
            }
        }
    }
}

trait Printable {
    fn map_printable(self) -> Vec<u8>;
}

impl Printable for Vec<u8> {
    /// Bytes that a header may hold, some of which are not text.
    fn map_printable(self) -> Vec<u8> {
        self.into_iter().map(|byte| if byte < 32 || byte == 127 { b'=' } else { byte }).collect()
    }
}

fn judge(reply: &Reply) {
    let status = reply.status.as_u16();
    assert!(matches!(status, 200 | 400 | 403 | 404), "status {status}");
    let text = std::str::from_utf8(&reply.body).unwrap();
    assert!(!text.contains(MARK), "a row of another account");
    let code = match reply.content_type {
        "application/json;charset=utf-8" => {
            let body: Value = serde_json::from_str(text).unwrap();
            assert_eq!(body["Success"], status == 200);
            ["Code", "Message", "RequestId"].map(|name| body[name].as_str().unwrap().to_owned())[0].clone()
        }
        "text/xml;charset=utf-8" => {
            let root = if status == 200 { "Response>" } else { "</Error>" };
            assert!(text.starts_with("<?xml version='1.0' encoding='UTF-8'?><") && text.ends_with(root));
            let (_, rest) = text.split_once("<Code>").unwrap();
            rest.split_once("</Code>").unwrap().0.to_owned()
        }
        other => panic!("content type {other}"),
    };
    assert_eq!(code == "200", status == 200);
    assert!(!code.is_empty());
}

#[expect(clippy::disallowed_methods, reason = "other runs are asked for in the environment")]
fn seed() -> u64 {
    std::env::var("LIFEBOAT_TEST_SEED").map_or(20_170_908, |text| text.parse().unwrap())
}

/// Everything the account has, as it is listed.
async fn listed(world: &World, vault: &str) -> Vec<Value> {
    let query =
        serde_json::json!([{"field": "VaultId", "value": vault, "operation": "MATCH_TERM"}]).to_string();
    let mut all = vec![world.ok("SearchHistoricalSnapshots", &[("Query", &query)]).await];
    for action in ["DescribeVaults", "DescribeBackupPlans", "DescribeBackupJobs2", "DescribeRestoreJobs2"] {
        all.push(world.ok(action, &[]).await);
    }
    for body in &mut all {
        body.as_object_mut().unwrap().remove("RequestId");
    }
    all
}

/// A vault, a plan, a job and a snapshot; their ids.
async fn things(world: &World, name: &str) -> Vec<String> {
    let folder = world.files().join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(name), name).unwrap();
    let vault = world.vault(name).await;
    let plan = world.plan(&vault, name, &folder).await;
    let job = world.back_up(&plan).await;
    let snapshot = world.snapshot(&job).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (id, hash) = (text(&snapshot["SnapshotId"]), text(&snapshot["SnapshotHash"]));
    let client = world.root.client.to_string();
    vec![vault, plan, text(&job["JobId"]), id, hash, client, world.root.instance.to_string()]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_in_an_answer_goes_out_and_nothing_of_another_account() {
    ask(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_where_the_catalog_is_on_postgres() {
    let postgres = Postgres::start();
    ask(World::start_on(CatalogPlace::Postgres(postgres.database("hostile"))).await).await;
}

async fn ask(world: World) {
    let other = world.other_account(4_000_000_000_000_001).await;
    let theirs = things(&other, MARK).await;
    let before = listed(&other, &theirs[0]).await;
    let ids = [things(&world, "own").await, theirs.clone()].concat();
    let seed = seed();
    let words = |text: &'static str| text.split_whitespace().chain([""]).collect::<Vec<_>>();
    let (actions, names) = (words(ACTIONS), words(NAMES));
    let mut generator = Generator { random: Random::new(seed), world: &world, ids, actions, names };
    let mut statuses = std::collections::BTreeMap::<u16, u64>::new();
    for number in 0..soak::count(2000, "hostile") {
        let request = generator.request();
        let reply = world.send(&request).await;
        let judged = std::panic::catch_unwind(|| judge(&reply));
        assert!(judged.is_ok(), "request {number} of seed {seed}: {request:?}\n{reply:?}");
        *statuses.entry(reply.status.as_u16()).or_default() += 1;
    }
    // All kinds of answers were reached: it is not all refused at the door.
    assert!([200, 400, 404].iter().all(|status| statuses.contains_key(status)), "{statuses:?}");
    assert_eq!(listed(&other, &theirs[0]).await, before);
}
