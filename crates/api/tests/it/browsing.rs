//! BrowseFiles against a real vault.

use serde_json::{Value, json};

use crate::world::World;

async fn names(world: &World, params: &[(&str, &str)]) -> Vec<String> {
    let found = world.ok("BrowseFiles", params).await;
    let nodes = found["Nodes"]["Node"].as_array().unwrap();
    nodes.iter().map(|node| node["Name"].as_str().unwrap().to_owned()).collect()
}

/// A snapshot of one folder with a folder of 23 files, an empty file and a link in it: the folder's path, the row of the
/// snapshot.
async fn snapshot(world: &World) -> (String, Value) {
    let folder = world.files().join("src");
    std::fs::create_dir_all(folder.join("many")).unwrap();
    for number in 0..23 {
        std::fs::write(folder.join(format!("many/f{number:02}")), vec![b'x'; number]).unwrap();
    }
    std::fs::write(folder.join("empty"), "").unwrap();
    std::os::unix::fs::symlink("empty", folder.join("link")).unwrap();
    let vault = world.vault("v").await;
    let plan = world.plan(&vault, "p", &folder).await;
    let job = world.back_up(&plan).await;
    assert_eq!(job["Status"], "COMPLETE", "{job}");
    let snapshot = world.snapshot(&job).await;
    (folder.to_str().unwrap().to_owned(), snapshot)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_browsed_by_path_by_subtree_and_page_by_page() {
    let world = World::start().await;
    let (folder, snapshot) = snapshot(&world).await;
    let (hash, vault) = (snapshot["SnapshotHash"].as_str().unwrap(), snapshot["VaultId"].as_str().unwrap());
    let here = [("SnapshotHash", hash), ("VaultId", vault)];
    let browse = async |more: &[(&str, &str)]| world.ok("BrowseFiles", &[&here[..], more].concat()).await;

    // From the root down to the folder, one name after the other.
    let root = names(&world, &here).await;
    assert_eq!(root.len(), 1, "{root:?}");
    assert!(folder.starts_with(&format!("/{}/", root[0])));

    let found = browse(&[("AbsolutePath", &folder)]).await;
    let nodes = &found["Nodes"]["Node"];
    assert_eq!(
        [&nodes[0]["Name"], &nodes[0]["Type"], &nodes[0]["Size"]],
        [&json!("empty"), &json!("file"), &json!(0)]
    );
    assert_eq!([&nodes[1]["Name"], &nodes[1]["Type"]], [&json!("link"), &json!("symlink")]);
    assert_eq!([&nodes[2]["Name"], &nodes[2]["Type"]], [&json!("many"), &json!("dir")]);
    assert!(nodes[0].get("Subtree").is_none() && nodes[2].get("Size").is_none());
    assert_eq!([&found["TotalCount"], &found["PageNumber"], &found["PageSize"]], [3, 1, 10]);

    // The same folder by its hash, by its path, and by the id of the snapshot.
    let subtree = nodes[2]["Subtree"].as_str().unwrap();
    let by_hash = browse(&[("Path", subtree), ("PageSize", "99")]).await;
    let path = format!("{folder}/many");
    let by_path = browse(&[("AbsolutePath", &path), ("PageSize", "99")]).await;
    assert_eq!(by_hash["Nodes"], by_path["Nodes"]);
    assert_eq!(by_hash["Nodes"]["Node"].as_array().unwrap().len(), 23);
    assert_eq!(by_hash["Nodes"]["Node"][22]["Size"], 22);
    let id = snapshot["SnapshotId"].as_str().unwrap();
    let all = [("SnapshotId", id), ("Path", subtree), ("PageSize", "99")];
    assert_eq!(world.ok("BrowseFiles", &all).await["Nodes"], by_hash["Nodes"]);

    // Pages by number, and by token, are the same entries in the same order.
    let third = browse(&[("Path", subtree), ("PageNumber", "3")]).await;
    assert_eq!(third["Nodes"]["Node"].as_array().unwrap().len(), 3);
    let (mut token, mut gathered) = (String::new(), Vec::new());
    loop {
        let page = browse(&[("Path", subtree), ("MaxResults", "10"), ("NextToken", &token)]).await;
        gathered.extend(page["Nodes"]["Node"].as_array().unwrap().clone());
        assert!(page["MaxResults"] == 10 && page.get("PageNumber").is_none());
        match page.get("NextToken") {
            Some(next) => token = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(Value::from(gathered), by_hash["Nodes"]["Node"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_to_browse_is_refused_by_name() {
    let world = World::start().await;
    let (folder, snapshot) = snapshot(&world).await;
    let (hash, vault) = (snapshot["SnapshotHash"].as_str().unwrap(), snapshot["VaultId"].as_str().unwrap());
    let file = format!("{folder}/empty");
    let here = [("SnapshotHash", hash), ("VaultId", vault)];
    let nowhere = "0".repeat(64);
    for (more, status, code, names) in [
        (("AbsolutePath", "/not/there"), 404, "ResourceNotFound", "/not/there"),
        (("AbsolutePath", &file), 404, "ResourceNotFound", &file),
        (("AbsolutePath", "home"), 400, "InvalidParameter.AbsolutePath", "home"),
        (("Path", "xyz"), 400, "InvalidParameter.Path", "xyz"),
        (("Path", &nowhere), 404, "ResourceNotFound", &nowhere),
        (("MaxResults", "101"), 400, "InvalidParameter.MaxResults", "101"),
        (("NextToken", "x"), 400, "InvalidParameter.NextToken", "x"),
        (("PageSize", "100"), 400, "InvalidParameter.PageSize", "100"),
    ] {
        let refused = world.refused("BrowseFiles", &[here[0], here[1], more]).await;
        assert_eq!((refused.0, refused.1.as_str()), (status, code), "{more:?}");
        assert!(refused.2.contains(names), "{}", refused.2);
    }
    for (params, status, code) in [
        (vec![("VaultId", vault)], 400, "MissingSnapshotHash"),
        (vec![("SnapshotHash", hash)], 400, "MissingVaultId"),
        (vec![("SnapshotHash", nowhere.as_str()), ("VaultId", vault)], 404, "ResourceNotFound"),
        (vec![("SnapshotHash", hash), ("VaultId", "v-other")], 404, "ResourceNotFound"),
        (vec![("SnapshotId", "s-other")], 404, "ResourceNotFound"),
    ] {
        let refused = world.refused("BrowseFiles", &params).await;
        assert_eq!((refused.0, refused.1.as_str()), (status, code), "{params:?}");
    }
}
