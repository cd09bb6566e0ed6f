//! Policy documents: what they allow, what they deny, and what is refused as a document.

use lifeboat_model::time::Millis;
use proptest::prelude::*;

use super::*;

const ALL: &str = "acs:hbr:cn-hangzhou:1000:*";
const VAULT: &str = "acs:hbr:cn-hangzhou:1000:vault/v-1";

fn question<'a>(action: &'a str, resource: &'a str) -> Question<'a> {
    let source_ip = [192, 0, 2, 7].into();
    // 2026-11-22T08:00:00Z
    let now = Millis::from_seconds(1_795_334_400);
    Question { action, resource, circumstances: Circumstances { source_ip, is_secure: false, now } }
}

fn document(statements: &str) -> Result<PolicyDocument, PolicyError> {
    PolicyDocument::parse(&format!(r#"{{"Version": "1", "Statement": [{statements}]}}"#))
}

fn decision(statements: &str, action: &str, resource: &str) -> Decision {
    decide([&document(statements).unwrap()], &question(action, resource))
}

#[test]
fn statements_allow_and_deny_what_they_name() {
    use Decision::{Allowed, Denied, NotAllowed};
    const READ: &str = r#"{"Effect": "Allow", "Action": "hbr:Describe*", "Resource": "*"}"#;
    const ALL_BUT: &str = r#"{"Effect": "Allow", "NotAction": ["hbr:Delete*", "ram:*"], "Resource": "*"}"#;
    const ONE_VAULT: &str = r#"{"Effect": "Allow", "Action": ["hbr:*"], "Resource": ["acs:hbr:*:*:vault/v-1", "acs:hbr:*:*:vault/v-2"]}"#;
    const NO_VAULTS: &str = r#"{"Effect": "Deny", "Action": "hbr:*vault*", "Resource": "acs:hbr:*:*:*"}"#;
    const AT_HOME: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": {"IpAddress": {"acs:SourceIp": ["192.0.2.0/24"]}, "Bool": {"acs:SecureTransport": false}}}"#;
    const ELSEWHERE: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": {"IpAddress": {"acs:SourceIp": "192.0.2.0/24"}, "Bool": {"acs:SecureTransport": "true"}}}"#;
    const UNSAFE: &str = r#"{"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"Bool": {"acs:SecureTransport": "false"}}}"#;
    let both = |one: &str, other: &str| format!("{one}, {other}");
    for (statements, action, resource, expected) in [
        (READ.to_owned(), "hbr:DescribeVaults", ALL, Allowed),
        (READ.to_owned(), "hbr:DescribeVaults", VAULT, Allowed),
        (READ.to_owned(), "hbr:CreateVault", ALL, NotAllowed),
        (READ.to_owned(), "ram:DescribeVaults", ALL, NotAllowed),
        (ALL_BUT.to_owned(), "hbr:CreateVault", ALL, Allowed),
        (ALL_BUT.to_owned(), "hbr:DeleteVault", ALL, NotAllowed),
        (ALL_BUT.to_owned(), "ram:CreateUser", ALL, NotAllowed),
        // Whoever is allowed something on one vault is not allowed it on all resources.
        (ONE_VAULT.to_owned(), "hbr:UpdateVault", VAULT, Allowed),
        (ONE_VAULT.to_owned(), "hbr:UpdateVault", "acs:hbr:cn-hangzhou:1000:vault/v-3", NotAllowed),
        (ONE_VAULT.to_owned(), "hbr:DescribeBackupJobs2", ALL, NotAllowed),
        (both(AT_HOME, NO_VAULTS), "hbr:CreateVault", ALL, Denied),
        (both(NO_VAULTS, AT_HOME), "hbr:DescribeVaults", VAULT, Denied),
        (both(NO_VAULTS, AT_HOME), "hbr:CancelBackupJob", ALL, Allowed),
        (AT_HOME.to_owned(), "hbr:CreateVault", ALL, Allowed),
        (ELSEWHERE.to_owned(), "hbr:CreateVault", ALL, NotAllowed),
        (both(AT_HOME, UNSAFE), "hbr:CreateVault", ALL, Denied),
    ] {
        assert_eq!(decision(&statements, action, resource), expected, "{statements} {action} {resource}");
    }
    assert_eq!(decide([], &question("hbr:DescribeVaults", ALL)), NotAllowed);
}

#[test]
fn what_a_document_may_not_say_is_refused_by_name() {
    for (statement, named) in [
        (r#"{"Effect": "Allow", "Action": "*"}"#, "Resource"),
        (r#"{"Effect": "Allow", "Resource": "*"}"#, "neither Action nor NotAction"),
        (
            r#"{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}"#,
            "both Action and NotAction",
        ),
        (r#"{"Effect": "Allow", "Action": [], "Resource": "*"}"#, "no action"),
        (r#"{"Effect": "Allow", "Action": "*", "Resource": []}"#, "Resource is empty"),
        (r#"{"Effect": "allow", "Action": "*", "Resource": "*"}"#, "allow"),
        (r#"{"Effect": "Allow", "Effect": "Deny", "Action": "*", "Resource": "*"}"#, "duplicate field"),
        (r#"{"Effect": "Allow", "Action": "DescribeVaults", "Resource": "*"}"#, "DescribeVaults"),
        (r#"{"Effect": "Allow", "Action": "hbr:a b", "Resource": "*"}"#, "hbr:a b"),
        (r#"{"Effect": "Allow", "Action": "*", "Resource": "v-1"}"#, "v-1"),
        (r#"{"Effect": "Allow", "Action": "*", "NotResource": "*"}"#, "NotResource"),
        (r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}"#, "Principal"),
        (r#"{"Effect": "Deny", "Action": "*", "Resource": "acs:hbr:*:*:vault/v-1"}"#, "denial"),
        (r#"{"Effect": "Deny", "Action": "*", "Resource": "acs:*:*:*:vault/*"}"#, "denial"),
        (r#"{"Effect": "Deny", "Action": "rds:*", "Resource": "acs:rds:*:*:dbinstance/rm-1"}"#, "denial"),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"acs:X": "a"}}}"#,
            "acs:X",
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Is": {"acs:SourceIp": "a"}}}"#,
            "Is",
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition":
                {"StringLike": {"acs:SourceIp": "1*", "acs:SourceIp": "2*"}}}"#,
            "twice",
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition":
                {"StringLike": {"acs:SourceIp": "1*"}, "StringLike": {"acs:SourceIp": "2*"}}}"#,
            "twice",
        ),
    ] {
        let error = document(statement).unwrap_err().to_string();
        assert!(error.contains(named), "{statement}: {error}");
    }
    for (text, named) in [
        (r#"{"Statement": []}"#, "Version"),
        (r#"{"Version": "2", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#, "\"2\""),
        (r#"{"Version": "1", "Statement": []}"#, "no Statement"),
        (r#"{"Version": "1", "Statement": [], "Id": "x"}"#, "Id"),
        ("[]", "invalid"),
        ("", "EOF"),
    ] {
        let error = PolicyDocument::parse(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn a_denial_on_resources_of_another_service_is_nothing_to_refuse() {
    let statements = r#"{"Effect": "Deny", "Action": "oss:*", "Resource": "acs:oss:*:*:bucket/x"},
        {"Effect": "Deny", "Action": "hbr:*", "Resource": ["acs:hbr:*:1000:*", "acs:*", "acs:hbr:*"]}"#;
    assert_eq!(decision(statements, "hbr:DescribeVaults", ALL), Decision::Denied);
}

#[test]
fn deep_and_huge_documents_are_refused() {
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    for text in [
        deep.clone(),
        format!(r#"{{"Version": "1", "Statement": {deep}}}"#),
        format!(
            r#"{{"Version": "1", "Statement": [{{"Effect": "Allow", "Resource": "*", "Action": {deep}}}]}}"#
        ),
        r#"{"a":"#.repeat(1000),
        format!(r#"{{"Version": "1", "Statement": [{}]}}"#, " ".repeat(MOST_DOCUMENT_BYTES)),
    ] {
        assert!(PolicyDocument::parse(&text).is_err());
    }
}

/// A statement of words that often meet.
fn statement() -> impl Strategy<Value = (String, Effect)> {
    let action = prop::sample::select(vec![
        "*",
        "hbr:*",
        "hbr:Describe*",
        "hbr:?reateVault",
        "hbr:CreateVault",
        "ram:*",
    ]);
    let name = prop::sample::select(vec!["Action", "NotAction"]);
    let resource =
        prop::sample::select(vec!["*", "acs:hbr:*:*:*", "acs:hbr:cn-hangzhou:1000:*", "acs:oss:*:*:x"]);
    let condition = prop::sample::select(vec![
        "{}",
        r#"{"Bool": {"acs:SecureTransport": "false"}}"#,
        r#"{"NotIpAddress": {"acs:SourceIp": "192.0.2.0/24"}}"#,
        r#"{"DateGreaterThan": {"acs:CurrentTime": "2026-01-01T00:00:00Z"}, "StringLike": {"acs:SourceIp": "192*"}}"#,
    ]);
    (any::<bool>(), action, name, resource, condition).prop_map(|(allows, action, name, resource, condition)| {
        let effect = if allows { Effect::Allow } else { Effect::Deny };
        let text = format!(
            r#"{{"Effect": "{effect:?}", "{name}": "{action}", "Resource": "{resource}", "Condition": {condition}}}"#
        );
        (text, effect)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever else is said, before or after, in the same document or in another.
    #[test]
    fn an_explicit_deny_always_wins(
        statements in prop::collection::vec(statement(), 1..6),
        at in any::<prop::sample::Index>(),
        action in prop::sample::select(vec!["hbr:CreateVault", "hbr:DescribeVaults", "ram:CreateUser"]),
    ) {
        const DENY: &str = r#"{"Effect": "Deny", "Action": ["hbr:*", "ram:*"], "Resource": "*"}"#;
        let mut texts: Vec<_> = statements.into_iter().map(|(text, _)| text).collect();
        texts.insert(at.index(texts.len() + 1), DENY.to_owned());
        prop_assert_eq!(decision(&texts.join(", "), action, ALL), Decision::Denied);
        let documents: Vec<_> = texts.iter().map(|text| document(text).unwrap()).collect();
        prop_assert_eq!(decide(&documents, &question(action, ALL)), Decision::Denied);
    }

    /// The order of documents does not matter, and what none of them allows is not allowed.
    #[test]
    fn nothing_is_allowed_without_an_allow(
        statements in prop::collection::vec(statement(), 0..6),
        action in prop::sample::select(vec!["hbr:CreateVault", "hbr:DescribeVaults", "ram:CreateUser"]),
    ) {
        let mut documents: Vec<_> = statements.iter().map(|(text, _)| document(text).unwrap()).collect();
        let together = decide(&documents, &question(action, ALL));
        documents.reverse();
        prop_assert_eq!(decide(&documents, &question(action, ALL)), together);
        let alone = |(text, effect): &(String, Effect)| {
            (*effect, decide([&document(text).unwrap()], &question(action, ALL)))
        };
        let alone: Vec<_> = statements.iter().map(alone).collect();
        let is_denied = alone.contains(&(Effect::Deny, Decision::Denied));
        let is_allowed = alone.contains(&(Effect::Allow, Decision::Allowed));
        let expected = match (is_denied, is_allowed) {
            (true, _) => Decision::Denied,
            (false, true) => Decision::Allowed,
            (false, false) => Decision::NotAllowed,
        };
        prop_assert_eq!(together, expected);
        prop_assert!(alone.iter().all(|one| *one != (Effect::Deny, Decision::Allowed)));
    }
}
