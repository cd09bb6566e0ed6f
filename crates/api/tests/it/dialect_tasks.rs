//! Backups of databases as RDS and Tair tell of them: one job, two projections, and what is refused.

use std::collections::BTreeSet;

use http::Method;
use lifeboat_model::database::Phase;
use lifeboat_model::resource::{Engine, ResourceState};
use serde_json::{Value, json};

use crate::by_hand::detail;
use crate::dialects::resources;
use crate::world::World;

const RDS: (&str, &str) = ("DBInstanceId", "rm-1");
const TAIR: (&str, &str) = ("InstanceId", "r-1");

async fn rds_row(world: &World) -> Value {
    world.ok("rds:DescribeBackupTasks", &[RDS]).await["Items"]["BackupJob"][0].clone()
}

async fn tair_row(world: &World) -> Value {
    world.ok("kvstore:DescribeBackupTasks", &[TAIR]).await["BackupJobs"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_phase_shows_as_itself_in_both_products() {
    let world = World::start_stopped().await;
    resources(&world).await;
    world.ok("rds:CreateBackup", &[RDS]).await;
    world.ok("kvstore:CreateBackup", &[TAIR]).await;
    let shown = async |task: &str, program: &str, percent: Option<&str>| {
        let rds = rds_row(&world).await;
        assert_eq!((&rds["BackupStatus"], &rds["BackupProgressStatus"]), (&json!(task), &json!(program)));
        assert_eq!(rds.get("Process").map(|text| text.as_str().unwrap()), percent, "{rds}");
        let tair = tair_row(&world).await;
        assert_eq!(tair["BackupProgressStatus"], program);
        assert_eq!(tair["Process"], percent.unwrap_or("0"), "{tair}");
        assert_eq!(tair.get("StartTime").is_some(), percent.is_some(), "{tair}");
    };
    shown("NoStart", "NoStart", None).await;
    let jobs = [world.claim().await, world.claim().await];
    shown("Checking", "NoStart", Some("0")).await;
    for (phase, percent, task, program) in [
        (Phase::Checking, 0, "Checking", "NoStart"),
        (Phase::Waiting, 0, "Waiting", "Waiting"),
        (Phase::Preparing, 0, "Preparing", "Preparing"),
        (Phase::Streaming, 25, "Uploading", "Uploading"),
        (Phase::Streaming, 100, "Uploading", "Uploading"),
        (Phase::ReadingBack, 100, "Uploading", "Checking"),
    ] {
        for job in &jobs {
            world.enter(job, phase).await;
            world.came(job, percent).await;
        }
        // Nothing is whole before it was verified.
        shown(task, program, Some(&percent.min(99).to_string())).await;
    }
    let [first, second] = jobs;
    world.end(first, Some(detail("15.18")), None).await;
    world.end(second, Some(detail("7.0.15")), None).await;
    shown("Finished", "Finished", Some("100")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_says_where_and_leaves_no_set() {
    let world = World::start_stopped().await;
    resources(&world).await;
    for (action, id) in [("rds:CreateBackup", RDS), ("kvstore:CreateBackup", TAIR)] {
        world.ok(action, &[id]).await;
        let job = world.claim().await;
        world.enter(&job, Phase::Streaming).await;
        world.came(&job, 30).await;
        world.end(job, None, None).await;
    }
    let row = rds_row(&world).await;
    assert_eq!((&row["BackupStatus"], &row["BackupProgressStatus"]), (&json!("Failed"), &json!("Uploading")));
    assert_eq!(row["Process"], "40");
    let job = row["BackupJobId"].to_string();
    let named = world.ok("rds:DescribeBackupTasks", &[RDS, ("BackupJobId", &job)]).await;
    assert_eq!(named["Items"]["BackupJob"][0].get("BackupId"), None);
    assert_eq!(world.ok("kvstore:DescribeBackupTasks", &[TAIR]).await["BackupJobs"], json!([]));
    let rds = world.ok("rds:DescribeBackups", &[RDS]).await;
    let times = [TAIR, ("StartTime", "2023-01-01T00:00Z"), ("EndTime", "2043-01-01T00:00Z")];
    let tair = world.ok("kvstore:DescribeBackups", &times).await;
    for (rows, total) in [
        (&rds["Items"]["Backup"], &rds["TotalRecordCount"]),
        (&tair["Backups"]["Backup"], &tair["TotalCount"]),
    ] {
        assert_eq!((&rows[0]["BackupStatus"], total.to_string().trim_matches('"')), (&json!("Failed"), "1"));
    }
    assert_eq!(
        world.ok("rds:DescribeBackups", &[RDS, ("BackupStatus", "Success")]).await["TotalRecordCount"],
        "0"
    );
    // The next one works.
    world.ok("rds:CreateBackup", &[RDS]).await;
    let job = world.claim().await;
    world.end(job, Some(detail("15.18")), None).await;
    assert_eq!(rds_row(&world).await["BackupStatus"], "Finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_told_to_who_names_its_job_and_can_be_deleted() {
    let world = World::start_stopped().await;
    resources(&world).await;
    let job =
        world.ok("rds:CreateBackup", &[RDS, ("BackupRetentionPeriod", "9")]).await["BackupJobId"].clone();
    let job = job.as_str().unwrap();
    let claimed = world.claim().await;
    let named = async || {
        world.ok("rds:DescribeBackupTasks", &[RDS, ("BackupJobId", job)]).await["Items"]["BackupJob"][0]
            .clone()
    };
    assert_eq!(named().await.get("BackupId"), None);
    world.end(claimed, Some(detail("15.18")), Some(9)).await;
    let row = named().await;
    assert_eq!(
        (row["BackupJobId"].to_string().as_str(), &row["TaskAction"]),
        (job, &json!("TempBackupTask"))
    );
    assert_eq!(rds_row(&world).await.get("BackupId"), None, "it was not named");
    let set = row["BackupId"].as_str().unwrap();
    let found =
        world.ok("rds:DescribeBackups", &[RDS, ("BackupId", set)]).await["Items"]["Backup"][0].clone();
    assert_eq!((&found["BackupId"], &found["EngineVersion"]), (&json!(set), &json!("15.0")));
    assert_eq!((&found["BackupInitiator"], &found["StoreStatus"]), (&json!("User"), &json!("Enabled")));
    let (status, code, _) =
        world.refused("rds:DeleteBackup", &[("DBInstanceId", "rm-2"), ("BackupId", set)]).await;
    assert_eq!((status, code.as_str()), (404, "InvalidBackupSetID.NotFound"));
    let (_, code, _) = world.refused("rds:DeleteBackup", &[RDS, ("BackupId", &format!("{set},1"))]).await;
    assert_eq!(code, "InvalidBackupSetID.NotFound");
    world.ok("rds:DeleteBackup", &[RDS, ("BackupId", set)]).await;
    assert_eq!(world.ok("rds:DescribeBackups", &[RDS]).await["TotalRecordCount"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_of_the_schedule_stay_and_are_only_ever_kept_longer() {
    let world = World::start_stopped().await;
    resources(&world).await;
    world.scheduled("r-1", Engine::Redis, &[]).await;
    let job = world.claim().await;
    world.end(job, Some(detail("7.0.15")), Some(7)).await;
    let times = [TAIR, ("StartTime", "2023-01-01T00:00Z"), ("EndTime", "2043-01-01T00:00Z")];
    let found = world.ok("kvstore:DescribeBackups", &times).await["Backups"]["Backup"][0].clone();
    assert_eq!((&found["BackupMode"], &found["NodeInstanceId"]), (&json!("Automated"), &json!("r-1-db-0")));
    let set = found["BackupId"].to_string();
    let (_, code, _) = world.refused("kvstore:DeleteBackup", &[TAIR, ("BackupId", &set)]).await;
    assert_eq!(code, "IncorrectBackupSetState");
    let sooner = [TAIR, ("BackupId", &set), ("ExpectExpireTime", "2023-11-15T00:00Z")];
    let (_, code, _) = world.refused("kvstore:ModifyBackupExpireTime", &sooner).await;
    assert_eq!(code, "IncorrectBackupSetState");
    world
        .ok(
            "kvstore:ModifyBackupExpireTime",
            &[TAIR, ("BackupId", &set), ("ExpectExpireTime", "2033-01-02T03:04Z")],
        )
        .await;
    let found = world.ok("kvstore:DescribeBackups", &times).await["Backups"]["Backup"][0].clone();
    assert_eq!(found["ExpectExpireTime"], "2033-01-02T03:04Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster_share_one_job() {
    let world = World::start_stopped().await;
    resources(&world).await;
    let number = world.scheduled("r-2", Engine::Redis, &["aaa", "bbb", "ccc"]).await;
    let rows = world.ok("kvstore:DescribeBackupTasks", &[("InstanceId", "r-2")]).await["BackupJobs"].clone();
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().all(|row| row["BackupJobID"] == number && row["TaskAction"] == "NormalBackupTask"));
    let nodes: BTreeSet<_> = rows.iter().map(|row| row["NodeId"].as_str().unwrap()).collect();
    assert_eq!(nodes, BTreeSet::from(["aaa", "bbb", "ccc"]));
    let times = [("InstanceId", "r-2"), ("StartTime", "2023-01-01T00:00Z"), ("EndTime", "2043-01-01T00:00Z")];
    let family =
        async || world.ok("kvstore:DescribeClusterBackupList", &times).await["ClusterBackups"].clone();
    let (first, second, third) = (world.claim().await, world.claim().await, world.claim().await);
    world.end(first, Some(detail("7.0.15")), None).await;
    let shown = family().await;
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["ClusterBackupStatus"]), (1, &json!("RUNNING")));
    assert_eq!((&shown[0]["Progress"], shown[0]["Backups"].as_array().unwrap().len()), (&json!("33%"), 1));
    world.end(second, Some(detail("7.0.15")), None).await;
    world.end(third, Some(detail("7.0.15")), None).await;
    let shown = family().await;
    assert_eq!((&shown[0]["ClusterBackupStatus"], &shown[0]["IsAvail"]), (&json!("OK"), &json!(1)));
    assert_eq!(
        (&shown[0]["ClusterBackupId"], shown[0]["Backups"].as_array().unwrap().len()),
        (&json!(format!("cb-{number}")), 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_busy_is_refused_by_the_codes_of_the_product() {
    let world = World::start_stopped().await;
    resources(&world).await;
    let other = world.other_account(2).await;
    for (action, name, own, code) in [
        ("rds:CreateBackup", "DBInstanceId", "rm-1", "InvalidDBInstanceId.NotFound"),
        ("rds:DescribeBackupTasks", "DBInstanceId", "rm-1", "InvalidDBInstanceId.NotFound"),
        ("rds:DescribeBackupPolicy", "DBInstanceId", "rm-1", "InvalidDBInstanceId.NotFound"),
        ("kvstore:CreateBackup", "InstanceId", "r-1", "InvalidInstanceId.NotFound"),
        ("kvstore:DescribeBackupTasks", "InstanceId", "r-1", "InvalidInstanceId.NotFound"),
    ] {
        for (who, id) in [
            (&other, own),
            (&world, "rm-none"),
            (&world, "r-none"),
            (&world, "no id"),
            (&world, "r-bp1zxszhcgatnx****"),
        ] {
            let (status, refused, _) = who.refused(action, &[(name, id)]).await;
            assert_eq!((status, refused.as_str()), (404, code), "{action} {id}");
        }
    }
    for (action, id, busy) in [("rds:CreateBackup", RDS, "rm-2"), ("kvstore:CreateBackup", TAIR, "r-2")] {
        world.ok(action, &[id]).await;
        let (status, code, _) = world.refused(action, &[id]).await;
        assert_eq!((status, code.as_str()), (400, "BackupJobExists"));
        let (status, code, _) = world.refused(action, &[(id.0, busy)]).await;
        assert_eq!((status, code.as_str()), (400, "IncorrectDBInstanceState"));
    }
}

/// Operation, parameters, the code of the refusal, and what its message says.
type Refused = (&'static str, [(&'static str, &'static str); 2], &'static str, &'static str);

const REFUSED: &[Refused] = &[
    (
        "rds:DescribeBackupTasks",
        [RDS, ("BackupMode", "Auto")],
        "InvalidParameter.BackupMode",
        "Automated or Manual",
    ),
    (
        "rds:DescribeBackupTasks",
        [RDS, ("BackupJobStatus", "Finished")],
        "InvalidParameter.BackupJobStatus",
        "NoStart or Progressing",
    ),
    ("rds:DescribeBackupTasks", [RDS, ("ClientToken", "é")], "InvalidParameter.ClientToken", "64 ASCII"),
    ("rds:DescribeBackupTasks", [RDS, ("BackupJobId", "x")], "InvalidParameter.BackupJobId", "whole number"),
    (
        "kvstore:DescribeBackupTasks",
        [TAIR, ("JobMode", "Auto")],
        "InvalidParameter.JobMode",
        "Automated or Manual",
    ),
    ("kvstore:DescribeBackups", [TAIR, ("StartTime", "2023-01-01T00:00Z")], "MissingEndTime", "EndTime"),
    (
        "rds:CreateBackup",
        [RDS, ("BackupMethod", "Snapshot")],
        "InvalidBackupMethod.ValueNotSupport",
        "Physical or Logical",
    ),
    ("rds:CreateBackup", [RDS, ("DBName", "shop")], "InvalidParameter.DBName", "BackupStrategy db"),
    ("rds:CreateBackup", [RDS, ("BackupStrategy", "db")], "MissingDBName", "DBName"),
    (
        "rds:CreateBackup",
        [RDS, ("BackupRetentionPeriod", "6")],
        "InvalidParameter.BackupRetentionPeriod",
        "from 7 to 730",
    ),
    (
        "rds:ModifyBackupPolicy",
        [RDS, ("PreferredBackupTime", "18:00Z-19:00Z")],
        "MissingPreferredBackupPeriod",
        "mandatory",
    ),
    ("rds:ModifyBackupPolicy", [RDS, ("EnableBackupLog", "1")], "InvalidParameter.EnableBackupLog", "0 or"),
    (
        "rds:ModifyBackupPolicy",
        [RDS, ("CompressType", "8")],
        "InvalidParameter.CompressType",
        "cannot be set",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_name_with_what_would() {
    let world = World::start_stopped().await;
    resources(&world).await;
    for (action, params, code, said) in REFUSED {
        let (status, refused, message) = world.refused(action, params).await;
        assert_eq!((status, refused.as_str()), (400, *code), "{action} {params:?}");
        assert!(message.contains(said), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_keys_that_makes_no_sense_is_refused_at_the_request() {
    let world = World::start_stopped().await;
    resources(&world).await;
    for list in ["user:(", "a)(b", " , ", "user.*,[z-a]"] {
        let params = [TAIR, ("BackupId", "7"), ("FilterKey", list)];
        let (status, code, message) = world.refused("kvstore:RestoreInstance", &params).await;
        assert_eq!((status, code.as_str()), (400, "InvalidParameter.FilterKey"), "{message}");
        assert!(message.contains("regular expression"), "{message}");
    }
    let params = [TAIR, ("BackupId", "7"), ("FilterKey", "user:.*,cart")];
    let (_, code, _) = world.refused("kvstore:RestoreInstance", &params).await;
    assert_eq!(code, "InvalidBackupSetID.NotFound", "the list makes sense, and there is no such set");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_what_was_said_last_and_tells_when_it_runs() {
    let world = World::start_stopped().await;
    resources(&world).await;
    let none = world.ok("rds:DescribeBackupPolicy", &[RDS]).await;
    assert_eq!((&none["BackupRetentionPeriod"], none.get("PreferredNextBackupTime")), (&json!(7), None));
    let set = [RDS, ("PreferredBackupTime", "18:30Z-19:30Z"), ("PreferredBackupPeriod", "Friday,Monday")];
    assert_eq!(world.ok("rds:ModifyBackupPolicy", &set).await["DBInstanceID"], "rm-1");
    world.ok("rds:ModifyBackupPolicy", &[RDS, ("BackupRetentionPeriod", "30")]).await;
    let policy = world.ok("rds:DescribeBackupPolicy", &[RDS]).await;
    assert_eq!(
        (&policy["PreferredBackupTime"], &policy["PreferredBackupPeriod"]),
        (&json!("18:30Z-19:30Z"), &json!("Monday,Friday"))
    );
    // It is Tuesday, the 14th of November 2023.
    assert_eq!(
        (&policy["BackupRetentionPeriod"], &policy["PreferredNextBackupTime"]),
        (&json!(30), &json!("2023-11-17T18:30Z"))
    );
    for (time, days) in [
        ("18:30Z-19:30Z", "Monday"),
        ("18:00Z-20:00Z", "Monday"),
        ("18:00-19:00", "Monday"),
        ("24:00Z-25:00Z", "Monday"),
        ("18:00Z-19:00Z", "monday"),
        ("18:00Z-19:00Z", ""),
        ("", "Monday"),
    ] {
        let params = [TAIR, ("PreferredBackupTime", time), ("PreferredBackupPeriod", days)];
        let (status, _, message) = world.refused("kvstore:ModifyBackupPolicy", &params).await;
        assert!(status == 400 && message.contains("PreferredBackup"), "{time} {days}: {message}");
    }
    let params = [TAIR, ("PreferredBackupTime", "23:00Z-00:00Z"), ("PreferredBackupPeriod", "Sunday")];
    world.ok("kvstore:ModifyBackupPolicy", &params).await;
    let policy = world.ok("kvstore:DescribeBackupPolicy", &[TAIR]).await;
    assert_eq!(
        (&policy["BackupRetentionPeriod"], &policy["PreferredNextBackupTime"]),
        (&json!("7"), &json!("2023-11-19T23:00Z"))
    );
}

/// The requests that the documents print, as they stand.
async fn send(world: &World, version: &str, params: &[(&str, &str)]) -> String {
    let all = [("Action", "DescribeBackupTasks"), ("Version", version)];
    let all = all.iter().chain(params).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let reply = world.send(&world.sign(&Method::GET, all.collect(), world.keys())).await;
    assert_eq!(reply.status, 200);
    String::from_utf8(reply.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_rds_prints_gets_the_answer_printed_there() {
    let world = World::start_stopped().await;
    world.resource("rm-uf6wjk5xxxxxxx", Engine::Mariadb, "one", ResourceState::Running).await;
    let number = world.scheduled("rm-uf6wjk5xxxxxxx", Engine::Mariadb, &[]).await;
    let asked = [("DBInstanceId", "rm-uf6wjk5xxxxxxx")];
    let xml = send(&world, "2014-08-15", &asked).await;
    let job = format!(
        "<BackupJob><BackupJobId>{number}</BackupJobId><BackupProgressStatus>NoStart</BackupProgressStatus>\
         <BackupStatus>NoStart</BackupStatus><JobMode>Automated</JobMode>\
         <TaskAction>NormalBackupTask</TaskAction></BackupJob>"
    );
    let (head, tail) = (
        "<?xml version='1.0' encoding='UTF-8'?><DescribeBackupTasksResponse>",
        "</DescribeBackupTasksResponse>",
    );
    assert!(xml.starts_with(head) && xml.ends_with(tail), "{xml}");
    assert!(xml.contains(&format!("<Items>{job}</Items>")) && xml.contains("<RequestId>"), "{xml}");
    let body: Value = serde_json::from_str(
        &send(&world, "2014-08-15", &[&asked[..], &[("Format", "JSON")]].concat()).await,
    )
    .unwrap();
    let row = json!({"JobMode": "Automated", "BackupProgressStatus": "NoStart", "TaskAction": "NormalBackupTask",
        "BackupStatus": "NoStart", "BackupJobId": number});
    assert_eq!(body, json!({"Items": {"BackupJob": [row]}, "RequestId": body["RequestId"]}));
    let every = [
        ("ClientToken", "ETnLKlblzczshOTUbOCzxxxxxxx"),
        ("Flag", "x"),
        ("BackupMode", "Automated"),
        ("BackupJobStatus", "NoStart"),
    ];
    let number_text = number.to_string();
    let every = [&asked[..], &every, &[("Format", "JSON"), ("BackupJobId", &number_text)]].concat();
    assert_eq!(
        serde_json::from_str::<Value>(&send(&world, "2014-08-15", &every).await).unwrap()["Items"],
        body["Items"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_tair_prints_gets_the_answer_printed_there() {
    let world = World::start_stopped().await;
    world.resource("r-bp1zxszhcgatnx", Engine::Redis, "one", ResourceState::Running).await;
    world.ok("kvstore:CreateBackup", &[("InstanceId", "r-bp1zxszhcgatnx")]).await;
    let job = world.claim().await;
    let body: Value = serde_json::from_str(
        &send(&world, "2015-01-01", &[("InstanceId", "r-bp1zxszhcgatnx"), ("JobMode", "Manual")]).await,
    )
    .unwrap();
    let row = &body["BackupJobs"][0];
    let internal = [
        "AuthAction",
        "AuthPrincipalDisplayName",
        "AuthPrincipalOwnerId",
        "AuthPrincipalType",
        "EncodedDiagnosticMessage",
        "NoPermissionType",
        "PolicyType",
    ];
    let internal: serde_json::Map<_, _> =
        internal.into_iter().map(|name| (name.to_owned(), json!(""))).collect();
    let expected = json!({"InstanceId": "r-bp1zxszhcgatnx", "RequestId": body["RequestId"], "AccessDeniedDetail": internal,
        "BackupJobs": [{"StartTime": row["StartTime"], "Process": "0", "JobMode": "Manual", "BackupJobID": row["BackupJobID"],
            "BackupProgressStatus": "NoStart", "NodeId": "r-bp1zxszhcgatnx-db-0", "TaskAction": "TempBackupTask"}]});
    assert_eq!(body, expected);
    assert!(row["BackupJobID"].is_i64() && row["StartTime"].as_str().unwrap().ends_with('Z'));
    drop(job);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_is_asked_for_again_with_its_token_is_the_same() {
    let world = World::start_stopped().await;
    resources(&world).await;
    world.ok("rds:CreateBackup", &[RDS]).await;
    let job = world.claim().await;
    world.end(job, Some(detail("15.18")), None).await;
    let listed = world.ok("rds:DescribeBackups", &[RDS]).await;
    let set = listed["Items"]["Backup"][0]["BackupId"].as_str().unwrap();
    let clone = async |token: &str| {
        let made = world.ok("rds:CloneDBInstance", &[RDS, ("BackupId", set), ("ClientToken", token)]).await;
        made["DBInstanceId"].as_str().unwrap().to_owned()
    };
    let (one, again) = tokio::join!(clone("one"), clone("one"));
    assert_eq!(one, again);
    assert_eq!(clone("one").await, one);
    assert_ne!(clone("two").await, one);
    // Without a token each request is another one.
    assert_ne!(clone("").await, clone("").await);
}
