//! Memory and processor time by process name, from proc(5).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use smbgw_api::v1::ProcessFigures;

use crate::instance::Instance;
use crate::paths::Paths;
use crate::system;

/// How long the PSS of a process is good whose resident size stays the same: to ask for it costs the kernel a millisecond.
const KEEPS: Duration = Duration::from_secs(60);

/// PSS of processes, by id and start.
#[derive(Debug, Default)]
pub(crate) struct Sizes(Mutex<BTreeMap<(u64, u64), Size>>);

#[derive(Debug, Clone, Copy)]
struct Size {
    /// Pages that are resident.
    resident: u64,
    pss: u64,
    at: Instant,
}

/// All processes that can be read, the largest first; on a node, those of the gateway's slice. Kernel threads and what ends
/// meanwhile are left out.
pub(crate) fn read(paths: &Paths, instance: &Instance, sizes: &Sizes) -> Vec<ProcessFigures> {
    let mut sizes = sizes.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seen = BTreeMap::new();
    let group = |process: &Path| std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let own = group(&paths.proc().join("self"));
    let mut names: BTreeMap<String, (u64, u64, f64)> = BTreeMap::new();
    let directories = std::fs::read_dir(paths.proc()).into_iter().flatten().flatten();
    for directory in directories.map(|entry| entry.path()) {
        if !directory.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit)) {
            continue;
        }
        if instance.shared && slice(&group(&directory)) != slice(&own) {
            continue;
        }
        let Ok(stat) = std::fs::read_to_string(directory.join("stat")) else {
            continue;
        };
        let pid = stat.split(' ').next().and_then(|pid| pid.parse().ok());
        let (Some(pid), Some(start), Some(resident)) =
            (pid, system::field(&stat, 22), system::field(&stat, 24))
        else {
            continue;
        };
        let known = sizes.get(&(pid, start)).copied();
        let known = known.filter(|size| size.resident == resident && size.at.elapsed() < KEEPS);
        let size = known.or_else(|| {
            let rollup = std::fs::read_to_string(directory.join("smaps_rollup")).ok();
            Some(Size { resident, pss: parse_pss(&rollup?)?, at: Instant::now() })
        });
        let (Some(size), Some(name)) = (size, name_of(&stat)) else {
            continue;
        };
        seen.insert((pid, start), size);
        let entry = names.entry(program(name).to_owned()).or_default();
        entry.0 += 1;
        entry.1 += size.pss;
        entry.2 += system::cpu_of(&stat).unwrap_or(0.0);
    }
    *sizes = seen;
    let process = |(name, (count, pss_bytes, cpu_s))| ProcessFigures { name, count, pss_bytes, cpu_s };
    let mut processes: Vec<_> = names.into_iter().map(process).collect();
    processes.sort_by_key(|process| std::cmp::Reverse(process.pss_bytes));
    processes
}

/// The name in `stat`, which may have parentheses in it.
fn name_of(stat: &str) -> Option<&str> {
    Some(stat.split_once('(')?.1.rsplit_once(')')?.0)
}

/// The name without a client's address, which Samba 4.22 adds: `smbd[10.0.0.1]`, cut off after 15 characters.
fn program(name: &str) -> &str {
    let name = name.trim();
    name.split_once('[').map_or(name, |(program, _)| program)
}

/// The control group that a unit's group is in: `0::/a.slice/b.service` (cgroups(7)).
fn slice(group: &str) -> Option<&str> {
    Some(group.trim().rsplit_once('/')?.0)
}

/// The `Pss:` line, in bytes; the file has it in KiB.
fn parse_pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_pss_and_no_other_line() {
        let text = "55d0-7ff [rollup]\nRss:                5000 kB\nPss:                1234 kB\nPss_Dirty:   7 kB\n";
        assert_eq!(parse_pss(text), Some(1234 * 1024));
        assert_eq!(parse_pss("Rss: 1 kB\n"), None);
        assert_eq!(parse_pss("Pss: x kB\n"), None);
    }

    #[test]
    fn clients_are_no_programs() {
        assert_eq!(name_of("7 (a) (b) S 1"), Some("a) (b"));
        assert_eq!(
            ["smbd[10.86.0.1]\n", "smbd[2001:db8::", "winbindd\n"].map(program),
            ["smbd", "smbd", "winbindd"]
        );
    }

    #[test]
    fn sees_this_process() {
        let sizes = Sizes::default();
        let first = read(&Paths::system(), &Instance::default(), &sizes);
        assert!(!first.is_empty());
        // what is kept is told again
        let again = read(&Paths::system(), &Instance::default(), &sizes);
        let total =
            |processes: &[ProcessFigures]| processes.iter().map(|process| process.pss_bytes).sum::<u64>();
        assert!(total(&again) > total(&first) / 2);
    }
}
