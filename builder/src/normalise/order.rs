//! One order for files whose lines have none: it only tells in which order packages were configured.

use std::collections::HashMap;

use crate::error::Error;
use crate::tree::{Content, Kind, Tree};

/// Whose lines have no order. Source: deb-triggers(5): who is interested in which path.
const LINES: &[&str] = &["/var/lib/dpkg/triggers/File"];
/// Accounts by number, and the file that follows their order. Sources: passwd(5), group(5), shadow(5), gshadow(5).
const ACCOUNTS: &[(&str, &str)] = &[("/etc/passwd", "/etc/shadow"), ("/etc/group", "/etc/gshadow")];

/// Sorts them.
///
/// # Errors
/// [`Error::Tree`] when one of them is not text.
pub(super) fn sort(tree: &mut Tree) -> Result<(), Error> {
    for path in LINES {
        rewrite(tree, path, |text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            joined(&lines)
        })?;
    }
    for (accounts, shadow) in ACCOUNTS {
        let number = |line: &str| line.split(':').nth(2).and_then(|number| number.parse::<u32>().ok());
        rewrite(tree, accounts, |text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_by_key(|line| number(line));
            joined(&lines)
        })?;
        let names = tree.text(accounts).unwrap_or_default();
        let places: HashMap<String, usize> =
            names.lines().enumerate().map(|(place, line)| (first_field(line).to_owned(), place)).collect();
        rewrite(tree, shadow, |text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_by_key(|line| places.get(first_field(line)).copied().unwrap_or(usize::MAX));
            joined(&lines)
        })?;
    }
    Ok(())
}

fn first_field(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Gives a file another text, and leaves everything else of it as it is. None is none.
pub(super) fn rewrite(tree: &mut Tree, path: &str, change: impl FnOnce(&str) -> String) -> Result<(), Error> {
    if tree.get(path).is_none() {
        return Ok(());
    }
    let text = tree.text(path).ok_or_else(|| Error::Tree(format!("{path} is not text")))?;
    let changed = change(text);
    if let Some(entry) = tree.get_mut(path) {
        entry.kind = Kind::File(Content::Own(changed.into_bytes().into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;

    #[test]
    fn accounts_by_number_and_their_shadows_alike() {
        let mut tree = Tree::default();
        tree.put("/etc/group", Entry::file("b:x:5:\nroot:x:0:\na:x:100:x\n")).unwrap();
        tree.put("/etc/gshadow", Entry::file("a:!::x\nb:!::\nroot:*::\n").with_mode(0o640)).unwrap();
        tree.put("/var/lib/dpkg/triggers/File", Entry::file("/b x\n/a y/noawait\n")).unwrap();
        sort(&mut tree).unwrap();
        assert_eq!(tree.text("/etc/group"), Some("root:x:0:\nb:x:5:\na:x:100:x\n"));
        assert_eq!(tree.text("/etc/gshadow"), Some("root:*::\nb:!::\na:!::x\n"));
        assert_eq!(tree.get("/etc/gshadow").map(|entry| entry.mode), Some(0o640));
        assert_eq!(tree.text("/var/lib/dpkg/triggers/File"), Some("/a y/noawait\n/b x\n"));
    }
}
