//! Bridge and address of a gateway.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};
use smbgw_api::{Address, GatewayName, Network};

use super::Observed;
use crate::platform::bridges::no_bridge;
use crate::record::{GuestAddress, GuestNetwork, Record};
use crate::{Error, Result};

/// Host numbers that are given out on our own network, within its /24.
const HOSTS: std::ops::RangeInclusive<u32> = 10..=250;

/// A locally administered unicast MAC address (IEEE 802, second-lowest bit of the first octet) that follows from node
/// and gateway: a gateway that is made anew is the same machine to its neighbours and to a DHCP server.
fn mac(node: &str, gateway: &GatewayName) -> String {
    let hash = Sha256::digest(format!("{node}/{gateway}"));
    hash.iter().take(5).fold(String::from("02"), |text, byte| format!("{text}:{byte:02x}"))
}

/// Works out the network card. `old` is what the gateway has now: address and MAC are kept where nothing else is
/// asked for.
///
/// # Errors
/// Codes `bridge-missing`, `address-taken`, `no-address`.
pub fn choose(
    name: &GatewayName,
    wanted: &Network,
    observed: &Observed,
    old: Option<&Record>,
) -> Result<GuestNetwork> {
    let card = old.and_then(|old| old.guest.network.as_ref());
    let own = observed.node.own_network.as_ref();
    let default = observed.node.default_bridge.as_ref();
    let (bridge, own_bridge) = match (wanted.bridge.as_ref().or(default.filter(|_| own.is_none())), own) {
        (Some(bridge), Some(own)) if *bridge == own.bridge => (bridge.clone(), true),
        (Some(bridge), _) => (bridge.clone(), false),
        (None, Some(own)) => (own.bridge.clone(), true),
        (None, None) => {
            return Err(Error::usage("no-bridge", "no bridge is given").hint("say which one: --bridge"));
        }
    };
    if !own_bridge && !observed.node.bridges.iter().any(|name| name == bridge.as_str()) {
        return Err(no_bridge(bridge.as_str()));
    }
    let others =
        || observed.records.iter().filter(|record| old.is_none_or(|old| old.name() != record.name()));
    let taken = |ip: Ipv4Addr| others().find(|record| record.guest.ip() == Some(ip));
    let address = match wanted.ip {
        Address::Dhcp if own_bridge => {
            return Err(Error::usage("no-dhcp", format!("nobody gives out addresses on {bridge}"))
                .hint("leave out --ip, or name another bridge with --bridge"));
        }
        Address::Dhcp => GuestAddress::Dhcp,
        Address::Static { ip, prefix } => {
            if let Some(other) = taken(ip) {
                return Err(Error::resource(
                    "address-taken",
                    format!("gateway {} has the address {ip}", other.name()),
                )
                .hint("choose another address"));
            }
            if own.is_some_and(|own| own_bridge && own.node == ip) {
                return Err(Error::resource(
                    "address-taken",
                    format!("{ip} is this node's own address on {bridge}"),
                )
                .hint("choose another address"));
            }
            GuestAddress::Static { ip, prefix }
        }
        // without a network of its own, the platform leaves addresses to the network's DHCP server
        Address::Auto if own.is_none() => {
            let kept = card.filter(|card| card.bridge == bridge);
            kept.map_or(GuestAddress::Dhcp, |card| card.address)
        }
        Address::Auto => {
            let own = own.filter(|_| own_bridge).ok_or_else(|| {
                Error::usage("no-address", format!("no address is given for bridge {bridge}"))
                    .hint("give one: --ip 10.0.0.5/24, or --ip dhcp")
            })?;
            let kept = card.filter(|card| card.bridge == bridge).and_then(|card| card.address.ip());
            let network = u32::from(own.node) & !(u32::MAX >> own.prefix);
            let free = HOSTS.map(|host| Ipv4Addr::from(network | host)).find(|ip| taken(*ip).is_none());
            let ip = kept.or(free).ok_or_else(|| {
                Error::resource("no-address", format!("all addresses on {bridge} are taken"))
                    .hint("delete a gateway, or use another bridge with --bridge")
            })?;
            GuestAddress::Static { ip, prefix: own.prefix }
        }
    };
    if let (Some(gateway), GuestAddress::Static { ip, prefix }) = (wanted.gateway, address) {
        let mask = !(u32::MAX >> prefix);
        if u32::from(gateway) & mask != u32::from(ip) & mask || gateway == ip {
            return Err(Error::usage(
                "gateway-unreachable",
                format!("the default route {gateway} is not on the network of {ip}/{prefix}"),
            )
            .hint("give a --gateway on the same network"));
        }
    }
    if let Some(vlan) = wanted.vlan
        && !observed.node.vlan_bridges.iter().any(|name| name == bridge.as_str())
    {
        return Err(Error::usage(
            "no-vlans",
            format!("bridge {bridge} does not tell VLANs apart (VLAN {vlan})"),
        )
        .hint("name one that does with --bridge: `ip link set BRIDGE type bridge vlan_filtering 1`"));
    }
    let mac = card.map_or_else(|| mac(&observed.node.id, name), |card| card.mac.clone());
    Ok(GuestNetwork {
        bridge,
        own_bridge,
        mac,
        address,
        gateway: wanted.gateway,
        vlan: wanted.vlan,
        nameservers: wanted.nameservers.clone(),
        searchdomain: wanted.searchdomain.clone(),
    })
}
