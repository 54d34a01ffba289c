//! What apt knows besides dpkg: which packages only came along, so that `apt-get autoremove` may take them away again.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::database::Unpacked;

/// The file.
pub(super) const EXTENDED_STATES: &str = "/var/lib/apt/extended_states";

/// The file's text with these packages added. What is on every system (`basic`), or was
/// asked for, is not in it.
pub(super) fn extended_states(
    existing: &str,
    packages: &[Unpacked],
    wanted: &[String],
    basic: &BTreeSet<&str>,
    architecture: &str,
) -> String {
    let mut text = existing.to_owned();
    for package in packages {
        if !basic.contains(package.name.as_str()) && !wanted.contains(&package.name) {
            let _ = write!(
                text,
                "Package: {}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n",
                package.name
            );
        }
    }
    text
}
