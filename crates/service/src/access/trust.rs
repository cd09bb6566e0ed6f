//! Trust documents of roles: which accounts may act in a role, and under which conditions.
//!
//! A principal names an account: `acs:ram::ACCOUNT:root`, or the backup service acting for one,
//! `ACCOUNT@crossbackup.hbr.aliyuncs.com`. The service without an account acts for the role's own.

use lifeboat_model::id::AccountId;
use serde::Deserialize;

use super::condition::{Circumstances, Condition};
use super::document::{Conditions, Effect, PolicyError, Texts, read};
use super::pattern::{Case, Pattern};

const SERVICE: &str = "crossbackup.hbr.aliyuncs.com";
const ACTION: &str = "sts:AssumeRole";

/// A trust document that is understood to the last word.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleTrust {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    effect: Effect,
    principals: Vec<Principal>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Principal {
    Account(AccountId),
    /// The account that the role belongs to.
    Own,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawStatement {
    effect: Effect,
    action: Texts,
    principal: RawPrincipal,
    #[serde(default)]
    condition: Conditions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrincipal {
    #[serde(rename = "RAM")]
    ram: Option<Texts>,
    #[serde(rename = "Service")]
    service: Option<Texts>,
}

impl RoleTrust {
    /// Reads a document; the error says what is wrong where.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let numbered = (1..).zip(read::<RawStatement>(text)?.statement);
        let statements = numbered.map(|(number, raw)| {
            Statement::of(raw).map_err(|what| PolicyError(format!("statement {number}: {what}")))
        });
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }

    /// Whether `account` may act in this role of the account `own`.
    pub fn trusts(&self, account: AccountId, own: AccountId, circumstances: &Circumstances) -> bool {
        let is_meant = |principal: &Principal| match principal {
            Principal::Account(id) => *id == account,
            Principal::Own => own == account,
        };
        let about = |statement: &&Statement| {
            statement.principals.iter().any(is_meant)
                && statement.conditions.iter().all(|condition| condition.holds(circumstances))
        };
        let mut effects = self.statements.iter().filter(about).map(|statement| statement.effect).peekable();
        effects.peek().is_some() && effects.all(|effect| effect == Effect::Allow)
    }
}

impl Statement {
    fn of(raw: RawStatement) -> Result<Self, String> {
        let is_action = |text: &String| Pattern::new(text, Case::Ignored).matches(ACTION);
        if raw.action.0.is_empty() || !raw.action.0.iter().all(is_action) {
            return Err(format!("its Action must be {ACTION}"));
        }
        let texts = |texts: Option<Texts>| texts.map(|texts| texts.0).unwrap_or_default();
        let ram = texts(raw.principal.ram).into_iter().map(|text| account(&text));
        let service = texts(raw.principal.service).into_iter().map(|text| service(&text));
        let principals = ram.chain(service).collect::<Result<Vec<_>, _>>()?;
        if principals.is_empty() {
            return Err("its Principal names nobody".to_owned());
        }
        Ok(Self { effect: raw.effect, principals, conditions: raw.condition.parse()? })
    }
}

fn account(text: &str) -> Result<Principal, String> {
    let id = text.strip_prefix("acs:ram::").and_then(|rest| rest.strip_suffix(":root"));
    let id = id.and_then(number);
    id.map(Principal::Account)
        .ok_or_else(|| format!("{text:?} is not an account such as acs:ram::1234567890123456:root"))
}

fn service(text: &str) -> Result<Principal, String> {
    let wrong = || format!("{text:?} is neither {SERVICE} nor 1234567890123456@{SERVICE}");
    match text.split_once('@') {
        None if text == SERVICE => Ok(Principal::Own),
        Some((id, SERVICE)) => number(id).map(Principal::Account).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn number(text: &str) -> Option<AccountId> {
    AccountId::from_number(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use lifeboat_model::time::Millis;

    use super::*;

    const OWN: i64 = 1000;
    const MANAGING: i64 = 2000;

    fn parse(statements: &str) -> Result<RoleTrust, PolicyError> {
        RoleTrust::parse(&format!(r#"{{"Version": "1", "Statement": [{statements}]}}"#))
    }

    fn trusts(statements: &str, who: i64) -> bool {
        let id = |number| AccountId::from_number(number).unwrap();
        let now = Millis::from_seconds(1_795_334_400);
        let circumstances = Circumstances { source_ip: [192, 0, 2, 7].into(), is_secure: true, now };
        parse(statements).unwrap().trusts(id(who), id(OWN), &circumstances)
    }

    fn statement(effect: &str, principal: &str, condition: &str) -> String {
        format!(
            r#"{{"Effect": "{effect}", "Action": "sts:AssumeRole", "Principal": {principal}, "Condition": {condition}}}"#
        )
    }

    #[test]
    fn a_role_trusts_whom_it_names_and_nobody_else() {
        for (principal, own, managing, other) in [
            (r#"{"RAM": "acs:ram::2000:root"}"#, false, true, false),
            (r#"{"RAM": ["acs:ram::2000:root", "acs:ram::1000:root"]}"#, true, true, false),
            (r#"{"Service": ["2000@crossbackup.hbr.aliyuncs.com"]}"#, false, true, false),
            (r#"{"Service": "crossbackup.hbr.aliyuncs.com"}"#, true, false, false),
        ] {
            let statements = statement("Allow", principal, "{}");
            assert_eq!(trusts(&statements, OWN), own, "{principal}");
            assert_eq!(trusts(&statements, MANAGING), managing, "{principal}");
            assert_eq!(trusts(&statements, 3000), other, "{principal}");
        }
    }

    #[test]
    fn denials_and_conditions_count() {
        let ram = r#"{"RAM": "acs:ram::2000:root"}"#;
        let allow = statement("Allow", ram, "{}");
        let deny = statement("Deny", r#"{"Service": "2000@crossbackup.hbr.aliyuncs.com"}"#, "{}");
        assert!(!trusts(&format!("{allow}, {deny}"), MANAGING));
        assert!(!trusts(&format!("{deny}, {allow}"), MANAGING));
        let far = r#"{"IpAddress": {"acs:SourceIp": "10.0.0.0/8"}}"#;
        assert!(!trusts(&statement("Allow", ram, far), MANAGING));
        assert!(trusts(&format!("{allow}, {}", statement("Deny", ram, far)), MANAGING));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (statement, named) in [
            (statement("Allow", r#"{"RAM": "acs:ram::2000:user/x"}"#, "{}"), "user/x"),
            (statement("Allow", r#"{"RAM": "*"}"#, "{}"), "\"*\""),
            (statement("Allow", r#"{"Service": "ecs.aliyuncs.com"}"#, "{}"), "ecs.aliyuncs.com"),
            (statement("Allow", r#"{"Federated": "x"}"#, "{}"), "Federated"),
            (statement("Allow", "{}", "{}"), "nobody"),
            (statement("Allow", r#"{"RAM": "acs:ram::1:root"}"#, r#"{"Bool": {"acs:X": "true"}}"#), "acs:X"),
            (
                r#"{"Effect": "Allow", "Action": "hbr:*", "Principal": {"RAM": "acs:ram::1:root"}}"#.into(),
                "sts:AssumeRole",
            ),
        ] {
            let error = parse(&statement).unwrap_err().to_string();
            assert!(error.contains(named), "{statement}: {error}");
        }
    }
}
