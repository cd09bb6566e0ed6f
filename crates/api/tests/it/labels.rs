//! Tags, resource groups and the listings of clients.

use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_written_shown_filtered_by_and_taken_off() {
    let world = World::start().await;
    let (one, two) = (world.vault("one").await, world.vault("two").await);
    let tag = |key, value| [("Tag.1.Key", key), ("Tag.1.Value", value)];
    let both = [("ResourceType", "vault"), ("ResourceId.1", one.as_str()), ("ResourceId.2", two.as_str())];
    world.ok("TagResources", &[&both[..], &tag("team", "red")].concat()).await;
    let first = [both[0], both[1]];
    world.ok("TagResources", &[&first[..], &tag("team", "blue"), &[("Tag.2.Key", "empty")]].concat()).await;

    let vaults = async |params: &[(&str, &str)]| -> Vec<String> {
        let found = world.ok("DescribeVaults", params).await;
        let rows = found["Vaults"]["Vault"].as_array().unwrap().clone();
        assert_eq!(found["TotalCount"], rows.len());
        rows.iter().map(|row| row["VaultId"].as_str().unwrap().to_owned()).collect()
    };
    let shown = world.ok("DescribeVaults", &[("VaultId", &one)]).await;
    let expected = json!({"Tag": [{"Key": "empty", "Value": ""}, {"Key": "team", "Value": "blue"}]});
    assert_eq!(shown["Vaults"]["Vault"][0]["Tags"], expected);
    assert_eq!(vaults(&tag("team", "")).await, [one.as_str(), two.as_str()]);
    assert_eq!(vaults(&tag("team", "blue")).await, [one.as_str()]);
    assert!(vaults(&tag("team", "green")).await.is_empty());
    let and = [&tag("team", "blue")[..], &[("Tag.2.Key", "empty")]].concat();
    assert_eq!(vaults(&and).await, [one.as_str()]);

    world.ok("UntagResources", &[&both[..], &[("TagKey.1", "team")]].concat()).await;
    assert!(vaults(&tag("team", "")).await.is_empty());
    assert_eq!(vaults(&[("Tag.1.Key", "empty")]).await, [one.as_str()]);
    world.ok("UntagResources", &[&first[..], &[("All", "True")]].concat()).await;
    assert!(vaults(&[("Tag.1.Key", "empty")]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tagging_several_things_of_which_one_is_not_there_tags_none() {
    let world = World::start().await;
    let vault = world.vault("one").await;
    let some = [
        ("ResourceType", "vault"),
        ("ResourceId.1", vault.as_str()),
        ("ResourceId.2", "v-nobodys"),
        ("Tag.1.Key", "k"),
    ];
    let (status, code, message) = world.refused("TagResources", &some).await;
    assert_eq!((status, code.as_str()), (404, "VaultNotExist"));
    assert!(message.contains("v-nobodys"));
    let shown = world.ok("DescribeVaults", &[("VaultId", &vault)]).await;
    assert_eq!(shown["Vaults"]["Vault"][0]["Tags"], json!({"Tag": []}));
    let here = [("ResourceType", "vault"), ("ResourceId.1", vault.as_str())];
    for (more, code) in [
        (("Tag.1.Value", "v"), "MissingTag.1.Key"),
        (("Tag.1.Key", "acs:x"), "InvalidParameter.Tag.1"),
        (("ResourceType.1", "x"), "MissingTag.1.Key"),
    ] {
        assert_eq!(world.refused("TagResources", &[here[0], here[1], more]).await.1, code, "{more:?}");
    }
    let keys: Vec<_> = (1..=21).map(|number| (format!("Tag.{number}.Key"), format!("k{number}"))).collect();
    let keys: Vec<_> = keys.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
    assert_eq!(world.refused("TagResources", &[&here[..], &keys].concat()).await.1, "InvalidParameter.Tag");
    world.ok("TagResources", &[&here[..], &keys[..20]].concat()).await;
    let one_more = [here[0], here[1], ("Tag.1.Key", "one more")];
    assert_eq!(world.refused("TagResources", &one_more).await.1, "BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_moves_to_a_resource_group_and_is_found_there() {
    let world = World::start().await;
    let vault = world.vault("one").await;
    let to = [("ResourceType", "vault"), ("ResourceId", vault.as_str()), ("NewResourceGroupId", "rg-1")];
    world.ok("ChangeResourceGroup", &to).await;
    let found = world.ok("DescribeVaults", &[("ResourceGroupId", "rg-1")]).await;
    assert_eq!(found["Vaults"]["Vault"][0]["ResourceGroupId"], "rg-1");
    assert_eq!(world.ok("DescribeVaults", &[("ResourceGroupId", "rg-2")]).await["TotalCount"], 0);
    let bad = [to[0], to[1], ("NewResourceGroupId", "1")];
    assert_eq!(world.refused("ChangeResourceGroup", &bad).await.1, "InvalidParameter.NewResourceGroupId");
    let none = [to[0], ("ResourceId", "v-nobodys"), to[2]];
    assert_eq!(world.refused("ChangeResourceGroup", &none).await.1, "VaultNotExist");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_listed_by_every_filter() {
    let world = World::start().await;
    let (client, instance) = (world.root.client.as_str(), world.root.instance.as_str());
    let kind = ("ClientType", "ECS_CLIENT");
    let all = world.ok("DescribeBackupClients", &[kind]).await;
    let row = &all["Clients"][0];
    assert_eq!([&row["ClientId"], &row["InstanceId"]], [client, instance]);
    assert_eq!([&row["Status"], &row["BackupStatus"]], ["ACTIVATED", "UNPROTECTED"]);
    let tag =
        [("ResourceType", "client"), ("ResourceId.1", client), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")];
    world.ok("TagResources", &tag).await;
    let ids = json!([client]).to_string();
    let instances = json!([instance]).to_string();
    let (other, filter) = (json!(["c-other"]).to_string(), ("Filters.1.Values.1", "testhost"));
    for (params, total) in [
        (vec![("ClientIds", ids.as_str())], 1),
        (vec![("ClientIds", other.as_str())], 0),
        (vec![("InstanceIds", instances.as_str())], 1),
        (vec![("InstanceIds", other.as_str())], 0),
        (vec![("Tag.1.Key", "k"), ("Tag.1.Value", "v")], 1),
        (vec![("Tag.1.Key", "k"), ("Tag.1.Value", "w")], 0),
        (vec![("Filters.1.Key", "hostname"), filter], 1),
        (vec![("Filters.1.Key", "Status"), filter], 0),
        (vec![("ClusterId", "cl-1")], 0),
    ] {
        let found = world.ok("DescribeBackupClients", &[&[kind], &params[..]].concat()).await;
        assert_eq!(found["TotalCount"], total, "{params:?}");
        assert_eq!(found["Clients"].as_array().unwrap().len(), total, "{params:?}");
    }
    assert_eq!(world.ok("DescribeBackupClients", &[("ClientType", "ECS_AGENT")]).await["TotalCount"], 0);
    let second = world.ok("DescribeBackupClients", &[kind, ("PageNumber", "2")]).await;
    assert_eq!([&second["Clients"], &second["TotalCount"]], [&json!([]), &json!(1)]);
    assert_eq!(world.refused("DescribeBackupClients", &[]).await.1, "MissingClientType");
    let unknown = [kind, ("Filters.1.Key", "Colour"), filter];
    assert_eq!(world.refused("DescribeBackupClients", &unknown).await.1, "InvalidParameter.Filters.1.Key");

    let plain = world.ok("DescribeClients", &[("ClientId", client)]).await;
    assert_eq!(plain["Clients"]["Client"][0]["ClientName"], "testhost");
    assert_eq!(
        world.ok("DescribeClients", &[("SourceType", "HANA")]).await["Clients"],
        json!({"Client": []})
    );

    let vault = world.vault("v").await;
    world.plan(&vault, "p", &world.files()).await;
    let found = world.ok("DescribeBackupClients", &[kind]).await;
    assert_eq!(found["Clients"][0]["BackupStatus"], "PROTECTED");

    world.clock.pass(std::time::Duration::from_secs(90));
    world.service.end_what_is_over().await.unwrap();
    let found = world.ok("DescribeBackupClients", &[kind]).await;
    assert_eq!(found["Clients"][0]["LastHeartBeatTime"], world.service.now().seconds());
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_the_service_is_answered_and_one_off_jobs_of_files_are_refused() {
    let world = World::start().await;
    assert_eq!(world.ok("OpenHbrService", &[]).await["Code"], "200");
    for source in ["ECS_FILE", "File", "UDM_ECS"] {
        let (status, code, message) = world.refused("CreateBackupJob", &[("SourceType", source)]).await;
        assert_eq!((status, code.as_str()), (400, "InvalidParameter.SourceType"));
        assert!(message.contains(source) && message.contains("ExecuteBackupPlan"), "{message}");
    }
    assert_eq!(world.refused("CreateBackupJob", &[]).await.1, "MissingSourceType");
    let (status, code, message) = world.refused("DeleteEverything", &[]).await;
    assert_eq!((status, code.as_str()), (404, "InvalidAction.NotFound"));
    assert!(message.contains("DeleteEverything"));
}
