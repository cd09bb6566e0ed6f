//! The settings that go along with a physical backup: a file beside the files, and what a restore takes from it.
//!
//! It is written as an option file for who restores by hand. When it is read, only settings that are known pass.

use super::facts::SETTINGS;
use crate::sql::error::{Result, SqlError};

/// Its name within a snapshot.
pub(super) const FILE: &str = "settings.cnf";

pub(super) fn to_text(settings: &[(String, String)]) -> Result<String> {
    let mut text = "# What a server needs to be told to understand these files.\n[mysqld]\n".to_owned();
    for (name, value) in settings {
        check(name, value)?;
        text.push_str(&format!("{name}={value}\n"));
    }
    Ok(text)
}

pub(super) fn of_text(text: &str) -> Result<Vec<(String, String)>> {
    let lines = text.lines().filter(|line| !(line.is_empty() || line.starts_with(['#', '['])));
    lines
        .map(|line| {
            let refused = || SqlError::damaged(format!("{FILE} holds a line that is no setting"));
            let (name, value) = line.split_once('=').ok_or_else(refused)?;
            check(name, value)?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

fn check(name: &str, value: &str) -> Result<()> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_,:;.- ".contains(letter);
    if !SETTINGS.contains(&name) || !value.chars().all(is_plain) {
        return Err(SqlError::damaged(format!("{name:?} is not a setting that goes along with a backup")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_and_nothing_else_does() {
        let settings =
            [("innodb_page_size".to_owned(), "16384".to_owned()), ("sql_mode".into(), String::new())];
        assert_eq!(of_text(&to_text(&settings).unwrap()).unwrap(), settings);
        for line in ["plugin_load=x.so", "init_file=/x", "sql_mode", "sql_mode=a/b", "!include /etc/x"] {
            assert!(of_text(line).is_err(), "{line}");
        }
    }
}
