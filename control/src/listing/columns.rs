//! Columns as wide as what stands in them.
//!
//! A column's width follows from its cells, so that nothing runs into its neighbour whatever the
//! numbers; the last column is broken between words where it would pass the width of the page.

/// Columns of a page.
pub(super) const PAGE_COLUMNS: usize = 100;

/// The fewest columns that the last cell is given.
const LAST_COLUMNS_MIN: usize = 24;

/// Between two columns.
const GAP: &str = "  ";

/// A table in the making.
#[derive(Debug)]
pub(super) struct Table {
    /// For each column, true if its cells are numbers.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; those of numbers begin with `>`.
    pub(super) fn new(headings: &[&str]) -> Self {
        let bare = |heading: &&str| heading.strip_prefix('>').unwrap_or(heading).to_owned();
        Self {
            right: headings.iter().map(|h| h.starts_with('>')).collect(),
            rows: vec![headings.iter().map(bare).collect()],
        }
    }

    /// One more row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The text, each line behind `indent`.
    pub(super) fn text(&self, indent: &str) -> String {
        let widths: Vec<usize> = (0..self.right.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (column, cell) in row.iter().enumerate() {
                let last = column + 1 == self.right.len();
                let wide = widths.get(column).copied().unwrap_or(0);
                let fill = " ".repeat(wide.saturating_sub(width(cell)));
                match (self.right.get(column), last) {
                    (Some(true), _) => line.extend([&fill, cell.as_str()]),
                    (_, true) => line.push_str(&wrapped(cell, width(&line))),
                    _ => line.extend([cell.as_str(), &fill]),
                }
                if !last {
                    line.push_str(GAP);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Characters of a text.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// A text that begins at column `at`, broken between words where it would pass the page; further
/// lines begin at the same column.
pub(super) fn wrapped(text: &str, at: usize) -> String {
    let room = PAGE_COLUMNS.saturating_sub(at).max(LAST_COLUMNS_MIN);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if width(line) + 1 + width(word) <= room => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_follow_their_cells() {
        let mut table = Table::new(&[">Packets", "Reason", "Meaning"]);
        table.row(["7".into(), "a".into(), "short".into()]);
        table.row([
            u64::MAX.to_string(),
            "longer_reason".into(),
            "x ".repeat(70),
        ]);
        let text = table.text("  ");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "               Packets  Reason         Meaning");
        assert_eq!(lines[1], "                     7  a              short");
        assert_eq!(lines[2].find("longer_reason"), Some(24));
        assert_eq!(lines[3].find('x'), Some(39));
        assert!(lines.iter().all(|line| line.len() <= PAGE_COLUMNS));
    }

    #[test]
    fn a_last_column_far_to_the_right_still_has_room() {
        let text = wrapped("one two three four five six seven", 95);
        assert_eq!(text.lines().next(), Some("one two three four five"));
    }
}
