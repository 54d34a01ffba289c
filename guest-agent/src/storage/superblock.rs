//! How large the file system on a device is, by its superblock: the same mounted or not, and without a process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::mount::FileSystem;
use crate::error::{Doing, Result, storage};

/// What a superblock tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Size of the file system in bytes.
    pub(crate) bytes: u64,
    /// UUID, in the usual form.
    pub(crate) uuid: String,
}

/// Reads that of a device.
pub(crate) fn read(node: &Path, file_system: FileSystem) -> Result<Superblock> {
    let mut head = vec![0; 4096];
    File::open(node)
        .and_then(|device| device.read_exact_at(&mut head, 0))
        .doing(|| format!("reading {}", node.display()))?;
    parse(&head, file_system)
        .ok_or_else(|| storage(format!("{} has no superblock of {}", node.display(), file_system.as_str())))
}

fn parse(head: &[u8], file_system: FileSystem) -> Option<Superblock> {
    match file_system {
        FileSystem::Ext4 => ext4(head.get(1024..2048)?),
        FileSystem::Xfs => xfs(head),
    }
}

/// Linux `Documentation/filesystems/ext4/super.rst`; little endian.
fn ext4(block: &[u8]) -> Option<Superblock> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(block.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?));
    if u16_at(0x38)? != 0xef53 {
        return None;
    }
    // INCOMPAT_64BIT: the upper half counts
    let high = if u32_at(0x60)? & 0x80 == 0 { 0 } else { u32_at(0x150)? };
    let blocks = u64::from(high) << 32 | u64::from(u32_at(0x4)?);
    let size = 1024u64.checked_shl(u32_at(0x18)?)?;
    Some(Superblock { bytes: blocks.checked_mul(size)?, uuid: uuid(block.get(0x68..0x78)?) })
}

/// `xfs_dsb` of Linux `fs/xfs/libxfs/xfs_format.h`; big endian.
fn xfs(block: &[u8]) -> Option<Superblock> {
    if block.get(..4)? != b"XFSB" {
        return None;
    }
    let size = u32::from_be_bytes(block.get(4..8)?.try_into().ok()?);
    let blocks = u64::from_be_bytes(block.get(8..16)?.try_into().ok()?);
    Some(Superblock { bytes: blocks.checked_mul(size.into())?, uuid: uuid(block.get(32..48)?) })
}

/// The usual form of a UUID (RFC 9562 section 4).
pub(crate) fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [hex.get(..8), hex.get(8..12), hex.get(12..16), hex.get(16..20), hex.get(20..)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_xfs_superblock() {
        let mut head = vec![0; 4096];
        head[..4].copy_from_slice(b"XFSB");
        head[4..8].copy_from_slice(&4096u32.to_be_bytes());
        head[8..16].copy_from_slice(&1000u64.to_be_bytes());
        head[32] = 0xab;
        let block = parse(&head, FileSystem::Xfs).unwrap();
        assert_eq!((block.bytes, block.uuid.as_str()), (4_096_000, "ab000000-0000-0000-0000-000000000000"));
        assert_eq!(parse(&head, FileSystem::Ext4), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut bytes = bytes;
            if bytes.len() > 1100 {
                (bytes[1080], bytes[1081]) = (0x53, 0xef);
            }
            let _ = (parse(&bytes, FileSystem::Ext4), parse(&bytes, FileSystem::Xfs));
        }
    }
}
