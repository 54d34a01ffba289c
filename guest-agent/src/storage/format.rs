//! A file system on an empty disk; the order of things is in [`super::content`].

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

use rustix::fs::OFlags;
use smbgw_api::v1::DISK_SERIAL;
use smbgw_command::{Command, Runner};

use super::content::{self, Content, EDGE, MARK_BLOCK, mark_block};
use super::device::Device;
use super::mount::FileSystem;
use super::superblock;
use crate::error::{Doing, Result, internal, storage, with_hint};

/// ext4 in its lazy form writes some ten thousandths of the disk, perhaps over a network.
const MAKES: Duration = Duration::from_secs(600);
/// Block size of ext4, for every size of disk.
const BLOCK: u64 = 4096;

/// Makes an ext4 file system that fills all of the device but its last MiB (which [`super::grow`] leaves alone, too).
pub(crate) fn format(runner: &dyn Runner, device: &Device, uuid: &str) -> Result<()> {
    let node = device.node.display();
    // exclusive: fails while the device is mounted or otherwise in use by the kernel (open(2))
    let disk = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::EXCL.bits() as i32)
        .open(&device.node)
        .map_err(|error| {
            let error = storage(format!("{node} cannot be taken for formatting: {error}"));
            with_hint(error, "something in the gateway uses the disk")
        })?;
    // the plan is a moment old
    match content::look(runner, &device.node, device.bytes)? {
        Content::Blank | Content::HalfMade => {}
        Content::FileSystem(_) | Content::Other(_) => {
            return Err(storage(format!("{node} is no longer empty, and was not formatted")));
        }
    }
    set_mark(&disk, device, Some(uuid))?;
    // mkfs opens it exclusively, too
    drop(disk);
    let blocks = (device.bytes - EDGE) / BLOCK;
    let command = Command::new("mkfs.ext4")
        .args(["-q", "-b", &BLOCK.to_string(), "-m", "0", "-L", DISK_SERIAL, "-U", uuid])
        // it is empty: there is nothing to discard; the kernel zeroes inode tables later
        .args(["-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"])
        .arg(device.node.to_string_lossy())
        .arg(blocks.to_string())
        .deadline(MAKES);
    runner.run(&command).doing(|| format!("making a file system on {node}"))?;
    let disk = OpenOptions::new().write(true).open(&device.node).doing(|| format!("opening {node}"))?;
    disk.sync_all().doing(|| format!("writing to {node}"))?;
    if superblock::read(&device.node, FileSystem::Ext4)?.uuid != uuid {
        return Err(internal(format!("mkfs.ext4 ended, but its file system is not on {node}")));
    }
    set_mark(&disk, device, None)
}

fn set_mark(disk: &File, device: &Device, uuid: Option<&str>) -> Result<()> {
    disk.write_all_at(&mark_block(uuid), device.bytes - MARK_BLOCK)
        .and_then(|()| disk.sync_all())
        .doing(|| format!("marking {}", device.node.display()))
}

/// A random UUID (RFC 9562 section 5.4).
pub(crate) fn new_uuid() -> Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .doing(|| "asking for random bytes".to_owned())?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(superblock::uuid(&bytes))
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
