//! Builders of the same form in turn, and what each took beside ours.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use smbgw_command::Interrupt;

use super::Form;
use crate::bench::{Figures, median};
use crate::say;

/// Runs of each.
const RUNS: usize = 3;

/// One that takes part.
pub(super) struct Contestant<'a> {
    /// Part of the names of its figures.
    pub(super) key: String,
    /// Its name for people.
    pub(super) what: String,
    /// Form that it builds: it is compared with those of the same.
    pub(super) form: Form,
    /// Whether it is ours: then its ratio to each of the others is a figure.
    pub(super) ours: bool,
    /// Builds, and gives what that took and the size in bytes.
    pub(super) build: Box<dyn Fn() -> Result<(Duration, u64)> + 'a>,
}

impl Contestant<'_> {
    fn title(&self) -> String {
        format!("{}: {}", self.form.name(), self.what)
    }
}

/// Lets all build, in turn, and adds the figures.
pub(super) fn run(
    contestants: &[Contestant<'_>],
    figures: &mut Figures,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut times = vec![Vec::new(); contestants.len()];
    let mut sizes = vec![0; contestants.len()];
    for round in 0..RUNS {
        say::step("template", &format!("round {} of {RUNS}", round + 1));
        for turn in 0..contestants.len() {
            ensure!(!interrupt.is_set(), "interrupted");
            // each round begins with another, so that none comes always after the same
            let number = (turn + round) % contestants.len();
            let contestant = &contestants[number];
            let (took, size) = (contestant.build)()?;
            say::line(&format!("{}: {}", contestant.title(), say::seconds(took)));
            times[number].push(took);
            sizes[number] = size;
        }
    }
    let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
    say::step("template", &format!("medians of {RUNS} runs"));
    for ((contestant, times), size) in contestants.iter().zip(&mut times).zip(sizes) {
        figures.times(&format!("{}_s", contestant.key), &contestant.title(), times);
        let what = format!("{}, size", contestant.title());
        figures.add(&format!("{}_bytes", contestant.key), &what, say::megabytes(size), json!(size));
    }
    for (our, our_median) in contestants.iter().zip(&medians).filter(|(one, _)| one.ours) {
        for (their, their_median) in contestants.iter().zip(&medians) {
            if their.ours || their.form != our.form {
                continue;
            }
            let ratio = our_median.as_secs_f64() / their_median.as_secs_f64();
            figures.add(
                &format!("{}_to_{}", our.key, their.key),
                &format!("{} / {}", our.title(), their.what),
                format!("{ratio:.2}"),
                json!(ratio),
            );
        }
    }
    Ok(())
}
