//! Whether this user has subordinate ids for a user namespace. Source: subuid(5).

use std::fs;

use crate::error::Error;

/// A Debian system needs ids up to 65534.
const NEEDED: u64 = 65_536;

/// Whether both `/etc/subuid` and `/etc/subgid` give this user enough ids. Anyone but root has no other way, so that a
/// missing range is reported by mmdebstrap in its own words.
pub(super) fn available() -> bool {
    let uid = rustix::process::geteuid().as_raw();
    if uid != 0 {
        return true;
    }
    ["/etc/subuid", "/etc/subgid"]
        .iter()
        .all(|path| fs::read_to_string(path).is_ok_and(|text| has_range(&text, "root", uid)))
}

/// For anybody but root: that there is such a range.
///
/// # Errors
/// [`Error::Missing`] with how to get one.
pub(super) fn check() -> Result<(), Error> {
    let uid = rustix::process::geteuid().as_raw();
    if uid == 0 {
        return Ok(());
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let by_number = |line: &&str| line.split(':').nth(2) == Some(uid.to_string().as_str());
    let name = users.lines().find(by_number).and_then(|line| line.split(':').next()).unwrap_or_default();
    for path in ["/etc/subuid", "/etc/subgid"] {
        if !fs::read_to_string(path).is_ok_and(|text| has_range(&text, name, uid)) {
            return Err(Error::Missing {
                what: "a range of 65536 subordinate ids of yours in",
                path: path.into(),
                hint: format!(
                    "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}",
                    if name.is_empty() { "USER" } else { name }
                ),
            });
        }
    }
    Ok(())
}

fn has_range(text: &str, name: &str, uid: u32) -> bool {
    text.lines().any(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next().unwrap_or_default();
        let count = fields.nth(1).and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
        (who == name || who == uid.to_string()) && count >= NEEDED
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_name_or_number() {
        assert!(has_range("alice:1:9\nroot:100000:65536\n", "root", 0));
        assert!(has_range("0:100000:65536", "root", 0));
        assert!(!has_range("root:100000:1000\nalice:100000:65536\n", "root", 0));
        assert!(!has_range("", "root", 0));
    }
}
