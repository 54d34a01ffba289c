//! The GUID partition table, both copies, and the protective MBR before it. Source: UEFI 2.10, chapter 5.

use mkext4::reader::ReadAt;

use super::SECTOR;
use crate::guid::Guid;

/// Holds the BIOS part of a boot loader.
pub(super) const BIOS_BOOT: Guid = Guid::known(0x21686148_6449_6e6f_744e_656564454649);
/// The EFI system partition.
pub(super) const ESP: Guid = Guid::known(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
/// A root file system for this architecture. Source: Discoverable Partitions Specification.
pub(super) const ROOT_X86_64: Guid = Guid::known(0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709);

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_SIZE: usize = 92;
const ENTRY_SIZE: usize = 128;
const ENTRIES: usize = 128;
const ENTRIES_SIZE: usize = ENTRIES * ENTRY_SIZE;
const ENTRIES_SECTORS: u64 = ENTRIES_SIZE as u64 / SECTOR;
/// Where the partition entries of the MBR begin.
const MBR_ENTRIES: usize = 0x1be;
/// Marks the whole disk as in use by something newer than MBR.
const PROTECTIVE: u8 = 0xee;

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's identifier.
    pub guid: Guid,
    /// Size of the disk in sectors.
    pub sectors: u64,
    /// The partitions, in order.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Its identifier.
    pub guid: Guid,
    /// First sector.
    pub first: u64,
    /// Last sector.
    pub last: u64,
    /// Its name.
    pub name: String,
}

impl Partition {
    /// Its size.
    pub fn sectors(&self) -> u64 {
        self.last + 1 - self.first
    }
}

impl Table {
    /// The sectors to write, and the byte each begins at. `boot` is the code in the first sector.
    pub fn to_bytes(&self, boot: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let entries = self.entries();
        let last = self.sectors - 1;
        vec![
            (0, self.protective(boot)),
            (SECTOR, self.header(&entries, 1, last, 2)),
            (2 * SECTOR, entries.clone()),
            ((last - ENTRIES_SECTORS) * SECTOR, entries.clone()),
            (last * SECTOR, self.header(&entries, last, 1, last - ENTRIES_SECTORS)),
        ]
    }

    fn protective(&self, boot: &[u8]) -> Vec<u8> {
        let mut sector = vec![0; SECTOR as usize];
        let code = boot.len().min(MBR_ENTRIES);
        sector[..code].copy_from_slice(&boot[..code]);
        // not marked active: some firmware would then not look for UEFI programs
        let entry = &mut sector[MBR_ENTRIES..MBR_ENTRIES + 16];
        entry[1..4].copy_from_slice(&[0x00, 0x02, 0x00]);
        entry[4] = PROTECTIVE;
        entry[5..8].fill(0xff);
        entry[8..12].copy_from_slice(&1u32.to_le_bytes());
        let sectors = u32::try_from(self.sectors - 1).unwrap_or(u32::MAX);
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    fn header(&self, entries: &[u8], own: u64, other: u64, entries_at: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(SECTOR as usize);
        header.extend(SIGNATURE);
        header.extend(REVISION.to_le_bytes());
        header.extend((HEADER_SIZE as u32).to_le_bytes());
        header.extend([0; 8]);
        let first_usable = 2 + ENTRIES_SECTORS;
        for number in [own, other, first_usable, self.sectors - 2 - ENTRIES_SECTORS] {
            header.extend(number.to_le_bytes());
        }
        header.extend(self.guid.swapped());
        header.extend(entries_at.to_le_bytes());
        header.extend((ENTRIES as u32).to_le_bytes());
        header.extend((ENTRY_SIZE as u32).to_le_bytes());
        header.extend(crc32fast::hash(entries).to_le_bytes());
        let sum = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header.resize(SECTOR as usize, 0);
        header
    }

    fn entries(&self) -> Vec<u8> {
        let mut entries = Vec::with_capacity(ENTRIES_SIZE);
        for partition in &self.partitions {
            let end = entries.len() + ENTRY_SIZE;
            entries.extend(partition.kind.swapped());
            entries.extend(partition.guid.swapped());
            entries.extend(partition.first.to_le_bytes());
            entries.extend(partition.last.to_le_bytes());
            entries.extend([0; 8]);
            entries.extend(partition.name.encode_utf16().take(36).flat_map(u16::to_le_bytes));
            entries.resize(end, 0);
        }
        entries.resize(ENTRIES_SIZE, 0);
        entries
    }
}

/// Reads the first copy of the table.
///
/// # Errors
/// A sentence for people when there is none, or its sums are wrong.
pub fn read(disk: &impl ReadAt, size: u64) -> Result<Table, String> {
    let take = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk.read_exact_at(at, &mut bytes).map(|()| bytes).map_err(|error| error.to_string())
    };
    let mut header = take(SECTOR, HEADER_SIZE)?;
    if !header.starts_with(SIGNATURE) {
        return Err("there is no partition table".into());
    }
    let sum = number(&header, 16, 4);
    header[16..20].fill(0);
    let known = number(&header, 12, 4) == HEADER_SIZE as u64
        && number(&header, 72, 8) == 2
        && (number(&header, 80, 4), number(&header, 84, 4)) == (ENTRIES as u64, ENTRY_SIZE as u64);
    if !known || u64::from(crc32fast::hash(&header)) != sum {
        return Err("the header of the partition table is damaged".into());
    }
    let entries = take(2 * SECTOR, ENTRIES_SIZE)?;
    if u64::from(crc32fast::hash(&entries)) != number(&header, 88, 4) {
        return Err("the partition table is damaged".into());
    }
    let partitions: Vec<Partition> =
        entries.chunks(ENTRY_SIZE).filter(|entry| entry[..16] != [0; 16]).map(partition).collect();
    let sectors = size / SECTOR;
    match partitions.iter().find(|found| found.first > found.last || found.last >= sectors) {
        Some(odd) => Err(format!("the partition `{}` does not lie on the disk", odd.name)),
        None => Ok(Table { guid: guid(&header, 56), sectors, partitions }),
    }
}

fn partition(entry: &[u8]) -> Partition {
    let name = entry[56..].chunks(2).map(|pair| number(pair, 0, 2) as u16).take_while(|unit| *unit != 0);
    Partition {
        kind: guid(entry, 0),
        guid: guid(entry, 16),
        first: number(entry, 32, 8),
        last: number(entry, 40, 8),
        name: char::decode_utf16(name).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect(),
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn guid(bytes: &[u8], at: usize) -> Guid {
    Guid::from_swapped(std::array::from_fn(|offset| bytes[at + offset]))
}
