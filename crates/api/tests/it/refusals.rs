//! What is refused although it is written well: lists that are too long, text that no database keeps, options that say
//! something else than they seem to.

use serde_json::{Value, json};

use crate::world::World;

/// Asks, and is told that this parameter is not valid.
async fn is_refused(world: &World, action: &str, params: &[(&str, &str)], (name, why): (&str, &str)) {
    let (status, code, message) = world.refused(action, params).await;
    assert_eq!((status, code), (400, format!("InvalidParameter.{name}")), "{action}: {message}");
    assert!(message.contains(why), "{action} {name}: {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_longer_than_a_database_takes() {
    let world = World::start_stopped().await;
    let filters: Vec<_> = (1..=51)
        .flat_map(|number| {
            let key = (format!("Filters.{number}.Key"), "sourceType".to_owned());
            [key, (format!("Filters.{number}.Values.1"), "ECS_FILE".to_owned())]
        })
        .chain([("ClientType".to_owned(), "ECS_CLIENT".to_owned())])
        .collect();
    let filters: Vec<_> = filters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for action in
        ["DescribeBackupPlans", "DescribePolicyBindings", "DescribeBackupClients", "DescribeBackupJobs2"]
    {
        is_refused(&world, action, &filters, ("Filters", "At most 50")).await;
    }
    let many: Vec<_> = (0..40_000).map(|number| number.to_string()).collect();
    let sources = json!(many).to_string();
    is_refused(&world, "DescribePolicyBindings", &[("DataSourceIds", &sources)], ("DataSourceIds", "500"))
        .await;
    let vault = world.root.instance.as_str().replacen("i-", "v-", 1);
    let of_vault = json!({"field": "VaultId", "operation": "MATCH_TERM", "value": vault});
    let terms: Vec<Value> = std::iter::repeat_n(of_vault.clone(), 51).collect();
    let values = json!([of_vault, {"field": "JobId", "operation": "IN", "value": many}]);
    for query in [json!(terms), values] {
        let query = query.to_string();
        is_refused(&world, "SearchHistoricalSnapshots", &[("Query", &query)], ("Query", "At most")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_within_json() {
    let world = World::start_stopped().await;
    let query = r#"[{"field": "JobId", "operation": "MATCH_TERM", "value": "\u0000"}]"#;
    is_refused(&world, "SearchHistoricalSnapshots", &[("Query", query)], ("Query", "u0000")).await;
    let sources = [("DataSourceIds", r#"["\u0000"]"#)];
    is_refused(&world, "DescribePolicyBindings", &sources, ("DataSourceIds", "JSON array of strings")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_a_restore_that_mean_nothing() {
    let world = World::start_stopped().await;
    let snapshot = world.root.instance.as_str().replacen("i-", "s-", 1);
    let with = |options| {
        [("RestoreType", "ECS_FILE"), ("SourceType", "ECS_FILE"), ("SnapshotId", &*snapshot), options]
    };
    for (options, why) in [
        (r#"{"includes": "/a"}"#, "includes must be"),
        (r#"{"excludes": [1]}"#, "excludes must be"),
        (r#"{"includes": [""]}"#, "includes must be"),
        (r#"{"ConflictPolicy": 5}"#, "ConflictPolicy must be"),
        (r#"{"ConflictPolicy": "NEVER"}"#, "ConflictPolicy must be"),
        ("[]", "Invalid type"),
    ] {
        is_refused(&world, "CreateRestoreJob", &with(("Options", options)), ("Options", why)).await;
    }
    is_refused(&world, "CreateRestoreJob", &with(("Include", "/a")), ("Include", "JSON array")).await;
    let good = with(("Options", r#"{"includes": ["/a"], "ConflictPolicy": "KEEP_LATEST"}"#));
    assert_eq!(world.refused("CreateRestoreJob", &good).await.0, 404, "there is no such snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_files_takes_the_client_or_its_instance_and_tells_of_the_client() {
    let world = World::start().await;
    let vault = world.vault("docs").await;
    let (client, instance) = (world.root.client.as_str(), world.root.instance.as_str());
    for (name, place) in
        [("a", ("InstanceId", instance)), ("b", ("InstanceId", client)), ("c", ("DataSourceId", client))]
    {
        let plan = [("SourceType", "File"), ("VaultId", &vault), ("PlanName", name), ("Path.1", "/x"), place];
        world.ok("CreateBackupPlan", &plan).await;
    }
    let found = world.ok("DescribeBackupPlans", &[]).await;
    let rows = found["BackupPlans"]["BackupPlan"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(row["DataSourceId"], client, "{row}");
        assert!(row.get("InstanceId").is_none(), "{row}");
    }
    let plan = [("SourceType", "File"), ("VaultId", &*vault), ("PlanName", "d"), ("Path.1", "/x")];
    assert_eq!(world.refused("CreateBackupPlan", &plan).await.1, "MissingDataSourceId");
    let nonsense = [plan.as_slice(), &[("InstanceId", "x")]].concat();
    is_refused(&world, "CreateBackupPlan", &nonsense, ("InstanceId", "a client")).await;
}
