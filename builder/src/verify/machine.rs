//! Checking a virtual machine's disk: the image as the machine would see it, its partitions, and every path in its root.

use std::path::Path;

use super::{Compared, compare};
use crate::disk::{self, DiskRecord};
use crate::hash;
use crate::manifest::Manifest;
use crate::qcow2::Image;

/// Reads the whole disk.
///
/// # Errors
/// A sentence for people when it cannot be read, or its partitions are others.
pub(super) fn read(template: &Path, manifest: &Manifest, expected: &DiskRecord) -> Result<Compared, String> {
    let image = Image::open(template).map_err(|error| error.to_string())?;
    let table = disk::read_gpt(&image, image.size())?;
    let partitions =
        expected.partitions.iter().map(|partition| (partition.guid, partition.offset, partition.size));
    let found = table.partitions.iter().map(|found| {
        (found.guid, found.first.saturating_mul(disk::SECTOR), found.sectors().saturating_mul(disk::SECTOR))
    });
    if table.guid != expected.guid || !found.eq(partitions) {
        return Err("its partitions are not the manifest's".into());
    }
    let root = expected.root().ok_or("its manifest names no root partition")?;
    let system = disk::open_ext4(&image, root.offset)?;
    let differences = compare(disk::ext4_paths(&system)?, manifest);
    let (sha256, size) = hash::of_reader(image.reader()).map_err(|error| error.to_string())?;
    Ok(Compared { differences, sha256, size })
}
