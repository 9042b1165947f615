//! Tables for people: aligned columns without lines, at most [`WIDTH`] wide where that is possible.

use comfy_table::presets::NOTHING as WITHOUT_LINES;
use comfy_table::{CellAlignment, ContentArrangement};
use ringback::domain::json_text::harmless;
use unicode_width::UnicodeWidthStr;

/// Columns of a common terminal. Wider: lines wrap, and columns are no longer under each other.
const WIDTH: usize = 100;
/// What is left of a shortened text. Smaller: one can't tell one URL from another.
const SHORTEST: usize = 12;
const BETWEEN_COLUMNS: u16 = 2;
/// Stands for a value that is not there.
pub(crate) const NOTHING: &str = "–";

#[derive(Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    alignment: CellAlignment,
    /// Whether its texts are shortened in the middle when the table is too wide.
    shrinks: bool,
}

impl Column {
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, alignment: CellAlignment::Left, shrinks: false }
    }

    pub(crate) const fn shrinking(title: &'static str) -> Self {
        Self { shrinks: true, ..Self::text(title) }
    }

    pub(crate) const fn number(title: &'static str) -> Self {
        Self { alignment: CellAlignment::Right, ..Self::text(title) }
    }
}

pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; its texts may come from outside.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The table, without a line break at its end.
    pub(crate) fn text(&self) -> String {
        let cap = self.cap();
        let mut table = comfy_table::Table::new();
        table.load_style(WITHOUT_LINES).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|column| column.title.to_uppercase()));
        for row in &self.rows {
            let cells = self.columns.iter().zip(row);
            table.add_row(cells.map(|(column, cell)| match column.shrinks {
                true => shorten(cell, cap),
                false => cell.clone(),
            }));
        }
        for (column, shown) in self.columns.iter().zip(table.column_iter_mut()) {
            shown.set_padding((0, BETWEEN_COLUMNS)).set_cell_alignment(column.alignment);
        }
        table.trim_fmt()
    }

    /// The most columns of the terminal for a text that shrinks.
    fn cap(&self) -> usize {
        let widths: Vec<(bool, usize)> = (self.columns.iter().enumerate())
            .map(|(place, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.width());
                (column.shrinks, cells.chain([column.title.width()]).max().unwrap_or_default())
            })
            .collect();
        let between = usize::from(BETWEEN_COLUMNS) * widths.len().saturating_sub(1);
        let width_with = |cap: usize| {
            let shown = widths.iter().map(|&(shrinks, width)| if shrinks { width.min(cap) } else { width });
            between + shown.sum::<usize>()
        };
        (SHORTEST..=WIDTH).rev().find(|cap| width_with(*cap) <= WIDTH).unwrap_or(SHORTEST)
    }
}

/// A text from outside, on one line.
pub(crate) fn one_line(text: &str) -> String {
    harmless(text).replace('\n', "\\n")
}

/// Takes characters out of the middle of a text that has more than `most`: what tells URLs apart is at both ends.
fn shorten(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let take = |characters: &mut dyn Iterator<Item = char>, most: usize| {
        let mut taken = String::new();
        for symbol in characters {
            taken.push(symbol);
            if taken.width() > most {
                taken.pop();
                break;
            }
        }
        taken
    };
    let beginning = take(&mut text.chars(), kept - kept / 2);
    let end: String = take(&mut text.chars().rev(), kept / 2).chars().rev().collect();
    format!("{beginning}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(url: &str) -> String {
        let mut table = Table::new([Column::text("id"), Column::shrinking("url"), Column::number("pending")]);
        table.row(["wh_1", url, "7"].map(str::to_owned));
        table.row(["wh_22222", "https://b.example", "1200"].map(str::to_owned));
        table.text()
    }

    #[test]
    fn columns_are_aligned_and_no_line_ends_with_spaces() {
        let shown = table("https://a.example/hooks");
        assert_eq!(
            shown,
            "ID        URL                      PENDING\n\
             wh_1      https://a.example/hooks        7\n\
             wh_22222  https://b.example           1200"
        );
    }

    #[test]
    fn a_table_fits_into_100_columns_because_urls_are_shortened_in_the_middle() {
        let shown = table(&format!("https://a.example/{}/end-of-it", "x".repeat(2_000)));
        assert!(shown.lines().all(|line| line.width() <= WIDTH), "{shown}");
        assert!(shown.contains("https://a.example/x") && shown.contains("/end-of-it "), "{shown}");
        let wide = table(&"結".repeat(200));
        assert!(wide.lines().all(|line| line.width() <= WIDTH), "{wide}");
    }

    #[test]
    fn a_text_from_outside_stays_on_its_line_and_commands_no_terminal() {
        let shown = table("a\u{1b}[2J\nb\rc");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\r'), "{shown}");
        assert_eq!(shown.lines().count(), 3, "{shown}");
    }

    #[test]
    fn a_short_text_stays_whole_and_a_long_one_keeps_both_ends() {
        assert_eq!(shorten("https://a.example", 17), "https://a.example");
        assert_eq!(shorten("https://a.example", 11), "https…ample");
        assert_eq!(shorten("abc", 2), "a…");
    }
}
