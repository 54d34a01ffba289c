//! Whether a domain controller's ports can be reached.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// For one connection.
const CONNECTS: Duration = Duration::from_secs(2);

/// What a join and a member use (Microsoft, "Service overview and network port requirements for Windows").
pub(crate) const PORTS: &[(u16, &str)] =
    &[(53, "DNS"), (88, "Kerberos"), (135, "RPC"), (389, "LDAP"), (445, "SMB"), (464, "kpasswd")];

/// A port that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Port.
    pub(crate) port: u16,
    /// What it is for.
    pub(crate) service: &'static str,
    /// The machine says no; otherwise nothing comes back.
    pub(crate) refused: bool,
}

/// Ports that do not answer, all asked at once.
pub(crate) fn closed(address: IpAddr, ports: &'static [(u16, &'static str)]) -> Vec<Closed> {
    std::thread::scope(|scope| {
        let tries: Vec<_> = ports
            .iter()
            .map(|(port, service)| {
                scope.spawn(move || {
                    let to = SocketAddr::new(address, *port);
                    TcpStream::connect_timeout(&to, CONNECTS).err().map(|error| Closed {
                        port: *port,
                        service,
                        refused: error.kind() == std::io::ErrorKind::ConnectionRefused,
                    })
                })
            })
            .collect();
        tries.into_iter().filter_map(|attempt| attempt.join().ok().flatten()).collect()
    })
}

/// `389 (LDAP), 445 (SMB)`
pub(crate) fn list(closed: &[Closed]) -> String {
    let one = |closed: &Closed| format!("{} ({})", closed.port, closed.service);
    closed.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listens() {
        let closed = closed("127.0.0.1".parse().unwrap(), &[(1, "one"), (2, "two")]);
        assert_eq!(list(&closed), "1 (one), 2 (two)");
        assert!(closed.iter().all(|closed| closed.refused));
    }
}
