//! The history of a gateway, as it is asked for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::store::{Counted, Point, Range, Reader, SharePoint};
use crate::{Error, Result};

/// Most points of an answer.
pub const MOST: i64 = 5000;

/// History of a gateway and its shares. A stretch without a look has no point.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct History {
    /// Gateway.
    pub gateway: String,
    /// When it begins, in seconds since 1970.
    pub from: i64,
    /// When it ends.
    pub to: i64,
    /// Length of a point in seconds.
    pub step_s: i64,
    /// The gateway.
    pub points: Vec<Point>,
    /// Its shares.
    pub shares: BTreeMap<String, Vec<SharePoint>>,
}

/// The range of the last `span` seconds in steps of `step`.
///
/// # Errors
/// Code `history-range`, when that are too many points or none.
pub fn range(span: i64, step: i64, now: i64) -> Result<Range> {
    let hint = "as a span of 24h in steps of 5m";
    if span <= 0 || step <= 0 || step > span {
        return Err(Error::usage(
            "history-range",
            "span and step must be positive, and a step no longer than the span",
        )
        .hint(hint));
    }
    // whole steps, of which the last is not over yet
    let to = (now.div_euclid(step) + 1) * step;
    let from = (to - span).div_euclid(step) * step;
    if (to - from) / step > MOST {
        return Err(Error::usage("history-range", format!("these are more than {MOST} points")).hint(hint));
    }
    Ok(Range { from, to, step })
}

/// Reads it.
///
/// # Errors
/// When it cannot be read.
pub fn read(reader: &Reader, gateway: &str, range: Range) -> Result<History> {
    let points = reader.gateway(gateway, range)?;
    let mut shares = BTreeMap::new();
    for share in reader.shares(gateway)? {
        let points = reader.share(gateway, &share, range)?;
        if !points.is_empty() {
            shares.insert(share, points);
        }
    }
    let Range { from, to, step } = range;
    Ok(History { gateway: gateway.to_owned(), from, to, step_s: step, points, shares })
}

impl Counted {
    /// Bytes read and written in a second.
    pub fn rates(&self) -> Option<(f64, f64)> {
        let seconds = self.counted_ms as f64 / 1000.0;
        (seconds > 0.0).then(|| (self.read_bytes as f64 / seconds, self.write_bytes as f64 / seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_steps() {
        assert_eq!(range(600, 300, 1000).unwrap(), Range { from: 600, to: 1200, step: 300 });
        assert_eq!(range(3600, 300, 900).unwrap(), Range { from: -2400, to: 1200, step: 300 });
        for (span, step) in [(0, 1), (10, 0), (10, 20), (86_400, 1)] {
            assert_eq!(range(span, step, 1000).unwrap_err().code, "history-range");
        }
    }
}
