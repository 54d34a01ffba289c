//! Proxmox VE's notifications: a Perl module in the place of the real one. What it was to send is in `control/notifications`, one JSON
//! object a line.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The module.
const MODULE: &str = include_str!("notify/Notify.pm");
/// Where the real one is. Source: pve-cluster, debian/libpve-notify-perl.install.
const PLACE: &str = "/usr/share/perl5/PVE/Notify.pm";
/// Where packages have their templates. Source: proxmox-notify, src/context/pve.rs.
const TEMPLATES: &str = "/usr/share/pve-manager/templates/default";

/// Puts the module into the node.
///
/// # Errors
/// When it cannot be written.
pub fn furnish() -> Result<()> {
    fs::create_dir_all(TEMPLATES).with_context(|| format!("making {TEMPLATES}"))?;
    let place = Path::new(PLACE);
    if let Some(directory) = place.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(place, MODULE).with_context(|| format!("writing {PLACE}"))
}
