//! A service in a folder of its own, and clients of it that sign as real ones do.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, StatusCode};
use jiff::tz::TimeZone;
use lifeboat_api::alibaba::handle;
use lifeboat_api::http_types::{Reply, Request};
use lifeboat_catalog::NewAccessKey;
use lifeboat_model::id::{AccountId, ClientId, InstanceId};
use lifeboat_model::time::Millis;
use lifeboat_repository::clock::Time;
use lifeboat_service::{
    Catalog, CatalogPlace, ClientRow, Clock, Dispatcher, Limits, Random, Root, Sealer, Secret, Service, Start,
};
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::time::FakeTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::page::{Seen, prefix};

pub(crate) const SERVER_KEY: &[u8; 32] = &[7; 32];
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The number of the root account.
const ROOT: i64 = 1_589_750_000_004_625;
/// Longer than any job of a test takes on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A service, and who is its caller in a test.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) root: Root,
    pub(crate) clock: Arc<FakeTime>,
    pub(crate) catalog: Catalog,
    folder: Arc<tempfile::TempDir>,
    requests: Arc<AtomicU64>,
    /// What every answer so far has shown.
    pub(crate) seen: Arc<Mutex<Seen>>,
}

struct WorldClock(Arc<FakeTime>);

impl Clock for WorldClock {
    fn now(&self) -> Millis {
        lifeboat_repository::clock::Clock::now(&*self.0).into()
    }
}

/// Numbers that differ, and nothing more.
struct Counted(AtomicU64);

impl Random for Counted {
    fn number(&self) -> u128 {
        let number = u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1);
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

async fn service_in(
    folder: &Path,
    catalog: &CatalogPlace,
    clock: &Arc<FakeTime>,
    root: &Root,
) -> (Service, Catalog) {
    let catalog = Catalog::open(catalog).await.unwrap();
    let start = Start {
        catalog: catalog.clone(),
        sealer: Sealer::new(SERVER_KEY),
        clock: Arc::new(WorldClock(Arc::clone(clock))),
        random: Arc::new(Counted(AtomicU64::new(root.account.number().unsigned_abs() % 999_983))),
        time: Time { clock: Arc::<FakeTime>::clone(clock), zone: TimeZone::UTC },
        vault_root: folder.join("vaults"),
        region: "cn-hangzhou".to_owned(),
        hostname: "testhost".to_owned(),
        server: "server".to_owned(),
        spool_folder: folder.to_owned(),
        temp_folder: folder.join("temp"),
        data_folder: folder.to_owned(),
        instance_root: folder.join("instances"),
        limits: Limits::default(),
    };
    (start.run(root).await.unwrap(), catalog)
}

impl World {
    /// Starts a service whose jobs are run.
    pub(crate) async fn start() -> Self {
        Self::start_stopped().await.begin()
    }

    /// The same on this catalog.
    pub(crate) async fn start_on(place: CatalogPlace) -> Self {
        Self::make(ROOT, Some(place)).await.begin()
    }

    fn begin(self) -> Self {
        drop(tokio::spawn(Dispatcher::new(self.service.clone()).run()));
        self
    }

    /// A service whose jobs are not run.
    pub(crate) async fn start_stopped() -> Self {
        Self::make(ROOT, None).await
    }

    /// The same where the root account has this number, and its client, too.
    pub(crate) async fn start_stopped_as(root: i64) -> Self {
        Self::make(root, None).await
    }

    async fn make(root: i64, place: Option<CatalogPlace>) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        for below in ["vaults", "files"] {
            std::fs::create_dir(folder.path().join(below)).unwrap();
        }
        let clock = Arc::<FakeTime>::default();
        let root = Root {
            account: AccountId::from_number(root).unwrap(),
            access_key_id: "testid".to_owned(),
            access_key_secret: Secret::new("testsecret"),
            client: ClientId::new(root.unsigned_abs().into()),
            instance: InstanceId::new(root.unsigned_abs().into()),
            version: "0.1.0".to_owned(),
        };
        let place = place.unwrap_or_else(|| CatalogPlace::Sqlite(folder.path().join("catalog.sqlite")));
        let (service, catalog) = service_in(folder.path(), &place, &clock, &root).await;
        Self { service, root, clock, catalog, folder, requests: Arc::default(), seen: Arc::default() }
    }

    /// Another server in the same folder.
    pub(crate) async fn restarted(&self) -> Self {
        let place = CatalogPlace::Sqlite(self.folder.path().join("catalog.sqlite"));
        let (service, catalog) = service_in(self.folder.path(), &place, &self.clock, &self.root).await;
        Self {
            service,
            root: self.root.clone(),
            clock: Arc::clone(&self.clock),
            catalog,
            folder: Arc::clone(&self.folder),
            requests: Arc::clone(&self.requests),
            seen: Arc::clone(&self.seen),
        }
    }

    /// The same service for a caller of another account, which has a client of its own.
    pub(crate) async fn other_account(&self, number: i64) -> Self {
        let account = AccountId::from_number(number).unwrap();
        let root = Root {
            account,
            access_key_id: format!("key-of-{number}"),
            access_key_secret: Secret::new(format!("secret-of-{number}")),
            client: ClientId::new(number.unsigned_abs().into()),
            instance: InstanceId::new(number.unsigned_abs().into()),
            version: self.root.version.clone(),
        };
        let now = self.service.now();
        self.catalog.insert_account(account, &number.to_string(), now).await.unwrap();
        let owner = format!("access key {}", root.access_key_id);
        let secret = Sealer::new(SERVER_KEY).seal(&owner, root.access_key_secret.expose());
        let key = NewAccessKey { id: root.access_key_id.clone(), account, user: None, secret };
        self.catalog.insert_access_key(key, now).await.unwrap();
        let client = ClientRow {
            id: root.client.clone(),
            account,
            instance: root.instance.clone(),
            hostname: "otherhost".to_owned(),
            version: root.version.clone(),
            created: now,
            heard_of: now,
            is_protected: false,
        };
        self.catalog.upsert_client(&client).await.unwrap();
        Self {
            service: self.service.clone(),
            root,
            clock: Arc::clone(&self.clock),
            catalog: self.catalog.clone(),
            folder: Arc::clone(&self.folder),
            requests: Arc::clone(&self.requests),
            seen: Arc::clone(&self.seen),
        }
    }

    pub(crate) fn keys(&self) -> (&str, &str) {
        (&self.root.access_key_id, self.root.access_key_secret.expose())
    }

    /// The same world with an empty catalog, as it is when the server's is lost.
    pub(crate) async fn without_catalog(self) -> Self {
        let place = CatalogPlace::Sqlite(self.folder.path().join("another.sqlite"));
        let (service, catalog) = service_in(self.folder.path(), &place, &self.clock, &self.root).await;
        Self { service, catalog, ..self }
    }

    /// The folder of a vault.
    pub(crate) fn vault_folder(&self, id: &str) -> PathBuf {
        self.folder.path().join("vaults").join(id)
    }

    /// Stock restic for a vault, with the password that lies sealed beside it.
    pub(crate) fn restic(&self, id: &str) -> Restic {
        let folder = self.vault_folder(id);
        let spec: Value =
            serde_json::from_slice(&std::fs::read(folder.join("lifeboat.json")).unwrap()).unwrap();
        let sealed = spec["password"].as_str().unwrap();
        let password = Sealer::new(SERVER_KEY).open(&format!("vault {id}"), sealed).unwrap();
        Restic::new(folder).with_password(password)
    }

    /// A place for files of the test.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub(crate) fn timestamp(&self) -> String {
        let now = lifeboat_repository::clock::Clock::now(&*self.clock);
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: &Request) -> Reply {
        handle(&self.service, request, &format!("request-{}", self.number())).await.0
    }

    fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls an operation as the root account, one of Cloud Backup or `rds:…` or `kvstore:…`; status and JSON body.
    pub(crate) async fn call(&self, action: &str, params: &[(&str, &str)]) -> (StatusCode, Value) {
        self.call_as(self.keys(), action, params).await
    }

    /// The same with an access key of somebody else. What is sent is held against the page of the operations.
    pub(crate) fn call_as<'a>(
        &'a self,
        key: (&'a str, &'a str),
        action: &'a str,
        params: &'a [(&'a str, &'a str)],
    ) -> Pin<Box<dyn Future<Output = (StatusCode, Value)> + Send + 'a>> {
        // Of one type for all who wait for it: the tests would take minutes to compile.
        Box::pin(async move {
            let reply = self.send(&self.signed(key, action, params)).await;
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            if reply.status == StatusCode::OK {
                let mut seen = self.seen.lock().unwrap();
                seen.look(action, &body);
                assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
            }
            (reply.status, body)
        })
    }

    /// The same for an operation that succeeds.
    pub(crate) async fn ok(&self, action: &str, params: &[(&str, &str)]) -> Value {
        let (status, body) = self.call(action, params).await;
        assert_eq!(status, 200, "{action} {params:?}: {body}");
        body
    }

    /// The same for an operation that is refused: status and code, and the message.
    pub(crate) async fn refused(&self, action: &str, params: &[(&str, &str)]) -> (u16, String, String) {
        let (status, body) = self.call(action, params).await;
        assert_ne!(status, 200, "{action} {params:?}: {body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        assert!(body["Success"] == false && !text("RequestId").is_empty() && body["HostId"] == "testhost");
        (status.as_u16(), text("Code"), text("Message"))
    }

    /// A request of version 1, all parameters in the query.
    pub(crate) fn signed(&self, key: (&str, &str), action: &str, params: &[(&str, &str)]) -> Request {
        let version = match prefix(action) {
            "rds:" => "2014-08-15",
            "kvstore:" => "2015-01-01",
            _ => "2017-09-08",
        };
        let mut all: Vec<(String, String)> = vec![
            ("Action".into(), action[prefix(action).len()..].into()),
            ("Version".into(), version.into()),
            ("Format".into(), "JSON".into()),
        ];
        all.extend(params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.sign(&Method::GET, all, key)
    }

    /// A request with the newer signature: some parameters in the query, the others in the body.
    pub(crate) fn signed_acs3(
        &self,
        action: &str,
        query_params: &[(String, String)],
        body_params: &[(String, String)],
    ) -> Request {
        let mut sorted = query_params.to_vec();
        sorted.sort();
        let body = query(body_params);
        let digest = hex::encode(Sha256::digest(&body));
        let signed = [
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("host", "testhost".to_owned()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", digest.clone()),
            ("x-acs-date", self.timestamp()),
            ("x-acs-signature-nonce", format!("nonce-{}", self.number())),
            ("x-acs-version", "2017-09-08".to_owned()),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in &signed {
            headers.insert(*name, value.parse().unwrap());
        }
        let names = signed.each_ref().map(|(name, _)| *name).join(";");
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n/\n{}\n{lines}\n{names}\n{digest}", query(&sorted));
        let text = format!("ACS3-HMAC-SHA256\n{}", hex::encode(Sha256::digest(canonical)));
        let (id, secret) = self.keys();
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        let signature = hex::encode(mac.chain_update(text).finalize().into_bytes());
        let header = format!("ACS3-HMAC-SHA256 Credential={id},SignedHeaders={names},Signature={signature}");
        headers.insert("authorization", header.parse().unwrap());
        Request {
            method: Method::POST,
            query: query(query_params),
            headers,
            body: body.into(),
            ..self.sign(&Method::POST, Vec::new(), self.keys())
        }
    }

    /// Adds what a signature needs, and the signature.
    pub(crate) fn sign(
        &self,
        method: &Method,
        mut params: Vec<(String, String)>,
        (id, secret): (&str, &str),
    ) -> Request {
        let mut add = |name: &str, value: String| params.push((name.to_owned(), value));
        add("AccessKeyId", id.to_owned());
        add("SignatureMethod", "HMAC-SHA1".to_owned());
        add("SignatureVersion", "1.0".to_owned());
        add("SignatureNonce", format!("nonce-{}", self.number()));
        add("Timestamp", self.timestamp());
        params.sort();
        let canonical = query(&params);
        let text = format!("{method}&%2F&{}", strict(&canonical));
        let mac = Hmac::<Sha1>::new_from_slice(format!("{secret}&").as_bytes()).unwrap();
        let signature = STANDARD.encode(mac.chain_update(text).finalize().into_bytes());
        let mut headers = HeaderMap::new();
        headers.insert("host", "testhost".parse().unwrap());
        Request {
            method: method.clone(),
            path: "/".to_owned(),
            query: format!("{canonical}&Signature={}", strict(&signature)),
            headers,
            body: Bytes::new(),
            peer: [127, 0, 0, 1].into(),
            is_secure: false,
        }
    }

    /// Makes a vault, a second after the last one, and waits until it is there.
    pub(crate) async fn vault(&self, name: &str) -> String {
        self.clock.pass(Duration::from_secs(1));
        let made = self.ok("CreateVault", &[("VaultName", name), ("VaultRegionId", "cn-hangzhou")]).await;
        let id = made["VaultId"].as_str().unwrap().to_owned();
        self.until(async || {
            let found = self.ok("DescribeVaults", &[("VaultId", &id)]).await;
            (found["Vaults"]["Vault"][0]["Status"] == "CREATED").then_some(())
        })
        .await;
        id
    }

    /// Makes a plan for one folder.
    pub(crate) async fn plan(&self, vault: &str, name: &str, path: &Path) -> String {
        let params = [
            ("SourceType", "ECS_FILE"),
            ("VaultId", vault),
            ("InstanceId", self.root.instance.as_str()),
            ("PlanName", name),
            ("Schedule", "I|1602673264|P1D"),
            ("Retention", "7"),
            ("Path.1", path.to_str().unwrap()),
        ];
        self.ok("CreateBackupPlan", &params).await["PlanId"].as_str().unwrap().to_owned()
    }

    /// Runs a plan, waits for the end, and returns the row of the job.
    pub(crate) async fn back_up(&self, plan: &str) -> Value {
        let job = self.ok("ExecuteBackupPlan", &[("PlanId", plan)]).await["JobId"].clone();
        self.until(async || {
            let row = self.backup_job(job.as_str().unwrap()).await;
            row.get("CompleteTime").is_some().then_some(row)
        })
        .await
    }

    pub(crate) async fn backup_job(&self, id: &str) -> Value {
        let filter = [("Filters.1.Key", "JobId"), ("Filters.1.Values.1", id)];
        self.ok("DescribeBackupJobs2", &filter).await["BackupJobs"]["BackupJob"][0].clone()
    }

    /// The snapshot that a job has made.
    pub(crate) async fn snapshot(&self, job: &Value) -> Value {
        let query = serde_json::json!([
            {"field": "VaultId", "value": job["VaultId"], "operation": "MATCH_TERM"},
            {"field": "JobId", "value": job["JobId"], "operation": "MATCH_TERM"},
        ]);
        let found = self.ok("SearchHistoricalSnapshots", &[("Query", &query.to_string())]).await;
        found["Snapshots"]["Snapshot"][0].clone()
    }

    /// Asks again and again until there is an answer.
    pub(crate) async fn until<T>(&self, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let asked = async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("what was waited for does not happen")
    }
}

pub(crate) fn query(params: &[(String, String)]) -> String {
    let pairs: Vec<_> =
        params.iter().map(|(name, value)| format!("{}={}", strict(name), strict(value))).collect();
    pairs.join("&")
}

pub(crate) fn strict(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}
