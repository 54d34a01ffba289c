//! Host name, addresses and uptime.

use std::net::IpAddr;

use nix::sys::socket::SockaddrStorage;

use crate::error::{Result, internal};
use crate::paths::Paths;

/// Clock ticks a second in `/proc/PID/stat`: USER_HZ, 100 on every Linux port that Debian has.
const TICKS: u64 = 100;

/// Host name.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Release of the kernel.
pub(crate) fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Addresses other than loopback and link-local ones, with prefix length.
pub(crate) fn addresses() -> Result<Vec<String>> {
    let interfaces =
        nix::ifaddrs::getifaddrs().map_err(|errno| internal(format!("reading the addresses: {errno}")))?;
    let mut addresses: Vec<String> = interfaces
        .filter_map(|interface| {
            let address = ip(&interface.address?)?;
            let prefix = interface.netmask.and_then(|mask| ip(&mask)).map(prefix_length)?;
            is_useful(address).then(|| format!("{address}/{prefix}"))
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    address
        .as_sockaddr_in()
        .map(|v4| IpAddr::V4(v4.ip()))
        .or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn prefix_length(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    }
}

fn is_useful(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !link_local
}

/// Seconds since PID 1 started; 0 when that cannot be told. `/proc/uptime` is the node's in one container and the
/// container's in another (lxcfs), so the boot clock is asked instead.
pub(crate) fn uptime(paths: &Paths) -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    let stat = std::fs::read_to_string(paths.proc().join("1/stat")).unwrap_or_default();
    parse_start(&stat).map_or(0, |start| u64::try_from(now).unwrap_or(0).saturating_sub(start))
}

/// Start of a process in seconds since boot: field 22 of `/proc/PID/stat`, in ticks (proc(5)). The second field, the
/// name, may contain anything, so fields are counted from its closing bracket.
fn parse_start(stat: &str) -> Option<u64> {
    Some(field(stat, 22)? / TICKS)
}

/// A number of `stat` by its place (proc(5)): 3 and later.
pub(crate) fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// When a process started, in ticks since boot: tells it from a later one of the same number.
pub(crate) fn start_of(paths: &Paths, pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(paths.proc().join(pid.to_string()).join("stat")).ok()?;
    field(&stat, 22)
}

/// Processor time of a process in seconds, by the text of its `stat`.
pub(crate) fn cpu_of(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) as f64 / TICKS as f64)
}

/// Milliseconds since the boot.
pub(crate) fn since_boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_of_a_process_with_a_nasty_name() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9";
        assert_eq!(parse_start(stat), Some(1234));
        assert_eq!(parse_start("1 (x) S"), None);
        assert_eq!(cpu_of(stat), Some(0.11));
    }

    #[test]
    fn prefixes() {
        assert_eq!(prefix_length("255.255.252.0".parse().unwrap()), 22);
        assert_eq!(prefix_length("ffff:ffff:ffff:ffff::".parse().unwrap()), 64);
        assert!(!is_useful("fe80::1".parse().unwrap()) && !is_useful("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn this_machine_is_up() {
        addresses().unwrap();
        uptime(&Paths::system());
    }
}
