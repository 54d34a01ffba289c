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

/// Who has which host ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubIds {
    /// Lines of `/etc/subuid`.
    pub uids: Vec<Range>,
    /// Lines of `/etc/subgid`.
    pub gids: Vec<Range>,
}

impl SubIds {
    /// A range of this size for ids of domains, apart from root's range that begins at `base`: one that root has in both
    /// files already, else one that nobody has. And whether root has it.
    pub fn for_domain(&self, base: u32, size: u32) -> Option<(u32, bool)> {
        let roots = |ranges: &[Range]| -> Vec<Range> {
            let apart = |r: &&Range| r.first > base || r.first.saturating_add(r.count) <= base;
            let root = |r: &&Range| (r.owner == "root" || r.owner == "0") && r.count >= size;
            ranges.iter().filter(root).filter(apart).cloned().collect()
        };
        let groups = roots(&self.gids);
        if let Some(range) = roots(&self.uids).iter().find(|r| groups.iter().any(|g| g.first == r.first)) {
            return Some((range.first, true));
        }
        let overlaps = |first: u64| {
            let last = first + u64::from(size);
            self.uids
                .iter()
                .chain(&self.gids)
                .any(|r| first < u64::from(r.first) + u64::from(r.count) && u64::from(r.first) < last)
        };
        (0..4000u64)
            .map(|n| DOMAINS + n * 1_000_000)
            .find(|first| first + u64::from(size) <= LAST && !overlaps(*first))
            .map(|first| (first as u32, false))
    }
}

/// First host id for ids of domains: past what login.defs(5) gives to people (`SUB_UID_MAX`, 600100000), and below 2^31.
const DOMAINS: u64 = 700_000_000;
/// Host ids end here: from 2^31 on they are negative for some programs.
const LAST: u64 = 1 << 31;

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
