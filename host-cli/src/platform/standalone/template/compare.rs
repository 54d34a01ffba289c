//! An installed template against its manifest, file by file.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::hash_file;
use crate::platform::archive::{Entry, Kind, Manifest};
use crate::{Error, Result};

/// Differences in words; none when all is as it was built.
pub(super) fn differences(root: &Path, manifest: &Manifest, id_base: u32) -> Result<Vec<String>> {
    let mut expected: HashMap<PathBuf, &Entry> =
        manifest.files.iter().map(|entry| (relative(&entry.path), entry)).collect();
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let io = |source| Error::io(format!("listing {}", directory.display()), source);
        for entry in std::fs::read_dir(&directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let inside = path.strip_prefix(root).unwrap_or(&path).to_owned();
            let meta = path
                .symlink_metadata()
                .map_err(|e| Error::io(format!("looking at {}", path.display()), e))?;
            if meta.is_dir() {
                open.push(path.clone());
            }
            match expected.remove(&inside) {
                None => found.push(format!("/{} is not in the manifest", inside.display())),
                Some(entry) => {
                    if let Some(how) = differs(&path, &meta, entry, id_base)? {
                        found.push(format!("/{} {how}", inside.display()));
                    }
                }
            }
        }
    }
    let missing = expected.keys().filter(|path| !path.as_os_str().is_empty());
    found.extend(missing.map(|path| format!("/{} is missing", path.display())));
    found.sort();
    Ok(found)
}

fn relative(path: &str) -> PathBuf {
    PathBuf::from(path.trim_start_matches("./").trim_matches('/'))
}

fn differs(path: &Path, meta: &std::fs::Metadata, entry: &Entry, id_base: u32) -> Result<Option<String>> {
    let kind = match entry.kind {
        Kind::Directory => meta.is_dir(),
        Kind::File | Kind::Hardlink => meta.is_file(),
        Kind::Symlink => meta.is_symlink(),
    };
    if !kind {
        return Ok(Some("is of another type".to_owned()));
    }
    if entry.kind == Kind::Hardlink {
        // another name of a file that is compared under its first name
        return Ok(None);
    }
    if (meta.uid(), meta.gid()) != (id_base + entry.uid, id_base + entry.gid) {
        return Ok(Some(format!("belongs to {}:{}", meta.uid(), meta.gid())));
    }
    if entry.kind == Kind::Symlink {
        let target =
            std::fs::read_link(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
        let same = entry.link.as_deref() == target.to_str();
        return Ok((!same).then(|| format!("points to {}", target.display())));
    }
    let mode = meta.mode() & 0o7777;
    if u32::from_str_radix(&entry.mode, 8) != Ok(mode) {
        return Ok(Some(format!("has mode {mode:04o}, not {}", entry.mode)));
    }
    match &entry.sha256 {
        Some(sha256) if hash_file(path)? != *sha256 => Ok(Some("has other content".to_owned())),
        _ => Ok(None),
    }
}
