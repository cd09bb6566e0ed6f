//! Random trees of every kind of file, through both programs in turns: what one has saved the other brings back
//! without a difference, knows again blob by blob, and may forget and prune.

use lifeboat_testkit::tree::{TreeOptions, build};
use serde_json::Value;

use crate::shared_vault::SharedVault;

/// Relative: the folders above it change whenever some other test makes a file, and would be saved, too.
const ROOT: &str = "source";

fn new_blobs(summary: &Value) -> (u64, u64) {
    (summary["data_blobs"].as_u64().unwrap(), summary["tree_blobs"].as_u64().unwrap())
}

/// Trees hold times with the offset of the zone, so the zone is part of what must agree.
#[test]
fn our_trees_are_restics_trees_in_any_zone() {
    for zone in ["Europe/Berlin", "America/St_Johns"] {
        let vault = SharedVault::new().in_zone(zone);
        build(&vault.source(), 4711, &TreeOptions::default());
        for judge in vault.restic().judges() {
            let what = format!("restic {:?} in {zone}", judge.version());
            vault.summary_of(&judge, &["backup", "--json", "--force", ROOT]);
            let ours = vault.lifeboat(&["backup", "--json", "--force", ROOT]).ok().json();
            assert_eq!(new_blobs(&ours), (0, 0), "{what}, then we");
            let trees: Vec<_> = vault.snapshots().iter().map(|snapshot| snapshot["tree"].clone()).collect();
            assert!(trees.iter().all(|tree| *tree == trees[0]), "{what}: {trees:?}");
        }
    }
}

#[test]
fn our_backup_leaves_nothing_new_to_restic() {
    let vault = SharedVault::new().in_zone("Europe/Berlin");
    build(&vault.source(), 4712, &TreeOptions::default());
    let ours = vault.lifeboat(&["backup", "--json", ROOT]).ok().json();
    assert!(new_blobs(&ours).1 > 0);
    for judge in vault.restic().judges() {
        for options in [&["--force"][..], &[]] {
            let summary = vault.summary_of(&judge, &[&["backup", "--json", ROOT], options].concat());
            assert_eq!(new_blobs(&summary), (0, 0), "restic {:?} {options:?}", judge.version());
        }
    }
}
