//! Paths in mount entries of LXC (fstab(5)). Pure.

/// A path with blanks and backslashes in octal.
pub(crate) fn escape(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            ' ' => text.push_str("\\040"),
            '\t' => text.push_str("\\011"),
            '\\' => text.push_str("\\134"),
            '#' => text.push_str("\\043"),
            c => text.push(c),
        }
    }
    text
}
