//! How answers look: tables and details for people, JSON as the server sent it for programs.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Remote;
use crate::exit::Status;
use crate::output::{table, text};

impl Remote<'_> {
    /// Prints rows below headings, or as one JSON array. `total` is how many rows there are beyond what is listed.
    pub(super) fn table<T: Serialize>(
        &self,
        headings: &[&str],
        (rows, total): (&[T], u64),
        cells: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<Status> {
        let output = &self.app.output;
        if output.is_json() {
            output.json(&rows)?;
            return Ok(Status::Success);
        }
        let lines: Vec<Vec<String>> = rows.iter().map(cells).collect();
        let widths: Vec<_> = headings
            .iter()
            .enumerate()
            .map(|(at, heading)| {
                let of_line = |line: &Vec<String>| line.get(at).map_or(0, |cell| cell.chars().count());
                lines.iter().map(of_line).max().unwrap_or(0).max(heading.chars().count())
            })
            .collect();
        output.line(table::row(&widths, headings))?;
        output.line(table::rule(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)))?;
        for line in &lines {
            let cells: Vec<_> = line.iter().map(String::as_str).collect();
            output.line(table::row(&widths, &cells))?;
        }
        let more = total.saturating_sub(rows.len() as u64);
        if more > 0 {
            output.note(format_args!("and {more} more; --limit lists more"));
        }
        Ok(Status::Success)
    }

    /// Prints every field of an answer on a line of its own, or as one JSON object.
    pub(super) fn details(&self, answer: &impl Serialize) -> anyhow::Result<Status> {
        let output = &self.app.output;
        if output.is_json() {
            output.json(answer)?;
            return Ok(Status::Success);
        }
        let Value::Object(fields) = serde_json::to_value(answer)? else { return Ok(Status::Success) };
        for (name, value) in &fields {
            let value = self.shown(name, value);
            if !value.is_empty() {
                output.line(table::row(&[16], &[&name.replace('_', " "), &value]))?;
            }
        }
        Ok(Status::Success)
    }

    fn shown(&self, name: &str, value: &Value) -> String {
        match value {
            Value::String(text) => text.parse().map_or_else(|_| text.clone(), |time| self.app.local(time)),
            Value::Number(number) => match number.as_u64() {
                Some(bytes) if name.starts_with("bytes_") => text::bytes(bytes),
                Some(parts) if name == "progress" => percent(parts),
                _ => number.to_string(),
            },
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Array(items) => {
                items.iter().map(|item| self.shown(name, item)).collect::<Vec<_>>().join(", ")
            }
            Value::Object(fields) => {
                let shown = fields.iter().map(|(name, value)| (name, self.shown(name, value)));
                let kept: Vec<_> = shown
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| format!("{} {value}", name.replace('_', " ")))
                    .collect();
                format!("({})", kept.join("; "))
            }
            Value::Null => String::new(),
        }
    }

    /// A moment in a cell.
    pub(super) fn moment(&self, time: Option<Timestamp>) -> String {
        time.map(|time| self.app.local(time)).unwrap_or_default()
    }

    /// What was made: its id alone for people's scripts, everything for programs.
    pub(super) fn made(&self, what: &str, id: &str, answer: &impl Serialize) -> anyhow::Result<Status> {
        if self.app.output.is_json() {
            self.app.output.json(answer)?;
        } else {
            self.app.output.line(format_args!("{what} {id}"))?;
        }
        Ok(Status::Success)
    }
}

/// `12.34%` of parts of ten thousand.
pub(super) fn percent(parts: u64) -> String {
    format!("{}.{:02}%", parts / 100, parts % 100)
}
