//! Conditions of policy documents: an operator, a key of the request, and the values it is compared with.
//!
//! What is not understood is refused when the document is attached. Of several values one must fit; behind a negated
//! operator (`…NotEquals`, `…NotLike`, `NotIpAddress`) none may. Several keys and operators must all hold.

use std::cmp::Ordering;
use std::net::IpAddr;

use jiff::Timestamp;
use lifeboat_model::time::Millis;

use super::pattern::{Case, Pattern};

/// What a request is compared by.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub source_ip: IpAddr,
    pub is_secure: bool,
    pub now: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    SourceIp,
    CurrentTime,
    SecureTransport,
}

const KEYS: [(&str, Key); 3] = [
    ("acs:SourceIp", Key::SourceIp),
    ("acs:CurrentTime", Key::CurrentTime),
    ("acs:SecureTransport", Key::SecureTransport),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Equals,
    EqualsIgnoreCase,
    Like,
    /// Numbers; moments are seconds since 1970.
    Number(Relation),
    Date(Relation),
    Bool,
    Network,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Name, what it compares, and whether it is negated.
const OPERATORS: [(&str, Kind, bool); 21] = [
    ("StringEquals", Kind::Equals, false),
    ("StringNotEquals", Kind::Equals, true),
    ("StringEqualsIgnoreCase", Kind::EqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Kind::EqualsIgnoreCase, true),
    ("StringLike", Kind::Like, false),
    ("StringNotLike", Kind::Like, true),
    ("NumericEquals", Kind::Number(Relation::Equal), false),
    ("NumericNotEquals", Kind::Number(Relation::Equal), true),
    ("NumericLessThan", Kind::Number(Relation::Less), false),
    ("NumericLessThanEquals", Kind::Number(Relation::LessOrEqual), false),
    ("NumericGreaterThan", Kind::Number(Relation::Greater), false),
    ("NumericGreaterThanEquals", Kind::Number(Relation::GreaterOrEqual), false),
    ("DateEquals", Kind::Date(Relation::Equal), false),
    ("DateNotEquals", Kind::Date(Relation::Equal), true),
    ("DateLessThan", Kind::Date(Relation::Less), false),
    ("DateLessThanEquals", Kind::Date(Relation::LessOrEqual), false),
    ("DateGreaterThan", Kind::Date(Relation::Greater), false),
    ("DateGreaterThanEquals", Kind::Date(Relation::GreaterOrEqual), false),
    ("Bool", Kind::Bool, false),
    ("IpAddress", Kind::Network, false),
    ("NotIpAddress", Kind::Network, true),
];

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Equals(Vec<String>),
    EqualsIgnoreCase(Vec<String>),
    Like(Vec<Pattern>),
    Seconds(Relation, Vec<i64>),
    Bool(Vec<bool>),
    Network(Vec<Network>),
}

/// One operator on one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    key: Key,
    test: Test,
    is_negated: bool,
}

impl Condition {
    /// Reads one condition; the error says what would be right.
    pub(super) fn parse(operator: &str, key: &str, values: Vec<String>) -> Result<Self, String> {
        let known = OPERATORS.iter().find(|(name, ..)| *name == operator);
        let &(_, kind, is_negated) = known.ok_or_else(|| {
            let names = OPERATORS.map(|(name, ..)| name).join(", ");
            format!("the condition operator {operator:?} is not known; use one of {names}")
        })?;
        let known = KEYS.iter().find(|(name, _)| *name == key);
        let &(name, key) = known.ok_or_else(|| {
            let names = KEYS.map(|(name, _)| name).join(", ");
            format!("the condition key {key:?} is not known; use one of {names}")
        })?;
        if values.is_empty() {
            return Err(format!("{operator} on {name} has no value"));
        }
        let unfit = || format!("{operator} cannot be used on {name}");
        let strange =
            |value: &str, accepted: &str| format!("{value:?} of {operator} on {name} is not {accepted}");
        let test = match (kind, key) {
            (Kind::Equals, _) => Test::Equals(values),
            (Kind::EqualsIgnoreCase, _) => Test::EqualsIgnoreCase(values),
            (Kind::Like, _) => {
                Test::Like(values.iter().map(|value| Pattern::new(value, Case::Sensitive)).collect())
            }
            (Kind::Number(relation), Key::CurrentTime) => Test::Seconds(
                relation,
                each(&values, |text| text.parse().map_err(|_| strange(text, "a whole number")))?,
            ),
            (Kind::Date(relation), Key::CurrentTime) => {
                let accepted = "a time such as 2026-11-22T08:00:00Z or 2026-11-22T16:00:00+08:00";
                Test::Seconds(
                    relation,
                    each(&values, |text| seconds(text).ok_or_else(|| strange(text, accepted)))?,
                )
            }
            (Kind::Bool, Key::SecureTransport) => {
                Test::Bool(each(&values, |text| truth(text).ok_or_else(|| strange(text, "true or false")))?)
            }
            (Kind::Network, Key::SourceIp) => {
                let accepted = "an address or a network such as 192.0.2.0/24";
                Test::Network(each(&values, |text| {
                    Network::parse(text).ok_or_else(|| strange(text, accepted))
                })?)
            }
            _ => return Err(unfit()),
        };
        Ok(Self { key, test, is_negated })
    }

    pub(super) fn holds(&self, request: &Circumstances) -> bool {
        let text = || match self.key {
            Key::SourceIp => request.source_ip.to_canonical().to_string(),
            Key::CurrentTime => Timestamp::from(Millis::from_seconds(request.now.seconds())).to_string(),
            Key::SecureTransport => request.is_secure.to_string(),
        };
        let is_found = match &self.test {
            Test::Equals(values) => values.contains(&text()),
            Test::EqualsIgnoreCase(values) => {
                let text = text();
                values.iter().any(|value| value.eq_ignore_ascii_case(&text))
            }
            Test::Like(patterns) => {
                let text = text();
                patterns.iter().any(|pattern| pattern.matches(&text))
            }
            Test::Seconds(relation, values) => {
                let now = request.now.seconds();
                values.iter().any(|value| relation.holds(now.cmp(value)))
            }
            Test::Bool(values) => values.contains(&request.is_secure),
            Test::Network(networks) => networks.iter().any(|network| network.contains(request.source_ip)),
        };
        is_found != self.is_negated
    }
}

fn each<T>(values: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    values.iter().map(|value| read(value)).collect()
}

fn truth(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

fn seconds(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().ok()?.as_second())
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// An address with the number of its leading bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        Some(Self { address, bits })
    }

    /// An IPv4 address that came over IPv6 is one of IPv4.
    fn contains(self, address: IpAddr) -> bool {
        let differing = match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (ours.to_bits() ^ theirs.to_bits()).leading_zeros(),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits() ^ theirs.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T08:00:00Z
    const NOON: i64 = 1_795_334_400;

    fn holds(operator: &str, key: &str, values: &[&str], address: &str) -> bool {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let condition = Condition::parse(operator, key, values).unwrap();
        let now = Millis(NOON * 1000 + 999);
        condition.holds(&Circumstances { source_ip: address.parse().unwrap(), is_secure: true, now })
    }

    #[test]
    fn every_operator_compares_as_its_name_says() {
        let (ip, time, secure) = ("acs:SourceIp", "acs:CurrentTime", "acs:SecureTransport");
        let (now, before, after) =
            ("2026-11-22T08:00:00Z", "2026-11-22T07:59:59Z", "2026-11-22T16:00:01+08:00");
        let number = NOON.to_string();
        for (operator, key, values, expected) in [
            ("StringEquals", ip, &["192.0.2.7"][..], true),
            ("StringEquals", ip, &["192.0.2.8", "192.0.2.7"], true),
            ("StringEquals", secure, &["True"], false),
            ("StringNotEquals", ip, &["192.0.2.7", "192.0.2.8"], false),
            ("StringNotEquals", ip, &["192.0.2.8"], true),
            ("StringEqualsIgnoreCase", secure, &["TRUE"], true),
            ("StringNotEqualsIgnoreCase", secure, &["TRUE"], false),
            ("StringLike", ip, &["192.0.*"], true),
            ("StringLike", time, &["2026-11-??T*"], true),
            ("StringNotLike", ip, &["10.*", "192.*"], false),
            ("NumericEquals", time, &[&number], true),
            ("NumericNotEquals", time, &[&number], false),
            ("NumericLessThan", time, &[&number], false),
            ("NumericLessThanEquals", time, &[&number], true),
            ("NumericGreaterThan", time, &["5", &number], true),
            ("NumericGreaterThanEquals", time, &[&number], true),
            ("DateEquals", time, &[now], true),
            ("DateNotEquals", time, &[now], false),
            ("DateLessThan", time, &[after], true),
            ("DateLessThan", time, &[now], false),
            ("DateLessThanEquals", time, &[now], true),
            ("DateGreaterThan", time, &[before], true),
            ("DateGreaterThan", time, &[now], false),
            ("DateGreaterThanEquals", time, &[after], false),
            ("Bool", secure, &["true"], true),
            ("Bool", secure, &["False"], false),
            ("IpAddress", ip, &["192.0.2.0/24"], true),
            ("IpAddress", ip, &["192.0.2.7"], true),
            ("IpAddress", ip, &["192.0.3.0/24", "2001:db8::/32"], false),
            ("IpAddress", ip, &["0.0.0.0/0"], true),
            ("NotIpAddress", ip, &["192.0.2.0/24", "10.0.0.0/8"], false),
            ("NotIpAddress", ip, &["10.0.0.0/8"], true),
        ] {
            assert_eq!(holds(operator, key, values, "192.0.2.7"), expected, "{operator} {key} {values:?}");
        }
    }

    #[test]
    fn an_ipv4_address_over_ipv6_is_one_of_ipv4() {
        assert!(holds("IpAddress", "acs:SourceIp", &["192.0.2.0/24"], "::ffff:192.0.2.7"));
        assert!(!holds("NotIpAddress", "acs:SourceIp", &["192.0.2.0/24"], "::ffff:192.0.2.7"));
        assert!(holds("IpAddress", "acs:SourceIp", &["2001:db8::/32"], "2001:db8::1"));
        assert!(!holds("IpAddress", "acs:SourceIp", &["0.0.0.0/0"], "2001:db8::1"));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (operator, key, value, named) in [
            ("StringMatches", "acs:SourceIp", "x", "StringMatches"),
            ("stringequals", "acs:SourceIp", "x", "stringequals"),
            ("StringEquals", "acs:MFAPresent", "x", "acs:MFAPresent"),
            ("Bool", "acs:SourceIp", "true", "cannot be used"),
            ("Bool", "acs:SecureTransport", "yes", "\"yes\""),
            ("IpAddress", "acs:SourceIp", "192.0.2.0/33", "192.0.2.0/33"),
            ("IpAddress", "acs:SourceIp", "192.0.2", "192.0.2"),
            ("IpAddress", "acs:CurrentTime", "192.0.2.0", "cannot be used"),
            ("DateLessThan", "acs:CurrentTime", "tomorrow", "tomorrow"),
            ("NumericLessThan", "acs:CurrentTime", "1.5", "1.5"),
        ] {
            let error = Condition::parse(operator, key, vec![value.to_owned()]).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        assert!(Condition::parse("Bool", "acs:SecureTransport", Vec::new()).is_err());
    }
}
