//! How a gateway is attached to the network.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// Name of a bridge on the node (at most 15 characters, as every interface).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BridgeName(String);

impl BridgeName {
    /// Checks an interface name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > 15 || !text.chars().all(good) || text.starts_with(['.', '-']) {
            return Err(Invalid::new(
                "bridge",
                text,
                "an interface name has 1 to 15 letters, digits, '-', '_' or '.'",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BridgeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(BridgeName);

/// Where the address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// The platform picks a free one and keeps it (only on a bridge that the platform owns).
    Auto,
    /// By DHCP.
    Dhcp,
    /// This one, with its prefix length.
    Static {
        /// Host address.
        ip: Ipv4Addr,
        /// Prefix length, 8 to 30.
        prefix: u8,
    },
}

impl Address {
    /// Reads `auto`, `dhcp` or `10.0.0.5/24`.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Invalid::new("address", text, rule);
        match text {
            "auto" => return Ok(Self::Auto),
            "dhcp" => return Ok(Self::Dhcp),
            _ => {}
        }
        let form = || bad("write auto, dhcp, or an IPv4 address with its prefix length, as 10.0.0.5/24");
        let (ip, prefix) = text.split_once('/').ok_or_else(form)?;
        let ip: Ipv4Addr = ip.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if !(8..=30).contains(&prefix) {
            return Err(bad("the prefix length must be between 8 and 30"));
        }
        let host = u32::from(ip) & (u32::MAX >> prefix);
        if host == 0 || host == u32::MAX >> prefix {
            return Err(bad("is the address of the network or its broadcast address, not of a host"));
        }
        if ip.is_loopback() || ip.is_multicast() || ip.is_link_local() {
            return Err(bad("is not an address of a host on a network"));
        }
        Ok(Self::Static { ip, prefix })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Dhcp => f.pad("dhcp"),
            Self::Static { ip, prefix } => f.pad(&format!("{ip}/{prefix}")),
        }
    }
}
text_newtype!(Address);

/// The network card of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// Bridge on the node; the platform's own one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<BridgeName>,
    /// Address.
    #[serde(default = "auto")]
    pub ip: Address,
    /// Default route; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// VLAN on a bridge that filters VLANs; untagged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<VlanId>,
    /// Name servers (Proxmox VE); the node's when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<Ipv4Addr>,
    /// Domain that short names are looked up in (Proxmox VE); the node's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searchdomain: Option<DnsDomain>,
}

/// A DNS domain, as `ad.example.com` (RFC 1123, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsDomain(String);

impl DnsDomain {
    /// Checks a domain; it is kept in lower case.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let good = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > 253 || !text.split('.').all(good) {
            return Err(Invalid::new(
                "domain",
                text,
                "has labels of letters, digits and '-', at most 63 characters each, with dots between them",
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The domain.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for DnsDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(DnsDomain);

/// Number of a VLAN, 1 to 4094 (IEEE 802.1Q).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

impl VlanId {
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = Invalid;

    fn try_from(number: u16) -> Result<Self, Invalid> {
        if (1..=4094).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Invalid::new("VLAN", &number.to_string(), "is a number from 1 to 4094"))
        }
    }
}

impl std::str::FromStr for VlanId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |_| Invalid::new("VLAN", text, "is a number from 1 to 4094");
        text.parse::<u16>().map_err(bad)?.try_into()
    }
}

impl From<VlanId> for u16 {
    fn from(vlan: VlanId) -> Self {
        vlan.0
    }
}

impl std::fmt::Display for VlanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

fn auto() -> Address {
    Address::Auto
}

impl Default for Network {
    fn default() -> Self {
        Self {
            bridge: None,
            ip: Address::Auto,
            gateway: None,
            vlan: None,
            nameservers: Vec::new(),
            searchdomain: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans() {
        assert_eq!("4094".parse::<VlanId>().unwrap().get(), 4094);
        for bad in ["0", "4095", "-1", "x", ""] {
            assert!(bad.parse::<VlanId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn domains() {
        assert_eq!(DnsDomain::parse("AD.Example.com").unwrap().as_str(), "ad.example.com");
        for bad in ["", ".", "a..b", "-a.b", "a b", "a_b", "a,b"] {
            assert!(DnsDomain::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        for good in ["auto", "dhcp", "10.0.0.5/24", "192.168.1.254/16"] {
            assert_eq!(Address::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["10.0.0.5", "10.0.0.0/24", "10.0.0.255/24", "10.0.0.5/33", "127.0.0.1/8", "x", "10.0.0.5/24/1"]
        {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
