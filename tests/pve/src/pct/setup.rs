//! What Proxmox VE writes into a guest's files. Source: PVE::LXC::Setup::Base, PVE::LXC::Setup::Debian.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::Config;
use crate::refusal::{About, Result};
use crate::schema::Properties;
use crate::schema::check::pairs;

/// Marks of the lines that are Proxmox VE's.
const BEGIN: &str = "# --- BEGIN PVE ---";
const END: &str = "# --- END PVE ---";

/// The distribution, by its files.
pub fn detect(root: &Path) -> Option<&'static str> {
    let files = [
        ("etc/debian_version", "debian"),
        ("etc/alpine-release", "alpine"),
        ("etc/fedora-release", "fedora"),
        ("etc/redhat-release", "centos"),
        ("etc/arch-release", "archlinux"),
        ("etc/gentoo-release", "gentoo"),
    ];
    let release = fs::read_to_string(root.join("etc/lsb-release")).unwrap_or_default();
    if release.contains("DISTRIB_ID=Ubuntu") {
        return Some("ubuntu");
    }
    files.iter().find(|(file, _)| root.join(file).exists()).map(|(_, ostype)| *ostype)
}

/// Version of systemd in a guest, by the name of its library.
pub fn systemd(root: &Path) -> Option<u32> {
    let directories = ["lib/systemd", "usr/lib/systemd", "usr/lib/x86_64-linux-gnu/systemd"];
    let entries = directories
        .iter()
        .flat_map(|directory| fs::read_dir(root.join(directory)).into_iter().flatten().flatten());
    entries
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let rest = name.strip_prefix("libsystemd-shared-")?;
            rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
        })
        .next()
}

/// At creation.
///
/// # Errors
/// When a file cannot be written.
pub fn once(config: &Config, root: &Path) -> Result<()> {
    if config.get("ostype") != Some("debian") {
        return Ok(());
    }
    if root.join("etc/systemd/network").is_dir() {
        // it counts at the first boot of a guest that has no machine-id yet
        let text =
            "# Added by PVE at create-time for first-boot configuration.\ndisable systemd-networkd.service\n";
        write(root, "etc/systemd/system-preset/00-pve.preset", text)?;
    }
    if let Some(timezone) = config.get("timezone").filter(|timezone| *timezone != "host") {
        let link = root.join("etc/localtime");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("/usr/share/zoneinfo/{timezone}"), link)?;
    }
    Ok(())
}

/// At every start.
///
/// # Errors
/// When a file cannot be written, or the guest is not what `ostype` says.
pub fn each_start(config: &Config, root: &Path) -> Result<()> {
    let ostype = config.get("ostype").unwrap_or("unmanaged");
    if ostype == "unmanaged" {
        return Ok(());
    }
    if ostype == "debian" && !root.join("etc/debian_version").exists() {
        return crate::refusal::refuse(
            "unable to open file '/etc/debian_version' - No such file or directory",
        );
    }
    let host = config.get("hostname").unwrap_or("localhost");
    let short = host.split('.').next().unwrap_or(host);
    write(root, "etc/hostname", &format!("{short}\n"))?;
    let net: Vec<(String, Pairs)> =
        config.family("net").into_iter().map(|(key, text)| (key, network(&text))).collect();
    let address = net.iter().filter_map(|(_, pairs)| pairs.get("ip")).find(|ip| ip.contains('/'));
    let address = address.and_then(|ip| ip.split('/').next()).unwrap_or("127.0.1.1");
    let domain = config.get("searchdomain").and_then(|domains| domains.split([' ', ',']).next());
    let names = match (host.contains('.'), domain) {
        (true, _) => format!("{host} {short}"),
        (false, Some(domain)) => format!("{short}.{domain} {short}"),
        (false, None) => short.to_owned(),
    };
    section(root, "etc/hosts", &format!("{address} {names}\n"))?;
    let mut dns = String::new();
    if config.get("nameserver").is_some() || config.get("searchdomain").is_some() {
        if let Some(domains) = config.get("searchdomain") {
            dns.push_str(&format!("search {}\n", domains.replace(',', " ")));
        }
        for server in
            config.get("nameserver").unwrap_or_default().split([' ', ',']).filter(|server| !server.is_empty())
        {
            dns.push_str(&format!("nameserver {server}\n"));
        }
        section(root, "etc/resolv.conf", &dns)?;
    } else if let Ok(own) = fs::read_to_string("/etc/resolv.conf") {
        section(root, "etc/resolv.conf", &own)?;
    }
    if ["debian", "ubuntu"].contains(&ostype) && !net.is_empty() {
        write(root, "etc/network/interfaces", &interfaces(&net))?;
    }
    Ok(())
}

type Pairs = std::collections::BTreeMap<String, String>;

fn network(text: &str) -> Pairs {
    pairs(&Properties::new(), text).unwrap_or_default()
}

/// The text of /etc/network/interfaces.
fn interfaces(net: &[(String, Pairs)]) -> String {
    let mut text = "auto lo\niface lo inet loopback\niface lo inet6 loopback\n\n".to_owned();
    for (_, pairs) in net {
        let Some(name) =
            pairs.get("name").filter(|_| pairs.get("host-managed").is_none_or(|managed| managed != "1"))
        else {
            continue;
        };
        text.push_str(&format!("auto {name}\n"));
        for (family, address, gateway) in [("inet", "ip", "gw"), ("inet6", "ip6", "gw6")] {
            match pairs.get(address).map(String::as_str) {
                Some("dhcp") => text.push_str(&format!("iface {name} {family} dhcp\n")),
                Some("auto") => text.push_str(&format!("iface {name} {family} auto\n")),
                Some("manual") => text.push_str(&format!("iface {name} {family} manual\n")),
                Some(address) => {
                    text.push_str(&format!("iface {name} {family} static\n\taddress {address}\n"));
                    if let Some(gateway) = pairs.get(gateway) {
                        text.push_str(&format!("\tgateway {gateway}\n"));
                    }
                    text.push('\n');
                }
                None if family == "inet" && !pairs.contains_key("ip6") => {
                    text.push_str(&format!("iface {name} inet manual\n"));
                }
                None => {}
            }
        }
        text.push('\n');
    }
    text
}

/// Puts lines between the marks of a file, and leaves the rest of it.
fn section(root: &Path, file: &str, lines: &str) -> Result<()> {
    let old = fs::read_to_string(root.join(file)).unwrap_or_default();
    let block = format!("{BEGIN}\n{lines}{END}\n");
    let new = match (old.find(BEGIN), old.find(END)) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{block}{}", &old[..from], old[to + END.len()..].trim_start_matches('\n'))
        }
        _ => format!("{block}{old}"),
    };
    write(root, file, &new)
}

/// Writes a file as the guest's root, beside it and then over it: a link there is not followed.
fn write(root: &Path, file: &str, text: &str) -> Result<()> {
    let path = root.join(file);
    let Some((directory, name)) = path.parent().zip(path.file_name()) else { return Ok(()) };
    let name = name.to_string_lossy();
    if directory.join(format!(".pve-ignore.{name}")).exists() {
        return Ok(());
    }
    let owner = fs::metadata(root)?;
    let ids = (Some(rustix::fs::Uid::from_raw(owner.uid())), Some(rustix::fs::Gid::from_raw(owner.gid())));
    if !directory.is_dir() {
        fs::create_dir_all(directory)?;
        rustix::fs::chown(directory, ids.0, ids.1)?;
    }
    let temporary = directory.join(format!("{name}.tmp.{}", std::process::id()));
    fs::write(&temporary, text).about(&format!("unable to write '{}'", temporary.display()))?;
    rustix::fs::chown(&temporary, ids.0, ids.1)?;
    Ok(fs::rename(&temporary, &path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_guest() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/debian_version"), "13.1\n").unwrap();
        fs::write(root.path().join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        let mut config = Config::default();
        config.set("ostype", detect(root.path()).unwrap());
        config.set("hostname", "team");
        config.set("searchdomain", "ad.example.com");
        config.set("nameserver", "10.0.0.10 10.0.0.11");
        config.set("net0", "name=eth0,bridge=vmbr0,gw=10.0.0.1,ip=10.0.0.5/24,type=veth");
        each_start(&config, root.path()).unwrap();
        config.set("net0", "name=eth0,bridge=vmbr0,gw=10.0.0.1,ip=10.0.0.6/24,type=veth");
        each_start(&config, root.path()).unwrap();
        let read = |file: &str| fs::read_to_string(root.path().join(file)).unwrap();
        assert_eq!(read("etc/hostname"), "team\n");
        assert_eq!(
            read("etc/hosts"),
            format!("{BEGIN}\n10.0.0.6 team.ad.example.com team\n{END}\n127.0.0.1 localhost\n")
        );
        assert_eq!(
            read("etc/resolv.conf"),
            format!("{BEGIN}\nsearch ad.example.com\nnameserver 10.0.0.10\nnameserver 10.0.0.11\n{END}\n")
        );
        assert!(
            read("etc/network/interfaces")
                .contains("iface eth0 inet static\n\taddress 10.0.0.6/24\n\tgateway 10.0.0.1\n")
        );
    }
}
