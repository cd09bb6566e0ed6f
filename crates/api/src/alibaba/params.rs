//! Parameters: `name=value` pairs from the query and from a form body, lists flattened as `Path.1`, `Path.2`.
//!
//! Names are unique: a name that comes twice is refused, so nobody signs one value and has another one used. An empty
//! value counts for the signature and means absent for the operation.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::WireError;
use crate::json;

/// All but letters, digits and `-_.~` (RFC 3986, unreserved characters).
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request with more of them is none of ours.
const MOST_PARAMETERS: usize = 5000;

/// Decoded parameters by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

/// Percent-encodes as signatures need it.
pub(super) fn strict(text: &str) -> String {
    percent_encode(text.as_bytes(), STRICT).to_string()
}

impl Params {
    /// Adds the pairs of a query or a form.
    pub fn decode(&mut self, form: &[u8]) -> Result<(), WireError> {
        for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
                None => (pair, &b""[..]),
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if self.0.len() >= MOST_PARAMETERS {
                let what = format!("The request has more than {MOST_PARAMETERS} parameters.");
                return Err(WireError::bad_request("InvalidParameter", what));
            }
            if self.0.insert(name.clone(), value).is_some() {
                let what = format!("The parameter {name:?} is given more than once.");
                return Err(WireError::bad_request("InvalidParameter", what));
            }
        }
        Ok(())
    }

    /// All pairs in the order of their names, as they are signed.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value as it was sent, an empty one too.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value; an empty one is absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    pub fn required(&self, name: &str) -> Result<&str, WireError> {
        self.text(name).ok_or_else(|| WireError::missing(name))
    }

    /// The value as a type that knows how to parse itself and to say what it wants.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, WireError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| WireError::invalid(name, text, sentence(&error)))
    }

    /// A whole number between two ends.
    pub fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, WireError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        let accepted = || format!("It must be a whole number from {least} to {most}.");
        number.map(Some).ok_or_else(|| WireError::invalid(name, text, accepted()))
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>, WireError> {
        match self.text(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(WireError::invalid(name, text, "It must be true or false.")),
        }
    }

    /// A value that is JSON text.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, WireError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let error = |error: serde_json::Error| WireError::invalid(name, text, sentence(&error));
        json::read(text.as_bytes()).map(Some).map_err(error)
    }

    /// The values of `name.1`, `name.2` and so on in the order of their numbers; gaps are passed over.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let numbered = self.below(name).filter_map(|(rest, value)| Some((rest.parse::<u32>().ok()?, value)));
        let mut numbered: Vec<_> = numbered.filter(|(_, value)| !value.is_empty()).collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, value)| value).collect()
    }

    /// The parameters below `name.1.`, `name.2.` and so on, each with its own names.
    pub fn structs(&self, name: &str) -> Vec<(String, Self)> {
        let mut found: BTreeMap<u32, Self> = BTreeMap::new();
        for (rest, value) in self.below(name) {
            let Some((number, field)) = rest.split_once('.') else { continue };
            let Ok(number) = number.parse() else { continue };
            found.entry(number).or_default().0.insert(field.to_owned(), value.to_owned());
        }
        found.into_iter().map(|(number, params)| (format!("{name}.{number}"), params)).collect()
    }

    /// The same where they may also come as one value that is JSON text: `[{"Field": …}, …]`.
    pub fn json_structs(&self, name: &str) -> Result<Vec<(String, Self)>, WireError> {
        let Some(items) = self.json::<Vec<serde_json::Map<String, Value>>>(name)? else {
            return Ok(self.structs(name));
        };
        let params = |item| {
            let mut params = Self::default();
            params.flatten("", Value::Object(item));
            params
        };
        Ok((1..).zip(items).map(|(number, item)| (format!("{name}.{number}"), params(item))).collect())
    }

    /// The fields of one value that is a JSON object.
    pub fn json_fields(&self, name: &str) -> Result<Self, WireError> {
        let mut params = Self::default();
        match self.json::<serde_json::Map<String, Value>>(name)? {
            Some(fields) => params.flatten("", Value::Object(fields)),
            None => self.below(name).for_each(|(rest, value)| {
                params.0.insert(rest.to_owned(), value.to_owned());
            }),
        }
        Ok(params)
    }

    /// Adds JSON as a form would have it: fields of fields as `a.b`, lists as `a.1`, `a.2`.
    fn flatten(&mut self, place: &str, value: Value) {
        let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        match value {
            Value::Object(fields) => {
                fields.into_iter().for_each(|(name, value)| self.flatten(&below(&name), value));
            }
            Value::Array(items) => {
                (1..)
                    .zip(items)
                    .for_each(|(number, value): (usize, _)| self.flatten(&below(&number.to_string()), value));
            }
            Value::Null => {}
            Value::String(text) => drop(self.0.insert(place.to_owned(), text)),
            Value::Bool(_) | Value::Number(_) => drop(self.0.insert(place.to_owned(), value.to_string())),
        }
    }

    /// What begins with `name.`, with that taken off.
    fn below<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter()
            .filter_map(move |(full, value)| Some((full.strip_prefix(name)?.strip_prefix('.')?, value)))
    }

    /// The pairs as `name=value&name=value`, encoded strictly, in the order of the names.
    pub(super) fn canonical(&self, but: &str) -> String {
        let mut text = String::new();
        for (name, value) in self.iter().filter(|(name, _)| *name != but) {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(&strict(name));
            text.push('=');
            text.push_str(&strict(value));
        }
        text
    }
}

/// An error message of some parser as a sentence of its own.
fn sentence(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Undoes the encoding of a form: `+` is a blank and `%XX` a byte.
fn decode(text: &[u8]) -> Result<String, WireError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let byte = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                byte.ok_or_else(|| malformed(text))?
            }
            byte => *byte,
        });
    }
    // No database keeps a NUL in a text.
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(|| malformed(text))
}

fn malformed(text: &[u8]) -> WireError {
    let what = format!("The text \"{}\" is not percent-encoded UTF-8 without NUL.", text.escape_ascii());
    WireError::bad_request("InvalidParameter.Format", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(form: &str) -> Params {
        let mut params = Params::default();
        params.decode(form.as_bytes()).unwrap();
        params
    }

    #[test]
    fn lists_are_in_the_order_of_their_numbers_and_gaps_are_passed_over() {
        let params = params("Path.10=j&Path.2=b&Path.1=a&Path.4=&PathX.1=z&Path=y&Path.x=q");
        assert_eq!(params.list("Path"), ["a", "b", "j"]);
    }

    #[test]
    fn structs_are_gathered_by_their_numbers() {
        let params =
            params("Filters.1.Key=VaultId&Filters.1.Values.1=v-1&Filters.11.Key=Status&Filters.2.Key=");
        let structs = params.structs("Filters");
        assert_eq!(structs.len(), 3);
        assert_eq!(structs[0].0, "Filters.1");
        assert_eq!(structs[0].1.list("Values"), ["v-1"]);
        assert_eq!(structs[1].1.text("Key"), None);
        assert_eq!(structs[2].1.text("Key"), Some("Status"));
    }

    #[test]
    fn structs_in_json_are_those_of_a_form() {
        let json =
            r#"[{"Key":"a","Days":7,"Is":true,"No":null,"In":{"Low":["x","y"]},"Rules":[{"Days":1}]},{}]"#;
        let mut of_json = Params::default();
        of_json.decode(format!("Rules={}", strict(json)).as_bytes()).unwrap();
        let structs = of_json.json_structs("Rules").unwrap();
        assert_eq!(structs.len(), 2);
        let form = "Key=a&Days=7&Is=true&In.Low.1=x&In.Low.2=y&Rules.1.Days=1";
        assert_eq!(structs[0], ("Rules.1".to_owned(), params(form)));
        let of_form = params(&format!("Rules.1.{}", form.replace('&', "&Rules.1.")));
        assert_eq!(of_form.json_structs("Rules").unwrap(), structs[..1]);
        for text in ["Rules=x", "Rules=%7B%7D", "Rules=%5B1%5D"] {
            assert!(params(text).json_structs("Rules").is_err(), "{text}");
        }
    }

    #[test]
    fn blanks_come_as_plus_or_as_percent_twenty() {
        assert_eq!(params("a=x+y&b=x%20y&c=%2B").canonical(""), "a=x%20y&b=x%20y&c=%2B");
    }

    #[test]
    fn names_are_unique_and_values_are_text() {
        let decode = |form: &str| Params::default().decode(form.as_bytes());
        assert!(decode("a=1&a=1").is_err());
        assert!(decode("a=%zz").is_err());
        assert!(decode("a=%f").is_err());
        assert!(decode("a=%ff").is_err());
        assert!(decode("a=%00").is_err());
        assert_eq!(decode("&&a&=&"), Ok(()));
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_with_what_would_be_right() {
        let params = params("PageSize=100&Disabled=yes&Json=[");
        let error = params.number("PageSize", 1, 99).unwrap_err();
        assert_eq!(error.code, "InvalidParameter.PageSize");
        assert_eq!(
            error.message,
            "The value \"100\" of PageSize is not valid. It must be a whole number from 1 to 99."
        );
        assert!(params.boolean("Disabled").is_err());
        assert!(params.json::<Vec<String>>("Json").is_err());
        assert_eq!(params.required("VaultId").unwrap_err().code, "MissingVaultId");
    }
}
