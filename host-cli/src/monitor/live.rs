//! What is known now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smbgw_api::v1::Metrics;

use super::alert::Standing;
use super::sample::{self, Look, Sample};

/// Samples of a gateway that are at hand: fifteen minutes at the usual interval.
const RECENT: usize = 60;

/// A gateway as it was seen last.
#[derive(Debug, Clone)]
pub struct Live {
    /// Where it runs: lxc, vm or native.
    pub mode: String,
    /// What the last look came to.
    pub look: Look,
    /// How long that took.
    pub took: Duration,
    /// When that was, in seconds since 1970.
    pub at: i64,
    /// Looks in a row without an answer.
    pub missed: u32,
    /// The last answer, and when it came.
    answer: Option<(Instant, Box<Metrics>)>,
    seen: Instant,
    recent: VecDeque<Recent>,
}

#[derive(Debug, Clone)]
struct Recent {
    at: Instant,
    sample: Sample,
    ntlmv1: u64,
}

impl Live {
    /// A gateway that is seen for the first time.
    pub fn new(mode: &str, look: Look, took: Duration, at: i64, seen: Instant) -> Self {
        let answer = match &look {
            Look::Answer(metrics) => Some((seen, metrics.clone())),
            Look::Off | Look::Silent { .. } => None,
        };
        let missed = u32::from(matches!(look, Look::Silent { .. }));
        Self { mode: mode.to_owned(), look, took, at, missed, answer, seen, recent: VecDeque::new() }
    }

    /// Takes in another look; gives the sample that it makes, unless the gateway is off.
    pub fn look_again(&mut self, look: Look, took: Duration, at: i64, seen: Instant) -> Option<Sample> {
        let span = seen.saturating_duration_since(self.seen);
        (self.took, self.at, self.seen) = (took, at, seen);
        let sample = match &look {
            Look::Answer(metrics) => {
                self.missed = 0;
                let earlier = self.answer.replace((seen, metrics.clone()));
                // what happened in a silence belongs to the whole of it
                let span = earlier.as_ref().map_or(span, |(then, _)| seen.saturating_duration_since(*then));
                let earlier = earlier.map(|(_, earlier)| earlier);
                let ntlmv1 = earlier.as_ref().and_then(|earlier| {
                    metrics.failed_logons?.ntlmv1.checked_sub(earlier.failed_logons?.ntlmv1)
                });
                let sample = sample::sample(earlier.as_deref(), metrics, span, at);
                self.add(seen, sample.clone(), ntlmv1.unwrap_or(0));
                Some(sample)
            }
            Look::Silent { .. } => {
                self.missed = self.missed.saturating_add(1);
                let silence = sample::silence(span, at);
                self.add(seen, silence.clone(), 0);
                Some(silence)
            }
            Look::Off => {
                self.missed = 0;
                self.answer = None;
                None
            }
        };
        self.look = look;
        sample
    }

    /// Adds a sample to those at hand.
    pub(super) fn add(&mut self, at: Instant, sample: Sample, ntlmv1: u64) {
        self.recent.push_back(Recent { at, sample, ntlmv1 });
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// The last answer.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.answer.as_ref().map(|(_, metrics)| &**metrics)
    }

    /// Samples of the last time.
    pub fn recent(&self, window: Duration) -> impl Iterator<Item = &Sample> {
        let seen = self.seen;
        self.recent
            .iter()
            .filter(move |recent| seen.saturating_duration_since(recent.at) < window)
            .map(|recent| &recent.sample)
    }

    /// The newest sample.
    pub fn newest(&self) -> Option<&Sample> {
        self.recent.back().map(|recent| &recent.sample)
    }

    /// Logons with NTLMv1 that were refused in the last time.
    pub fn ntlmv1_within(&self, window: Duration) -> u64 {
        let recent =
            self.recent.iter().filter(|recent| self.seen.saturating_duration_since(recent.at) < window);
        recent.map(|recent| recent.ntlmv1).sum()
    }
}

/// The service about itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own {
    /// Time that the last round of looks took.
    pub round: Duration,
    /// Size of the database in bytes.
    pub database_bytes: u64,
    /// Samples that could not be written.
    pub lost_samples: u64,
    /// Looks that were left out, since an answer had not come or had taken long.
    pub skipped_looks: u64,
}

/// All that is known, for those who ask.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
}

/// What is on the board.
#[derive(Debug, Default)]
pub struct Inner {
    /// Gateways of this node, by name.
    pub gateways: BTreeMap<String, Live>,
    /// Alerts that stand.
    pub alerts: Vec<Standing>,
    /// The service itself.
    pub own: Own,
}

impl Board {
    /// What is on it, held.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
