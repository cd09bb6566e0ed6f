//! `docs/wire/hbr.md` as data: which fields each operation may send, and when each is absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const TEXT: &str = include_str!("../../../../docs/wire/hbr.md");

/// A field as the page has it.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) is_constant: bool,
    /// Holds other fields and has no value of its own.
    pub(crate) is_box: bool,
    pub(crate) absent: Absent,
}

#[derive(Clone, Debug)]
pub(crate) enum Absent {
    Never,
    /// If one of its neighbours has one of these values; `is_exact`: and only then.
    When {
        conditions: Vec<(String, String)>,
        is_exact: bool,
    },
}

impl Absent {
    fn of(text: &str) -> Self {
        if text == "never" {
            return Self::Never;
        }
        let conditions = quoted(text).filter_map(|condition| condition.split_once('='));
        let conditions = conditions.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::When { conditions, is_exact: text.starts_with("exactly ") }
    }

    /// Whether the field has to be absent from this row.
    pub(crate) fn is_met(&self, row: &Map<String, Value>) -> bool {
        let Self::When { conditions, .. } = self else { return false };
        conditions.iter().any(|(name, value)| row.get(name).is_some_and(|found| found == value))
    }
}

/// The page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    operations: BTreeMap<String, Vec<Field>>,
    envelope: Vec<Field>,
}

impl Page {
    pub(crate) fn read() -> Self {
        let mut page = Self::default();
        let (mut actions, mut rows, mut is_fields) = (Vec::new(), String::new(), false);
        for line in TEXT.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                actions = quoted(heading).map(str::to_owned).collect();
                for action in &actions {
                    page.operations.entry(action.clone()).or_default();
                }
                rows.clear();
            } else if line.starts_with("Rows are in ") {
                rows = quoted(line).next().map(|path| format!("{path}.")).unwrap_or_default();
                // The list itself.
                let list = Field {
                    path: rows.trim_end_matches('.').to_owned(),
                    is_constant: false,
                    is_box: true,
                    absent: Absent::Never,
                };
                for action in &actions {
                    page.operations.entry(action.clone()).or_default().push(list.clone());
                }
            } else if line.starts_with("| field |") {
                is_fields = true;
            } else if !line.starts_with('|') {
                is_fields = false;
            } else if is_fields && !line.starts_with("|---") {
                let found = fields(line, &rows);
                match actions.as_slice() {
                    [] => page.envelope.extend(found),
                    actions => {
                        for action in actions {
                            page.operations.entry(action.clone()).or_default().extend(found.clone());
                        }
                    }
                }
            }
        }
        page
    }

    pub(crate) fn actions(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }

    /// What an operation may send, the fields of every answer among them.
    pub(crate) fn fields(&self, action: &str) -> impl Iterator<Item = &Field> {
        self.operations.get(action).into_iter().flatten().chain(&self.envelope)
    }

    /// All fields, with their operations.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Field)> {
        let own = |(action, fields)| {
            let (action, fields): (&String, &Vec<Field>) = (action, fields);
            fields.iter().map(|field| (action.as_str(), field))
        };
        self.operations.iter().flat_map(own)
    }
}

/// The fields of a line, each below `rows`.
fn fields(line: &str, rows: &str) -> Vec<Field> {
    let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    let [names, shape, _, absent] = cells.as_slice() else { panic!("a line of another shape: {line}") };
    let field = |name: &str| Field {
        path: format!("{rows}{name}"),
        is_constant: shape.ends_with("constant"),
        is_box: matches!(*shape, "box" | "list"),
        absent: Absent::of(absent),
    };
    quoted(names).map(field).collect()
}

/// What is between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
