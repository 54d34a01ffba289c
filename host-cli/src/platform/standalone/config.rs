//! The configuration of a container (pure). Option names: lxc.container.conf(5), LXC 5 and 6.

use std::fmt::Write;
use std::path::Path;

use smbgw_api::v1::LINK_DIRECTORY;

use crate::Result;
use crate::platform::mount_entry::escape;
use crate::record::{GuestAddress, GuestNetwork, GuestPlan, IdRange};

/// What of the node's abilities the configuration depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// The memory controller is in cgroup2.
    pub memory: bool,
    /// The cpu controller is in cgroup2.
    pub cpu: bool,
    /// AppArmor is on.
    pub apparmor: bool,
}

/// Where the parts of a container are.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Root file system of its template.
    pub template: &'a Path,
    /// Its own directory.
    pub guest: &'a Path,
    /// Directory of the agent's socket.
    pub link: &'a Path,
    /// The root file system is a copy in the guest's directory, not an overlay over the template.
    pub copied: bool,
}

/// Name of the container of a gateway.
pub fn container_name(gateway: &str) -> String {
    format!("smbgw-{gateway}")
}

/// Name of the node's end of a gateway's network card; interfaces have at most 15 characters.
pub fn veth_name(mac: &str) -> String {
    format!("sg{}", mac.replace(':', ""))
}

/// Name of the node's end of the network card, as a configuration has it.
pub fn veth_in(configuration: &str) -> Option<&str> {
    configuration.lines().find_map(|line| line.strip_prefix("lxc.net.0.veth.pair = ")).map(str::trim)
}

/// The configuration file.
///
/// # Errors
/// For what is no container.
pub fn render(guest: &GuestPlan, ids: IdRange, places: Places<'_>, abilities: Abilities) -> Result<String> {
    let (card, memory) = (guest.network()?, guest.memory()?);
    let mut text = String::from("# made by pve-smbgateway: changes are lost\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key} = {value}");
    };
    line("lxc.include", "/usr/share/lxc/config/common.conf".into());
    line("lxc.include", "/usr/share/lxc/config/userns.conf".into());
    line("lxc.uts.name", guest.name.to_string());
    line("lxc.idmap", format!("u 0 {} {}", ids.base, ids.count));
    line("lxc.idmap", format!("g 0 {} {}", ids.base, ids.count));
    if let Some(domain) = ids.domain {
        line("lxc.idmap", format!("u {} {} {}", domain.inside, domain.outside, domain.count));
        line("lxc.idmap", format!("g {} {} {}", domain.inside, domain.outside, domain.count));
    }
    if places.copied {
        line("lxc.rootfs.path", format!("dir:{}", places.guest.join("rootfs").display()));
    } else {
        // copy-on-write over the shared template; LXC mounts it in the container's own namespace
        let upper = places.guest.join("overlay/upper");
        line("lxc.rootfs.path", format!("overlay:{}:{}", places.template.display(), upper.display()));
        // a mount made in a user namespace cannot keep trusted.* attributes
        line("lxc.rootfs.options", "userxattr".into());
    }
    // systemd's "halt" (systemd(1), signals)
    line("lxc.signal.halt", "SIGRTMIN+3".into());
    line("lxc.tty.max", "0".into());
    line("lxc.pty.max", "64".into());
    line("lxc.net.0.type", "veth".into());
    line("lxc.net.0.link", card.bridge.to_string());
    line("lxc.net.0.veth.pair", veth_name(&card.mac));
    if let Some(vlan) = card.vlan {
        line("lxc.net.0.veth.vlan.id", vlan.to_string());
    }
    line("lxc.net.0.hwaddr", card.mac.clone());
    line("lxc.net.0.name", "eth0".into());
    line("lxc.net.0.flags", "up".into());
    if let GuestAddress::Static { ip, prefix } = card.address {
        line("lxc.net.0.ipv4.address", format!("{ip}/{prefix}"));
        if let Some(gateway) = card.gateway {
            line("lxc.net.0.ipv4.gateway", gateway.to_string());
        }
    }
    line(
        "lxc.mount.entry",
        format!(
            "{} {LINK_DIRECTORY} none bind,create=dir,nosuid,nodev,noexec 0 0",
            escape(&places.link.display().to_string())
        ),
    );
    for mount in &guest.mounts {
        let target = mount.share.guest_path();
        line(
            "lxc.mount.entry",
            format!(
                "{} {} none bind,create=dir,idmap=container,nosuid,nodev,noexec 0 0",
                escape(mount.source.as_str()),
                escape(target.trim_start_matches('/'))
            ),
        );
    }
    if abilities.memory {
        line("lxc.cgroup2.memory.max", memory.bytes().to_string());
    }
    if let (true, Some(cores)) = (abilities.cpu, guest.cores) {
        line("lxc.cgroup2.cpu.max", cpu_max(cores));
    }
    if abilities.apparmor {
        line("lxc.apparmor.profile", "generated".into());
        line("lxc.apparmor.allow_nesting", "1".into());
    }
    Ok(text)
}

/// `cpu.max` for so many processors: microseconds in each 100 ms (cgroup v2, kernel documentation).
pub fn cpu_max(cores: u32) -> String {
    format!("{} 100000", u64::from(cores) * 100_000)
}

/// The guest's network configuration (interfaces(5)): LXC itself sets a static address.
pub fn interfaces(address: GuestAddress) -> String {
    let mut text = String::from("auto lo\niface lo inet loopback\n");
    if address == GuestAddress::Dhcp {
        text.push_str("\nauto eth0\niface eth0 inet dhcp\n");
    }
    text
}

/// resolv.conf(5) of a guest. With DHCP and nothing given it is what the network's server says.
pub fn resolv_conf(network: &GuestNetwork) -> Option<String> {
    let mut text: String = network.searchdomain.iter().map(|domain| format!("search {domain}\n")).collect();
    text.extend(network.nameservers.iter().map(|server| format!("nameserver {server}\n")));
    (!text.is_empty() || network.address != GuestAddress::Dhcp).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{GuestForm, GuestMount};
    use smbgw_api::{BridgeName, ByteSize, GatewayName, HostPath, ShareName};

    const IDS: IdRange = IdRange { base: 100_000, count: 65_536, domain: None };

    fn guest() -> GuestPlan {
        GuestPlan {
            name: GatewayName::parse("team").unwrap(),
            template: Some("debian-13_0.1.0".into()),
            memory: Some(ByteSize::from_mib(128)),
            cores: Some(2),
            network: Some(GuestNetwork {
                bridge: BridgeName::parse("smbgw0").unwrap(),
                own_bridge: true,
                mac: "02:11:22:33:44:55".into(),
                address: GuestAddress::Static { ip: [10, 86, 0, 10].into(), prefix: 24 },
                gateway: Some([10, 86, 0, 1].into()),
                vlan: None,
                nameservers: Vec::new(),
                searchdomain: None,
            }),
            form: GuestForm::Container(IDS),
            mounts: vec![GuestMount {
                source: HostPath::parse("/tank/my files").unwrap(),
                share: ShareName::parse("Büro Daten").unwrap(),
            }],
            onboot: true,
            startup: None,
            storage: None,
        }
    }

    fn places() -> Places<'static> {
        Places {
            template: Path::new("/var/lib/pve-smbgateway/templates/debian-13_0.1.0/rootfs"),
            guest: Path::new("/var/lib/pve-smbgateway/guests/smbgw-team"),
            link: Path::new("/var/lib/pve-smbgateway/links/team"),
            copied: false,
        }
    }

    #[test]
    fn a_whole_configuration() {
        let all = Abilities { memory: true, cpu: true, apparmor: true };
        insta::assert_snapshot!(render(&guest(), IDS, places(), all).unwrap());
    }

    #[test]
    fn a_node_without_controllers() {
        let text = render(&guest(), IDS, Places { copied: true, ..places() }, Abilities::default()).unwrap();
        assert!(!text.contains("cgroup2") && !text.contains("apparmor") && text.contains("dir:/var/lib"));
    }

    #[test]
    fn a_port_in_a_vlan() {
        let mut guest = guest();
        guest.card().vlan = Some("30".parse().unwrap());
        let text = render(&guest, IDS, places(), Abilities::default()).unwrap();
        assert!(text.contains("\nlxc.net.0.veth.vlan.id = 30\n"), "{text}");
    }

    #[test]
    fn name_servers() {
        let mut network = guest().network.unwrap();
        assert_eq!(resolv_conf(&network).as_deref(), Some(""));
        network.nameservers = vec![[10, 86, 0, 250].into(), [10, 86, 0, 251].into()];
        network.searchdomain = Some("corp.example".parse().unwrap());
        let text = "search corp.example\nnameserver 10.86.0.250\nnameserver 10.86.0.251\n";
        assert_eq!(resolv_conf(&network).as_deref(), Some(text));
        let dhcp = GuestNetwork { address: GuestAddress::Dhcp, ..guest().network.unwrap() };
        assert_eq!(resolv_conf(&dhcp), None);
    }

    #[test]
    fn interface_names_fit() {
        assert_eq!(veth_name("02:11:22:33:44:55").len(), 14);
        let text = render(&guest(), IDS, places(), Abilities::default()).unwrap();
        assert_eq!(veth_in(&text), Some(veth_name("02:11:22:33:44:55").as_str()));
    }
}
