//! What fuzzing runs: one function for each parser of what callers write, which panics if a promise is broken.
//!
//! The targets in `fuzz/` and the replay of `tests/fixtures/corpus/` share them, so that what a long run finds stays
//! found.

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;
use lifeboat_service::access::{
    Circumstances, Decision, MOST_DOCUMENT_BYTES, PolicyDocument, Question, RoleTrust, decide,
};

/// Any bytes as a policy document and as a trust document. A denial beside it wins; alone nothing allows twice.
pub(crate) fn policy_document(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let circumstances = Circumstances {
        source_ip: [192, 0, 2, 7].into(),
        is_secure: bytes.len().is_multiple_of(2),
        now: Millis(1_795_334_400_000),
    };
    if let Ok(trust) = RoleTrust::parse(text) {
        let id = |number| AccountId::from_number(number).expect("the number is small");
        trust.trusts(id(1000), id(2000), &circumstances);
    }
    let Ok(document) = PolicyDocument::parse(text) else { return };
    assert!(text.len() <= MOST_DOCUMENT_BYTES);
    let all = r#"{"Version": "1", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}"#;
    let none = PolicyDocument::parse(all).expect("it is a document");
    for action in ["hbr:CreateVault", "hbr:DescribeBackupJobs2", "ram:ListUsers"] {
        for resource in ["acs:hbr:cn-hangzhou:1000:*", "acs:hbr:cn-hangzhou:1000:vault/v-1"] {
            let question = Question { action, resource, circumstances };
            let alone = decide([&document], &question);
            assert_eq!(decide([&document, &document], &question), alone);
            assert_eq!(decide([&document, &none], &question), Decision::Denied);
            assert_eq!(decide([], &question), Decision::NotAllowed);
        }
    }
}
