//! A container's plan as options of `pct`, and the lines that `pct` cannot write (pure). Keys: pct.conf(5), PVE 8.4 and 9.2;
//! lxc.container.conf(5), LXC 6.

use std::path::Path;

use smbgw_api::ShareName;
use smbgw_api::v1::LINK_DIRECTORY;

use super::guest::GuestConfig;
use crate::Result;
use crate::platform::mount_entry;
use crate::platform::pve::call::pct::{Hardware, Options};
use crate::platform::pve::call::property::{FORBIDDEN, Property, value};
use crate::platform::pve::capabilities::ShareMounts;
use crate::record::{GuestAddress, GuestForm, GuestMount, GuestNetwork, GuestPlan, IdRange};

/// A line of the container's id map (lxc.container.conf(5)).
pub const ID_MAP: &str = "lxc.idmap";
/// What is done before each start, on whatever node: it makes the directory of the agent's socket.
pub const HOOK: &str = "/usr/bin/pve-smbgateway guest-hook";
/// Size of a root file system in GiB: a template takes a quarter of one.
pub const ROOT_GIB: u32 = 4;
/// Where shares are, seen from a container's root.
const SHARES: &str = "srv/smb/";

/// Memory in MiB, rounded up.
pub fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Options that follow from a plan. `there` is what the container has now: mount points that are not ours keep their numbers.
///
/// # Errors
/// For what is no container.
pub fn options(plan: &GuestPlan, mounts: ShareMounts, there: &GuestConfig) -> Result<Options> {
    let memory_mib = mebibytes(plan.memory()?.bytes());
    let card = plan.network()?;
    Ok(Options {
        memory_mib,
        // as much again: a crowd of clients makes it slow before it makes it fail
        swap_mib: memory_mib,
        cores: plan.cores,
        onboot: plan.onboot,
        startup: plan.startup,
        hardware: Some(Hardware {
            net0: network(card),
            nameservers: card.nameservers.clone(),
            searchdomain: card.searchdomain.clone(),
            mounts: match mounts {
                ShareMounts::Passthrough => numbers(there)
                    .zip(plan.mounts.iter().filter(|mount| fits(mount)))
                    .map(|(number, mount)| (number, passthrough(mount)))
                    .collect(),
                ShareMounts::Raw => Vec::new(),
            },
        }),
    })
}

/// Whether a property string can carry a mount. One that cannot is brought by a raw line on every version.
fn fits(mount: &GuestMount) -> bool {
    let fits = |path: &str| path.is_ascii() && !path.contains(FORBIDDEN);
    fits(mount.source.as_str()) && fits(&mount.share.guest_path())
}

/// Numbers for our mount points: those that others do not have.
fn numbers(there: &GuestConfig) -> impl Iterator<Item = u32> {
    let foreign: Vec<u32> =
        there.family("mp").filter(|(_, mount)| !is_ours(mount)).map(|(number, _)| number).collect();
    (0..256).filter(move |number| !foreign.contains(number))
}

/// Whether a mount point is one that we made: a directory of the node, at the place of a share.
fn is_ours(mount: &str) -> bool {
    let target = value(mount, "mp", "").unwrap_or_default();
    value(mount, "volume", "volume").is_some_and(|source| source.starts_with('/'))
        && target.trim_start_matches('/').starts_with(SHARES)
}

/// Keys that the container has and is no longer to have.
pub fn surplus(options: &Options, there: &GuestConfig) -> Vec<String> {
    let mut keys = Vec::new();
    let mut gone = |key: &str, wanted: bool| {
        if !wanted && there.get(key).is_some() {
            keys.push(key.to_owned());
        }
    };
    gone("cores", options.cores.is_some());
    gone("startup", options.startup.is_some());
    if let Some(hardware) = &options.hardware {
        gone("nameserver", !hardware.nameservers.is_empty());
        gone("searchdomain", hardware.searchdomain.is_some());
        let kept = |number| hardware.mounts.iter().any(|(kept, _)| *kept == number);
        let ours = there.family("mp").filter(|(number, mount)| is_ours(mount) && !kept(*number));
        keys.extend(ours.map(|(number, _)| format!("mp{number}")));
    }
    keys
}

/// `net0`
fn network(network: &GuestNetwork) -> Property {
    let ip = match network.address {
        GuestAddress::Dhcp => "dhcp".to_owned(),
        address @ GuestAddress::Static { .. } => address.to_string(),
    };
    Property::new()
        .with("name", "eth0")
        .with("bridge", &network.bridge)
        .with("hwaddr", network.mac.to_uppercase())
        .with("ip", ip)
        .with_some("gw", network.gateway)
        .with_some("tag", network.vlan)
        .with("type", "veth")
}

/// A share's mount point on which ids inside are ids on the node. Nothing on it can be run as root of the node.
fn passthrough(mount: &GuestMount) -> Property {
    Property::of(&mount.source)
        .with("mp", mount.share.guest_path())
        .with("idmap", "passthrough")
        .with("mountoptions", "nodev;noexec;nosuid")
        // a directory of this node: there is nothing that could be replicated
        .with("replicate", 0)
}

/// Raw lines: the agent's socket, the hook that makes its directory, and shares that no mount point can bring.
pub fn raw_lines(plan: &GuestPlan, mounts: ShareMounts, link: &Path) -> Vec<(String, String)> {
    let entry = |value: String| ("lxc.mount.entry".to_owned(), value);
    let source = mount_entry::escape(&link.display().to_string());
    let mut lines = vec![
        ("lxc.hook.pre-start".to_owned(), HOOK.to_owned()),
        entry(format!("{source} {LINK_DIRECTORY} none bind,create=dir,nosuid,nodev,noexec 0 0")),
    ];
    let raw = plan.mounts.iter().filter(|mount| mounts == ShareMounts::Raw || !fits(mount));
    // with lines of its own, Proxmox VE leaves its default map out
    if let GuestForm::Container(IdRange { base, count, domain: Some(domain) }) = plan.form {
        for kind in ['u', 'g'] {
            lines.push((ID_MAP.to_owned(), format!("{kind} 0 {base} {count}")));
            let (inside, outside, count) = (domain.inside, domain.outside, domain.count);
            lines.push((ID_MAP.to_owned(), format!("{kind} {inside} {outside} {count}")));
        }
    }
    lines.extend(raw.map(|mount| {
        let source = mount_entry::escape(mount.source.as_str());
        let target = mount_entry::escape(target(&mount.share).as_str());
        // rbind: file systems below the directory are there as well
        entry(format!("{source} {target} none rbind,create=dir,idmap=container,nosuid,nodev,noexec 0 0"))
    }));
    lines
}

fn target(share: &ShareName) -> String {
    share.guest_path().trim_start_matches('/').to_owned()
}

/// Whether a raw line is one of [`raw_lines`], of now or of before.
pub fn is_our_line(key: &str, value: &str) -> bool {
    match key {
        "lxc.hook.pre-start" => value == HOOK,
        "lxc.mount.entry" => value
            .split_whitespace()
            .nth(1)
            .is_some_and(|target| target == LINK_DIRECTORY || target.starts_with(SHARES)),
        _ => false,
    }
}

/// Whether a line of a container's file is the part of a map that we add for a domain.
pub fn is_our_map(line: &str) -> bool {
    let ours = format!("u {} ", smbgw_api::domain::ids::BUILTIN_IDS.0);
    line.strip_prefix(ID_MAP)
        .and_then(|rest| rest.strip_prefix(':'))
        .is_some_and(|map| map.trim().starts_with(&ours))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::platform::pve::call::{External, pct};
    use smbgw_api::{BridgeName, ByteSize, GatewayName, HostPath};

    /// A container with three shares; the last one fits into no property string.
    pub(crate) fn plan() -> GuestPlan {
        let mount = |source: &str, share: &str| GuestMount {
            source: HostPath::parse(source).unwrap(),
            share: ShareName::parse(share).unwrap(),
        };
        GuestPlan {
            name: GatewayName::parse("team").unwrap(),
            template: Some("debian-13_0.1.0".into()),
            memory: Some(ByteSize::from_mib(128)),
            cores: Some(2),
            network: Some(GuestNetwork {
                bridge: BridgeName::parse("vmbr0").unwrap(),
                own_bridge: false,
                mac: "02:0a:0b:0c:0d:0e".into(),
                address: GuestAddress::Static { ip: [10, 0, 0, 51].into(), prefix: 24 },
                gateway: Some([10, 0, 0, 1].into()),
                vlan: Some("30".parse().unwrap()),
                nameservers: vec![[10, 0, 0, 10].into(), [10, 0, 0, 11].into()],
                searchdomain: Some("ad.example.com".parse().unwrap()),
            }),
            form: GuestForm::Container(IdRange { base: 100_000, count: 65_536, domain: None }),
            mounts: vec![
                mount("/tank/smb/team", "team"),
                mount("/tank/my files", "my files"),
                mount("/tank/a,b", "Büro"),
            ],
            onboot: true,
            startup: Some("order=20,down=30".parse().unwrap()),
            storage: Some("local-zfs".parse().unwrap()),
        }
    }

    fn set(options: &Options, there: &GuestConfig) -> String {
        let delete = surplus(options, there);
        pct::Set { id: 101, options: options.clone(), delete }.command().display()
    }

    #[test]
    fn options_and_lines_by_version() {
        let nothing = GuestConfig::default();
        let mut text = String::new();
        for mounts in [ShareMounts::Passthrough, ShareMounts::Raw] {
            text.push_str(&format!(
                "{mounts:?}\n{}\n",
                set(&options(&plan(), mounts, &nothing).unwrap(), &nothing)
            ));
            for (key, value) in raw_lines(&plan(), mounts, Path::new("/var/lib/pve-smbgateway/links/team")) {
                assert!(is_our_line(&key, &value));
                text.push_str(&format!("{key}: {value}\n"));
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_is_not_ours_stays() {
        let there = GuestConfig::parse(
            "cores: 4\nmp0: local:101/vm-101-disk-1.raw,mp=/srv/smb/x\nmp1: /a,mp=/srv/smb/old\nmp2: /b,mp=/srv/smb/other\nmp3: /c,mp=/opt\nmp4: /d,mp=srv/smb/z\nstartup: order=1\n",
        );
        let mut plan = plan();
        (plan.cores, plan.startup) = (None, None);
        let options = options(&plan, ShareMounts::Passthrough, &there).unwrap();
        let numbers: Vec<_> =
            options.hardware.iter().flat_map(|h| &h.mounts).map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(surplus(&options, &there), ["cores", "startup", "mp4"]);
        assert!(
            !is_our_line("lxc.mount.entry", "/x opt/y none bind 0 0") && !is_our_line("lxc.idmap", "u 0 1 2")
        );
    }
}
