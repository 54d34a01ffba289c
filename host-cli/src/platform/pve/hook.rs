//! What LXC runs before a gateway's container starts, on whatever node: it makes the directory of the agent's socket, which a
//! guest that was moved or restored does not have there.

use std::path::Path;

use rustix::fs::{Mode, chmod};
use smbgw_api::GatewayName;
use smbgw_command::Interrupt;

use super::call::GuestId;
use super::cluster::{ClusterFiles, registry, section};
use crate::paths::Paths;
use crate::record::Record;
use crate::{Error, Result, durable};

/// Makes the directory of the agent's socket of the gateway that has this guest; nothing for other guests.
///
/// # Errors
/// When the directory cannot be made. Nothing else keeps a container from starting.
pub fn run(paths: &Paths, id: GuestId) -> Result<()> {
    let files = ClusterFiles::new(paths.cluster().to_owned(), Interrupt::new());
    let text = files.read(registry::FILE).ok().flatten().unwrap_or_default();
    match gateway_of(&text, id) {
        Some((name, base)) => make_link(paths, &name, base),
        None => Ok(()),
    }
}

/// Gateway of a guest, and the host id of its root.
fn gateway_of(text: &str, id: GuestId) -> Option<(GatewayName, u32)> {
    let id = id.to_string();
    let sections = section::parse(text);
    let section =
        sections.iter().find(|section| section.kind == "gateway" && section.get("vmid") == Some(&id))?;
    let name = GatewayName::parse(&section.id).ok()?;
    let record = section.get("record").and_then(|json| serde_json::from_str::<Record>(json).ok());
    // a record of a newer version: the ids are Proxmox VE's own
    let base = record.and_then(|record| record.guest.ids().ok()).map_or(super::FIRST_ID, |ids| ids.base);
    Some((name, base))
}

/// Makes the directory of the agent's socket, owned by the container's root.
///
/// # Errors
/// When it cannot be made.
pub(super) fn make_link(paths: &Paths, name: &GatewayName, owner: u32) -> Result<()> {
    make_state_directories(paths)?;
    let link = paths.link(name);
    durable::make_directory(&link, 0o750)?;
    std::os::unix::fs::lchown(&link, Some(owner), Some(owner))
        .map_err(|source| Error::io(format!("giving {} to the container", link.display()), source))
}

/// The directories on the way there: searchable by all, listable by root only.
pub(super) fn make_state_directories(paths: &Paths) -> Result<()> {
    let open = |directory: &Path| {
        durable::make_directory(directory, 0o711)?;
        chmod(directory, Mode::from_raw_mode(0o711))
            .map_err(|errno| Error::io(format!("opening {}", directory.display()), errno.into()))
    };
    open(paths.state())?;
    open(&paths.state().join("links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_of_a_guest() {
        let text = "template: x@pve1\n\tvmid 9000\n\ngateway: team\n\tvmid 101\n\trecord {damaged\n";
        assert_eq!(gateway_of(text, 101), Some((GatewayName::parse("team").unwrap(), 100_000)));
        assert_eq!((gateway_of(text, 9000), gateway_of("", 1)), (None, None));
    }

    #[test]
    fn other_guests_start_as_they_did() {
        let directory = tempfile::tempdir().unwrap();
        run(&Paths::under(directory.path()), 101).unwrap();
    }
}
