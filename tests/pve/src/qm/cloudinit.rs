//! The disk that cloud-init reads. Source: PVE::QemuServer::Cloudinit, with the same genisoimage.

use std::fs;

use sha1::{Digest, Sha1};

use super::drive::{self, Drive};
use crate::command::run;
use crate::config::property::{Pairs, keys, read};
use crate::config::{Config, Kind, file};
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{self, allocate, volume};

/// The files of NoCloud.
struct Files {
    user: String,
    network: String,
    meta: String,
    vendor: String,
}

fn custom(sim: &Sim, config: &Config, part: &str) -> Result<Option<String>> {
    let Some(text) = config.get("cicustom") else { return Ok(None) };
    let pairs = keys(&sim.table, "qm set", "cicustom").map(|keys| read(keys, text)).unwrap_or_default();
    let Some(volid) = pairs.get(part) else { return Ok(None) };
    let (id, name) = volume::split(volid)?;
    let storage = storage::usable(sim, id)?;
    if volume::content(&storage, name) != Some("snippets") || !storage.takes("snippets") {
        return refuse(format!("storage '{id}' does not support snippets"));
    }
    let path = volume::path(&storage, name)?;
    fs::read_to_string(&path)
        .map(Some)
        .map_err(|_| Refusal::new(format!("{part} cicustom: file '{}' does not exist", path.display())))
}

fn files(sim: &Sim, config: &Config) -> Result<Files> {
    let name = config.get("name").unwrap_or("vm").to_owned();
    let user = match custom(sim, config, "user")? {
        Some(text) => text,
        None => user(config, &name),
    };
    let network = match custom(sim, config, "network")? {
        Some(text) => text,
        None => network(sim, config),
    };
    let instance: String =
        Sha1::digest(format!("{user}{network}")).iter().map(|byte| format!("{byte:02x}")).collect();
    let meta = match custom(sim, config, "meta")? {
        Some(text) => text,
        None => format!("instance-id: {instance}\n"),
    };
    let vendor = custom(sim, config, "vendor")?.unwrap_or_default();
    Ok(Files { user, network, meta, vendor })
}

fn user(config: &Config, name: &str) -> String {
    let domain = config.get("searchdomain").and_then(|domains| domains.split([' ', ',']).next());
    let fqdn = domain.map_or(name.to_owned(), |domain| format!("{name}.{domain}"));
    let mut text = format!(
        "#cloud-config\nhostname: {}\nmanage_etc_hosts: true\nfqdn: {fqdn}\n",
        name.split('.').next().unwrap_or(name)
    );
    if let Some(user) = config.get("ciuser") {
        text.push_str(&format!("user: {user}\n"));
    }
    if let Some(password) = config.get("cipassword") {
        text.push_str(&format!("password: {password}\n"));
    }
    text.push_str("chpasswd:\n  expire: False\n");
    text.push_str("users:\n  - default\n");
    if config.get("ciupgrade").is_none_or(|upgrade| upgrade == "1") {
        text.push_str("package_upgrade: true\n");
    }
    text
}

/// Network of version 1, by addresses of the cards.
fn network(sim: &Sim, config: &Config) -> String {
    let mut text = "version: 1\nconfig:\n".to_owned();
    for (key, value) in config.family("net") {
        let number = key.trim_start_matches("net");
        let net: Pairs = keys(&sim.table, "qm set", &key).map(|keys| read(keys, &value)).unwrap_or_default();
        let Some(ip) = config.get(&format!("ipconfig{number}")) else { continue };
        let ip: Pairs =
            keys(&sim.table, "qm set", "ipconfig0").map(|keys| read(keys, ip)).unwrap_or_default();
        let mac = net.get("macaddr").map(|mac| mac.to_lowercase()).unwrap_or_default();
        text.push_str(&format!(
            "    - type: physical\n      name: eth{number}\n      mac_address: '{mac}'\n      subnets:\n"
        ));
        for (address, gateway, family) in [("ip", "gw", "4"), ("ip6", "gw6", "6")] {
            match ip.get(address).map(String::as_str) {
                Some("dhcp") => text.push_str(&format!("      - type: dhcp{family}\n")),
                Some("auto") => text.push_str("      - type: ipv6_slaac\n"),
                Some(cidr) if family == "4" => {
                    let (address, length) = cidr.split_once('/').unwrap_or((cidr, "32"));
                    let length: u32 = length.parse().unwrap_or(32);
                    let mask = std::net::Ipv4Addr::from(u32::MAX.checked_shl(32 - length).unwrap_or(0));
                    text.push_str(&format!(
                        "      - type: static\n        address: '{address}'\n        netmask: '{mask}'\n"
                    ));
                }
                Some(cidr) => text.push_str(&format!("      - type: static6\n        address: '{cidr}'\n")),
                None => continue,
            }
            if let Some(gateway) = ip.get(gateway) {
                text.push_str(&format!("        gateway: '{gateway}'\n"));
            }
        }
    }
    let (servers, domains) = dns(config, &fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    if servers.is_empty() && domains.is_empty() {
        return text;
    }
    text.push_str("    - type: nameserver\n");
    for (key, list) in [("address", servers), ("search", domains)] {
        if !list.is_empty() {
            text.push_str(&format!("      {key}:\n"));
            list.iter().for_each(|entry| text.push_str(&format!("      - '{entry}'\n")));
        }
    }
    text
}

/// Name servers and search domains: those of the machine, else the node's own (resolv.conf(5)).
fn dns(config: &Config, node: &str) -> (Vec<String>, Vec<String>) {
    let split = |text: &str| -> Vec<String> {
        text.split([' ', ',', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let of_node = |key: &str| -> Vec<String> {
        node.lines().filter_map(|line| line.trim().strip_prefix(key)).flat_map(split).collect()
    };
    let take = |key: &str, line: &str| config.get(key).map_or_else(|| of_node(line), split);
    (take("nameserver", "nameserver "), take("searchdomain", "search "))
}

/// Writes the disk of a machine that has one; gives the drive as it is then.
///
/// # Errors
/// When it cannot be written.
pub fn write(sim: &Sim, vmid: u32, config: &Config) -> Result<Option<Drive>> {
    let Some(mut drive) = drive::all(sim, config).into_iter().find(Drive::cloudinit) else { return Ok(None) };
    let files = files(sim, config)?;
    let directory = std::path::PathBuf::from(format!("/run/pve-cloudinit-{vmid}"));
    let tree = directory.join("tree");
    fs::create_dir_all(&tree)?;
    for (name, text) in [
        ("user-data", &files.user),
        ("network-config", &files.network),
        ("meta-data", &files.meta),
        ("vendor-data", &files.vendor),
    ] {
        fs::write(tree.join(name), text)?;
    }
    let (tree, iso) = (tree.display().to_string(), directory.join("iso").display().to_string());
    let made = run("genisoimage", ["-quiet", "-iso-level", "3", "-R", "-V", "cidata", "-o", &iso, &tree]);
    let path = volume::locate(sim, drive.file())?;
    let copied = made.and_then(|()| {
        let format = if path.exists() { allocate::really(&path)? } else { "raw".to_owned() };
        run("qemu-img", ["create", "-q", "-f", &format, &path.display().to_string(), "4M"])?;
        run(
            "qemu-img",
            [
                "dd",
                "-f",
                "raw",
                "-O",
                &format,
                "bs=64k",
                &format!("if={iso}"),
                &format!("of={}", path.display()),
            ],
        )
    });
    let _ = fs::remove_dir_all(&directory);
    copied?;
    drive.pairs.insert("size".to_owned(), "4M".to_owned());
    Ok(Some(drive))
}

/// `qm cloudinit update`.
///
/// # Errors
/// When there is no such disk.
pub fn update(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let (config, _) = file::load(sim, Kind::Vm, vmid)?;
    write(sim, vmid, &config)?.map(drop).ok_or_else(|| Refusal::new("no cloud-init drive configured"))
}

/// `qm cloudinit dump`.
///
/// # Errors
/// When a custom file is not there.
pub fn dump(sim: &Sim, options: &Options) -> Result<()> {
    let (config, _) = file::load(sim, Kind::Vm, options.vmid())?;
    let files = files(sim, &config)?;
    let text = match options.need("type") {
        "user" => files.user,
        "network" => files.network,
        _ => files.meta,
    };
    println!("{text}");
    Ok(())
}
