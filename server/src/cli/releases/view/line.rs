//! Lines of text in tones: what a terminal may colour, and a log does not.

use super::super::super::table::plain;

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\u{1b}[1m",
            Self::Dim => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Warning => "\u{1b}[33m",
            Self::Bad => "\u{1b}[1;31m",
        }
    }
}

/// A line of pieces, which holds nothing that speaks to a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Line(Vec<(Tone, String)>);

impl Line {
    pub(in crate::cli) fn of(tone: Tone, text: &str) -> Self {
        Self::default().with(tone, text)
    }

    /// The same with more behind it.
    pub(in crate::cli) fn with(mut self, tone: Tone, text: &str) -> Self {
        self.0.push((tone, plain(text)));
        self
    }

    /// The same, filled with blanks to so many columns.
    pub(super) fn padded(self, columns: usize) -> Self {
        let missing = columns.saturating_sub(self.width());
        self.with(Tone::Plain, &" ".repeat(missing))
    }

    /// The same with another line behind it.
    pub(super) fn followed_by(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// Broken between words, so that all of it is seen.
    pub(super) fn wrapped(self, columns: usize) -> Vec<Self> {
        let (mut lines, mut line) = (Vec::new(), Self::default());
        for (tone, text) in self.0 {
            for word in text.split_inclusive(' ') {
                let width = word.trim_end_matches(' ').chars().count();
                if line.width() > 0 && line.width().saturating_add(width) > columns {
                    lines.push(std::mem::take(&mut line).trimmed());
                }
                line.0.push((tone, word.to_owned()));
            }
        }
        lines.push(line);
        lines
    }

    /// Without the blank between its last word and the next line's first.
    fn trimmed(mut self) -> Self {
        if let Some((_, text)) = self.0.last_mut() {
            let kept = text.trim_end_matches(' ').len();
            text.truncate(kept);
        }
        self
    }

    /// Cut where it would not fit.
    pub(super) fn fitted(self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut left = columns.saturating_sub(1);
        let mut fitted = Self::default();
        for (tone, text) in self.0 {
            let part: String = text.chars().take(left).collect();
            left = left.saturating_sub(part.chars().count());
            fitted.0.push((tone, part));
        }
        fitted.with(Tone::Dim, "…")
    }

    /// The line for a terminal, or without colours.
    pub(in crate::cli) fn render(&self, is_coloured: bool) -> String {
        let mut rendered = String::new();
        for (tone, text) in &self.0 {
            if is_coloured && *tone != Tone::Plain && !text.is_empty() {
                rendered.push_str(&format!("{}{text}\u{1b}[0m", tone.code()));
            } else {
                rendered.push_str(text);
            }
        }
        let kept = rendered.trim_end_matches(' ').len();
        rendered.truncate(kept);
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_those_who_want_them() {
        let line = Line::of(Tone::Plain, "a ").with(Tone::Bad, "b\u{1b}").with(Tone::Plain, "  ");
        assert_eq!((line.render(false), line.width()), ("a b\u{fffd}".to_owned(), 6));
        assert_eq!(line.render(true), "a \u{1b}[1;31mb\u{fffd}\u{1b}[0m");
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let line = Line::of(Tone::Plain, "über").with(Tone::Good, "all");
        assert_eq!(line.clone().fitted(7).render(false), "überall");
        assert_eq!(line.clone().fitted(6).render(false), "übera…");
        assert_eq!(line.fitted(3).render(false), "üb…");
    }

    #[test]
    fn what_matters_is_broken_between_words() {
        let line = Line::of(Tone::Bad, "one").with(Tone::Plain, ": two three-and-four 5");
        let rendered: Vec<String> = line.wrapped(8).iter().map(|line| line.render(false)).collect();
        assert_eq!(rendered, ["one: two", "three-and-four", "5"]);
        assert_eq!(Line::of(Tone::Plain, "12 345 6").wrapped(6).first().map(Line::width), Some(6), "no blank at its end");
    }
}
