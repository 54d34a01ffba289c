//! The disk of a virtual machine, as a sparse file: partition table, both boot loaders, root file system.
//!
//! Nothing is mounted and nothing needs rights: each part is written as bytes where it belongs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::boot::{self, BiosImage, UefiPrograms};
use crate::error::Error;
use crate::guid::Guid;
use crate::tree::Tree;

mod esp;
mod ext4;
mod gpt;
mod record;

pub use ext4::{
    Place as Ext4Place, Reader, files_in as ext4_files_in, open as open_ext4, paths as ext4_paths,
    write as write_ext4,
};
pub use gpt::{Partition, Table, read as read_gpt};
pub use record::{DiskRecord, FileSystem, PartitionRecord};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// What partitions begin at multiples of: fits every kind of storage.
const ALIGNMENT: u64 = 1 << 20;
const BIOS_SIZE: u64 = 1 << 20;
/// Big enough for FAT16, which every firmware reads, and for boot loaders ten times the size.
const ESP_SIZE: u64 = 16 << 20;

/// Everything that the bytes of a disk depend on.
pub struct Contents<'a> {
    /// The root file system.
    pub tree: &'a Tree,
    /// For BIOS.
    pub bios: &'a BiosImage,
    /// For UEFI.
    pub uefi: &'a UefiPrograms,
    /// Arguments of the kernel.
    pub kernel_arguments: &'a [String],
    /// Size of the disk in bytes.
    pub size: u64,
    /// What identifiers are made from.
    pub origin: &'a str,
    /// The time of the file systems, in seconds since 1970.
    pub epoch: i64,
}

/// The identifier of the root file system, which kernel arguments and `/etc/fstab` name.
pub fn root_uuid(origin: &str) -> Guid {
    Guid::derive(origin, "root file system")
}

/// Writes the disk into a new file, and says what is on it (all but its hash).
///
/// # Errors
/// [`Error::Tree`] when something does not fit, [`Error::Io`].
pub fn write(contents: &Contents<'_>, path: &Path) -> Result<DiskRecord, Error> {
    let io = |source| Error::Io { doing: "writing", path: path.to_owned(), source };
    let table = table(contents.size, contents.origin);
    let [bios, esp, root] = &table.partitions[..] else {
        return Err(Error::Tree("the disk does not have three partitions".into()));
    };
    let file = File::options().read(true).write(true).create_new(true).open(path).map_err(io)?;
    file.set_len(contents.size).map_err(io)?;

    for (at, bytes) in table.to_bytes(&contents.bios.boot_sector(bios.first)) {
        file.write_all_at(&bytes, at).map_err(io)?;
    }
    file.write_all_at(&contents.bios.core(bios.first)?, bios.first * SECTOR).map_err(io)?;

    let root_uuid = root_uuid(contents.origin);
    let config = boot::config(root_uuid, contents.kernel_arguments);
    let volume_id = esp::VolumeId::of(Guid::derive(contents.origin, "ESP"));
    let image = esp::write(ESP_SIZE, volume_id, contents.uefi, &config)?;
    write_sparse(&file, &image, esp.first * SECTOR).map_err(io)?;

    let place = ext4::Place { file: &file, offset: root.first * SECTOR, size: root.sectors() * SECTOR };
    ext4::write(contents.tree, &place, root_uuid, contents.epoch)?;

    let systems = [
        None,
        Some(FileSystem { kind: "vfat".into(), uuid: volume_id.to_string(), label: esp::LABEL.into() }),
        Some(FileSystem { kind: "ext4".into(), uuid: root_uuid.to_string(), label: ext4::LABEL.into() }),
    ];
    Ok(DiskRecord::new(&table, contents.size, systems, contents.kernel_arguments))
}

/// Three partitions; the root is the last, so that it can grow with the disk.
fn table(size: u64, origin: &str) -> Table {
    let sectors = |bytes: u64| bytes / SECTOR;
    let (bios, esp) = (ALIGNMENT, ALIGNMENT + BIOS_SIZE);
    let (root, end) = (esp + ESP_SIZE, size.saturating_sub(ALIGNMENT));
    let partition = |kind: Guid, name: &str, from: u64, to: u64| gpt::Partition {
        kind,
        guid: Guid::derive(origin, name),
        first: sectors(from),
        last: sectors(to).saturating_sub(1),
        name: name.to_owned(),
    };
    Table {
        guid: Guid::derive(origin, "disk"),
        sectors: sectors(size),
        partitions: vec![
            partition(gpt::BIOS_BOOT, "bios", bios, esp),
            partition(gpt::ESP, "esp", esp, root),
            partition(gpt::ROOT_X86_64, "root", root, end),
        ],
    }
}

/// Leaves zeros to the hole that is there already.
fn write_sparse(file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    const BLOCK: usize = 4096;
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, at + (number * BLOCK) as u64)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
