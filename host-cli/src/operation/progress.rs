//! A line for each step, on stderr.

use std::time::Instant;

use smbgw_journal::{Observer, Step as _};

use crate::Error;
use crate::output::Output;
use crate::step::Step;

/// Tells the person which step runs.
pub(super) struct Progress {
    output: Output,
    target: String,
    total: usize,
    started: Instant,
}

impl Progress {
    pub(super) fn new(output: Output, target: &str, total: usize) -> Self {
        Self { output, target: target.to_owned(), total, started: Instant::now() }
    }

    fn say(&self, text: &str) {
        self.output.talk(&format!("{}: {text}", self.target));
    }
}

impl Observer<Step> for Progress {
    fn starting(&mut self, _: usize, _: &Step) {
        self.started = Instant::now();
    }

    fn done(&mut self, index: usize, step: &Step) {
        let seconds = self.started.elapsed().as_secs_f32();
        self.say(&format!("[{}/{}] {} ({seconds:.2} s)", index + 1, self.total, step.describe()));
    }

    fn failed(&mut self, index: usize, step: &Step, error: &Error) {
        self.say(&format!("[{}/{}] {} FAILED: {}", index + 1, self.total, step.describe(), error.chain()));
        if !step_commits(step) {
            self.say("taking everything back");
        }
    }

    fn undoing(&mut self, _: usize, step: &Step) {
        self.say(&format!("undo: {}", step.describe()));
    }

    fn undo_failed(&mut self, _: usize, step: &Step, error: &Error) {
        self.say(&format!("undo of `{}` FAILED: {}", step.describe(), error.chain()));
    }
}

fn step_commits(step: &Step) -> bool {
    smbgw_journal::Step::commits(step)
}
