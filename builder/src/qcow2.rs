//! Disks as compressed qcow2, written and read. Source: QEMU, `docs/interop/qcow2.txt`.
//!
//! Version 3, clusters of 64 KiB, each compressed with zstd on its own; clusters of zeros are not there at all.

mod read;
mod write;

pub use read::Image;
pub use write::{Written, write};

/// `QFI\xfb`.
const MAGIC: u32 = 0x5146_49fb;
const VERSION: u32 = 3;
/// Bytes of the header, without extensions.
const HEADER_SIZE: usize = 112;
/// 64 KiB: a random read unpacks little, and larger ones save 4 % at most.
const CLUSTER_BITS: u32 = 16;
/// Incompatible feature: clusters are compressed with what the header names.
const COMPRESSION_TYPE_BIT: u64 = 1 << 3;
const ZSTD: u8 = 1;
/// Of entries in L1 and L2: nobody else uses the cluster.
const COPIED: u64 = 1 << 63;
/// Of entries in L2.
const COMPRESSED: u64 = 1 << 62;
/// Of entries in L2 that are not compressed: the cluster reads as zeros.
const ZERO: u64 = 1;
/// Of entries in L1 and L2: where the cluster is.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The unit in which the length of a compressed cluster is counted.
const SECTOR: u64 = 512;

/// Bits of a compressed cluster's entry that hold its place; those above count its sectors.
const fn place_bits(cluster_bits: u32) -> u32 {
    62 - (cluster_bits - 8)
}

#[cfg(test)]
mod tests;
