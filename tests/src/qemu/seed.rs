//! A disk with what cloud-init is to know: a FAT file system labelled CIDATA. Source: cloud-init, NoCloud data source.

use std::io::{Cursor, Write};

use anyhow::Result;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

/// Address of the network card.
pub(super) const MAC: &str = "52:54:00:5d:00:01";

/// The bytes of the disk.
pub(super) fn image(name: &str) -> Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0; 1 << 20]);
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(*b"CIDATA     "))?;
    let filesystem = FileSystem::new(&mut disk, FsOptions::new())?;
    let network = format!(
        "version: 1\nconfig:\n- type: physical\n  name: eth0\n  mac_address: {MAC}\n  subnets:\n  - type: static\n    address: 10.0.2.15/24\n"
    );
    for (file, text) in [
        ("meta-data", format!("instance-id: {name}\nlocal-hostname: {name}\n")),
        ("user-data", format!("#cloud-config\nhostname: {name}\n")),
        ("network-config", network),
    ] {
        filesystem.root_dir().create_file(file)?.write_all(text.as_bytes())?;
    }
    filesystem.unmount()?;
    Ok(disk.into_inner())
}
