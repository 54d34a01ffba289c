//! Bridges of the node, whoever made them.

use std::path::Path;

use crate::{Error, Result};

/// Bridges that exist, ours or not.
///
/// # Errors
/// When `/sys` cannot be read.
pub fn existing() -> Result<Vec<String>> {
    let io = |source| Error::io("listing network interfaces", source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir("/sys/class/net").map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().join("bridge").is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Bridges that tell VLANs apart.
///
/// # Errors
/// When `/sys` cannot be read.
pub fn vlan_aware() -> Result<Vec<String>> {
    let filters = |bridge: &String| {
        let path = Path::new("/sys/class/net").join(bridge).join("bridge/vlan_filtering");
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    };
    Ok(existing()?.into_iter().filter(filters).collect())
}

/// The error of a bridge that is not there.
pub fn no_bridge(bridge: &str) -> Error {
    Error::resource("bridge-missing", format!("there is no bridge {bridge} on this node")).hint(format!(
        "make it (`ip link add {bridge} type bridge`, or in /etc/network/interfaces), or leave out --bridge"
    ))
}
