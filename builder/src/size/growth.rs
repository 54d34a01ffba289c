//! What changed between the sizes of two templates.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::PackageSizes;

/// A package whose size is another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The package, or what stands in its place.
    pub package: String,
    /// Its name before, if that was another: a library or a kernel of another version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
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
    let successors = successors(before, now);
    let replaced: BTreeSet<&str> = successors.values().copied().collect();
    let change = |(name, size): (&str, u64)| {
        let was = successors.get(name).copied();
        let before = before.get(was.unwrap_or(name));
        Change { package: name.to_owned(), was: was.map(str::to_owned), before, now: Some(size) }
    };
    let gone = before.iter().filter(|(name, _)| now.get(name).is_none() && !replaced.contains(name));
    let gone = gone.map(|(name, size)| Change {
        package: name.to_owned(),
        was: None,
        before: Some(size),
        now: None,
    });
    let mut changes: Vec<Change> =
        now.iter().map(change).chain(gone).filter(|change| change.before != change.now).collect();
    changes.sort_by(|a, b| b.delta().cmp(&a.delta()).then_with(|| a.package.cmp(&b.package)));
    changes
}

/// New packages that take the place of one that is gone, by name: all but the numbers in it is the same, and there is one of each.
fn successors<'a>(before: &'a PackageSizes, now: &'a PackageSizes) -> BTreeMap<&'a str, &'a str> {
    let mut pairs: BTreeMap<String, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    let without_numbers = |name: &str| {
        let parts = name.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("0")
    };
    for (name, _) in now.iter().filter(|(name, _)| before.get(name).is_none()) {
        pairs.entry(without_numbers(name)).or_default().0.push(name);
    }
    for (name, _) in before.iter().filter(|(name, _)| now.get(name).is_none()) {
        pairs.entry(without_numbers(name)).or_default().1.push(name);
    }
    let pair = |(new, gone): (Vec<&'a str>, Vec<&'a str>)| match (new.as_slice(), gone.as_slice()) {
        ([new], [gone]) => Some((*new, *gone)),
        _ => None,
    };
    pairs.into_values().filter_map(pair).collect()
}

/// Signed megabytes.
pub fn signed_megabytes(delta: i128) -> String {
    format!("{:+.2} MB", delta as f64 / 1e6)
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| format!("{:.2}", crate::build::megabytes(bytes));
        write!(f, "{:>12}  {} ", signed_megabytes(self.delta()), self.package)?;
        let was = self.was.as_ref().map(|was| format!("{was}: ")).unwrap_or_default();
        match (self.before, self.now) {
            (Some(before), Some(now)) => write!(f, "({was}{} → {})", megabytes(before), megabytes(now)),
            (None, _) => f.write_str("(new)"),
            (Some(_), None) => f.write_str("(gone)"),
        }
    }
}
