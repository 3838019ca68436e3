//! Aligned columns for people.

/// A table of text; a column that is empty in every row is left out.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: usize = 2;

impl Table {
    pub(super) fn new<const N: usize>(heads: [&'static str; N]) -> Self {
        Self { heads: heads.into(), rows: Vec::new() }
    }

    /// Adds a row, one cell a column.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each with its end.
    pub(super) fn render(&self) -> String {
        let columns: Vec<(usize, usize)> = (0..self.heads.len()).filter_map(|column| Some((column, self.width(column)?))).collect();
        let mut text = String::new();
        let heads: Vec<String> = self.heads.iter().map(|&head| head.to_owned()).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (column, width) in &columns {
                let cell = row.get(*column).map_or("", String::as_str);
                line.push_str(cell);
                let padding = width.saturating_add(GAP).saturating_sub(cell.chars().count());
                line.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The widest cell of a column; none when all are empty.
    fn width(&self, column: usize) -> Option<usize> {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let widest = cells.max().filter(|widest| *widest > 0)?;
        Some(widest.max(self.heads.get(column).map_or(0, |head| head.chars().count())))
    }
}

/// Text from elsewhere, without what would speak to the terminal instead of the person.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

/// At most so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// `1 flag`, `2 flags`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// `100,000`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2d 3h`, `15m`, `4s`: the two largest units.
pub(super) fn lasting(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let mut left = ms.max(0);
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        let count = left.checked_div(length).unwrap_or_default();
        left = left.saturating_sub(count.saturating_mul(length));
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        } else if !parts.is_empty() {
            // What follows the largest unit is only its next: 1d 0h 5m is a day.
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    match (parts.is_empty(), left) {
        (true, 1..) => format!("{left}ms"),
        (true, _) => "0s".to_owned(),
        _ => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new(["FLAG", "OWNER", "SERVES"]);
        table.row(["US-123-checkout".to_owned(), String::new(), "0.1 %".to_owned()]);
        table.row(["ü".to_owned(), String::new(), "10 %".to_owned()]);
        assert_eq!(table.render(), "FLAG             SERVES\nUS-123-checkout  0.1 %\nü                10 %\n");
    }

    #[test]
    fn what_others_wrote_cannot_speak_to_the_terminal() {
        let mut table = Table::new(["A"]);
        table.row(["a\u{1b}[31m\nb".to_owned()]);
        assert_eq!(table.render(), "A\na\u{fffd}[31m\u{fffd}b\n");
    }

    #[test]
    fn spans_read_well() {
        for (ms, text) in
            [(0, "0s"), (250, "250ms"), (2_500, "2s"), (900_000, "15m"), (5_430_000, "1h 30m"), (86_700_000, "1d"), (97_200_000, "1d 3h")]
        {
            assert_eq!(lasting(ms), text);
        }
    }

    #[test]
    fn numbers_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (100_000, "100,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1, "flag"), counted(2, "flag")), ("1 flag".to_owned(), "2 flags".to_owned()));
        assert_eq!((shortened("abcdef", 6), shortened("abcdefg", 6)), ("abcdef".to_owned(), "abc...".to_owned()));
    }
}
