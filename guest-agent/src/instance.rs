//! Which Samba is ours: the machine's own in a gateway; on a node, one beside others, in a mount namespace of its own. The
//! paths are the same in both.

use smbgw_api::Listen;

/// A Samba.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Unit of the SMB service.
    pub(crate) unit: String,
    /// Unit of winbindd.
    pub(crate) winbind: String,
    /// Where it takes connections.
    pub(crate) listen: Listen,
    /// Where it finds this program as its `dfree command`.
    pub(crate) dfree: String,
    /// Where it finds this program as what is told of tree connects.
    pub(crate) tally: String,
    /// The machine is a node with more on it than this gateway.
    pub(crate) shared: bool,
}

#[cfg(test)]
impl Instance {
    /// One whose smbd is at this port of the loopback address.
    pub(crate) fn at(port: u16) -> Self {
        let listen = Listen { address: Some(std::net::Ipv4Addr::LOCALHOST.into()), port };
        Self { listen, ..Self::default() }
    }
}

impl Default for Instance {
    /// The machine's own.
    fn default() -> Self {
        Self {
            unit: "smbd.service".to_owned(),
            winbind: "winbind.service".to_owned(),
            listen: Listen::default(),
            dfree: "/usr/lib/smbgw/dfree".to_owned(),
            tally: "/usr/lib/smbgw/tally".to_owned(),
            shared: false,
        }
    }
}
