//! What a manifest says of a disk.

use serde::{Deserialize, Serialize};

use super::gpt::Table;
use crate::guid::Guid;
use crate::manifest::PackageRecord;

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// Its size in bytes, as the virtual machine sees it.
    pub virtual_size: u64,
    /// SHA-256 of all its bytes, uncompressed.
    pub sha256: String,
    /// The disk's identifier.
    pub guid: Guid,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionRecord>,
    /// Arguments of the kernel, after those that name the root.
    pub kernel_arguments: Vec<String>,
    /// Packages whose files start the disk; they are not installed in the root.
    pub boot_packages: Vec<PackageRecord>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Number, from 1.
    pub number: usize,
    /// Name.
    pub name: String,
    /// What it is for.
    pub type_guid: Guid,
    /// Its identifier.
    pub guid: Guid,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// What is in it, if that is a file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<FileSystem>,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// `ext4`, `vfat`.
    pub kind: String,
    /// Its identifier, as `blkid` shows it.
    pub uuid: String,
    /// Its label.
    pub label: String,
}

impl DiskRecord {
    /// The partition with the root file system.
    pub fn root(&self) -> Option<&PartitionRecord> {
        let is_ext4 = |found: &FileSystem| found.kind == "ext4";
        self.partitions.iter().find(|partition| partition.file_system.as_ref().is_some_and(is_ext4))
    }

    pub(super) fn new(
        table: &Table,
        size: u64,
        systems: [Option<FileSystem>; 3],
        kernel_arguments: &[String],
    ) -> Self {
        let partitions = table.partitions.iter().zip(systems).enumerate();
        Self {
            virtual_size: size,
            sha256: String::new(),
            guid: table.guid,
            partitions: partitions
                .map(|(number, (partition, file_system))| PartitionRecord {
                    number: number + 1,
                    name: partition.name.clone(),
                    type_guid: partition.kind,
                    guid: partition.guid,
                    offset: partition.first * super::SECTOR,
                    size: partition.sectors() * super::SECTOR,
                    file_system,
                })
                .collect(),
            kernel_arguments: kernel_arguments.to_vec(),
            boot_packages: Vec::new(),
        }
    }
}
