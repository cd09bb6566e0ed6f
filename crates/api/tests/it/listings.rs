//! Pages of listings, and filters that are too much.

use std::time::Duration;

use serde_json::Value;

use crate::world::World;

/// The ids of one page of three, and the total.
async fn page(world: &World, number: u32) -> (Vec<String>, Value) {
    let params = [("PageSize", "3"), ("PageNumber", &number.to_string())];
    let found = world.ok("DescribeBackupJobs2", &params).await;
    let rows = found["BackupJobs"]["BackupJob"].as_array().unwrap();
    let ids = rows.iter().map(|row| row["JobId"].as_str().unwrap().to_owned()).collect();
    (ids, found["TotalCount"].clone())
}

async fn execute(world: &World, plan: &str) -> String {
    world.clock.pass(Duration::from_secs(1));
    let job = world.ok("ExecuteBackupPlan", &[("PlanId", plan)]).await;
    job["JobId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_where_they_are_while_jobs_are_added() {
    let world = World::start().await;
    let vault = world.vault("v").await;
    let plan = world.plan(&vault, "p", &world.files()).await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.insert(0, execute(&world, &plan).await);
    }
    let mut seen = page(&world, 1).await.0;
    for number in [2, 3] {
        let new = execute(&world, &plan).await;
        let (more, total) = page(&world, number).await;
        assert_eq!(total, 7);
        assert!(!more.contains(&new));
        seen.extend(more);
    }
    assert_eq!(seen, ids);
    assert_eq!(page(&world, 4).await, (Vec::new(), 7.into()));
    // Whoever begins again sees what is new,
    let (first, total) = page(&world, 1).await;
    assert!(total == 9 && !ids.contains(&first[1]) && first[2] == ids[0]);
    // and so does who comes back to a page much later.
    execute(&world, &plan).await;
    assert_eq!(page(&world, 2).await.1, 9);
    world.clock.pass(Duration::from_secs(600));
    assert_eq!(page(&world, 2).await.1, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_are_too_much_are_refused() {
    let world = World::start().await;
    let refused = async |params: Vec<(String, String)>, code: &str| {
        let params: Vec<_> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for action in ["DescribeBackupJobs2", "DescribeRestoreJobs2"] {
            let refused = world.refused(action, &params).await;
            assert_eq!((refused.0, refused.1.as_str()), (400, code), "{}", refused.2);
        }
    };
    let filter = |number: u32, values: String| {
        [
            (format!("Filters.{number}.Key"), "Status".to_owned()),
            (format!("Filters.{number}.Values.1"), values),
        ]
    };
    let many: Vec<String> = (0..501).map(|number| format!("\"{number}\"")).collect();
    refused(filter(1, format!("[{}]", many.join(","))).to_vec(), "InvalidParameter.Filters.1.Values").await;
    let filters = (1..=51).flat_map(|number| filter(number, "COMPLETE".to_owned()));
    refused(filters.collect(), "InvalidParameter.Filters").await;
    refused(filter(1, "a\0b".to_owned()).to_vec(), "InvalidParameter.Format").await;

    let disks = [("SourceType", "UDM_ECS_DISK")];
    assert_eq!(world.refused("DescribeBackupJobs2", &disks).await.1, "MissingFilters");
    let of_parent = [disks[0], ("Filters.1.Key", "ParentId"), ("Filters.1.Values.1", "job-1")];
    assert_eq!(world.ok("DescribeBackupJobs2", &of_parent).await["TotalCount"], 0);
}
