//! Mount points. Source: PVE::LXC::Config and PVE::LXC of pve-container.

use std::path::Path;

use crate::config::Config;
use crate::config::property::{Pairs, keys, print, read};
use crate::refusal::{Refusal, Result};
use crate::sim::Sim;
use crate::storage::{Storage, get, volume};

/// Where a mount point's files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A volume of a storage.
    Volume,
    /// A directory of the node.
    Bind,
    /// A block device of the node.
    Device,
}

impl Source {
    /// As messages call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Bind => "bind",
            Self::Device => "device",
        }
    }
}

/// A mount point.
#[derive(Debug, Clone)]
pub struct Mount {
    /// `rootfs`, `mp0`, …
    pub key: String,
    /// Its pairs.
    pub pairs: Pairs,
}

impl Mount {
    /// Reads one.
    pub fn read(sim: &Sim, key: &str, text: &str) -> Self {
        let pairs = keys(&sim.table, "pct set", key).map(|keys| read(keys, text)).unwrap_or_default();
        Self { key: key.to_owned(), pairs }
    }

    /// The value to write.
    pub fn print(&self, sim: &Sim) -> String {
        keys(&sim.table, "pct set", &self.key).map(|keys| print(keys, &self.pairs)).unwrap_or_default()
    }

    /// The volume id or path.
    pub fn volume(&self) -> &str {
        self.pairs.get("volume").map(String::as_str).unwrap_or_default()
    }

    /// Where it is in the guest.
    pub fn target(&self) -> &str {
        self.pairs.get("mp").map_or("/", String::as_str)
    }

    /// What it is.
    pub fn source(&self) -> Source {
        match self.volume() {
            text if text.starts_with("/dev/") => Source::Device,
            text if text.starts_with('/') => Source::Bind,
            _ => Source::Volume,
        }
    }

    /// Whether a pair is 1.
    pub fn is(&self, key: &str) -> bool {
        self.pairs.get(key).is_some_and(|text| text == "1")
    }

    /// Storage and size in GiB of a volume that is to be made: `STORE:8`.
    pub fn wanted(&self) -> Option<(&str, f64)> {
        let (storage, size) = self.volume().split_once(':')?;
        Some((storage, size.parse().ok()?))
    }
}

/// All mount points, the root first.
pub fn all(sim: &Sim, config: &Config) -> Vec<Mount> {
    let root = config.get("rootfs").map(|text| Mount::read(sim, "rootfs", text));
    let others = config.family("mp").into_iter().map(|(key, text)| Mount::read(sim, &key, &text));
    root.into_iter().chain(others).collect()
}

/// A directory of the node that can be bound: it is there, and no part of its path is a link.
/// Text: PVE::LXC, `walk_tree_nofollow`.
///
/// # Errors
/// When it is not.
pub fn check_directory(path: &str) -> Result<()> {
    let missing = || Refusal::code(2, format!("directory '{path}' does not exist"));
    let mut so_far = std::path::PathBuf::from("/");
    for part in Path::new(path).components().skip(1) {
        so_far.push(part);
        let metadata = so_far.symlink_metadata().map_err(|_| missing())?;
        if metadata.is_symlink() {
            return Err(Refusal::new(format!("symlink encountered at: {}", so_far.display())));
        }
        if !metadata.is_dir() {
            return Err(Refusal::code(20, format!("directory '{path}' does not exist")));
        }
    }
    Ok(())
}

/// Refuses a volume whose storage is unknown or whose name is none.
///
/// # Errors
/// When it is.
pub fn check_volume(sim: &Sim, mount: &Mount) -> Result<Option<Storage>> {
    if mount.source() != Source::Volume {
        return Ok(None);
    }
    let (id, name) = volume::split(mount.volume())?;
    let storage = get(sim, id)?;
    if mount.wanted().is_none() {
        volume::path(&storage, name)?;
    }
    Ok(Some(storage))
}
