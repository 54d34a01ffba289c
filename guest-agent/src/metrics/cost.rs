//! What the agent itself takes.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use smbgw_api::v1::AgentCost;

use crate::paths::Paths;

/// Of this process; nothing when the kernel does not say.
pub(super) fn read(paths: &Paths, took: Duration, smbstatus: Duration) -> Option<AgentCost> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let status = std::fs::read_to_string(paths.proc().join("self/status")).ok()?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Some(AgentCost {
        cpu_s: us as f64 / 1e6,
        resident_bytes: resident(&status)?,
        collect_us: micros(took),
        smbstatus_us: micros(smbstatus),
    })
}

/// The `VmRSS:` line, in bytes; the file has it in KiB.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let cost = read(&Paths::system(), Duration::from_millis(2), Duration::from_millis(1)).unwrap();
        assert!(cost.resident_bytes > 100_000 && cost.collect_us == 2000, "{cost:?}");
        assert_eq!(resident("VmRSS:\t     12 kB\n"), Some(12 << 10));
    }
}
