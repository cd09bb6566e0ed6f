//! Names in SQL and names as files.
//!
//! A name of a database or of a table may hold anything but NUL. In SQL it stands in back-ticks; as a file of a vault
//! it keeps its letters, and only what a path or a terminal would take for something else is written as `%XX`.

use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// More letters than this no name of MariaDB has.
const MOST_LETTERS: usize = 64;

/// A name as SQL has it.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL has it, whatever the server thinks of backslashes.
pub(super) fn literal(text: &str) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    if hex.is_empty() { "''".to_owned() } else { format!("CONVERT(X'{hex}' USING utf8mb4)") }
}

/// Refuses what no database and no table is called, and what a caller cannot have meant.
pub(super) fn check(name: &str) -> Result<()> {
    let is_bad = name.is_empty() || name.chars().count() > MOST_LETTERS || name.contains('\0');
    if is_bad || name.ends_with(' ') {
        let what = format!("{name:?} is not a name of a database or a table");
        return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// The databases that belong to MariaDB itself.
pub(super) const OF_THE_SERVER: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A database's name as the name of a file.
pub(super) fn file_name(name: &str) -> String {
    let mut file = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_control() || "/%\\".contains(letter) || (at == 0 && letter == '.') {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                file.push_str(&format!("%{byte:02X}"));
            }
        } else {
            file.push(letter);
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(identifier("a`b; DROP"), "`a``b; DROP`");
        assert_eq!(literal("a'\\"), "CONVERT(X'61275C' USING utf8mb4)");
        assert_eq!(file_name("../a/b%\n ü@"), "%2E.%2Fa%2Fb%25%0A ü@");
        assert_ne!(file_name("%2E"), file_name("."));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "a\0b", "trailing ", &"x".repeat(65)] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check("o d@d'\"ü").is_ok());
    }
}
