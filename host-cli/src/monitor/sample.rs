//! What happened in a gateway between two looks. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use smbgw_api::v1::{Metrics, Traffic};

/// What a look came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// The agent answered.
    Answer(Box<Metrics>),
    /// The gateway does not run.
    Off,
    /// It runs, and its agent does not answer as it should.
    Silent {
        /// Code of the error, as `agent-silent`.
        code: String,
        /// In words.
        message: String,
    },
}

/// A gateway between two looks. What is not known is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// When the second look was, in seconds since 1970.
    pub at: i64,
    /// Time between the two, in milliseconds; 0 for a first look.
    pub span_ms: u64,
    /// The agent answered.
    pub up: bool,
    /// SMB sessions.
    pub sessions: u64,
    /// Open files.
    pub open_files: u64,
    /// Sum of PSS in bytes.
    pub pss_bytes: u64,
    /// What clients did meanwhile.
    pub traffic: Option<Traffic>,
    /// Logons that failed meanwhile.
    pub failed_logons: Option<u64>,
    /// Things that are wrong.
    pub problems: u64,
    /// Its shares.
    pub shares: BTreeMap<String, ShareSample>,
}

/// A share between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ShareSample {
    /// Tree connects.
    pub tree_connects: u64,
    /// Size of its file system, or its quota where that is smaller, in bytes.
    pub size_bytes: Option<u64>,
    /// Free, in bytes, as its clients see it.
    pub available_bytes: Option<u64>,
    /// What clients did meanwhile.
    pub traffic: Option<Traffic>,
}

/// Makes a sample of two answers; without an earlier one, nothing is known of what happened meanwhile. `span` is the time between
/// them by a clock that nobody sets.
pub fn sample(earlier: Option<&Metrics>, now: &Metrics, span: Duration, at: i64) -> Sample {
    let traffic = earlier.and_then(|earlier| now.traffic?.since(earlier.traffic?));
    let failed_logons =
        earlier.and_then(|earlier| now.failed_logons?.total.checked_sub(earlier.failed_logons?.total));
    let mut shares: BTreeMap<String, ShareSample> = BTreeMap::new();
    for (share, count) in &now.tree_connects {
        shares.entry(share.clone()).or_default().tree_connects = *count;
    }
    for space in &now.shares {
        let share = shares.entry(space.share.clone()).or_default();
        share.size_bytes = Some(space.total_bytes);
        share.available_bytes = Some(space.available_bytes);
    }
    for quota in &now.quotas {
        let share = shares.entry(quota.share.to_string()).or_default();
        share.size_bytes = Some(quota.total);
        share.available_bytes = Some(quota.available);
    }
    for (name, figures) in &now.share_traffic {
        let before = earlier.and_then(|earlier| earlier.share_traffic.get(name));
        // another beginning, another count
        let before = before.filter(|before| before.since == figures.since);
        shares.entry(name.clone()).or_default().traffic =
            before.and_then(|before| figures.traffic.since(before.traffic));
    }
    Sample {
        at,
        span_ms: if earlier.is_some() { span.as_millis() as u64 } else { 0 },
        up: true,
        sessions: now.sessions,
        open_files: now.open_files,
        pss_bytes: now.pss_bytes,
        traffic,
        failed_logons,
        problems: now.problems.len() as u64,
        shares,
    }
}

/// The sample of a look that got no answer.
pub fn silence(span: Duration, at: i64) -> Sample {
    Sample { at, span_ms: span.as_millis() as u64, ..Sample::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_api::v1::{FailedLogons, Operations, ShareFigures, ShareSpace};

    fn traffic(bytes: u64) -> Traffic {
        let read = Operations { count: bytes / 10, bytes, time_us: bytes / 2 };
        Traffic { read, write: Operations::default() }
    }

    fn metrics(bytes: u64, since: i64) -> Metrics {
        Metrics {
            traffic: Some(traffic(bytes)),
            share_traffic: [("team".to_owned(), ShareFigures { since, traffic: traffic(bytes) })].into(),
            failed_logons: Some(FailedLogons { total: bytes / 100, ntlmv1: 0 }),
            shares: vec![ShareSpace { share: "team".into(), total_bytes: 10, available_bytes: 4 }],
            tree_connects: [("team".to_owned(), 2)].into(),
            ..Metrics::default()
        }
    }

    #[test]
    fn the_difference_of_two_looks() {
        let (a, b) = (metrics(1000, 5), metrics(3000, 5));
        let sample = sample(Some(&a), &b, Duration::from_secs(15), 100);
        assert_eq!(
            (sample.span_ms, sample.traffic, sample.failed_logons),
            (15_000, Some(traffic(2000)), Some(20))
        );
        let share = sample.shares["team"];
        assert_eq!(
            (share.traffic, share.tree_connects, share.available_bytes),
            (Some(traffic(2000)), 2, Some(4))
        );
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let first = sample(None, &metrics(1000, 5), Duration::ZERO, 100);
        assert_eq!((first.span_ms, first.traffic, first.failed_logons), (0, None, None));
        // smbd has begun anew
        let again = sample(Some(&metrics(3000, 5)), &metrics(1000, 5), Duration::from_secs(1), 100);
        assert_eq!((again.traffic, again.shares["team"].traffic), (None, None));
        // the share could not be counted for a while
        let gap = sample(Some(&metrics(1000, 5)), &metrics(3000, 6), Duration::from_secs(1), 100);
        assert_eq!((gap.traffic, gap.shares["team"].traffic), (Some(traffic(2000)), None));
    }
}
