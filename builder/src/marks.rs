//! What apt knows besides dpkg: which packages only came along, so that `apt-get autoremove` may take them away again.

use std::fmt::Write as _;

use crate::deb822;
use crate::error::Error;
use crate::essential;
use crate::tree::{Entry, Tree};

const EXTENDED_STATES: &str = "/var/lib/apt/extended_states";
const STATUS: &str = "/var/lib/dpkg/status";

/// Marks every installed package that nobody asked for and that is not on every system.
///
/// # Errors
/// [`Error::Tree`] when there is no database of packages.
pub fn mark(tree: &mut Tree, wanted: &[String], architecture: &str) -> Result<(), Error> {
    let status = tree.text(STATUS).ok_or_else(|| Error::Tree(format!("{STATUS} is missing, or no text")))?;
    let packages: Vec<_> = deb822::paragraphs(status).collect();
    let basic = essential::basic(&packages);
    let mut names: Vec<&str> = packages.iter().filter_map(|package| package.get("Package")).collect();
    names.sort_unstable();
    let mut text = String::new();
    for name in
        names.into_iter().filter(|name| !basic.contains(name) && !wanted.iter().any(|one| one == name))
    {
        let _ = write!(text, "Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n");
    }
    tree.put(EXTENDED_STATES, Entry::file(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_along_is_marked_and_what_is_basic_is_not() {
        let mut tree = Tree::default();
        let status = "Package: samba\nDepends: libx\n\nPackage: libx\n\nPackage: bash\nEssential: yes\n\n";
        tree.put(STATUS, Entry::file(status)).unwrap();
        mark(&mut tree, &["samba".to_owned()], "amd64").unwrap();
        assert_eq!(
            tree.text(EXTENDED_STATES),
            Some("Package: libx\nArchitecture: amd64\nAuto-Installed: 1\n\n")
        );
        assert!(mark(&mut Tree::default(), &[], "amd64").is_err());
    }
}
