//! Names and texts in SQL.
//!
//! A name of a database or of a table may hold anything but NUL; in SQL it stands in back-ticks.

/// A name as SQL has it.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL has it, whatever the server thinks of backslashes.
pub(super) fn literal(text: &str) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    if hex.is_empty() { "''".to_owned() } else { format!("CONVERT(X'{hex}' USING utf8mb4)") }
}

/// The databases that belong to MariaDB itself.
pub(super) const OF_THE_SERVER: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(identifier("a`b; DROP"), "`a``b; DROP`");
        assert_eq!(literal("a'\\"), "CONVERT(X'61275C' USING utf8mb4)");
    }
}
