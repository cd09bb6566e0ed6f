//! The pages of `docs/wire` as data: what each operation reads and sends, and when it leaves a field out; and [`Seen`],
//! which holds every answer of every test against that. Operations of databases have the name of their product in front,
//! as in `rds:CreateBackup`, because two products have operations of one name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

pub(crate) static PAGE: LazyLock<Page> = LazyLock::new(Page::read);

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/wire");
/// Pages, and what the names of their operations begin with here.
const PAGES: [(&str, &str); 3] = [("hbr.md", ""), ("rds.md", "rds:"), ("tair.md", "kvstore:")];

/// A field as the page has it.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) is_constant: bool,
    /// Holds other fields and has no value of its own.
    pub(crate) is_box: bool,
    absent: Absent,
}

#[derive(Clone, Debug)]
enum Absent {
    Never,
    /// If one of its neighbours has one of these values, or for a reason in words; `is_exact`: and only then.
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

    /// Whether a row may have the field, or be without it.
    fn allows(&self, is_there: bool, row: &Map<String, Value>) -> bool {
        let Self::When { conditions, is_exact } = self else { return is_there };
        let is_met = conditions.iter().any(|(name, value)| row.get(name).is_some_and(|found| found == value));
        if is_there { !is_met } else { is_met || !is_exact }
    }
}

/// A parameter as the page has it, `N` and `M` for the numbers of lists.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) is_mandatory: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Page {
    fields: BTreeMap<String, Vec<Field>>,
    parameters: BTreeMap<String, Vec<Parameter>>,
    /// Fields of every answer, by what the names of operations begin with.
    envelopes: BTreeMap<&'static str, Vec<Field>>,
}

/// What the name of an operation begins with that tells its product.
pub(crate) fn prefix(action: &str) -> &str {
    action.find(':').map_or("", |at| &action[..=at])
}

impl Page {
    fn read() -> Self {
        let mut page = Self::default();
        for (name, prefix) in PAGES {
            page.add(&std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap(), prefix);
        }
        page
    }

    fn add(&mut self, text: &str, prefix: &'static str) {
        let page = self;
        let (mut actions, mut rows, mut table) = (Vec::new(), String::new(), String::new());
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                actions = quoted(heading).map(|action| format!("{prefix}{action}")).collect();
                for action in &actions {
                    page.fields.entry(action.clone()).or_default();
                    page.parameters.entry(action.clone()).or_default();
                }
                rows.clear();
            } else if line.starts_with("Rows are in ") {
                let list = quoted(line).next().unwrap();
                rows = format!("{list}.");
                page.add_fields((prefix, &actions), &[field(list, "box", "never")]);
            } else if line.starts_with("|---") {
            } else if let Some(cells) = line.strip_prefix('|') {
                let cells = cells.trim_end_matches('|').replace("\\|", " or ");
                let cells: Vec<_> = cells.split('|').map(str::trim).collect();
                match (table.as_str(), cells.as_slice()) {
                    ("", [first, ..]) => table = (*first).to_owned(),
                    ("field", [names, shape, _, absent]) => {
                        let fields: Vec<_> = quoted(names)
                            .map(|name| field(&format!("{rows}{name}"), shape, absent))
                            .collect();
                        page.add_fields((prefix, &actions), &fields);
                    }
                    ("parameter", [names, shape, _]) => {
                        for action in &actions {
                            let is_mandatory = shape.ends_with("mandatory");
                            let found =
                                quoted(names).map(|name| Parameter { name: name.to_owned(), is_mandatory });
                            page.parameters.get_mut(action).unwrap().extend(found);
                        }
                    }
                    ("code" | "stage", _) => {}
                    _ => panic!("a line of another shape: {line}"),
                }
            } else {
                table.clear();
            }
        }
    }

    fn add_fields(&mut self, (prefix, actions): (&'static str, &[String]), fields: &[Field]) {
        if actions.is_empty() {
            self.envelopes.entry(prefix).or_default().extend_from_slice(fields);
        }
        for action in actions {
            self.fields.get_mut(action).unwrap().extend_from_slice(fields);
        }
    }

    /// The operations of a product.
    pub(crate) fn actions(&self, product: &str) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str).filter(move |action| prefix(action) == product)
    }

    pub(crate) fn parameters(&self, action: &str) -> &[Parameter] {
        self.parameters.get(action).map(Vec::as_slice).unwrap_or_default()
    }

    /// What an operation may send.
    fn fields(&self, action: &str) -> impl Iterator<Item = &Field> {
        let envelope = self.envelopes.get(prefix(action));
        self.fields.get(action).into_iter().chain(envelope).flatten()
    }
}

fn field(path: &str, shape: &str, absent: &str) -> Field {
    Field {
        path: path.to_owned(),
        is_constant: shape.ends_with("constant"),
        is_box: matches!(shape, "box" | "list"),
        absent: Absent::of(absent),
    }
}

/// What is between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What was seen of the fields of each operation.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    values: BTreeMap<(String, String), BTreeSet<String>>,
    absent: BTreeSet<(String, String)>,
    /// What the page does not say.
    pub(crate) wrong: BTreeSet<String>,
}

impl Seen {
    /// Holds an answer against the page.
    pub(crate) fn look(&mut self, action: &str, body: &Value) {
        self.look_below(action, "", body);
    }

    fn look_below(&mut self, action: &str, path: &str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.look_below(action, path, item)),
            Value::Object(row) => self.look_into(action, path, row),
            _ => {}
        }
    }

    fn look_into(&mut self, action: &str, path: &str, row: &Map<String, Value>) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for (name, value) in row {
            let full = below(name);
            let is_listed = PAGE.fields(action).any(|field| field.path == full);
            if !is_listed {
                self.wrong.insert(format!("{action} sends {full}, which is not listed"));
            }
            self.values.entry((action.to_owned(), full.clone())).or_default().insert(value.to_string());
            self.look_below(action, &full, value);
        }
        for field in PAGE.fields(action) {
            let (parent, name) = field.path.rsplit_once('.').unwrap_or(("", &field.path));
            if parent != path {
                continue;
            }
            let is_there = row.contains_key(name);
            if !field.absent.allows(is_there, row) {
                let (how, shown) =
                    (if is_there { "is there" } else { "is absent" }, Value::from(row.clone()));
                self.wrong.insert(format!("{action} {} {how}, against the page: {shown}", field.path));
            }
            if !is_there {
                self.absent.insert((action.to_owned(), field.path.clone()));
            }
        }
    }

    /// Adds what was seen elsewhere.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (field, values) in &other.values {
            self.values.entry(field.clone()).or_default().extend(values.iter().cloned());
        }
        self.absent.extend(other.absent.iter().cloned());
        self.wrong.extend(other.wrong.iter().cloned());
    }

    /// What the page of a product promises and nobody has seen: another value of what is not constant, a row without what may be
    /// absent; and a constant that was none.
    pub(crate) fn unproven(&self, product: &str) -> Vec<String> {
        let mut unproven = Vec::new();
        for action in PAGE.actions(product) {
            for field in PAGE.fields.get(action).into_iter().flatten() {
                let key = (action.to_owned(), field.path.clone());
                let count = self.values.get(&key).map_or(0, BTreeSet::len);
                let is_proven = match field {
                    Field { is_box: true, .. } => count >= 1,
                    Field { is_constant: true, .. } => count == 1,
                    _ => count >= 2,
                };
                if !is_proven {
                    unproven.push(format!("{action} {} was seen with {count} values", field.path));
                }
                if !matches!(field.absent, Absent::Never) && !self.absent.contains(&key) {
                    unproven.push(format!("{action} {} was never absent", field.path));
                }
            }
        }
        unproven
    }
}
