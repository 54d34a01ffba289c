//! What the node has for gateways on itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// What such a gateway needs of Samba (Debian: packages samba, samba-common-bin, samba-vfs-modules).
const SAMBA: &[&str] = &[
    "/usr/sbin/smbd",
    "/usr/bin/net",
    "/usr/bin/pdbedit",
    "/usr/bin/smbcontrol",
    "/usr/bin/smbstatus",
    "/usr/bin/testparm",
    "/usr/lib/x86_64-linux-gnu/samba/vfs/acl_xattr.so",
    "/usr/lib/x86_64-linux-gnu/samba/vfs/streams_xattr.so",
];
/// What one in a domain needs besides (packages winbind, libnss-winbind, krb5-user, tdb-tools).
const DOMAIN: &[&str] = &[
    "/usr/sbin/winbindd",
    "/usr/bin/wbinfo",
    "/usr/lib/x86_64-linux-gnu/libnss_winbind.so.2",
    "/usr/bin/kinit",
    "/usr/bin/tdbtool",
];
/// Where the package has the agent's program.
const AGENT: &str = "/usr/lib/pve-smbgateway/smbgw-agent";
/// State of a listening socket in `/proc/net/tcp` (proc(5), include/net/tcp_states.h).
const LISTENS: &str = "0A";

/// What the node has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeFacts {
    /// It was started by systemd (sd_booted(3)).
    pub systemd: bool,
    /// Files of Samba that are not there.
    pub missing: Vec<PathBuf>,
    /// Files that one in a domain needs, and that are not there.
    pub missing_for_domain: Vec<PathBuf>,
    /// The agent's program.
    pub agent: Option<PathBuf>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where programs listen for TCP.
    pub listeners: Vec<SocketAddr>,
}

impl NativeFacts {
    /// What keeps gateways off this node, in words.
    pub fn lacks(&self) -> Option<String> {
        let samba = self.missing.first().map(|file| format!("Samba is not installed ({})", file.display()));
        let agent = self.agent.is_none().then(|| format!("there is no {AGENT}"));
        let systemd = (!self.systemd).then(|| "it was not started by systemd".to_owned());
        systemd.or(samba).or(agent)
    }
}

/// Looks.
///
/// # Errors
/// When `/proc` or the node's addresses cannot be read.
pub fn read() -> Result<NativeFacts> {
    let missing = |files: &[&str]| files.iter().map(PathBuf::from).filter(|file| !file.exists()).collect();
    Ok(NativeFacts {
        systemd: Path::new("/run/systemd/system").is_dir(),
        missing: missing(SAMBA),
        missing_for_domain: missing(DOMAIN),
        agent: agent(),
        addresses: addresses()?,
        listeners: listeners()?,
    })
}

/// The agent's program: the package's, or the one beside this program.
fn agent() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("smbgw-agent"));
    [Some(PathBuf::from(AGENT)), beside].into_iter().flatten().find(|path| path.is_file())
}

fn addresses() -> Result<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs()
        .map_err(|errno| Error::io("reading the node's addresses", std::io::Error::from(errno)))?;
    let mut addresses: Vec<IpAddr> = interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn listeners() -> Result<Vec<SocketAddr>> {
    let mut sockets = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match std::fs::read_to_string(file) {
            Ok(text) => sockets.extend(parse_listeners(&text)),
            // a kernel without IPv6
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::io(format!("reading {file}"), source)),
        }
    }
    sockets.sort();
    sockets.dedup();
    Ok(sockets)
}

/// `/proc/net/tcp` and `tcp6` (proc(5)): the second field is address and port, the fourth the state.
fn parse_listeners(text: &str) -> Vec<SocketAddr> {
    let listener = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        if state != LISTENS {
            return None;
        }
        let (address, port) = local.split_once(':')?;
        Some(SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?))
    };
    text.lines().filter_map(listener).collect()
}

/// Words of 32 bits in the byte order of the machine, which is little-endian on amd64.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_le_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(text)?))),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(text.get(index * 8..index * 8 + 8)?)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of a Debian 12 machine with smbd, sshd and a connection.
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000:01BD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18101 1 0 100 0 0 10 0\n   \
        1: 0500000A:01BD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18102 1 0 100 0 0 10 0\n   \
        2: 0500000A:01BD 0600000A:C350 01 00000000:00000000 00:00000000 00000000     0        0 18103 1 0 100 0 0 10 0\n";
    const TCP6: &str =
        "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0\n";

    #[test]
    fn listening_sockets_only() {
        let parsed = |text| parse_listeners(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(parsed(TCP), ["0.0.0.0:445", "10.0.0.5:445"]);
        assert_eq!(parsed(TCP6), ["[::1]:22"]);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        assert!(read().unwrap().addresses.contains(&"127.0.0.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn never_panics(text in "( *[0-9A-F:é]{0,40}){0,6}") {
            parse_listeners(&text);
        }
    }
}
