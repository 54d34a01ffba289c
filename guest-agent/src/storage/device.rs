//! The gateway's disk among the block devices, by its serial number.
//!
//! sysfs is asked, not the names below `/dev/disk/by-id`: those depend on the bus and on what else QEMU was told (a SCSI
//! disk with a `device_id` is named by that, not by its serial number). The name is only what the mount unit holds, as
//! it stays the same over boots.

use std::path::{Path, PathBuf};
use std::time::Duration;

use smbgw_api::v1::DISK_SERIAL;
use smbgw_command::{Interrupt, wait_until};

use crate::error::{Result, storage, with_hint};
use crate::paths::Paths;

/// How long a disk that was just plugged in, or a machine that just booted, may take to show it.
const APPEARS: Duration = Duration::from_secs(5);
/// Sectors of `/sys/block/*/size`, whatever the device's own are.
const SECTOR: u64 = 512;

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its node, as the agent opens it.
    pub(crate) node: PathBuf,
    /// Its name for the mount unit: below `/dev/disk/by-id` when udev gave it one.
    pub(crate) what: String,
    /// Its number, as `254:16`.
    pub(crate) number: String,
    /// Size in bytes.
    pub(crate) bytes: u64,
}

/// The gateway's disk; waits a little for it.
pub(crate) fn disk(paths: &Paths) -> Result<Device> {
    let mut found = Ok(None);
    let waited = wait_until("the gateway's disk", patience(paths), &Interrupt::new(), || {
        found = find(paths);
        // a name by udev comes a moment after the device
        match &found {
            Ok(Some(device)) => device.is_named(paths).then_some(()),
            Ok(None) => None,
            Err(_) => Some(()),
        }
    });
    let _ = waited;
    found?.ok_or_else(|| {
        let error =
            storage(format!("the gateway's disk is not there: no disk has the serial number {DISK_SERIAL}"));
        with_hint(error, "attach the disk to the virtual machine, with this serial number")
    })
}

/// Trees of tests have no sysfs that changes.
fn patience(paths: &Paths) -> Duration {
    if paths.proc().join("1").exists() { APPEARS } else { Duration::ZERO }
}

impl Device {
    /// Whether the name is one that udev gave, where udev runs.
    fn is_named(&self, paths: &Paths) -> bool {
        self.what.starts_with("/dev/disk/") || !paths.by_id().exists()
    }
}

/// Looks once.
fn find(paths: &Paths) -> Result<Option<Device>> {
    let mut names: Vec<String> = list(&paths.blocks());
    names.retain(|name| serial(&paths.blocks().join(name)).as_deref() == Some(DISK_SERIAL));
    if names.len() > 1 {
        let error = storage(format!(
            "{} disks have the serial number {DISK_SERIAL}: {}",
            names.len(),
            names.join(", ")
        ));
        return Err(with_hint(error, "leave only the gateway's own disk attached"));
    }
    let Some(name) = names.pop() else { return Ok(None) };
    let block = paths.blocks().join(&name);
    let text = |file: &str| std::fs::read_to_string(block.join(file)).ok().map(|text| text.trim().to_owned());
    let (Some(number), Some(sectors)) = (text("dev"), text("size").and_then(|size| size.parse::<u64>().ok()))
    else {
        return Ok(None);
    };
    let what = link_to(&paths.by_id(), &name)
        .map_or_else(|| format!("/dev/{name}"), |link| format!("/dev/disk/by-id/{link}"));
    Ok(Some(Device { node: paths.dev().join(&name), what, number, bytes: sectors.saturating_mul(SECTOR) }))
}

/// Names in a directory, sorted; none when it cannot be read.
fn list(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Serial number of a disk: virtio-blk has it in `serial`, NVMe in `device/serial`, SCSI in page 0x80 of its vital
/// product data (SPC-4 7.8.16: four bytes of header, then text).
fn serial(block: &Path) -> Option<String> {
    let plain = ["serial", "device/serial"].iter().find_map(|file| std::fs::read(block.join(file)).ok());
    let bytes =
        plain.or_else(|| std::fs::read(block.join("device/vpd_pg80")).ok()?.get(4..).map(<[u8]>::to_vec))?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

/// The name that udev gave to a device: one with the serial number in it if there is one, else the first.
fn link_to(directory: &Path, device: &str) -> Option<String> {
    let leads = |name: &String| {
        std::fs::read_link(directory.join(name))
            .is_ok_and(|target| target.file_name() == Some(device.as_ref()))
    };
    let links: Vec<String> = list(directory).into_iter().filter(leads).collect();
    links.iter().find(|name| name.ends_with(DISK_SERIAL)).or(links.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree(disks: &[(&str, &str, &[u8])]) -> (tempfile::TempDir, Paths) {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        std::fs::create_dir_all(paths.by_id()).unwrap();
        for (index, (name, file, serial)) in disks.iter().enumerate() {
            let block = paths.blocks().join(name);
            std::fs::create_dir_all(block.join("device")).unwrap();
            std::fs::write(block.join(file), serial).unwrap();
            std::fs::write(block.join("dev"), format!("254:{}\n", index * 16)).unwrap();
            std::fs::write(block.join("size"), "2048\n").unwrap();
        }
        (root, paths)
    }

    #[test]
    fn by_serial_on_every_bus() {
        for (file, serial) in [
            ("serial", b"smbgw-data".as_slice()),
            ("device/serial", b"smbgw-data          \n"),
            ("device/vpd_pg80", b"\0\x80\0\x0asmbgw-data"),
        ] {
            let (_root, paths) = tree(&[("vda", "serial", b"other"), ("xyz", file, serial)]);
            let device = find(&paths).unwrap().unwrap();
            assert_eq!(
                (device.what.as_str(), device.number.as_str(), device.bytes),
                ("/dev/xyz", "254:16", 1 << 20)
            );
            symlink("../../xyz", paths.by_id().join("scsi-0QEMU_QEMU_HARDDISK_drive-scsi1")).unwrap();
            assert_eq!(
                find(&paths).unwrap().unwrap().what,
                "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1"
            );
            symlink("../../xyz", paths.by_id().join("virtio-smbgw-data")).unwrap();
            assert_eq!(disk(&paths).unwrap().what, "/dev/disk/by-id/virtio-smbgw-data");
        }
    }

    #[test]
    fn none_and_two_are_errors() {
        let (_root, paths) = tree(&[("vda", "serial", b"smbgw-data-2")]);
        assert!(disk(&paths).unwrap_err().message.contains("not there"));
        let (_root, paths) = tree(&[("vda", "serial", b"smbgw-data"), ("vdb", "serial", b"smbgw-data")]);
        assert!(disk(&paths).unwrap_err().message.contains("vda, vdb"));
    }
}
