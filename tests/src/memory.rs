//! Memory of a gateway, as the node sees it.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};

/// Memory of all processes of one name, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Processes.
    pub count: u64,
    /// Proportional set size.
    pub pss: u64,
    /// Its anonymous part.
    pub anon: u64,
    /// Its shared-memory part.
    pub shmem: u64,
}

impl std::ops::AddAssign for Memory {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.pss += other.pss;
        self.anon += other.anon;
        self.shmem += other.shmem;
    }
}

/// Ids of the processes of a gateway's container, or of its virtual machine on the node.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes(gateway: &str) -> Result<Vec<u32>> {
    let container = crate::product::container(gateway);
    let cgroups = ["lxc.payload", "smbgw.machine"].map(|kind| format!("{kind}.{container}"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // processes may end while we look
        let path = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if path.lines().any(|line| line.split('/').any(|part| cgroups.iter().any(|cgroup| part == cgroup))) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Memory by process name, largest first, and the sum.
///
/// # Errors
/// When the gateway has no process.
pub fn by_process(gateway: &str) -> Result<(Vec<(String, Memory)>, Memory)> {
    of(&processes(gateway)?).with_context(|| format!("measuring gateway {gateway}"))
}

/// Memory of these processes by name, largest first, and the sum.
///
/// # Errors
/// When there is none.
pub fn of(pids: &[u32]) -> Result<(Vec<(String, Memory)>, Memory)> {
    let mut names: BTreeMap<String, Memory> = BTreeMap::new();
    let mut sum = Memory::default();
    for pid in pids {
        let (Ok(name), Ok(rollup)) = (
            fs::read_to_string(format!("/proc/{pid}/comm")),
            fs::read_to_string(format!("/proc/{pid}/smaps_rollup")),
        ) else {
            continue;
        };
        let memory = parse(&rollup);
        *names.entry(name.trim().to_owned()).or_default() += memory;
        sum += memory;
    }
    ensure!(sum.count > 0, "it has no process");
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|(_, memory)| std::cmp::Reverse(memory.pss));
    Ok((names, sum))
}

/// Reads `smaps_rollup`, proc_pid_smaps(5).
fn parse(rollup: &str) -> Memory {
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    Memory { count: 1, pss: field("Pss:"), anon: field("Pss_Anon:"), shmem: field("Pss_Shmem:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_form() {
        let rollup = "5581c-7ffd [rollup]\nRss:  3000 kB\nPss:     120 kB\nPss_Dirty: 9 kB\nPss_Anon:  100 kB\nPss_Shmem:  4 kB\n";
        assert_eq!(parse(rollup), Memory { count: 1, pss: 120, anon: 100, shmem: 4 });
    }
}
