//! What is drawn again and again: a terminal's second screen, or one frame after another where there is no terminal.

use std::io::{IsTerminal as _, Write};
use std::sync::Once;

use super::chart;
use crate::{Error, Result};

/// Second screen, without a cursor (xterm's control sequences, modes 1049 and 25).
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J";
/// The cursor again, and the screen that was there before.
const LEAVE: &str = "\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l";
/// To the first line.
const HOME: &str = "\u{1b}[H";
/// The rest of the line goes.
const REST_OF_LINE: &str = "\u{1b}[K";
/// The rest of the screen goes.
const REST: &str = "\u{1b}[J";
/// Without a terminal.
const WIDTH: usize = 80;

/// What is drawn again and again. When it goes, the terminal is as it was before.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    drawn: bool,
}

/// Whether somebody still looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looker {
    /// Somebody does.
    There,
    /// The reader of a pipe has gone.
    Gone,
}

impl Screen {
    /// On stdout. Nothing is drawn yet.
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), drawn: false }
    }

    /// Draws a frame, which is made for the width that the terminal has now.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub fn draw(&mut self, frame: impl FnOnce(usize) -> String) -> Result<Looker> {
        let (columns, rows) = size();
        let text = frame(columns);
        let mut bytes = String::new();
        if self.terminal {
            if !self.drawn {
                restore_after_panic();
                bytes.push_str(ENTER);
            }
            bytes.push_str(&page(&dyed(&text), rows));
        } else {
            if self.drawn {
                bytes.push('\n');
            }
            bytes.push_str(&anstream::adapter::strip_str(text.trim_end()).to_string());
            bytes.push('\n');
        }
        self.drawn = true;
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(Looker::There),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Looker::Gone),
            Err(error) => Err(Error::io("writing to stdout", error)),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // a panic has left it already
        if self.terminal && self.drawn && !std::thread::panicking() {
            leave();
        }
    }
}

/// Columns that there are for a result.
pub(super) fn width() -> usize {
    size().0
}

/// Columns and rows of the terminal; without one, only `COLUMNS` is asked.
fn size() -> (usize, usize) {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    match size {
        Some(size) if size.ws_col > 0 => (size.ws_col.into(), size.ws_row.max(1).into()),
        _ => {
            let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
            (columns.filter(|columns| (1..=1000).contains(columns)).unwrap_or(WIDTH), usize::MAX)
        }
    }
}

/// Text over the one that is there, in so many rows.
fn page(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let mut page = HOME.to_owned();
    // a newline at the end of the last row would move all up
    let shown = if lines.len() > rows { rows - 1 } else { lines.len() };
    for (index, line) in lines[..shown].iter().enumerate() {
        if index > 0 {
            page.push_str("\r\n");
        }
        page.push_str(line);
        page.push_str(REST_OF_LINE);
    }
    if shown < lines.len() {
        let more = chart::paint(chart::Style::Dim, &format!("… {} more lines", lines.len() - shown));
        page.push_str(if shown > 0 { "\r\n" } else { "" });
        page.push_str(&dyed(&more));
        page.push_str(REST_OF_LINE);
    }
    page.push_str(REST);
    page
}

/// The same, without colours where they are not wanted (`NO_COLOR`).
fn dyed(text: &str) -> String {
    match anstream::AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

fn leave() {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(LEAVE.as_bytes()).and_then(|()| stdout.flush());
}

/// A released program ends at once when it panics, and nothing is dropped.
fn restore_after_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave();
            before(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_never_scrolls() {
        let plain = |text: &str, rows| page(text, rows).replace("\u{1b}", "^");
        assert_eq!(plain("a\nb\n", 2), "^[Ha^[K\r\nb^[K^[J");
        let cut = anstream::adapter::strip_str(&page("a\nb\nc", 2)).to_string();
        assert_eq!(cut.lines().collect::<Vec<_>>(), ["a", "… 2 more lines"]);
        assert_eq!(page("a\nb", 1).matches('\n').count(), 0);
    }
}
