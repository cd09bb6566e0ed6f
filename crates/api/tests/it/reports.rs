//! Reports about jobs: what is in them, who may fetch them, and for how long.

use std::time::Duration;

use lifeboat_model::id::AccountId;
use lifeboat_service::{Caller, LinkError, TempLink};
use serde_json::{Value, json};

use crate::world::World;

/// A job over a folder of three entries, a file in it that nobody can read among the paths.
async fn partial_job(world: &World) -> Value {
    let folder = world.files().join("src");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), "content").unwrap();
    std::fs::write(folder.join("b"), "content").unwrap();
    let bad = format!("/proc/{}/mem", std::process::id());
    let vault = world.vault("v").await;
    let params = [
        ("SourceType", "ECS_FILE"),
        ("VaultId", &vault),
        ("InstanceId", world.root.instance.as_str()),
        ("PlanName", "p"),
        ("Schedule", "I|1602673264|P1D"),
        ("Retention", "7"),
        ("Path.1", folder.to_str().unwrap()),
        ("Path.2", &bad),
    ];
    let plan = world.ok("CreateBackupPlan", &params).await["PlanId"].as_str().unwrap().to_owned();
    let job = world.back_up(&plan).await;
    world
        .until(async || {
            let row = world.backup_job(job["JobId"].as_str().unwrap()).await;
            assert!(row["Report"]["ReportTaskStatus"].is_string(), "from the end of the job on: {row}");
            (row["Report"]["ReportTaskStatus"] == "COMPLETE").then_some(row)
        })
        .await
}

/// What a client follows.
async fn link(world: &World, key: &str) -> TempLink {
    let url = world.ok("GetTempFileDownloadLink", &[("TempFileKey", key)]).await["Url"].clone();
    let (key, query) = url.as_str().unwrap().split_once('?').unwrap();
    let (expires, signature) = query.split_once('&').unwrap();
    TempLink {
        key: key.strip_prefix("http://testhost").unwrap().to_owned(),
        expires: expires.strip_prefix("Expires=").unwrap().parse().unwrap(),
        signature: signature.strip_prefix("Signature=").unwrap().to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_report_add_up_to_the_counters_of_its_job() {
    let world = World::start().await;
    let job = partial_job(&world).await;
    assert_eq!(job["Status"], "PARTIAL_COMPLETE");
    assert_eq!(job["ErrorMessage"], "PARTIAL_COMPLETE");
    assert_eq!(job["Progress"], 10_000);
    assert_eq!([&job["ItemsTotal"], &job["ItemsDone"], &job["ActualItems"]], [4, 4, 3]);
    assert_eq!([&job["FilesTotal"], &job["FilesDone"], &job["ActualFiles"]], [3, 3, 2]);
    assert_eq!([&job["BytesTotal"], &job["BytesDone"], &job["ActualBytes"]], [14, 14, 7]);
    assert!(job["UpdatedTime"].as_i64() >= job["CompleteTime"].as_i64());
    let id = job["JobId"].as_str().unwrap();
    let key = |name: &str| json!(format!("/temp/report/1589750000004625/{id}/{id}_{name}"));
    let report = &job["Report"];
    assert_eq!(report["TotalFiles"], key("total.csv"));
    assert_eq!(report["SuccessFiles"], key("success.zip"));
    assert_eq!(report["FailedFiles"], key("failed.zip"));
    assert_eq!(report["SkippedFiles"], key("skipped.zip"));
    let total = link(&world, report["TotalFiles"].as_str().unwrap()).await;
    let (file, name) = world.service.temp_file(&total).unwrap();
    assert_eq!(name, format!("{id}_total.csv"));
    let table = std::fs::read_to_string(file).unwrap();
    let rows: Vec<_> = table.lines().skip(1).collect();
    let of = |status: &str| rows.iter().filter(|row| row.contains(&format!(",{status},"))).count();
    assert_eq!((rows.len(), of("success"), of("failed"), of("skipped")), (4, 3, 1, 0), "{table}");

    // What failed is named by the snapshot, too; a leading slash makes no difference.
    let snapshot = world.snapshot(&job).await;
    let errors = snapshot["ErrorFile"].as_str().unwrap();
    let (file, _) = world.service.temp_file(&link(&world, errors.trim_start_matches('/')).await).unwrap();
    let errors = std::fs::read_to_string(file).unwrap();
    let bad = format!("Item\tError Message\n/proc/{}/mem\tread: ", std::process::id());
    assert!(errors.starts_with(&bad) && errors.lines().count() == 2, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_good_for_one_file_of_ones_own_and_for_an_hour() {
    let world = World::start().await;
    let job = partial_job(&world).await;
    let key = job["Report"]["TotalFiles"].as_str().unwrap();
    let good = link(&world, key).await;
    assert!(world.service.temp_file(&good).is_ok());
    let refused = |link: TempLink| world.service.temp_file(&link).unwrap_err();
    let other = TempLink { key: good.key.replace("_total.csv", "_failed.zip"), ..good.clone() };
    assert_eq!(refused(other), LinkError::Forged);
    assert_eq!(refused(TempLink { expires: good.expires + 1, ..good.clone() }), LinkError::Forged);
    assert_eq!(refused(TempLink { signature: String::new(), ..good.clone() }), LinkError::Forged);
    for key in
        ["", "/", "/temp/report", "/temp/report/1/job-1/../../../root.json", "/temp/report/1/job-1/items"]
    {
        assert_eq!(refused(TempLink { key: key.to_owned(), ..good.clone() }), LinkError::Forged);
        if !key.is_empty() {
            let (status, code, _) = world.refused("GetTempFileDownloadLink", &[("TempFileKey", key)]).await;
            assert_eq!((status, code.as_str()), (404, "ObjectNotExist"), "{key}");
        }
    }
    let gone = key.replace("job-", "job-x");
    assert_eq!(world.refused("GetTempFileDownloadLink", &[("TempFileKey", &gone)]).await.1, "ObjectNotExist");
    assert_eq!(world.refused("GetTempFileDownloadLink", &[]).await.1, "MissingTempFileKey");
    let stranger = Caller {
        account: AccountId::from_number(4711).unwrap(),
        user: None,
        access_key_id: "other".to_owned(),
    };
    assert!(world.service.temp_file_link(&stranger, key).await.is_err());
    world.clock.pass(Duration::from_secs(3600));
    assert_eq!(refused(good), LinkError::Expired);
    assert!(world.service.temp_file(&link(&world, key).await).is_ok(), "a new link is good again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_result_says_why_and_one_that_is_whole_says_nothing() {
    let world = World::start().await;
    let folder = world.files().join("src");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), "content").unwrap();
    let vault = world.vault("v").await;
    let plan = world.plan(&vault, "gone", &world.files().join("gone")).await;
    let job = world.back_up(&plan).await;
    assert_eq!(job["Status"], "FAILED");
    assert_eq!(job["ErrorMessage"], "SOURCE_NOT_EXIST: none of the paths to back up exists.");
    assert!(job["Progress"] == 0 && job.get("BytesTotal").is_none());

    let plan = world.plan(&vault, "there", &folder).await;
    let job = world.back_up(&plan).await;
    assert!(job["Status"] == "COMPLETE" && job.get("ErrorMessage").is_none());
    let snapshot = world.snapshot(&job).await;
    assert!(snapshot.get("ErrorFile").is_none());
    let restore = async |target: &str| {
        let params = [
            ("RestoreType", "ECS_FILE"),
            ("SourceType", "ECS_FILE"),
            ("VaultId", vault.as_str()),
            ("SnapshotId", snapshot["SnapshotId"].as_str().unwrap()),
            ("SnapshotHash", snapshot["SnapshotHash"].as_str().unwrap()),
            ("TargetInstanceId", world.root.instance.as_str()),
            ("TargetPath", target),
        ];
        let id = world.ok("CreateRestoreJob", &params).await["RestoreId"].as_str().unwrap().to_owned();
        world
            .until(async || {
                let filter = [("Filters.1.Key", "RestoreId"), ("Filters.1.Values.1", id.as_str())];
                let found = world.ok("DescribeRestoreJobs2", &filter).await;
                let row = found["RestoreJobs"]["RestoreJob"][0].clone();
                (row["Report"]["ReportTaskStatus"] == "COMPLETE").then_some(row)
            })
            .await
    };
    let row = restore(world.files().join("gone").to_str().unwrap()).await;
    assert_eq!(row["Status"], "FAILED");
    assert!(row["ErrorMessage"].as_str().unwrap().starts_with("TARGET_NOT_EXIST: the folder "), "{row}");
    std::fs::create_dir(world.files().join("target")).unwrap();
    let row = restore(world.files().join("target").to_str().unwrap()).await;
    assert!(
        row["Status"] == "COMPLETE" && row.get("ErrorMessage").is_none() && row.get("ErrorFile").is_none()
    );
    assert_eq!([&row["ItemsTotal"], &row["ItemsDone"], &row["ActualItems"]], [2, 2, 2]);
    assert_eq!([&row["BytesTotal"], &row["BytesDone"], &row["ActualBytes"]], [7, 7, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_go_when_they_are_old_and_their_keys_with_them() {
    let world = World::start().await;
    let job = partial_job(&world).await;
    let (id, key) = (job["JobId"].as_str().unwrap(), job["Report"]["TotalFiles"].as_str().unwrap());
    // The clock of the test is years behind that of the files.
    let ages = Duration::from_secs(100 * 365 * 86_400);
    world.clock.pass(ages);
    let row = world
        .until(async || {
            let row = world.backup_job(id).await;
            row.get("Report").is_none().then_some(row)
        })
        .await;
    assert_eq!(row["Status"], "PARTIAL_COMPLETE");
    assert_eq!(world.refused("GetTempFileDownloadLink", &[("TempFileKey", key)]).await.1, "ObjectNotExist");
}
