//! Where a gateway on the node itself takes connections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// Port of SMB over TCP (MS-SMB2 2.1); Windows before 11 24H2 knows no other.
pub const SMB_PORT: u16 = 445;

/// An address of the node, or all of them, and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Listen {
    /// The address; all of the node's when absent.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: None, port: SMB_PORT }
    }
}

impl Listen {
    /// Reads `10.0.0.5`, `10.0.0.5:4450`, `:4450`, `fd00::5` or `[fd00::5]:4450`.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Invalid::new("listen", text, rule);
        let form = || bad("write an address of the node, a port, or both: 10.0.0.5, :4450, 10.0.0.5:4450");
        let port = |text: &str| match text.parse() {
            Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => Err(bad("a port is a number from 1 to 65535")),
        };
        let (address, port) = if let Ok(address) = text.parse::<IpAddr>() {
            (Some(address), SMB_PORT)
        } else if let Some(number) = text.strip_prefix(':') {
            (None, port(number)?)
        } else if let Some((address, number)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"))
        {
            (Some(IpAddr::V6(address.parse().map_err(|_| form())?)), port(number)?)
        } else {
            let (address, number) = text.split_once(':').ok_or_else(form)?;
            (Some(IpAddr::V4(address.parse().map_err(|_| form())?)), port(number)?)
        };
        if address.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(bad("is not an address of a host; leave the address out for all of the node's"));
        }
        Ok(Self { address, port })
    }

    /// Whether both would take the same connections.
    pub fn overlaps(&self, other: &Self) -> bool {
        let apart = matches!((self.address, other.address), (Some(one), Some(two)) if one != two);
        self.port == other.port && !apart
    }

    /// Whether a socket is the one that takes its connections.
    pub fn is(&self, socket: SocketAddr) -> bool {
        let address = Some(socket.ip()).filter(|ip| !ip.is_unspecified());
        socket.port() == self.port && address == self.address
    }

    /// Where a program on the node reaches it.
    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), self.port)
    }

    /// Whether a socket that listens on `other` takes connections that this one would.
    pub fn meets(&self, other: SocketAddr) -> bool {
        let address = Some(other.ip()).filter(|ip| !ip.is_unspecified());
        self.overlaps(&Self { address, port: other.port() })
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&match (self.address, self.port) {
            (None, port) => format!(":{port}"),
            (Some(address), SMB_PORT) => address.to_string(),
            (Some(address), port) => SocketAddr::new(address, port).to_string(),
        })
    }
}
text_newtype!(Listen);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_and_ports() {
        for (text, same) in [
            ("10.0.0.5", "10.0.0.5"),
            ("10.0.0.5:445", "10.0.0.5"),
            ("10.0.0.5:4450", "10.0.0.5:4450"),
            (":4450", ":4450"),
            ("fd00::5", "fd00::5"),
            ("[fd00::5]:4450", "[fd00::5]:4450"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), same);
        }
        for bad in [
            "",
            ":",
            ":0",
            ":70000",
            ":+5",
            "10.0.0.5:",
            "host",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "[10.0.0.5]:445",
        ] {
            assert!(Listen::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_gets_in_whose_way() {
        let listen = |text: &str| Listen::parse(text).unwrap();
        assert!(listen("10.0.0.5").overlaps(&Listen::default()));
        assert!(!listen("10.0.0.5").overlaps(&listen("10.0.0.6")));
        assert!(!listen("10.0.0.5").overlaps(&listen(":4450")));
        assert!(listen("10.0.0.5").meets("0.0.0.0:445".parse().unwrap()));
        assert!(listen("10.0.0.5").meets("[::]:445".parse().unwrap()));
        assert!(!listen("10.0.0.5").meets("10.0.0.6:445".parse().unwrap()));
        assert_eq!(Listen::default().local().to_string(), "127.0.0.1:445");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(address: Option<Ipv4Addr>, port in 1..=u16::MAX) {
            let address = address.map(IpAddr::V4).filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
            let listen = Listen { address, port };
            prop_assert_eq!(Listen::parse(&listen.to_string()).unwrap(), listen);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = Listen::parse(&text);
        }
    }
}
