//! What cloud-init in a virtual machine is told: identity and network only. Rendered from the templates in `cloud-init/`
//! by typed values; nothing is pasted into text. Source: cloud-init's NoCloud data source.
//!
//! * [`template`]: a YAML template and its values

mod template;

use std::collections::BTreeMap;

use serde_yaml::Value;
use sha2::{Digest, Sha256};

use self::template::render;
use crate::Result;
use crate::record::{GuestAddress, GuestPlan};

const USER_DATA: &str = include_str!("../../../cloud-init/user-data.yaml");
const VENDOR_DATA: &str = include_str!("../../../cloud-init/vendor-data.yaml");
const NETWORK_CONFIG: &str = include_str!("../../../cloud-init/network-config.yaml");
const META_DATA: &str = include_str!("../../../cloud-init/meta-data.yaml");

/// What makes cloud-init take a file for its configuration.
const CLOUD_CONFIG: &str = "#cloud-config\n";

/// The files of a seed disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// `user-data`
    pub user_data: String,
    /// `vendor-data`
    pub vendor_data: String,
    /// `network-config`
    pub network_config: String,
    /// `meta-data`
    pub meta_data: String,
}

impl Seed {
    /// For this guest.
    ///
    /// # Errors
    /// Never, unless a template is broken.
    pub fn of(guest: &GuestPlan) -> Result<Self> {
        let network = guest.network()?;
        let (kind, address) = match network.address {
            GuestAddress::Dhcp => ("dhcp4", Value::Null),
            GuestAddress::Static { .. } => ("static", text(network.address)),
        };
        let mut values = BTreeMap::from([
            ("hostname", text(&guest.name)),
            ("mac", text(&network.mac)),
            ("kind", text(kind)),
            ("address", address),
            ("gateway", network.gateway.map_or(Value::Null, text)),
            ("nameservers", list(&network.nameservers)),
            ("searchdomain", list(network.searchdomain.as_slice())),
        ]);
        let user_data = format!("{CLOUD_CONFIG}{}", render(USER_DATA, &values)?);
        let vendor_data = format!("{CLOUD_CONFIG}{}", render(VENDOR_DATA, &values)?);
        let network_config = render(NETWORK_CONFIG, &values)?;
        // other values are another instance: cloud-init applies them; the same ones are not applied twice
        let hash = Sha256::digest(format!("{user_data}\0{vendor_data}\0{network_config}"));
        let instance =
            hash.iter().take(8).fold(format!("{}-", guest.name), |id, byte| format!("{id}{byte:02x}"));
        values.insert("instance-id", text(instance));
        let meta_data = render(META_DATA, &values)?;
        Ok(Self { user_data, vendor_data, network_config, meta_data })
    }
}

fn text(value: impl std::fmt::Display) -> Value {
    Value::String(value.to_string())
}

/// Nothing when it is empty.
fn list(items: &[impl std::fmt::Display]) -> Value {
    if items.is_empty() { Value::Null } else { items.iter().map(text).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::machine;

    fn whole(seed: &Seed) -> String {
        format!(
            "== user-data\n{}== vendor-data\n{}== network-config\n{}== meta-data\n{}",
            seed.user_data, seed.vendor_data, seed.network_config, seed.meta_data
        )
    }

    #[test]
    fn a_static_address() {
        insta::assert_snapshot!(whole(&Seed::of(&machine()).unwrap()));
    }

    #[test]
    fn by_dhcp() {
        let mut guest = machine();
        guest.card().address = GuestAddress::Dhcp;
        guest.card().gateway = None;
        insta::assert_snapshot!(Seed::of(&guest).unwrap().network_config);
    }

    #[test]
    fn name_servers() {
        let mut guest = machine();
        guest.card().nameservers = vec![[10, 86, 0, 250].into()];
        guest.card().searchdomain = Some("corp.example".parse().unwrap());
        let text = Seed::of(&guest).unwrap().network_config;
        let servers = "    dns_nameservers:\n    - 10.86.0.250\n    dns_search:\n    - corp.example\n";
        assert!(text.ends_with(servers), "{text}");
    }

    #[test]
    fn another_address_is_another_instance_and_nothing_else_is() {
        let guest = machine();
        let first = Seed::of(&guest).unwrap();
        assert_eq!(Seed::of(&guest).unwrap(), first);
        let mut larger = guest.clone();
        larger.memory = Some(smbgw_api::ByteSize::from_mib(4096));
        assert_eq!(Seed::of(&larger).unwrap(), first);
        let mut moved = guest;
        moved.card().address = GuestAddress::Static { ip: [10, 86, 0, 99].into(), prefix: 24 };
        assert_ne!(Seed::of(&moved).unwrap().meta_data, first.meta_data);
    }
}
