//! The EFI system partition: a FAT16 volume with the boot loader's files. Source: Microsoft's FAT specification of 2005.
//!
//! Written here and not by a library, because all names are short ones (the file system does not care about case), and every
//! byte must be the same in every build.

use std::fmt;

use crate::boot::{CONFIG, UefiPrograms};
use crate::error::Error;
use crate::guid::Guid;

/// The volume's label.
pub(super) const LABEL: &str = "ESP";

const SECTOR: usize = 512;
/// With 16 MiB this makes it FAT16, whose volumes have from 4085 to 65524 clusters.
const CLUSTER: usize = 4 * SECTOR;
const ROOT_ENTRIES: usize = 512;
const ENTRY: usize = 32;
const COPIES: usize = 2;
const MEDIA: u8 = 0xf8;
const END_OF_CHAIN: u16 = 0xffff;
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
/// 1980-01-01, the first day that FAT knows: a build has no time of its own.
const DATE: u16 = 1 << 5 | 1;

/// The volume's serial number, which stands for a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeId(u32);

impl VolumeId {
    pub(super) fn of(guid: Guid) -> Self {
        let [a, b, c, d, ..] = guid.bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}-{:04X}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// The volume's bytes. The programs lie where firmware looks on a disk it has not seen before.
pub(super) fn write(
    size: u64,
    id: VolumeId,
    programs: &UefiPrograms,
    config: &str,
) -> Result<Vec<u8>, Error> {
    let mut volume = Volume::format(size as usize, id);
    let mut root = vec![entry(LABEL, VOLUME_LABEL, 0, 0)];
    let efi = volume.reserve(CLUSTER)?;
    root.push(entry("EFI", DIRECTORY, efi, 0));
    let mut inside = vec![entry(".", DIRECTORY, efi, 0), entry("..", DIRECTORY, 0, 0)];
    let boot: &[(&str, &[u8])] = &[("BOOTX64.EFI", &programs.shim), ("GRUBX64.EFI", &programs.grub)];
    for (name, files) in [("BOOT", boot), ("DEBIAN", &[(CONFIG, config.as_bytes())])] {
        let directory = volume.reserve(CLUSTER)?;
        inside.push(entry(name, DIRECTORY, directory, 0));
        let mut entries = vec![entry(".", DIRECTORY, directory, 0), entry("..", DIRECTORY, efi, 0)];
        for (name, content) in files {
            let first = if content.is_empty() { 0 } else { volume.reserve(content.len())? };
            volume.put(first, content);
            entries.push(entry(name, ARCHIVE, first, content.len()));
        }
        volume.put(directory, &entries.concat());
    }
    volume.put(efi, &inside.concat());
    Ok(volume.finish(&root.concat()))
}

struct Volume {
    bytes: Vec<u8>,
    /// The allocation table; its first two entries stand for no cluster.
    chains: Vec<u16>,
    clusters: usize,
    table_sectors: usize,
}

impl Volume {
    fn format(size: usize, id: VolumeId) -> Self {
        let sectors = size / SECTOR;
        // a little too large, since the tables themselves take room
        let table_sectors = (sectors * SECTOR / CLUSTER * 2).div_ceil(SECTOR);
        let data = sectors - 1 - COPIES * table_sectors - ROOT_ENTRIES * ENTRY / SECTOR;
        let mut boot = vec![0xeb, 0x3c, 0x90];
        boot.extend(b"SMBGW   ");
        boot.extend((SECTOR as u16).to_le_bytes());
        boot.push((CLUSTER / SECTOR) as u8);
        boot.extend(1u16.to_le_bytes());
        boot.push(COPIES as u8);
        boot.extend((ROOT_ENTRIES as u16).to_le_bytes());
        let (short, long) = u16::try_from(sectors).map_or((0, sectors as u32), |short| (short, 0));
        boot.extend(short.to_le_bytes());
        boot.push(MEDIA);
        boot.extend((table_sectors as u16).to_le_bytes());
        // a geometry that nobody looks at, and the place on the disk, which only MBR boot code would need
        boot.extend([32, 0, 64, 0, 0, 0, 0, 0]);
        boot.extend(long.to_le_bytes());
        boot.extend([0x80, 0, 0x29]);
        boot.extend(id.0.to_le_bytes());
        boot.extend(short_name(LABEL));
        boot.extend(b"FAT16   ");
        let mut bytes = vec![0; size];
        bytes[..boot.len()].copy_from_slice(&boot);
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        let chains = vec![0xff00 | u16::from(MEDIA), END_OF_CHAIN];
        Self { bytes, chains, clusters: data * SECTOR / CLUSTER, table_sectors }
    }

    /// Takes as many clusters as so many bytes need, one after the other; gives the first.
    fn reserve(&mut self, bytes: usize) -> Result<u16, Error> {
        let (first, count) = (self.chains.len(), bytes.div_ceil(CLUSTER));
        if first + count > self.clusters + 2 {
            return Err(Error::Tree("the boot loader does not fit its partition".into()));
        }
        self.chains.extend((first + 1..first + count).map(|next| next as u16));
        self.chains.push(END_OF_CHAIN);
        Ok(first as u16)
    }

    fn put(&mut self, first: u16, content: &[u8]) {
        if let Some(number) = usize::from(first).checked_sub(2) {
            let at = self.data() + number * CLUSTER;
            self.bytes[at..at + content.len()].copy_from_slice(content);
        }
    }

    fn finish(mut self, root: &[u8]) -> Vec<u8> {
        let table: Vec<u8> = self.chains.iter().flat_map(|next| next.to_le_bytes()).collect();
        for copy in 0..COPIES {
            let at = (1 + copy * self.table_sectors) * SECTOR;
            self.bytes[at..at + table.len()].copy_from_slice(&table);
        }
        let at = self.data() - ROOT_ENTRIES * ENTRY;
        self.bytes[at..at + root.len()].copy_from_slice(root);
        self.bytes
    }

    /// Where the first cluster begins.
    fn data(&self) -> usize {
        (1 + COPIES * self.table_sectors) * SECTOR + ROOT_ENTRIES * ENTRY
    }
}

fn entry(name: &str, attributes: u8, first: u16, size: usize) -> Vec<u8> {
    let mut entry = short_name(name).to_vec();
    entry.extend([attributes, 0, 0, 0, 0]);
    // created, read, (high half of the cluster,) written
    entry.extend(DATE.to_le_bytes());
    entry.extend(DATE.to_le_bytes());
    entry.extend([0; 4]);
    entry.extend(DATE.to_le_bytes());
    entry.extend(first.to_le_bytes());
    entry.extend((size as u32).to_le_bytes());
    entry
}

/// Eight and three characters, filled up with spaces.
fn short_name(name: &str) -> [u8; 11] {
    let mut field = [b' '; 11];
    let (base, extension) = match name {
        "." | ".." => (name, ""),
        _ => name.split_once('.').unwrap_or((name, "")),
    };
    for (place, byte) in field.iter_mut().zip(base.bytes().take(8)) {
        *place = byte;
    }
    for (place, byte) in field[8..].iter_mut().zip(extension.bytes().take(3)) {
        *place = byte;
    }
    field
}
