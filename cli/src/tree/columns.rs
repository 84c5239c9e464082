//! Cells under each other, two spaces between the columns.

use super::text::{Paint, Text};

/// Spaces between two columns.
const GAP: usize = 2;

/// The rows as lines, each column as wide as its widest cell; nothing trails.
pub(crate) fn aligned(rows: &[Vec<Text>], paint: Paint) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(Text::width).max().unwrap_or_default()
        })
        .collect();
    rows.iter().map(|row| line(row, &widths, paint)).collect()
}

fn line(row: &[Text], widths: &[usize], paint: Paint) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&cell.painted(paint));
        line.push_str(&" ".repeat(width - cell.width() + GAP));
    }
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_look() {
        let row = |cells: [&str; 3]| cells.map(Text::word).to_vec();
        let rows = [row(["NAME", "S", "INFO"]), row(["α b", "✔", ""])];
        assert_eq!(aligned(&rows, Paint::Plain), "NAME  S  INFO\nα b   ✔\n");
        let painted = aligned(&rows, Paint::Ansi);
        assert_eq!(painted, "NAME  S  INFO\nα b   \x1b[32m✔\x1b[0m\n");
    }
}
