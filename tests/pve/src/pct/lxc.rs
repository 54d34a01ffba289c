//! The configuration that LXC gets. Source: PVE::LXC, `update_lxc_config`.

use std::fs;
use std::path::Path;

use super::mount::{Source, all};
use crate::config::Config;
use crate::config::property::{keys, read};
use crate::refusal::Result;
use crate::sim::Sim;
use crate::storage::volume;

/// The text of `/var/lib/lxc/ID/config`.
///
/// # Errors
/// When a volume is nowhere.
pub fn render(sim: &Sim, vmid: u32, config: &Config, root: &Path) -> Result<String> {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| text.push_str(&format!("{key} = {value}\n"));
    line("lxc.include", "/usr/share/lxc/config/common.conf");
    if config.is("unprivileged") {
        line("lxc.include", "/usr/share/lxc/config/userns.conf");
        if !config.now.raw.iter().any(|(key, _)| key == "lxc.idmap") {
            line("lxc.idmap", "u 0 100000 65536");
            line("lxc.idmap", "g 0 100000 65536");
        }
    }
    line("lxc.apparmor.profile", "generated");
    if config.get("features").is_some_and(|features| features.contains("nesting=1")) {
        line("lxc.apparmor.allow_nesting", "1");
    }
    line("lxc.monitor.unshare", "1");
    line("lxc.tty.max", config.get("tty").unwrap_or("2"));
    line("lxc.environment", "TERM=linux");
    line("lxc.uts.name", config.get("hostname").unwrap_or("localhost"));
    if fs::read_link(root.join("sbin/init")).is_ok_and(|target| target.ends_with("systemd")) {
        line("lxc.signal.halt", "SIGRTMIN+3");
    }
    limits(config, &mut line);
    line("lxc.rootfs.path", &format!("dir:{}", root.display()));
    for (key, value) in config.family("net") {
        network(sim, vmid, &key, &value, &mut line);
    }
    for mount in all(sim, config).iter().filter(|mount| mount.key != "rootfs") {
        let mut options = vec!["bind".to_owned(), "create=dir".to_owned()];
        let source = match mount.source() {
            Source::Volume => volume::locate(sim, mount.volume())?.display().to_string(),
            _ => mount.volume().to_owned(),
        };
        if mount.is("ro") {
            options.push("ro".to_owned());
        }
        let more = mount.pairs.get("mountoptions").map(String::as_str).unwrap_or_default();
        options.extend(
            more.split(';')
                .filter(|option| ["nodev", "noexec", "nosuid", "noatime"].contains(option))
                .map(str::to_owned),
        );
        if mount.pairs.get("idmap").is_some_and(|map| map == "passthrough") && config.is("unprivileged") {
            options.push("idmap=container".to_owned());
        }
        let target = mount.target().trim_start_matches('/');
        line(
            "lxc.mount.entry",
            &format!("{} {} none {} 0 0", escape(&source), escape(target), options.join(",")),
        );
    }
    for (key, value) in &config.now.raw {
        line(key, value);
    }
    Ok(text)
}

/// Limits, as far as this machine has the controllers.
fn limits(config: &Config, line: &mut impl FnMut(&str, &str)) {
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let has = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
    let number = |key: &str| config.get(key).and_then(|text| text.parse::<f64>().ok());
    if let Some(memory) = number("memory").filter(|_| has("memory")) {
        let bytes = memory as u64 * (1 << 20);
        line("lxc.cgroup2.memory.max", &bytes.to_string());
        // source: PVE::LXC::CGroup, 1016/1024
        line("lxc.cgroup2.memory.high", &(bytes / 1024 * 1016).to_string());
        if Path::new("/proc/swaps").exists() {
            let swap = number("swap").unwrap_or(512.0) as u64 * (1 << 20);
            line("lxc.cgroup2.memory.swap.max", &swap.to_string());
        }
    }
    let cores = number("cores").or(number("cpulimit")).filter(|cores| *cores > 0.0);
    if let Some(cores) = cores.filter(|_| has("cpu")) {
        line("lxc.cgroup2.cpu.max", &format!("{} 100000", (cores * 100_000.0) as u64));
    }
}

fn network(sim: &Sim, vmid: u32, key: &str, value: &str, line: &mut impl FnMut(&str, &str)) {
    let Some(keys) = keys(&sim.table, "pct set", key) else { return };
    let pairs = read(keys, value);
    let number = key.trim_start_matches("net");
    let mut set = |name: &str, value: &str| line(&format!("lxc.net.{number}.{name}"), value);
    set("type", "veth");
    set("veth.pair", &format!("veth{vmid}i{number}"));
    for (pair, name) in [("bridge", "link"), ("hwaddr", "hwaddr"), ("name", "name"), ("mtu", "mtu")] {
        if let Some(value) = pairs.get(pair) {
            set(name, value);
        }
    }
    let filtering = |bridge: &String| {
        fs::read_to_string(format!("/sys/class/net/{bridge}/bridge/vlan_filtering"))
            .is_ok_and(|text| text.trim() == "1")
    };
    if let Some(tag) = pairs.get("tag").filter(|_| pairs.get("bridge").is_some_and(filtering)) {
        set("veth.vlan.id", tag);
    }
    if pairs.get("link_down").is_none_or(|down| down != "1") {
        set("flags", "up");
    }
    // otherwise the guest does it itself, by the files that Proxmox VE writes into it
    if pairs.get("host-managed").is_some_and(|managed| managed == "1") {
        for (pair, name) in
            [("ip", "ipv4.address"), ("gw", "ipv4.gateway"), ("ip6", "ipv6.address"), ("gw6", "ipv6.gateway")]
        {
            if let Some(value) =
                pairs.get(pair).filter(|value| !["dhcp", "manual", "auto"].contains(&value.as_str()))
            {
                set(name, value);
            }
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040")
}
