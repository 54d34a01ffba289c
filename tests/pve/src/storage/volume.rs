//! Names of volumes, and where they are. Sources: PVE::Storage::Plugin and the plugins of the other kinds.

use std::fs;
use std::path::PathBuf;

use super::Storage;
use crate::refusal::{Refusal, Result};
use crate::sim::Sim;

/// What is in a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// `STORAGE:NAME`.
    pub volid: String,
    /// `vztmpl`, `import`, `images`, `rootdir`, …
    pub content: &'static str,
    /// `raw`, `qcow2`, `subvol`, `tzst`, …
    pub format: String,
    /// Bytes.
    pub size: u64,
    /// The guest that owns it.
    pub vmid: Option<u32>,
    /// The base that it is a clone of.
    pub parent: Option<String>,
}

/// Sub-directories by content type.
const DIRECTORIES: &[(&str, &str)] = &[
    ("vztmpl", "template/cache"),
    ("iso", "template/iso"),
    ("import", "import"),
    ("snippets", "snippets"),
    ("backup", "dump"),
];

/// Storage and name.
///
/// # Errors
/// When it is no volume id. Text: PVE::Storage, `parse_volume_id`.
pub fn split(volid: &str) -> Result<(&str, &str)> {
    let parts = volid
        .split_once(':')
        .filter(|(storage, name)| !storage.is_empty() && !name.is_empty() && !storage.starts_with('/'));
    parts.ok_or_else(|| Refusal::new(format!("unable to parse volume ID '{volid}'")))
}

/// The guest that owns a volume, by its name.
pub fn owner(name: &str) -> Option<u32> {
    let last = name.rsplit('/').next()?;
    let rest = ["vm-", "base-", "subvol-", "basevol-"].iter().find_map(|prefix| last.strip_prefix(prefix))?;
    rest.split('-').next()?.parse().ok()
}

/// The content type, by the name. None when it is no volume's name.
pub fn content(storage: &Storage, name: &str) -> Option<&'static str> {
    if storage.is_path() {
        for (content, _) in DIRECTORIES {
            if let Some(file) = name.strip_prefix(content).and_then(|rest| rest.strip_prefix('/')) {
                return extension_fits(content, file).then_some(*content);
            }
        }
    }
    owner(name)
        .map(|_| if name.contains("subvol-") || name.contains("basevol-") { "rootdir" } else { "images" })
}

fn extension_fits(content: &str, file: &str) -> bool {
    let ends: &[&str] = match content {
        "vztmpl" => &[".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"],
        "iso" => &[".iso", ".img"],
        "import" => &[".ova", ".ovf", ".qcow2", ".raw", ".vmdk"],
        _ => &[""],
    };
    let good = |letter: char| letter.is_ascii_alphanumeric() || " -_.+=".contains(letter);
    let strict = content != "import" || file.chars().all(good);
    !file.contains('/') && strict && ends.iter().any(|end| file.ends_with(end))
}

/// Where a volume is.
///
/// # Errors
/// When its name is none. Text: PVE::Storage::Plugin, `parse_volname`.
pub fn path(storage: &Storage, name: &str) -> Result<PathBuf> {
    let none = || {
        let kind = if storage.is_path() { "directory" } else { storage.kind.as_str() };
        Refusal::new(format!("unable to parse {kind} volume name '{name}'"))
    };
    let content = content(storage, name).ok_or_else(none)?;
    let root = storage.root();
    if let Some((_, directory)) = DIRECTORIES.iter().find(|(other, _)| *other == content) {
        let file = name.split_once('/').map(|(_, file)| file).unwrap_or_default();
        return Ok(root.join(directory).join(file));
    }
    // a clone's name begins with its base's
    let file = name.rsplit('/').next().unwrap_or_default();
    let vmid = owner(name).ok_or_else(none)?;
    Ok(if storage.is_path() {
        root.join("images").join(vmid.to_string()).join(file)
    } else {
        root.join(file)
    })
}

/// The path of a volume id or an absolute path.
///
/// # Errors
/// When it is neither, or its storage is unknown.
pub fn locate(sim: &Sim, volid: &str) -> Result<PathBuf> {
    if volid.starts_with('/') {
        return Ok(PathBuf::from(volid));
    }
    let (id, name) = split(volid)?;
    path(&super::get(sim, id)?, name)
}

/// The format, by the name.
pub fn format(storage: &Storage, name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or_default();
    if file.starts_with("subvol-") || file.starts_with("basevol-") {
        return "subvol".to_owned();
    }
    if !storage.is_path() {
        return "raw".to_owned();
    }
    for (end, format) in [(".tar.zst", "tzst"), (".tar.gz", "tgz"), (".tar.xz", "txz"), (".tar.bz2", "tbz2")]
    {
        if file.ends_with(end) {
            return format.to_owned();
        }
    }
    file.rsplit_once('.').map_or("raw", |(_, extension)| extension).to_owned()
}

/// All that is in a storage.
pub fn list(sim: &Sim, storage: &Storage) -> Vec<Volume> {
    let mut found = Vec::new();
    let mut add = |name: String, path: PathBuf| {
        let Some(content) = content(storage, &name) else { return };
        let (size, parent) = super::allocate::measure(&path);
        let used_by_container = content == "images" && path.is_dir();
        found.push(Volume {
            volid: format!("{}:{name}", storage.id),
            content: if used_by_container { "rootdir" } else { content },
            format: format(storage, &name),
            size,
            vmid: owner(&name),
            parent,
        });
    };
    let root = storage.root();
    let entries = |path: &PathBuf| {
        let mut names: Vec<_> =
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
    };
    if storage.is_path() {
        for (content, directory) in DIRECTORIES {
            let directory = root.join(directory);
            for file in entries(&directory) {
                add(format!("{content}/{file}"), directory.join(&file));
            }
        }
        let images = root.join("images");
        for id in entries(&images) {
            let directory = images.join(&id);
            for file in entries(&directory) {
                let base = super::allocate::base_name(&directory.join(&file));
                let name = base.map_or_else(|| format!("{id}/{file}"), |base| format!("{base}/{id}/{file}"));
                add(name, directory.join(&file));
            }
        }
    } else {
        for file in entries(&root) {
            let base = super::allocate::base_name(&root.join(&file));
            let name = base.map_or_else(|| file.clone(), |base| format!("{base}/{file}"));
            add(name, root.join(&file));
        }
    }
    for volume in super::said(sim, &storage.id)["content"].as_array().into_iter().flatten() {
        if let Some(volid) = volume.as_str() {
            let name = volid.split_once(':').map(|(_, name)| name).unwrap_or_default();
            found.push(Volume {
                volid: volid.to_owned(),
                content: content(storage, name).unwrap_or("images"),
                format: format(storage, name),
                size: 1 << 30,
                vmid: owner(name),
                parent: None,
            });
        }
    }
    found
}
