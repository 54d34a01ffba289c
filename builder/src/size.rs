//! How big a template is, what of it makes it so, and whether it may be that big.
//!
//! * [`owners`]: which package a path belongs to, by dpkg's lists
//! * [`record`]: sizes that are kept beside a recipe, `images/debian-13.sizes.json`
//! * [`growth`]: what changed between two
//! * [`gate`]: the recipe's budget, which fails a build
//! * [`report`](mod@report): all of it, of a finished template
//!
//! Packages are counted unpacked, in bytes of their files' content: how much of the compressed template a package takes cannot be said, because
//! one helps to compress the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::PathRecord;

pub mod gate;
pub mod growth;
pub mod owners;
pub mod record;
pub mod report;
#[cfg(test)]
mod tests;

pub use gate::Excess;
pub use growth::{Change, changes};
pub use owners::Owners;
pub use record::{FormSizes, SizeRecord};
pub use report::{Comparison, Report, report};

/// In place of a package's name: what no package brought.
pub const NO_PACKAGE: &str = "(no package)";
/// In place of a package's name: the agent.
pub const AGENT: &str = "(agent)";

/// Bytes of file content by package, [`AGENT`] and [`NO_PACKAGE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackageSizes(BTreeMap<String, u64>);

impl PackageSizes {
    /// Adds up the files of each. Another name of a file takes no space.
    pub fn add_up(paths: &[PathRecord], owners: &Owners, agent_sha256: &str) -> Self {
        let mut sizes = BTreeMap::new();
        for record in paths {
            let is_agent = record.sha256.as_deref() == Some(agent_sha256);
            let owner = if is_agent { AGENT } else { owners.of(&record.path).unwrap_or(NO_PACKAGE) };
            if let Some(size) = record.size {
                *sizes.entry(owner.to_owned()).or_default() += size;
            }
        }
        Self(sizes)
    }

    /// Bytes of a package, if it is there.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// All, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, size)| (name.as_str(), *size))
    }

    /// All, the biggest first.
    pub fn biggest_first(&self) -> Vec<(&str, u64)> {
        let mut sizes: Vec<_> = self.iter().collect();
        // the order of names is kept where sizes are equal
        sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        sizes
    }

    /// Bytes of all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl<N: Into<String>> FromIterator<(N, u64)> for PackageSizes {
    fn from_iter<T: IntoIterator<Item = (N, u64)>>(sizes: T) -> Self {
        Self(sizes.into_iter().map(|(name, size)| (name.into(), size)).collect())
    }
}
