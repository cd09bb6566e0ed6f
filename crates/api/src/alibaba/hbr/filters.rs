//! Filters of the two listings: keys in any letter case, eight operators, all of them AND-ed.
//!
//! A value that no row has is an empty list; a key, an operator, a time or a count of values that makes no sense is
//! refused by name.

use lifeboat_model::filter::{Comparison, JobCondition, TextComparison, TextField, TimeField};
use lifeboat_model::time::Millis;

use super::at_most;
use crate::alibaba::{Params, WireError};

const OPERATORS: &str = "It must be one of EQUAL, NOT_EQUAL, GREATER_THAN, GREATER_THAN_OR_EQUAL, LESS_THAN, LESS_THAN_OR_EQUAL, \
     BETWEEN and IN.";

/// Of more filters, or of one with more values, a database would make no sense.
pub(super) const MOST_FILTERS: usize = 50;
pub(super) const MOST_VALUES: usize = 500;
/// Characters of a value that a refusal repeats.
const MOST_SHOWN: usize = 200;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Text(TextField),
    Time(TimeField),
}

/// The keys of a listing, by their names.
pub type Keys = &'static [(&'static str, Key)];

pub const BACKUP_KEYS: Keys = &[
    ("RegionId", Key::Text(TextField::Region)),
    ("PlanId", Key::Text(TextField::PlanId)),
    ("JobId", Key::Text(TextField::Id)),
    ("VaultId", Key::Text(TextField::VaultId)),
    ("InstanceId", Key::Text(TextField::InstanceId)),
    ("Bucket", Key::Text(TextField::Bucket)),
    ("FileSystemId", Key::Text(TextField::FileSystemId)),
    ("Status", Key::Text(TextField::State)),
    ("CreatedTime", Key::Time(TimeField::Created)),
    ("CompleteTime", Key::Time(TimeField::Completed)),
    ("InstanceName", Key::Text(TextField::InstanceName)),
    ("BackupType", Key::Text(TextField::BackupType)),
    ("ParentId", Key::Text(TextField::ParentId)),
    ("SourceType", Key::Text(TextField::SourceType)),
];

pub const RESTORE_KEYS: Keys = &[
    ("RegionId", Key::Text(TextField::Region)),
    ("PlanId", Key::Text(TextField::PlanId)),
    ("JobId", Key::Text(TextField::SourceJobId)),
    ("RestoreId", Key::Text(TextField::Id)),
    ("VaultId", Key::Text(TextField::VaultId)),
    ("InstanceId", Key::Text(TextField::TargetInstanceId)),
    ("TargetInstanceId", Key::Text(TextField::TargetInstanceId)),
    ("Bucket", Key::Text(TextField::Bucket)),
    ("TargetBucket", Key::Text(TextField::Bucket)),
    ("FileSystemId", Key::Text(TextField::FileSystemId)),
    ("TargetFileSystemId", Key::Text(TextField::FileSystemId)),
    ("Status", Key::Text(TextField::State)),
    ("SourceType", Key::Text(TextField::SourceType)),
    ("CreatedTime", Key::Time(TimeField::Created)),
    ("CompleteTime", Key::Time(TimeField::Completed)),
];

/// The conditions in `Filters.N`.
pub fn conditions(params: &Params, keys: Keys) -> Result<Vec<JobCondition>, WireError> {
    given(params)?.iter().map(|(place, filter)| condition(place, filter, keys)).collect()
}

/// `Filters.N`, each with its place.
pub(super) fn given(params: &Params) -> Result<Vec<(String, Params)>, WireError> {
    let filters = params.structs("Filters");
    at_most(MOST_FILTERS, "Filters", filters.len())?;
    Ok(filters)
}

fn condition(place: &str, filter: &Params, keys: Keys) -> Result<JobCondition, WireError> {
    let name = filter.text("Key").ok_or_else(|| WireError::missing(&format!("{place}.Key")))?;
    let found = keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    let Some((name, key)) = found else {
        let names: Vec<_> = keys.iter().map(|(key, _)| *key).collect();
        let accepted = format!("It must be one of {}.", names.join(", "));
        return Err(WireError::invalid(&format!("{place}.Key"), name, accepted));
    };
    let operator = filter.text("Operator");
    let comparison = match operator {
        None => Comparison::In,
        Some(text) => comparison(text)
            .ok_or_else(|| WireError::invalid(&format!("{place}.Operator"), text, OPERATORS))?,
    };
    let values = values(place, filter, comparison)?;
    match key {
        Key::Text(field) => {
            let comparison = match comparison {
                Comparison::Equal => TextComparison::Equal,
                Comparison::NotEqual => TextComparison::NotEqual,
                Comparison::In => TextComparison::In,
                _ => {
                    let accepted = format!("{name} can be compared by EQUAL, NOT_EQUAL and IN only.");
                    let text = operator.unwrap_or_default();
                    return Err(WireError::invalid(&format!("{place}.Operator"), text, accepted));
                }
            };
            Ok(JobCondition::Text { field: *field, comparison, values })
        }
        Key::Time(field) => {
            if *field == TimeField::Completed && comparison == Comparison::In {
                let accepted =
                    "CompleteTime cannot be compared by IN, which is what an absent operator means.";
                return Err(WireError::invalid(
                    &format!("{place}.Operator"),
                    operator.unwrap_or("IN"),
                    accepted,
                ));
            }
            let time = |text: &String| {
                let accepted = format!("{name} is compared with whole seconds since 1970.");
                let seconds = text.parse().map(Millis::from_seconds);
                seconds.map_err(|_| WireError::invalid(&format!("{place}.Values"), text, accepted))
            };
            let values = values.iter().map(time).collect::<Result<_, _>>()?;
            Ok(JobCondition::Time { field: *field, comparison, values })
        }
    }
}

fn comparison(text: &str) -> Option<Comparison> {
    Some(match text {
        "EQUAL" => Comparison::Equal,
        "NOT_EQUAL" => Comparison::NotEqual,
        "GREATER_THAN" => Comparison::Greater,
        "GREATER_THAN_OR_EQUAL" => Comparison::GreaterOrEqual,
        "LESS_THAN" => Comparison::Less,
        "LESS_THAN_OR_EQUAL" => Comparison::LessOrEqual,
        "BETWEEN" => Comparison::Between,
        "IN" => Comparison::In,
        _ => return None,
    })
}

/// The values, as many as the comparison takes. One value that is a JSON array counts as its elements.
fn values(place: &str, filter: &Params, comparison: Comparison) -> Result<Vec<String>, WireError> {
    let given = filter.list("Values");
    let name = format!("{place}.Values");
    let values: Vec<String> = match (comparison, given.as_slice()) {
        (Comparison::In | Comparison::Between, [one]) if one.trim_start().starts_with('[') => {
            let elements: Result<Vec<serde_json::Value>, _> = serde_json::from_str(one);
            let accepted = "It begins like a JSON array but is none.";
            let elements = elements.map_err(|_| WireError::invalid(&name, one, accepted))?;
            let text = |element: serde_json::Value| match element {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            elements.into_iter().map(text).collect()
        }
        _ => given.into_iter().map(str::to_owned).collect(),
    };
    let (is_right, accepted) = match comparison {
        Comparison::In => ((1..=MOST_VALUES).contains(&values.len()), "IN takes 1 to 500 values."),
        Comparison::Between => (values.len() == 2, "BETWEEN takes two values, both included."),
        _ => (values.len() == 1, "This operator takes one value."),
    };
    if is_right {
        return Ok(values);
    }
    if values.is_empty() {
        return Err(WireError::missing(&name));
    }
    let shown: String = values.join(",").chars().take(MOST_SHOWN).collect();
    Err(WireError::invalid(&name, &shown, accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<Vec<JobCondition>, WireError> {
        let mut params = Params::default();
        params.decode(form.as_bytes()).unwrap();
        conditions(&params, BACKUP_KEYS)
    }

    #[test]
    fn keys_come_in_any_case_and_the_operator_may_be_absent_or_empty() {
        for form in [
            "Filters.1.Key=vaultId&Filters.1.Values.1=v-1&Filters.1.Values.2=v-2",
            "Filters.1.Key=VAULTID&Filters.1.Operator=&Filters.1.Values.1=v-1&Filters.1.Values.2=v-2",
            "Filters.1.Key=VaultId&Filters.1.Operator=IN&Filters.1.Values.1=[\"v-1\",\"v-2\"]",
        ] {
            let expected = JobCondition::Text {
                field: TextField::VaultId,
                comparison: TextComparison::In,
                values: vec!["v-1".into(), "v-2".into()],
            };
            assert_eq!(read(form).unwrap(), [expected], "{form}");
        }
    }

    #[test]
    fn between_takes_two_values_or_one_pair() {
        let form = "Filters.1.Key=CompleteTime&Filters.1.Operator=BETWEEN&Filters.1.Values.1=";
        let expected = JobCondition::Time {
            field: TimeField::Completed,
            comparison: Comparison::Between,
            values: vec![Millis(1000), Millis(2000)],
        };
        for values in ["1&Filters.1.Values.2=2", "[1,2]", "[\"1\", \"2\"]"] {
            assert_eq!(
                read(&format!("{form}{values}")).unwrap(),
                std::slice::from_ref(&expected),
                "{values}"
            );
        }
        for values in ["1", "[1]", "[1,2,3]", "1&Filters.1.Values.2=x", "[1,"] {
            assert!(read(&format!("{form}{values}")).is_err(), "{values}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (form, code) in [
            ("Filters.1.Values.1=x", "MissingFilters.1.Key"),
            ("Filters.1.Key=Nonsense&Filters.1.Values.1=x", "InvalidParameter.Filters.1.Key"),
            (
                "Filters.1.Key=Status&Filters.1.Operator=LIKE&Filters.1.Values.1=x",
                "InvalidParameter.Filters.1.Operator",
            ),
            (
                "Filters.1.Key=Status&Filters.1.Operator=LESS_THAN&Filters.1.Values.1=x",
                "InvalidParameter.Filters.1.Operator",
            ),
            ("Filters.1.Key=CompleteTime&Filters.1.Values.1=1", "InvalidParameter.Filters.1.Operator"),
            ("Filters.1.Key=Status&Filters.1.Operator=EQUAL", "MissingFilters.1.Values"),
            (
                "Filters.1.Key=CreatedTime&Filters.1.Operator=EQUAL&Filters.1.Values.1=now",
                "InvalidParameter.Filters.1.Values",
            ),
            (
                "Filters.1.Key=Status&Filters.1.Operator=EQUAL&Filters.1.Values.1=a&Filters.1.Values.2=b",
                "InvalidParameter.Filters.1.Values",
            ),
        ] {
            assert_eq!(read(form).unwrap_err().code, code, "{form}");
        }
    }
}
