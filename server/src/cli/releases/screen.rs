//! A page on a terminal, drawn over by the next.

use std::io::{self, IsTerminal, Write};

use terminal_size::{Height, Width, terminal_size};

use super::view::Line;

/// Where nobody knows how wide it is.
const COLUMNS: u16 = 100;
const ROWS: u16 = 40;

/// How wide the terminal is; wide enough for a file.
pub(super) fn columns() -> usize {
    if io::stdout().is_terminal() { size().0 } else { usize::MAX }
}

fn size() -> (usize, usize) {
    let (Width(columns), Height(rows)) = terminal_size().unwrap_or((Width(COLUMNS), Height(ROWS)));
    (columns.into(), rows.into())
}

/// Whether colours are wanted, where somebody looks.
pub(super) fn is_coloured(is_terminal: bool) -> bool {
    is_terminal && is_clever() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the terminal can do more than print lines.
fn is_clever() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The standard output of somebody who watches.
pub(in crate::cli) struct Screen {
    is_coloured: bool,
    size: (usize, usize),
    /// How many lines stand above the cursor that the next page is drawn over.
    drawn: usize,
}

impl Screen {
    /// The terminal, if it is one that can be drawn on.
    pub(in crate::cli) fn of_stdout() -> Option<Self> {
        let is_terminal = io::stdout().is_terminal();
        (is_terminal && is_clever()).then(|| Self { is_coloured: is_coloured(is_terminal), size: size(), drawn: 0 })
    }

    /// How many columns a line may have.
    pub(in crate::cli) fn columns(&mut self) -> usize {
        let size = size();
        if size != self.size {
            // Lines were wrapped anew: where they stand now, nobody knows.
            self.size = size;
            self.write("\u{1b}[2J\u{1b}[H");
            self.drawn = 0;
        }
        self.size.0
    }

    /// Draws a page over the one before.
    pub(in crate::cli) fn draw(&mut self, lines: &[Line]) {
        let shown = lines.get(..self.size.1.saturating_sub(1)).unwrap_or(lines);
        let text = over(self.drawn, shown, self.is_coloured);
        self.drawn = shown.len();
        self.write(&text);
    }

    fn write(&mut self, text: &str) {
        let mut out = io::stdout();
        // A terminal that is gone takes the process with it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// What draws lines over so many others. Wide characters make a line longer than it counts; so nothing may wrap meanwhile.
fn over(drawn: usize, lines: &[Line], is_coloured: bool) -> String {
    let mut text = "\u{1b}[?7l\r".to_owned();
    if drawn > 0 {
        text.push_str(&format!("\u{1b}[{drawn}A"));
    }
    for line in lines {
        text.push_str(&format!("\u{1b}[2K{}\n", line.render(is_coloured)));
    }
    text.push_str("\u{1b}[J\u{1b}[?7h");
    text
}

#[cfg(test)]
mod tests {
    use super::{super::view::Tone, *};

    #[test]
    fn a_page_is_drawn_over_the_one_before() {
        let lines = [Line::of(Tone::Plain, "a"), Line::of(Tone::Bad, "b")];
        assert_eq!(over(0, &lines, false), "\u{1b}[?7l\r\u{1b}[2Ka\n\u{1b}[2Kb\n\u{1b}[J\u{1b}[?7h");
        assert_eq!(over(2, &[], false), "\u{1b}[?7l\r\u{1b}[2A\u{1b}[J\u{1b}[?7h");
    }
}
