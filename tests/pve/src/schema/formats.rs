//! Formats that Proxmox VE checks by code. Texts: PVE::JSONSchema, PVE::LXC::Config, PVE::QemuServer, PVE::Storage.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regex::Regex;

/// Checks text of this format; one that is not known here takes anything.
///
/// # Errors
/// With what Proxmox VE says after `invalid format - `.
pub fn check(format: &str, text: &str) -> Result<(), String> {
    let unless =
        |good: bool, what: &str| if good { Ok(()) } else { Err(format!("{what}\n").trim_end().to_owned()) };
    match format {
        "pve-vmid" => unless(is(r"^[1-9][0-9]{2,8}$", text), "value does not look like a valid VM ID"),
        "pve-node" => unless(
            is(r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)$", text),
            "value does not look like a valid node name",
        ),
        "pve-configid" => {
            unless(is(r"^[a-zA-Z][\w-]+$", text), &format!("invalid configuration ID '{text}'"))
        }
        "pve-storage-id" => unless(
            is(r"^[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]$", text),
            &format!("storage ID '{text}' contains illegal characters"),
        ),
        "pve-volume-id" => unless(
            is(r"^[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]:\S+$", text),
            &format!("unable to parse volume ID '{text}'"),
        ),
        "pve-volume-id-or-qm-path" => unless(
            text == "none" || text == "cdrom" || text.starts_with('/') || volume(text),
            &format!("unable to parse volume ID '{text}'"),
        ),
        "pve-volume-id-or-absolute-path" => {
            unless(text.starts_with('/') || volume(text), "not a valid volume ID or absolute path")
        }
        "dns-name" => unless(dns_name(text), "value does not look like a valid DNS name"),
        "dns-name-list" => unless(words(text).all(dns_name), "value does not look like a valid DNS name"),
        "ip" => unless(text.parse::<IpAddr>().is_ok(), "value does not look like a valid IP address"),
        "ipv4" => unless(text.parse::<Ipv4Addr>().is_ok(), "value does not look like a valid IPv4 address"),
        "ipv6" => unless(text.parse::<Ipv6Addr>().is_ok(), "value does not look like a valid IPv6 address"),
        "CIDR" => unless(cidr(text, 8, 128), "value does not look like a valid CIDR network"),
        "CIDRv4" => unless(v4(text), "value does not look like a valid IPv4 network"),
        "CIDRv6" => unless(v6(text), "value does not look like a valid IPv6 network"),
        "pve-ipv4-config" => unless(
            text == "dhcp" || text == "manual" || v4(text),
            "value does not look like a valid ipv4 network configuration",
        ),
        "pve-ipv6-config" => unless(
            ["auto", "dhcp", "manual"].contains(&text) || v6(text),
            "value does not look like a valid ipv6 network configuration",
        ),
        "address" => unless(
            text.parse::<IpAddr>().is_ok() || dns_name(text),
            "value does not look like a valid address",
        ),
        "lxc-ip-with-ll-iface-list" | "address-list" | "ip-list" => {
            let one = |word: &str| {
                word.split_once('%').map_or(word, |(address, _)| address).parse::<IpAddr>().is_ok()
            };
            unless(words(text).all(one), "value does not look like a valid IP address")
        }
        "mac-addr" => unless(
            is(r"^(?i:[a-f0-9][02468ace](?::[a-f0-9]{2}){5})$", text),
            "value does not look like a valid unicast MAC address",
        ),
        "pve-bridge-id" => unless(is(r"^[-_.\w\d]+$", text), &format!("invalid bridge ID '{text}'")),
        "pve-tag-list" => unless(
            text.split([' ', ',', ';'])
                .filter(|tag| !tag.is_empty())
                .all(|tag| is(r"^(?i:[a-z0-9_][a-z0-9_\-+.]*)$", tag)),
            "invalid characters in tag",
        ),
        "pve-startup-order" => unless(
            text.split(',').all(|part| is(r"^(?:(?:order=)?\d+|up=\d+|down=\d+)$", part.trim())),
            &format!("unable to parse startup options '{text}'"),
        ),
        "pve-lxc-mp-string" => {
            unless(!text.is_empty() && !traverses(text), &format!("invalid mount point path '{text}'"))
        }
        "disk-size" => unless(is(r"^\d+(?:\.\d+)?[KMGT]?$", text), "invalid format"),
        "pve-ct-timezone" => unless(
            text == "host"
                || std::path::Path::new("/usr/share/zoneinfo").join(text).is_file()
                || is(r"^[A-Z][A-Za-z]+(?:/[A-Za-z_]+)*$", text),
            &format!("invalid time zone '{text}'"),
        ),
        "pve-poolid" => unless(
            is(r"^[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}$", text),
            &format!("invalid pool id '{text}'"),
        ),
        "pve-storage-path" => unless(text.starts_with('/'), "value does not look like a valid absolute path"),
        "pve-storage-content" => unless(
            ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"].contains(&text),
            &format!("invalid content type '{text}'"),
        ),
        "pve-ha-resource-or-vm-id" => unless(
            is(r"^(?:(?:ct|vm):)?[1-9][0-9]{2,8}$", text),
            &format!("value '{text}' is neither a valid resource ID nor a VM ID"),
        ),
        "pve-qm-bootdev" | "pve-qm-bootdisk" => unless(
            is(r"^(?:(?:ide|scsi|sata|virtio|net|usb|hostpci)\d+)$", text),
            &format!("invalid boot device '{text}'"),
        ),
        "pve-storage-path-in-property-string" | "pve-dir-path" => {
            unless(text.starts_with('/') && !text.contains([';', ',', '=', '(', ')']), "invalid path")
        }
        "pve-dirid" => unless(is(r"^[a-zA-Z][\w-]+$", text), &format!("invalid configuration ID '{text}'")),
        _ => Ok(()),
    }
}

/// A list format that is checked as a whole.
pub fn known(format: &str) -> bool {
    ["dns-name-list", "lxc-ip-with-ll-iface-list", "address-list", "ip-list", "pve-tag-list"]
        .contains(&format)
}

fn is(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

fn volume(text: &str) -> bool {
    is(r"^[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]:\S+$", text)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ';', '\t']).filter(|word| !word.is_empty())
}

fn dns_name(text: &str) -> bool {
    is(
        r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$",
        text,
    )
}

fn cidr(text: &str, least: u8, most: u8) -> bool {
    v4(text)
        || text.split_once('/').is_some_and(|(address, length)| {
            address.parse::<Ipv6Addr>().is_ok()
                && length.parse::<u8>().is_ok_and(|length| (least..=most).contains(&length))
        })
}

fn v4(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        address.parse::<Ipv4Addr>().is_ok()
            && length.parse::<u8>().is_ok_and(|length| (1..=32).contains(&length))
    })
}

fn v6(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        address.parse::<Ipv6Addr>().is_ok()
            && length.parse::<u8>().is_ok_and(|length| (8..=128).contains(&length))
    })
}

/// Parts that lead out: PVE::LXC::Config, `verify_lxc_mp_string`.
fn traverses(text: &str) -> bool {
    is(r"(?:^|/)\.\.?(?:/|$)", text)
}
