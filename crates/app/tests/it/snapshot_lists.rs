//! `snapshots` and `forget` as a user meets them.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// Six snapshots of two hosts.
fn with_snapshots() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    let source = sandbox.arg("source");
    for (time, host, tags) in [
        ("2020-01-01 10:00:00", "h", "a"),
        ("2020-01-01 20:00:00", "h", "a,b"),
        ("2020-01-02 10:00:00", "h", "b"),
        ("2020-01-03 10:00:00", "h", ""),
        ("2020-01-03 10:30:00", "g", "a"),
        ("2020-01-03 11:00:00", "g", "x"),
    ] {
        let mut arguments = vec!["backup", "-q", "--time", time, "--host", host, &source];
        if !tags.is_empty() {
            arguments.extend(["--tag", tags]);
        }
        sandbox.run(&arguments).ok();
    }
    sandbox
}

fn times(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|snapshot| snapshot["time"].as_str().unwrap()).collect()
}

#[test]
fn snapshots_are_filtered_grouped_and_named_by_prefix() {
    let sandbox = with_snapshots();
    let list = |arguments: &[&str]| sandbox.run(&[&["snapshots", "--json"], arguments].concat()).ok().json();
    let all = list(&[]);
    assert_eq!(times(&all).len(), 6);
    assert!(times(&all).is_sorted());
    assert_eq!(list(&["--host", "g"]).as_array().unwrap().len(), 2);
    assert_eq!(times(&list(&["--tag", "a,b"])), ["2020-01-01T20:00:00Z"]);
    assert_eq!(list(&["--tag", "a", "--tag", "x"]).as_array().unwrap().len(), 4);
    assert_eq!(times(&list(&["--tag", "", "--host", "h"])), ["2020-01-03T10:00:00Z"]);
    assert_eq!(list(&["--path", "/elsewhere"]), Value::Array(Vec::new()));
    assert_eq!(times(&list(&["--latest", "1"])), ["2020-01-03T10:00:00Z", "2020-01-03T11:00:00Z"]);
    let id = all[0]["id"].as_str().unwrap();
    assert_eq!(list(&[&id[..10]]), Value::Array(vec![all[0].clone()]));
    let groups = list(&["--group-by", "host"]);
    assert_eq!(
        (&groups[0]["group_key"]["hostname"], &groups[1]["group_key"]["hostname"]),
        (&"g".into(), &"h".into())
    );
    assert_eq!(groups[1]["snapshots"].as_array().unwrap().len(), 4);
    let ran = sandbox.run(&["snapshots", "0123456789abcdef0123456789abcdef"]).expect_code(1);
    assert!(ran.stderr.contains("0123456789abcdef"), "{}", ran.stderr);
}

#[test]
fn our_list_of_snapshots_is_restics() {
    let sandbox = with_snapshots();
    let ours = sandbox.run(&["snapshots", "--json"]).ok().json();
    let theirs = sandbox.restic(&["snapshots", "--json"]).ok().json();
    for (ours, theirs) in ours.as_array().unwrap().iter().zip(theirs.as_array().unwrap()) {
        for (field, value) in theirs.as_object().unwrap() {
            assert_eq!(&ours[field], value, "{field}");
        }
    }
    assert_eq!(ours.as_array().unwrap().len(), theirs.as_array().unwrap().len());
}

#[test]
fn a_damaged_snapshot_is_named_and_the_others_are_listed() {
    let sandbox = with_snapshots();
    let folder = sandbox.default_vault().join("snapshots");
    let victim = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    std::fs::set_permissions(victim.path(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(victim.path(), "damage").unwrap();
    let ran = sandbox.run(&["snapshots", "--json"]).expect_code(1);
    assert!(ran.stderr.contains(victim.file_name().to_str().unwrap()), "{}", ran.stderr);
    assert_eq!(ran.json().as_array().unwrap().len(), 5);
}

#[test]
fn forget_removes_what_the_policy_does_not_keep_and_says_why_it_keeps() {
    let sandbox = with_snapshots();
    let dry =
        sandbox.run(&["forget", "--dry-run", "--keep-daily", "1", "--keep-tag", "a", "--json"]).ok().json();
    let theirs = sandbox
        .restic(&["forget", "--dry-run", "--keep-daily", "1", "--keep-tag", "a", "--json"])
        .ok()
        .json();
    let group = |groups: &Value, host: &str| {
        groups.as_array().unwrap().iter().find(|group| group["host"] == host).unwrap().clone()
    };
    for host in ["g", "h"] {
        let (ours, theirs) = (group(&dry, host), group(&theirs, host));
        for part in ["keep", "remove"] {
            let ids = |group: &Value| -> Vec<String> {
                let list = group[part].as_array().into_iter().flatten();
                list.map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!(ids(&ours), ids(&theirs), "{host} {part}");
        }
        let why = |group: &Value| -> Vec<Value> {
            let list = group["reasons"].as_array().into_iter().flatten();
            list.map(|reason| serde_json::json!([reason["matches"], reason["counters"]])).collect()
        };
        assert_eq!(why(&ours), why(&theirs), "{host}");
    }
    let text = sandbox.run(&["forget", "-n", "--keep-daily", "1", "--keep-tag", "a"]).ok().text();
    assert!(text.contains("has tags [a]") && text.contains("daily snapshot"), "{text}");
    assert_eq!(sandbox.run(&["snapshots", "--json"]).ok().json().as_array().unwrap().len(), 6);
    sandbox.run(&["forget", "--keep-daily", "1", "--keep-tag", "a"]).ok();
    assert_eq!(sandbox.run(&["snapshots", "--json"]).ok().json().as_array().unwrap().len(), 5);
    sandbox.restic(&["check"]).ok();
}

#[test]
fn forget_without_a_policy_or_keeping_nothing_is_refused() {
    let sandbox = with_snapshots();
    sandbox.run(&["forget"]).expect_code(1);
    sandbox.run(&["forget", "--keep-last", "0"]).expect_code(1);
    sandbox.run(&["forget", "--unsafe-allow-remove-all"]).expect_code(1);
    sandbox.run(&["forget", "--keep-tag", "nobody has it"]).expect_code(1);
    assert_eq!(sandbox.run(&["snapshots", "--json"]).ok().json().as_array().unwrap().len(), 6);
    sandbox.run(&["forget", "--unsafe-allow-remove-all", "--host", "g"]).ok();
    assert_eq!(sandbox.run(&["snapshots", "--json"]).ok().json().as_array().unwrap().len(), 4);
    let id = sandbox.run(&["snapshots", "--json"]).ok().json()[0]["id"].as_str().unwrap().to_owned();
    sandbox.run(&["forget", &id]).ok();
    assert_eq!(sandbox.run(&["snapshots", "--json"]).ok().json().as_array().unwrap().len(), 3);
}

#[test]
fn a_refusal_to_forget_is_the_only_output() {
    let sandbox = with_snapshots();
    // The first group keeps a snapshot, the second none.
    let ran = sandbox.run(&["forget", "--json", "-g", "host", "--keep-tag", "x"]).expect_code(1);
    assert_eq!(ran.text(), "");
    assert!(ran.stderr.contains("host [h]"), "{}", ran.stderr);
}

#[test]
fn empty_tags_are_not_stored() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.run(&["backup", "--tag", "", "--tag", "a,,b,", &sandbox.arg("source")]).ok();
    let tags = sandbox.restic(&["snapshots", "--json"]).ok().json()[0]["tags"].clone();
    assert_eq!(tags, serde_json::json!(["a", "b"]));
}
