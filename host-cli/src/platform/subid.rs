//! Which host ids containers may use: the lines of root in `/etc/subuid` and `/etc/subgid` (subuid(5)).

/// Number of ids that an unprivileged container maps (Proxmox VE and LXC use the same).
pub const MAP_SIZE: u32 = 65_536;
/// First id that is given when root has none: Proxmox VE's own choice.
const PREFERRED: u32 = 100_000;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// User name or uid.
    pub owner: String,
    /// First id.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Reads the file's text; lines that are no ranges are skipped, as newuidmap(1) does.
pub fn parse(text: &str) -> Vec<Range> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.trim().split(':');
            let range = Range {
                owner: parts.next()?.to_owned(),
                first: parts.next()?.parse().ok()?,
                count: parts.next()?.parse().ok()?,
            };
            (parts.next().is_none() && !range.owner.is_empty() && !range.owner.starts_with('#'))
                .then_some(range)
        })
        .collect()
}

/// Root's range that is large enough for a container in both files: its first id.
pub fn usable(subuid: &str, subgid: &str) -> Option<u32> {
    let roots = |text: &str| {
        parse(text)
            .into_iter()
            .filter(|r| (r.owner == "root" || r.owner == "0") && r.count >= MAP_SIZE)
            .collect::<Vec<_>>()
    };
    let groups = roots(subgid);
    roots(subuid).into_iter().map(|r| r.first).find(|first| groups.iter().any(|g| g.first == *first))
}

/// Whether root's ranges in a file have all ids of a container that begins at `first`.
pub fn covers(text: &str, first: u32) -> bool {
    let (first, last) = (u64::from(first), u64::from(first) + u64::from(MAP_SIZE));
    parse(text).iter().any(|r| {
        let begin = u64::from(r.first);
        (r.owner == "root" || r.owner == "0") && begin <= first && begin + u64::from(r.count) >= last
    })
}

/// First id of a range that nobody has, for root.
pub fn free(subuid: &str, subgid: &str) -> Option<u32> {
    let taken: Vec<_> = parse(subuid).into_iter().chain(parse(subgid)).collect();
    let overlaps = |first: u32| {
        taken
            .iter()
            .any(|r| first < r.first.saturating_add(r.count) && r.first < first.saturating_add(MAP_SIZE))
    };
    (0..1000u32).map(|n| PREFERRED + n * MAP_SIZE).find(|first| !overlaps(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_roots_range_in_both_files() {
        let text = "alice:165536:65536\nroot:100000:65536\n";
        assert_eq!(usable(text, text), Some(100_000));
        assert_eq!(usable(text, "alice:1:1\n"), None);
        assert_eq!(usable("root:100000:1000\n", text), None);
    }

    #[test]
    fn a_larger_range_will_do() {
        assert!(covers("root:100000:1000000\n", 100_000) && covers("root:65536:200000\n", 100_000));
        assert!(!covers("root:100000:65535\nalice:100000:65536\n", 100_000));
    }

    #[test]
    fn gives_a_range_that_nobody_has() {
        assert_eq!(free("", ""), Some(100_000));
        assert_eq!(free("alice:100000:65536\n", ""), Some(165_536));
        assert_eq!(free("alice:100000:65536\n", "bob:165536:1\n"), Some(231_072));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            let _ = usable(&text, &text);
            let _ = free(&text, &text);
        }

        #[test]
        fn free_ranges_are_free(firsts in proptest::collection::vec(0u32..2_000_000, 0..20)) {
            let text: String = firsts.iter().map(|f| format!("u:{f}:65536\n")).collect();
            if let Some(first) = free(&text, "") {
                prop_assert!(firsts.iter().all(|f| first >= f + 65_536 || first + 65_536 <= *f));
            }
        }
    }
}
