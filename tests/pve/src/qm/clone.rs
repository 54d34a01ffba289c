//! `qm clone`, `qm template`. Source: PVE::API2::Qemu, `clone_vm`, `template`.

use super::{change, create, drive, life};
use crate::config::property::{keys, print, read};
use crate::config::{Config, Kind, Part, file};
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{allocate, volume};
use crate::task::{self, Task};
use crate::world::{mac, now, uuid};

/// Clones a machine.
///
/// # Errors
/// When it is refused or fails.
pub fn run(sim: &Sim, options: &Options) -> Result<()> {
    let (vmid, new) = (options.vmid(), options.need("newid").parse().unwrap_or_default());
    sim.node.check_quorum()?;
    let lock = file::lock(sim, Kind::Vm, vmid)?;
    let (config, _) = file::load(sim, Kind::Vm, vmid)?;
    file::check_lock(Kind::Vm, &config)?;
    let full = options.flag("full").unwrap_or(!config.is("template"));
    if !full && !config.is("template") {
        return refuse("linked clones need a template");
    }
    for name in ["storage", "format"] {
        if !full && options.get(name).is_some() {
            return Err(Refusal::new(format!(
                "400 Parameter verification failed.\n{name}: requires full clone"
            )));
        }
    }
    for drive in drive::all(sim, &config) {
        if !full && !drive.cdrom() && drive.is_volume() && !allocate::can_link(sim, drive.file())? {
            return Err(Refusal::code(
                2,
                format!("Linked clone feature is not supported for drive '{}'", drive.key),
            ));
        }
    }
    if sim.fault == Some(crate::faults::Fault::Taken) {
        file::store(sim, Kind::Vm, new, &Config::default())?;
    }
    create::reserve(sim, new)?;
    sim.middle();
    task::run(sim, "qmclone", &vmid.to_string(), |task| {
        let mut made = Vec::new();
        let result = fill(task, options, config, new, full, &mut made);
        if let Err(refusal) = result {
            for volid in &made {
                let _ = allocate::free(sim, volid);
            }
            let _ = file::remove(sim, Kind::Vm, new);
            return refuse(format!("clone failed: {}", refusal.text));
        }
        Ok(())
    })?;
    drop(lock);
    Ok(())
}

fn fill(
    task: &mut Task<'_>,
    options: &Options,
    mut config: Config,
    new: u32,
    full: bool,
    made: &mut Vec<String>,
) -> Result<()> {
    let sim = task.sim;
    for mut drive in drive::all(sim, &config) {
        if !drive.is_volume() {
            continue;
        }
        let own = drive.file().split(':').next().unwrap_or_default().to_owned();
        let storage = options.get("storage").unwrap_or(&own);
        if drive.cloudinit() {
            let value =
                drive::realise(sim, new, &drive.key, &format!("{storage}:cloudinit,media=cdrom"), made)?;
            config.set(&drive.key, value);
            continue;
        }
        if drive.cdrom() {
            continue;
        }
        let volid = if full {
            task.say(&format!("create full clone of drive {} ({})", drive.key, drive.file()));
            let path = volume::locate(sim, drive.file())?;
            let (size, _) = allocate::measure(&path);
            let format = options.get("format");
            allocate::copy(
                sim,
                &path,
                allocate::Request { storage, vmid: new, content: "images", size, format },
            )?
        } else {
            task.say(&format!("create linked clone of drive {} ({})", drive.key, drive.file()));
            allocate::link(sim, drive.file(), new)?
        };
        made.push(volid.clone());
        drive.pairs.insert("file".to_owned(), volid);
        config.set(&drive.key.clone(), drive.print(sim));
    }
    for (key, text) in config.family("net") {
        if let Some(keys) = keys(&sim.table, "qm set", &key) {
            let mut pairs = read(keys, &text);
            pairs.insert("macaddr".to_owned(), mac());
            config.set(&key, print(keys, &pairs));
        }
    }
    config.now.values.retain(|key, _| key != "template" && !key.starts_with("unused") && key != "parent");
    config.pending = Part::default();
    config.sections.clear();
    config.set("smbios1", format!("uuid={}", uuid()));
    config.set("vmgenid", uuid());
    let meta =
        config.get("meta").and_then(|meta| meta.split(",ctime=").next()).unwrap_or_default().to_owned();
    config.set("meta", format!("{meta},ctime={}", now()));
    let source = options.vmid();
    config.set(
        "name",
        options
            .get("name")
            .map_or_else(|| format!("Copy-of-VM-{}", config.name(Kind::Vm, source)), str::to_owned),
    );
    if let Some(text) = options.get("description") {
        change::apply(sim, &mut config, "description", text)?;
    }
    file::store(sim, Kind::Vm, new, &config)
}

/// Makes a machine a template.
///
/// # Errors
/// When it is refused.
pub fn template(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Vm, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Vm, vmid)?;
    file::check_lock(Kind::Vm, &config)?;
    if config.is("template") {
        return refuse("you can't convert a template to a template");
    }
    if life::running(vmid) {
        return refuse("you can't convert a VM to template if VM is running");
    }
    if config.sections.iter().any(|(name, _)| !name.contains(':')) {
        return refuse("unable to create template, because VM contains snapshots");
    }
    config.set("template", "1");
    task::run(sim, "qmtemplate", &vmid.to_string(), |_| {
        for mut drive in drive::all(sim, &config) {
            if drive.cdrom() || !drive.is_volume() {
                continue;
            }
            let base = allocate::make_base(sim, drive.file())?;
            drive.pairs.insert("file".to_owned(), base);
            config.set(&drive.key.clone(), drive.print(sim));
        }
        file::store(sim, Kind::Vm, vmid, &config)
    })?;
    Ok(())
}
