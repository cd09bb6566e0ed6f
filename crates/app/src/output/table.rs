//! A table of text whose rows are printed as they come: columns have widths chosen beforehand.

/// Cells padded to the widths of their columns; the last column is as long as it likes.
pub(crate) fn row(widths: &[usize], cells: &[&str]) -> String {
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        line.push_str(cell);
        if at + 1 < cells.len() {
            let width = widths.get(at).copied().unwrap_or(0);
            let missing = width.saturating_sub(cell.chars().count());
            line.extend(std::iter::repeat_n(' ', missing + 2));
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// A line under headings.
pub(crate) fn rule(width: usize) -> String {
    "-".repeat(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        assert_eq!(row(&[4, 3], &["ä", "long", "x"]), "ä     long  x");
        assert_eq!(row(&[4], &["a", ""]), "a");
    }
}
