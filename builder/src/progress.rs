//! What the person sees while it works: one live line on a terminal, plain lines anywhere else. All of it on stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A line that changes in place.
    Live,
    /// A line at the end of each stage.
    Plain,
    /// Nothing.
    Silent,
}

/// A stage that runs.
pub struct Stage {
    name: &'static str,
    started: Instant,
    how: Progress,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Live on a terminal, plain elsewhere.
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Live } else { Self::Plain }
    }

    /// Begins a stage.
    pub fn stage(self, name: &'static str) -> Stage {
        let bar = (self == Self::Live).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg:.dim}") {
                bar.set_style(style);
            }
            bar.set_prefix(name);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Stage { name, started: Instant::now(), how: self, bar }
    }

    /// Says one line.
    pub fn say(self, line: &str) {
        if self != Self::Silent {
            // nobody to tell is no reason to stop
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

impl Stage {
    /// What it is doing just now.
    pub fn note(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Ends it, with what came out.
    pub fn done(self, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.how.say(&format!("{}: {result} ({:.1} s)", self.name, self.started.elapsed().as_secs_f32()));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
