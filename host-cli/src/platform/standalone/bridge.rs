//! The platform's own network: a bridge that is made with the first gateway and removed with the last.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use smbgw_api::{BridgeName, GatewayName};
use smbgw_command::{Command, Runner};

use super::{Standalone, records};
use crate::platform::OwnNetwork;
use crate::platform::bridges::{existing, no_bridge};
use crate::record::GuestNetwork;
use crate::{Error, Result};

/// Name of our bridge.
const NAME: &str = "smbgw0";
/// The node's address on it.
const NODE: Ipv4Addr = Ipv4Addr::new(10, 86, 0, 1);
const PREFIX: u8 = 24;
const IP_DEADLINE: Duration = Duration::from_secs(10);

/// Our network.
///
/// # Errors
/// Never; the name is a constant.
pub fn own() -> Result<OwnNetwork> {
    Ok(OwnNetwork { bridge: BridgeName::parse(NAME)?, node: NODE, prefix: PREFIX })
}

fn has_ports(bridge: &str) -> bool {
    std::fs::read_dir(Path::new("/sys/class/net").join(bridge).join("brif"))
        .is_ok_and(|mut ports| ports.next().is_some())
}

impl Standalone {
    pub(super) fn ensure_bridge(&self, network: &GuestNetwork) -> Result<()> {
        let bridge = network.bridge.as_str();
        let there = existing()?.iter().any(|name| name == bridge);
        if !network.own_bridge {
            return if there { Ok(()) } else { Err(no_bridge(bridge)) };
        }
        if !there {
            // no forwarding delay: a port must carry traffic at once (ip-link(8))
            self.ip(&[
                "link",
                "add",
                "name",
                bridge,
                "type",
                "bridge",
                "forward_delay",
                "0",
                "stp_state",
                "0",
            ])?;
        }
        let address = format!("{NODE}/{PREFIX}");
        self.ip(&["address", "replace", &address, "dev", bridge])?;
        self.ip(&["link", "set", "dev", bridge, "up"])
    }

    pub(super) fn release_bridge(&self, network: &GuestNetwork, but: &GatewayName) -> Result<()> {
        let bridge = network.bridge.as_str();
        if !network.own_bridge || !existing()?.iter().any(|name| name == bridge) {
            return Ok(());
        }
        let used = records::all(&self.paths)?.iter().any(|record| {
            record.name() != but
                && record.guest.network.as_ref().is_some_and(|card| card.bridge == network.bridge)
        });
        if used || has_ports(bridge) {
            return Ok(());
        }
        self.ip(&["link", "delete", "dev", bridge, "type", "bridge"])
    }

    /// Makes the node's end of a machine's network card, a port of the bridge.
    pub(super) fn add_tap(&self, network: &GuestNetwork, tap: &str) -> Result<()> {
        self.ip(&["tuntap", "add", "dev", tap, "mode", "tap"])?;
        self.ip(&["link", "set", "dev", tap, "master", network.bridge.as_str(), "up"])?;
        if let Some(vlan) = network.vlan {
            let bridge = |args: &[&str]| {
                let command = Command::new("bridge").args(args.iter().copied()).deadline(IP_DEADLINE);
                self.system.run(&command).map(drop)
            };
            // what comes untagged from the guest belongs to its VLAN, and to no other (bridge(8))
            bridge(&["vlan", "del", "dev", tap, "vid", "1"])?;
            bridge(&["vlan", "add", "dev", tap, "vid", &vlan.to_string(), "pvid", "untagged"])?;
        }
        Ok(())
    }

    fn ip(&self, args: &[&str]) -> Result<()> {
        self.system.run(&Command::new("ip").args(args.iter().copied()).deadline(IP_DEADLINE))?;
        Ok(())
    }
}

/// Makes the node forget which card had an address: another gateway may have had it a moment ago, and the kernel would
/// go on for half a minute sending to that one's.
///
/// # Errors
/// When the node refuses.
pub fn forget_neighbour(runner: &dyn Runner, network: &GuestNetwork) -> Result<()> {
    let Some(ip) = network.address.ip() else { return Ok(()) };
    let command = Command::new("ip")
        .args(["neighbour", "flush", "to", &ip.to_string(), "dev", network.bridge.as_str()])
        .deadline(IP_DEADLINE);
    runner.run(&command).map(drop).map_err(Error::from)
}

/// Removes the node's end of a network card that its guest left behind.
///
/// # Errors
/// When the node refuses.
pub fn remove_port(runner: &dyn Runner, port: &str) -> Result<()> {
    if !Path::new("/sys/class/net").join(port).exists() {
        return Ok(());
    }
    let command = Command::new("ip").args(["link", "delete", "dev", port]).deadline(IP_DEADLINE);
    match runner.run(&command) {
        // the kernel was quicker
        Err(error) if error.stderr().contains("Cannot find device") => Ok(()),
        other => other.map(drop).map_err(Error::from),
    }
}
