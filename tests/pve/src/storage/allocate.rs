//! Making, cloning and freeing volumes.
//!
//! The root file system of a container is a directory of this name, whatever Proxmox VE would make there. Beside a volume lies
//! `.NAME.json` with its size and base.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Storage, get, usable, volume};
use crate::command::{output, run};
use crate::faults::Fault;
use crate::refusal::{About, Refusal, Result, refuse};
use crate::sim::Sim;

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Storage.
    pub storage: &'a str,
    /// Owner.
    pub vmid: u32,
    /// `rootdir` or `images`.
    pub content: &'static str,
    /// Bytes.
    pub size: u64,
    /// `raw`, `qcow2`, `subvol`; what the storage prefers when none is given.
    pub format: Option<&'a str>,
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.json"))
}

fn notes(path: &Path) -> Value {
    fs::read_to_string(beside(path))
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

fn note(path: &Path, notes: &Value) -> Result<()> {
    Ok(fs::write(beside(path), notes.to_string())?)
}

/// Bytes, and the volume that it is a clone of.
pub fn measure(path: &Path) -> (u64, Option<String>) {
    let notes = notes(path);
    let size = notes["size"].as_u64().or_else(|| fs::metadata(path).ok().map(|metadata| metadata.len()));
    (size.unwrap_or_default(), notes["parent"].as_str().map(str::to_owned))
}

/// The name of the base, as a clone's name begins with it.
pub fn base_name(path: &Path) -> Option<String> {
    notes(path)["parent"].as_str().map(str::to_owned)
}

/// Refuses what a storage does not take. Text: PVE::LXC and PVE::QemuServer.
///
/// # Errors
/// When it does not.
pub fn check_content(storage: &Storage, content: &str) -> Result<()> {
    if storage.takes(content) {
        return Ok(());
    }
    let what = if content == "rootdir" { "container directories" } else { "vm images" };
    refuse(format!("storage '{}' does not support {what}", storage.id))
}

/// Makes a volume; gives its id.
///
/// # Errors
/// When the storage is unknown, does not take it, or is full.
pub fn make(sim: &Sim, request: Request<'_>) -> Result<String> {
    let storage = usable(sim, request.storage)?;
    check_content(&storage, request.content)?;
    check_room(sim, &storage)?;
    let subvol =
        request.format == Some("subvol") || (request.content == "rootdir" && storage.kind == "zfspool");
    let extension = match (storage.is_path(), subvol, request.format) {
        (false, ..) => String::new(),
        (true, true, _) => ".subvol".to_owned(),
        (true, false, format) => format!(".{}", format.unwrap_or("raw")),
    };
    let prefix = if subvol { "subvol" } else { "vm" };
    let vmid = request.vmid;
    for number in 0..100 {
        let file = format!("{prefix}-{vmid}-disk-{number}{extension}");
        let taken = |prefix: &str| {
            volume::list(sim, &storage)
                .iter()
                .any(|volume| volume.volid.contains(&format!("{prefix}-{vmid}-disk-{number}")))
        };
        if taken("vm") || taken("subvol") || taken("base") {
            continue;
        }
        let name = if storage.is_path() { format!("{vmid}/{file}") } else { file };
        place(&storage, &name, request)?;
        return Ok(format!("{}:{name}", storage.id));
    }
    refuse(format!("unable to allocate an image name for VM {vmid} in storage '{}'", storage.id))
}

/// Makes a volume of this name.
///
/// # Errors
/// When it cannot.
pub fn place(storage: &Storage, name: &str, request: Request<'_>) -> Result<PathBuf> {
    let path = volume::path(storage, name)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).about(&format!("mkdir {}", parent.display()))?;
    }
    if request.content == "rootdir" {
        fs::create_dir(&path).about(&format!("mkdir {}", path.display()))?;
    } else {
        let format = volume::format(storage, name);
        let path = path.display().to_string();
        run("qemu-img", ["create", "-q", "-f", &format, &path, &request.size.to_string()])?;
    }
    note(&path, &json!({ "size": request.size }))?;
    Ok(path)
}

/// Refuses when a storage is full.
///
/// # Errors
/// When it is.
pub fn check_room(sim: &Sim, storage: &Storage) -> Result<()> {
    let full = sim.fault == Some(Fault::StorageFull) || super::said(sim, &storage.id)["full"] == 1;
    if !full {
        return Ok(());
    }
    let text = match storage.kind.as_str() {
        "zfspool" => "zfs error: cannot create 'rpool/data/subvol': out of space",
        "lvmthin" | "lvm" => "lvcreate 'pve/vm-disk' error:   Insufficient free space",
        "rbd" => "rbd create 'vm-disk' error: rbd: create error: (28) No space left on device",
        _ => "unable to create image: No space left on device",
    };
    refuse(text)
}

/// Removes a volume. Text: PVE::Storage, `vdisk_free`.
///
/// # Errors
/// When it is the base of another, or cannot be removed.
pub fn free(sim: &Sim, volid: &str) -> Result<()> {
    let (id, name) = volume::split(volid)?;
    let storage = get(sim, id)?;
    let path = volume::path(&storage, name)?;
    let own = name.rsplit_once('/').filter(|_| !storage.is_path()).map_or(name, |(_, own)| own);
    if let Some(other) = volume::list(sim, &storage).iter().find(|other| other.parent.as_deref() == Some(own))
    {
        return refuse(format!(
            "base volume '{own}' is still in use by linked cloned '{}'",
            other.volid.split(':').nth(1).unwrap_or_default()
        ));
    }
    if path.is_dir() {
        fs::remove_dir_all(&path).about(&format!("unable to remove '{}'", path.display()))?;
    } else if path.exists() {
        fs::remove_file(&path).about(&format!("unlink '{}' failed", path.display()))?;
    } else {
        return refuse(format!("disk image '{}' does not exist", path.display()));
    }
    let _ = fs::remove_file(beside(&path));
    // PVE::Storage::Plugin removes the guest's directory when it is empty
    if let Some(parent) = path.parent().filter(|_| storage.is_path()) {
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

/// Makes a volume the base of others; gives its new id. Source: PVE::Storage, `vdisk_create_base`.
///
/// # Errors
/// When it cannot.
pub fn make_base(sim: &Sim, volid: &str) -> Result<String> {
    let (id, name) = volume::split(volid)?;
    let storage = get(sim, id)?;
    let (directory, file) = name.rsplit_once('/').map_or(("", name), |(directory, file)| (directory, file));
    let new = if let Some(rest) = file.strip_prefix("subvol-") {
        format!("basevol-{rest}")
    } else if let Some(rest) = file.strip_prefix("vm-") {
        format!("base-{rest}")
    } else {
        return refuse(format!("create_base not possible with base image '{volid}'"));
    };
    let new = if directory.is_empty() { new } else { format!("{directory}/{new}") };
    let (old_path, new_path) = (volume::path(&storage, name)?, volume::path(&storage, &new)?);
    fs::rename(&old_path, &new_path)?;
    fs::rename(beside(&old_path), beside(&new_path))?;
    Ok(format!("{id}:{new}"))
}

/// Whether a volume can be cloned by reference. Source: the plugins' `volume_has_feature`.
///
/// # Errors
/// When it is no volume.
pub fn can_link(sim: &Sim, volid: &str) -> Result<bool> {
    let (id, name) = volume::split(volid)?;
    let storage = get(sim, id)?;
    let base = name.rsplit('/').next().is_some_and(|file| file.starts_with("base"));
    Ok(base && (storage.clones() || (storage.is_path() && name.ends_with(".qcow2"))))
}

/// Clones by reference; gives the id of the clone.
///
/// # Errors
/// When it cannot.
pub fn link(sim: &Sim, volid: &str, vmid: u32) -> Result<String> {
    let (id, base) = volume::split(volid)?;
    let storage = usable(sim, id)?;
    check_room(sim, &storage)?;
    let from = volume::path(&storage, base)?;
    let (size, _) = measure(&from);
    let content = if from.is_dir() { "rootdir" } else { "images" };
    let format = volume::format(&storage, base);
    let request = Request { storage: id, vmid, content, size, format: Some(&format) };
    let new = make(sim, request)?;
    let to = volume::locate(sim, &new)?;
    if from.is_dir() {
        copy_tree(&from, &to)?;
    } else {
        fs::remove_file(&to)?;
        let (backing, to) = (from.display().to_string(), to.display().to_string());
        // what Proxmox VE clones on the storage lies here in a file over a file
        run("qemu-img", ["create", "-q", "-f", "qcow2", "-F", &really(&from)?, "-b", &backing, &to])?;
    }
    let own = new.split_once(':').map(|(_, name)| name).unwrap_or_default();
    note(&to, &json!({ "size": size, "parent": base }))?;
    Ok(format!("{id}:{base}/{own}"))
}

/// Copies; gives the id of the copy.
///
/// # Errors
/// When it cannot.
pub fn copy(sim: &Sim, from: &Path, request: Request<'_>) -> Result<String> {
    let new = make(sim, request)?;
    let to = volume::locate(sim, &new)?;
    if from.is_dir() {
        copy_tree(from, &to)?;
    } else {
        let (_, name) = volume::split(&new)?;
        let format = volume::format(&get(sim, request.storage)?, name);
        let size = output("qemu-img", ["info", "--output=json", &from.display().to_string()])?;
        let size = serde_json::from_str::<Value>(&size).ok().and_then(|info| info["virtual-size"].as_u64());
        fs::remove_file(&to)?;
        run(
            "qemu-img",
            [
                "convert",
                "-f",
                &really(from)?,
                "-O",
                &format,
                &from.display().to_string(),
                &to.display().to_string(),
            ],
        )?;
        note(&to, &json!({ "size": size }))?;
    }
    Ok(new)
}

/// What a file is, whatever its name says.
///
/// # Errors
/// When it cannot be read.
pub fn really(path: &Path) -> Result<String> {
    let text = output("qemu-img", ["info", "-U", "--output=json", &path.display().to_string()])?;
    let info: Value = serde_json::from_str(&text).unwrap_or_default();
    info["format"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Refusal::new(format!("no image: {}", path.display())))
}

/// Makes a disk larger.
///
/// # Errors
/// When it cannot.
pub fn resize(sim: &Sim, volid: &str, size: u64) -> Result<()> {
    let path = volume::locate(sim, volid)?;
    if path.is_file() {
        run(
            "qemu-img",
            ["resize", "-q", "-f", &really(&path)?, &path.display().to_string(), &size.to_string()],
        )?;
    }
    let mut notes = notes(&path);
    notes["size"] = size.into();
    note(&path, &notes)
}

/// Gives a volume to another guest; gives its new id. Source: PVE::Storage, `rename_volume`.
///
/// # Errors
/// When it cannot.
pub fn reassign(sim: &Sim, volid: &str, vmid: u32) -> Result<String> {
    let (id, name) = volume::split(volid)?;
    let storage = get(sim, id)?;
    let from = volume::path(&storage, name)?;
    let (size, parent) = measure(&from);
    let format = volume::format(&storage, name);
    let request = Request { storage: id, vmid, content: "images", size, format: Some(&format) };
    let new = make(sim, request)?;
    let to = volume::locate(sim, &new)?;
    fs::rename(&from, &to)?;
    let _ = fs::remove_file(beside(&from));
    note(&to, &json!({ "size": size, "parent": parent }))?;
    if let Some(directory) = from.parent().filter(|_| storage.is_path()) {
        let _ = fs::remove_dir(directory);
    }
    Ok(new)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    run("cp", ["-a", "--", &format!("{}/.", from.display()), &to.display().to_string()])
}

/// Bytes as a configuration file says them. Source: PVE::JSONSchema, `format_size`.
pub fn size_text(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if bytes >> shift > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// The other way.
pub fn size_bytes(text: &str) -> Option<u64> {
    let (number, shift) = match text.chars().last()? {
        'K' => (&text[..text.len() - 1], 10),
        'M' => (&text[..text.len() - 1], 20),
        'G' => (&text[..text.len() - 1], 30),
        'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: f64 = number.parse().ok()?;
    Some((number * (1_u64 << shift) as f64) as u64)
}
