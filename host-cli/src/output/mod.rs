//! What a person or a program sees. stdout is data, stderr is talk.
//!
//! * [`Output`]: who sees what
//! * [`envelope`] — the JSON form
//! * [`view`] — the data of each verb
//! * [`table`] — columns
//! * [`human`] — sizes and durations in words
//! * [`chart`] — figures in characters
//! * [`screen`] — what is drawn again and again
//! * [`foreign`] — text that a gateway wrote

pub mod chart;
pub mod envelope;
pub mod foreign;
pub mod human;
pub mod screen;
pub mod table;
pub mod view;

use std::io::Write;

use serde::Serialize;

use crate::cli::args::OutputFormat;
use crate::{Error, world};

/// Who sees what. The only place that prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: OutputFormat,
    quiet: bool,
}

/// Data that can be shown to people.
pub trait View: Serialize {
    /// For people: may end without a newline.
    fn human(&self) -> String;

    /// Columns only; the same as for people where there is no table.
    fn table(&self) -> String {
        self.human()
    }

    /// The first failure among several results: the JSON document is then one of an error, with the data beside it.
    fn failure(&self) -> Option<&envelope::ErrorView> {
        None
    }
}

impl Output {
    /// With this format; `quiet` drops all talk but errors.
    pub fn new(format: OutputFormat, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// Prints a result.
    pub fn data(&self, data: &impl View) {
        let text = match self.format {
            OutputFormat::Human => data.human(),
            OutputFormat::Table => data.table(),
            OutputFormat::Json => envelope::success(data, world::now()),
        };
        self.raw(text.trim_end());
    }

    /// Prints text as it is, whatever the format: completions, schemas.
    pub fn raw(&self, text: &str) {
        // a closed pipe is the reader's wish
        let _ = writeln!(anstream::stdout().lock(), "{text}");
    }

    /// Where something is drawn again and again.
    pub fn screen(&self) -> screen::Screen {
        screen::Screen::new()
    }

    /// Says something while working.
    pub fn talk(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// Says what went wrong, once, with all causes, and what to do next.
    pub fn error(&self, error: &Error) {
        if self.format == OutputFormat::Json {
            self.raw(&envelope::failure(error, world::now()));
            return;
        }
        let mut text = format!("error: {}", error.chain());
        if let Some(hint) = &error.hint {
            text.push_str(&format!("\n\nhint: {hint}"));
        }
        if let Some(operation) = &error.operation {
            text.push_str(&format!("\noperation: {operation} (pve-smbgateway ops show {operation})"));
        }
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Data with talk beside it: notes of a plan.
    pub fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }
}
