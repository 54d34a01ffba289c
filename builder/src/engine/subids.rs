//! Whether this user has subordinate ids for a user namespace. Source: subuid(5).

use std::fs;

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
