//! How far a long list is, for whoever watches a terminal.

use std::io::{self, Read, Write};

use super::table::grouped;

/// A list that is shorter is sent before anybody could look.
const WORTH_SHOWING: u64 = 256 * 1024;
/// How many bytes between two pictures.
const STRIDE: u64 = 64 * 1024;
const WIDTH: u64 = 30;

/// Passes bytes on and shows how many there were.
pub(super) struct Progress {
    source: Box<dyn Read>,
    size: Option<u64>,
    is_shown: bool,
    read: u64,
    drawn: u64,
}

impl Progress {
    /// Shown only where `is_terminal`, and the list is long or of unknown length.
    pub(super) fn of(source: Box<dyn Read>, size: Option<u64>, is_terminal: bool) -> Self {
        let is_shown = is_terminal && size.is_none_or(|size| size >= WORTH_SHOWING);
        Self { source, size, is_shown, read: 0, drawn: 0 }
    }

    /// Wipes the line away.
    pub(super) fn end(&mut self) {
        if self.is_shown && self.drawn > 0 {
            // Where the picture cannot be drawn, the work goes on all the same; so for every picture.
            let _ = write!(io::stderr(), "\r\u{1b}[2K");
        }
    }

    fn draw(&mut self) {
        if self.is_shown && self.read >= self.drawn.saturating_add(STRIDE) {
            self.drawn = self.read;
            let mut out = io::stderr();
            let _ = write!(out, "\r\u{1b}[2K{}", picture(self.read, self.size)).and_then(|()| out.flush());
        }
    }
}

impl Read for Progress {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.read = self.read.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        self.draw();
        Ok(count)
    }
}

fn picture(read: u64, size: Option<u64>) -> String {
    let kib = grouped(read / 1024);
    match size.filter(|size| *size > 0) {
        Some(size) => {
            let full = read.min(size).saturating_mul(WIDTH).checked_div(size).unwrap_or_default();
            let bar: String = (0..WIDTH).map(|place| if place < full { '█' } else { '░' }).collect();
            format!("{bar} {kib} of {} KiB", grouped(size / 1024))
        }
        None => format!("{kib} KiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_full_as_the_list_is_sent() {
        let half = picture(512 * 1024, Some(1024 * 1024));
        assert_eq!(half, format!("{}{} 512 of 1,024 KiB", "█".repeat(15), "░".repeat(15)));
        assert_eq!(picture(2048, None), "2 KiB");
    }

    #[test]
    fn bytes_pass_unchanged() {
        let mut progress = Progress::of(Box::new(&b"a\nb\n"[..]), Some(4), true);
        let mut text = String::new();
        progress.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), progress.is_shown), ("a\nb\n", false));
    }
}
