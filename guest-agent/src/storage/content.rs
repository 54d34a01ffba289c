//! What is on a disk. Only one that is completely empty, or that we ourselves began to format, may ever be formatted.
//!
//! **The mark.** Before a file system is made, a mark is written into the last MiB of the device, which the new file
//! system leaves out; it is taken away when the file system is complete, before it is first mounted. Whoever dies in
//! between leaves a device with the mark, and on it either nothing that blkid knows or the very file system that the
//! mark names: nobody has ever written data to that, so it may be made again. The mark is on the disk itself rather
//! than in a file of the agent, so that it cannot speak for another disk that was attached in the meantime.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use smbgw_command::{Command, Runner};

use super::mount::FileSystem;
use crate::error::{Doing, Result, storage};

/// Length of the start and of the end that must be zeros.
pub(crate) const EDGE: u64 = 1 << 20;
/// Smallest disk that is taken: room for both edges and a file system with a journal.
pub(crate) const SMALLEST: u64 = 16 << 20;
/// What the mark starts with; the UUID of the file system to come follows.
const MARK: &[u8; 33] = b"smbgw-agent: formatting this disk";
/// Length of the mark's block: never less than a device's sector.
pub(crate) const MARK_BLOCK: u64 = 4096;
/// Length of a UUID's text.
const UUID: usize = 36;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing at all.
    Blank,
    /// What is left of a format of ours that did not come to its end.
    HalfMade,
    /// A file system that can be mounted.
    FileSystem(FileSystem),
    /// Something else, in words.
    Other(String),
}

/// Looks, without changing anything.
pub(crate) fn look(runner: &dyn Runner, node: &Path, bytes: u64) -> Result<Content> {
    if bytes < SMALLEST {
        return Err(storage(format!("the disk has {bytes} bytes; it needs at least {} MiB", SMALLEST >> 20)));
    }
    let doing = || format!("reading {}", node.display());
    let device = File::open(node).doing(doing)?;
    let mark = mark(&device, bytes).doing(doing)?;
    let found = probe(runner, node)?;
    if let Some(uuid) = mark
        && found
            .as_ref()
            .is_none_or(|found| found.get("TYPE") == Some("ext4") && found.get("UUID") == Some(uuid.as_str()))
    {
        return Ok(Content::HalfMade);
    }
    match found {
        Some(found) => Ok(found.content()),
        None => match first_data(&device, bytes).doing(doing)? {
            None => Ok(Content::Blank),
            Some(at) => {
                Ok(Content::Other(format!("no file system, but data of some kind (the first at byte {at})")))
            }
        },
    }
}

/// What blkid(8) says.
struct Found {
    values: Vec<(String, String)>,
    ambiguous: bool,
}

impl Found {
    fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn content(&self) -> Content {
        if self.ambiguous {
            return Content::Other("signatures of more than one file system".to_owned());
        }
        if let Some(table) = self.get("PTTYPE") {
            return Content::Other(format!("a partition table ({table})"));
        }
        match self.get("TYPE") {
            Some("ext4") => Content::FileSystem(FileSystem::Ext4),
            Some("xfs") => Content::FileSystem(FileSystem::Xfs),
            Some(other) => Content::Other(format!("{other}, which a gateway does not mount")),
            None => Content::Other("something that blkid knows, but not as a file system".to_owned()),
        }
    }
}

/// Low-level probing, `blkid -p`: exit code 2 is nothing found, 8 is more than one thing.
fn probe(runner: &dyn Runner, node: &Path) -> Result<Option<Found>> {
    let command =
        Command::new("blkid").args(["-p", "-o", "export"]).arg(node.to_string_lossy()).accept(&[0, 2, 8]);
    let output = runner.run(&command).doing(|| "looking at what is on the disk".to_owned())?;
    if output.code == 2 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let values = text.lines().filter_map(|line| line.split_once('='));
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Some(Found { values, ambiguous: output.code == 8 }))
}

/// Position of the first byte in the first and last MiB that is not zero.
fn first_data(device: &File, bytes: u64) -> std::io::Result<Option<u64>> {
    let mut edge = vec![0; EDGE as usize];
    for start in [0, bytes.saturating_sub(EDGE)] {
        device.read_exact_at(&mut edge, start)?;
        if let Some(at) = edge.iter().position(|byte| *byte != 0) {
            return Ok(Some(start + at as u64));
        }
    }
    Ok(None)
}

/// The UUID in the mark, if there is one.
fn mark(device: &File, bytes: u64) -> std::io::Result<Option<String>> {
    let mut block = vec![0; MARK.len() + UUID];
    device.read_exact_at(&mut block, bytes - MARK_BLOCK)?;
    let uuid = block.strip_prefix(MARK.as_slice()).and_then(|uuid| std::str::from_utf8(uuid).ok());
    Ok(uuid.map(str::to_owned))
}

/// The mark's block; all zeros without a UUID.
pub(super) fn mark_block(uuid: Option<&str>) -> Vec<u8> {
    let mut block = vec![0; MARK_BLOCK as usize];
    if let Some(uuid) = uuid {
        let text = [MARK.as_slice(), uuid.as_bytes()].concat();
        block[..text.len()].copy_from_slice(&text);
    }
    block
}
