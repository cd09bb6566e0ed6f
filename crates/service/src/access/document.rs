//! Policy documents: who writes one says which actions on which resources are allowed or denied, and under which
//! conditions.
//!
//! A document is checked whole when it is attached: an element, operator or key that is not understood here makes it
//! refused, so nothing in a stored document is passed over in silence. A statement that denies wins over any that
//! allow; what no statement allows is not allowed.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::condition::{Circumstances, Condition};
use super::pattern::{Case, Pattern};

/// A longer document is refused.
pub const MOST_DOCUMENT_BYTES: usize = 6144;

/// What actions that are asked about here begin with.
const PRODUCTS: [&str; 5] = ["hbr", "rds", "kvstore", "ram", "lifeboat"];

/// A document that cannot be attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy document cannot be used: {0}")]
pub struct PolicyError(pub(super) String);

/// A document that is understood to the last word.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDocument {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    effect: Effect,
    actions: Actions,
    resources: Vec<Pattern>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq)]
enum Actions {
    These(Vec<Pattern>),
    AllBut(Vec<Pattern>),
}

/// What documents say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement allows it.
    NotAllowed,
}

/// What is to be decided about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Such as `hbr:CreateVault`.
    pub action: &'a str,
    /// Such as `acs:hbr:cn-hangzhou:1234567890123456:vault/v-1`; its last part is `*` when all resources are meant.
    pub resource: &'a str,
    pub circumstances: Circumstances,
}

/// What all documents of somebody say together.
pub fn decide<'a>(
    documents: impl IntoIterator<Item = &'a PolicyDocument>,
    question: &Question<'_>,
) -> Decision {
    let mut decision = Decision::NotAllowed;
    for statement in documents.into_iter().flat_map(|document| &document.statements) {
        if !statement.is_about(question) {
            continue;
        }
        match statement.effect {
            Effect::Deny => return Decision::Denied,
            Effect::Allow => decision = Decision::Allowed,
        }
    }
    decision
}

impl Statement {
    fn is_about(&self, question: &Question<'_>) -> bool {
        let is_among = |patterns: &[Pattern], text| patterns.iter().any(|pattern| pattern.matches(text));
        let is_action = match &self.actions {
            Actions::These(patterns) => is_among(patterns, question.action),
            Actions::AllBut(patterns) => !is_among(patterns, question.action),
        };
        is_action
            && is_among(&self.resources, question.resource)
            && self.conditions.iter().all(|condition| condition.holds(&question.circumstances))
    }
}

impl PolicyDocument {
    /// Reads a document; the error says what is wrong where.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let raw: RawDocument<RawStatement> = read(text)?;
        let numbered = (1..).zip(raw.statement);
        let statements = numbered.map(|(number, raw)| {
            Statement::of(raw).map_err(|what| PolicyError(format!("statement {number}: {what}")))
        });
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }
}

/// The frame that all documents share, of whatever statements.
pub(super) fn read<S: for<'a> Deserialize<'a>>(text: &str) -> Result<RawDocument<S>, PolicyError> {
    if text.len() > MOST_DOCUMENT_BYTES {
        let what = format!("it has {} bytes, the most are {MOST_DOCUMENT_BYTES}", text.len());
        return Err(PolicyError(what));
    }
    let raw: RawDocument<S> = serde_json::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
    if raw.version != "1" {
        return Err(PolicyError(format!("its Version is {:?} and must be \"1\"", raw.version)));
    }
    if raw.statement.is_empty() {
        return Err(PolicyError("it has no Statement".to_owned()));
    }
    Ok(raw)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", bound = "S: Deserialize<'de>")]
pub(super) struct RawDocument<S> {
    version: String,
    pub(super) statement: Vec<S>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawStatement {
    effect: Effect,
    action: Option<Texts>,
    not_action: Option<Texts>,
    resource: Texts,
    #[serde(default)]
    condition: Conditions,
}

impl Statement {
    fn of(raw: RawStatement) -> Result<Self, String> {
        let actions = match (raw.action, raw.not_action) {
            (Some(these), None) => Actions::These(actions(&these)?),
            (None, Some(others)) => Actions::AllBut(actions(&others)?),
            (Some(_), Some(_)) => return Err("it has both Action and NotAction".to_owned()),
            (None, None) => return Err("it has neither Action nor NotAction".to_owned()),
        };
        if raw.resource.0.is_empty() {
            return Err("its Resource is empty".to_owned());
        }
        for resource in &raw.resource.0 {
            check_resource(resource, raw.effect)?;
        }
        let resource = |text: &String| Pattern::new(text, Case::Sensitive);
        Ok(Self {
            effect: raw.effect,
            actions,
            resources: raw.resource.0.iter().map(resource).collect(),
            conditions: raw.condition.parse()?,
        })
    }
}

/// `*`, or `service:Name`, both with wildcards.
fn actions(texts: &Texts) -> Result<Vec<Pattern>, String> {
    let is_plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_*?".contains(c))
    };
    let is_action = |text: &str| {
        text == "*" || text.split_once(':').is_some_and(|(service, name)| is_plain(service) && is_plain(name))
    };
    if let Some(strange) = texts.0.iter().find(|text| !is_action(text)) {
        return Err(format!("{strange:?} is not an action such as hbr:DescribeVaults, hbr:Describe* or *"));
    }
    if texts.0.is_empty() {
        return Err("it names no action".to_owned());
    }
    Ok(texts.0.iter().map(|text| Pattern::new(text, Case::Ignored)).collect())
}

/// Most operations are about all resources, so a denial on a particular one would not do what it seems to.
fn check_resource(text: &str, effect: Effect) -> Result<(), String> {
    let parts: Vec<_> = text.splitn(5, ':').collect();
    let is_resource = text == "*" || text == "acs:*" || (parts.first() == Some(&"acs") && text.len() > 4);
    if !is_resource {
        return Err(format!("{text:?} is not a resource such as * or acs:hbr:*:*:vault/v-…"));
    }
    let is_ours = |pattern: &Pattern| PRODUCTS.iter().any(|product| pattern.matches(product));
    let is_of_ours = parts.get(1).is_none_or(|product| is_ours(&Pattern::new(product, Case::Ignored)));
    let is_particular = match parts.get(4) {
        Some(name) => !name.chars().all(|c| c == '*') || name.is_empty(),
        None => !text.ends_with('*'),
    };
    if effect == Effect::Deny && is_of_ours && is_particular {
        return Err(format!(
            "it denies on {text:?}, and a denial on a particular resource would not hold for operations on all resources; \
             deny on * and allow on the resources that are left"
        ));
    }
    Ok(())
}

/// One text or several. Numbers and flags count as what they are written like.
pub(super) struct Texts(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(vec![text.to_owned()]))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Texts, E> {
        Ok(Texts(vec![flag.to_string()]))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Texts, E> {
        Ok(Texts(vec![number.to_string()]))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Texts, E> {
        Ok(Texts(vec![number.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
        let mut all = Vec::new();
        while let Some(Texts(mut item)) = items.next_element()? {
            match item.pop() {
                Some(text) if item.is_empty() => all.push(text),
                _ => return Err(A::Error::custom("a list within a list")),
            }
        }
        Ok(Texts(all))
    }
}

/// `{operator: {key: values}}`; a name that comes twice in one object is refused.
#[derive(Default)]
pub(super) struct Conditions(Vec<(String, Pairs<Texts>)>);

impl Conditions {
    pub(super) fn parse(self) -> Result<Vec<Condition>, String> {
        let mut all = Vec::new();
        for (operator, keys) in self.0 {
            for (key, values) in keys.0 {
                all.push(Condition::parse(&operator, &key, values.0)?);
            }
        }
        Ok(all)
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pairs::deserialize(deserializer).map(|pairs| Self(pairs.0))
    }
}

/// The members of an object in their order, each name once.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(std::marker::PhantomData))
    }
}

struct PairsVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
    type Value = Pairs<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs<T>, A::Error> {
        let mut pairs: Vec<(String, T)> = Vec::new();
        while let Some((name, value)) = members.next_entry::<String, T>()? {
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("{name:?} comes twice")));
            }
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests;
