//! What changed between the sizes of two templates.

use std::fmt;

use serde::Serialize;

use super::PackageSizes;

/// A package whose size is another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The package, or what stands in its place.
    pub package: String,
    /// Bytes before; `None` if it is new.
    pub before: Option<u64>,
    /// Bytes now; `None` if it is gone.
    pub now: Option<u64>,
}

impl Change {
    /// Bytes more, or less.
    pub fn delta(&self) -> i128 {
        i128::from(self.now.unwrap_or(0)) - i128::from(self.before.unwrap_or(0))
    }
}

/// Every package whose size changed: what grew most comes first, what shrank most last.
pub fn changes(before: &PackageSizes, now: &PackageSizes) -> Vec<Change> {
    let change = |package: &str, before, now| Change { package: package.to_owned(), before, now };
    let gone = before.iter().filter(|(name, _)| now.get(name).is_none());
    let mut changes: Vec<Change> = now
        .iter()
        .map(|(name, size)| change(name, before.get(name), Some(size)))
        .chain(gone.map(|(name, size)| change(name, Some(size), None)))
        .filter(|change| change.before != change.now)
        .collect();
    changes.sort_by(|a, b| b.delta().cmp(&a.delta()).then_with(|| a.package.cmp(&b.package)));
    changes
}

/// Signed megabytes.
pub fn signed_megabytes(delta: i128) -> String {
    format!("{:+.2} MB", delta as f64 / 1e6)
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| format!("{:.2}", crate::build::megabytes(bytes));
        write!(f, "{:>12}  {} ", signed_megabytes(self.delta()), self.package)?;
        match (self.before, self.now) {
            (Some(before), Some(now)) => write!(f, "({} → {})", megabytes(before), megabytes(now)),
            (None, _) => f.write_str("(new)"),
            (Some(_), None) => f.write_str("(gone)"),
        }
    }
}
