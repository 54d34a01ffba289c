//! `qm disk …`. Source: PVE::CLI::qm, PVE::API2::Qemu.

use super::{change, drive, life, machine};
use crate::config::{Config, Kind, file};
use crate::options::Options;
use crate::refusal::{Result, refuse};
use crate::sim::Sim;
use crate::storage::{allocate, volume};
use crate::task;

/// `qm disk import`: the disk is unused unless a target is named.
///
/// # Errors
/// When it is refused.
pub fn import(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Vm, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Vm, vmid)?;
    file::check_lock(Kind::Vm, &config)?;
    let volid =
        drive::import(sim, vmid, options.need("storage"), options.need("source"), options.get("format"))?;
    let key = options.get("target-disk").map_or_else(|| free(&config), str::to_owned);
    println!("{key}: successfully imported disk '{volid}'");
    let (size, _) = allocate::measure(&volume::locate(sim, &volid)?);
    let value =
        if key.starts_with("unused") { volid } else { format!("{volid},size={}", allocate::size_text(size)) };
    config.set(&key, value);
    file::store(sim, Kind::Vm, vmid, &config)
}

fn free(config: &Config) -> String {
    let number = (0..256).find(|number| config.get(&format!("unused{number}")).is_none()).unwrap_or(0);
    format!("unused{number}")
}

/// `qm disk resize`: larger only.
///
/// # Errors
/// When it is refused.
pub fn resize(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Vm, vmid)?;
    let (mut config, digest) = file::load(sim, Kind::Vm, vmid)?;
    file::check_lock(Kind::Vm, &config)?;
    file::check_digest(options.get("digest"), &digest)?;
    let key = options.need("disk");
    let Some(text) = config.get(key) else {
        return refuse(format!("disk '{key}' does not exist"));
    };
    let mut drive = drive::Drive::read(sim, key, text);
    let (old, _) = allocate::measure(&volume::locate(sim, drive.file())?);
    let text = options.need("size");
    let new = match text.strip_prefix('+') {
        Some(more) => old + allocate::size_bytes(more).unwrap_or_default(),
        None => allocate::size_bytes(text).unwrap_or_default(),
    };
    if new < old {
        return refuse("shrinking disks is not supported");
    }
    task::run(sim, "resize", &vmid.to_string(), |_| {
        if life::running(vmid) {
            machine::resize(vmid, &drive, new)?;
        } else {
            allocate::resize(sim, drive.file(), new)?;
        }
        drive.pairs.insert("size".to_owned(), allocate::size_text(new));
        config.set(key, drive.print(sim));
        file::store(sim, Kind::Vm, vmid, &config)
    })?;
    Ok(())
}

/// `qm disk unlink`: as `qm set --delete`; with `--force` the volume goes too.
///
/// # Errors
/// When it is refused.
pub fn unlink(sim: &Sim, options: &Options) -> Result<()> {
    let mut set = options.clone();
    set.set("delete", options.need("idlist"));
    for name in ["idlist", "force"] {
        set.take(name);
    }
    change::run(sim, &set)
}

/// `qm disk move`: to another guest, or to another storage.
///
/// # Errors
/// When it is refused.
pub fn shift(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Vm, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Vm, vmid)?;
    file::check_lock(Kind::Vm, &config)?;
    let key = options.need("disk");
    let Some(text) = config.get(key).map(str::to_owned) else {
        return refuse(format!("disk '{key}' does not exist"));
    };
    let mut drive = drive::Drive::read(sim, key, &text);
    if let Some(target) = options.get("target-vmid").and_then(|text| text.parse().ok()) {
        if life::running(vmid) {
            return refuse(format!("VM {vmid} is running - can't reassign disk '{key}'"));
        }
        let (mut other, _) = file::load(sim, Kind::Vm, target)?;
        let target_key = options.get("target-disk").unwrap_or(key);
        if other.get(target_key).is_some() {
            return refuse(format!("Target disk key '{target_key}' is already in use for target VM"));
        }
        let source = if key.starts_with("unused") { text.clone() } else { drive.file().to_owned() };
        let volid = allocate::reassign(sim, &source, target)?;
        println!("moving disk '{key}' from VM '{vmid}' to '{target}'");
        config.now.values.remove(key);
        file::store(sim, Kind::Vm, vmid, &config)?;
        if target_key.starts_with("unused") {
            other.set(target_key, volid);
        } else {
            drive.pairs.insert("file".to_owned(), volid);
            drive.key = target_key.to_owned();
            other.set(target_key, drive.print(sim));
        }
        return file::store(sim, Kind::Vm, target, &other);
    }
    let storage = options.need("storage");
    let path = volume::locate(sim, drive.file())?;
    let (size, _) = allocate::measure(&path);
    let request = allocate::Request { storage, vmid, content: "images", size, format: options.get("format") };
    let new = allocate::copy(sim, &path, request)?;
    let old = std::mem::replace(drive.pairs.entry("file".to_owned()).or_default(), new);
    config.set(key, drive.print(sim));
    if options.flag("delete") == Some(true) {
        allocate::free(sim, &old)?;
    } else {
        config.set(&free(&config), old);
    }
    file::store(sim, Kind::Vm, vmid, &config)
}
