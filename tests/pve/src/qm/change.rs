//! `qm set`. Source: PVE::API2::Qemu `update_vm_api`, PVE::QemuServer `vmconfig_hotplug_pending`.

use super::create::STEERING;
use super::{drive, life, machine};
use crate::config::property::{keys, print, read};
use crate::config::{Config, Kind, file};
use crate::options::Options;
use crate::pct::change::tags;
use crate::refusal::{Refusal, Result};
use crate::sim::Sim;
use crate::storage::{allocate, volume};
use crate::world::mac;

/// Options that hold at once, whether it runs or not. Source: `$fast_plug_option`.
const AT_ONCE: &[&str] = &[
    "description",
    "hookscript",
    "lock",
    "name",
    "onboot",
    "protection",
    "shares",
    "startup",
    "tags",
    "vmstatestorage",
    "template",
];

/// Puts one option into a configuration, in its canonical form.
///
/// # Errors
/// When it is refused.
pub fn apply(sim: &Sim, config: &mut Config, key: &str, text: &str) -> Result<()> {
    if key == "description" {
        config.now.description = (!text.is_empty()).then(|| format!("{}\n", text.trim_end_matches('\n')));
        return Ok(());
    }
    config.set(key, canonical(sim, key, text));
    Ok(())
}

fn canonical(sim: &Sim, key: &str, text: &str) -> String {
    if key == "tags" {
        return tags(text);
    }
    if key == "cipassword" {
        return format!("$5$simulated${}", text.len());
    }
    let family = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    match keys(&sim.table, "qm set", key) {
        // printed anew; the others are stored as they came
        Some(keys) if ["net", "virtiofs"].contains(&family) => {
            let mut pairs = read(keys, text);
            if family == "net" {
                pairs.entry("model".to_owned()).or_insert_with(|| "virtio".to_owned());
                pairs.entry("macaddr".to_owned()).or_insert_with(mac);
            }
            print(keys, &pairs)
        }
        _ => text.to_owned(),
    }
}

/// Changes options; what cannot be changed now waits for a restart.
///
/// # Errors
/// When something is refused; what came before it may have been done, as on the real one.
pub fn run(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Vm, vmid)?;
    let (mut config, digest) = file::load(sim, Kind::Vm, vmid)?;
    if options.flag("skiplock") != Some(true) {
        file::check_lock(Kind::Vm, &config)?;
    }
    file::check_digest(options.get("digest"), &digest)?;
    let running = life::running(vmid);
    let list = |name: &str| -> Vec<String> {
        let text = options.get(name).unwrap_or_default();
        text.split([',', ' ', ';']).filter(|key| !key.is_empty()).map(str::to_owned).collect()
    };
    for key in list("revert") {
        config.pending.values.remove(&key);
        let left: Vec<String> = config.deletes().into_iter().filter(|other| *other != key).collect();
        set_deletes(&mut config, &left);
    }
    for key in list("delete") {
        let params = sim.table.command("qm set").map(|call| &call.params);
        if !params.is_some_and(|params| crate::schema::find(params, &key).is_some())
            && !key.starts_with("unused")
        {
            return Err(Refusal::new(format!(
                "400 Parameter verification failed.\ndelete: unknown option '{key}'"
            )));
        }
        delete(sim, vmid, &mut config, &key, running)?;
    }
    file::store(sim, Kind::Vm, vmid, &config)?;
    sim.middle();
    let mut words = Vec::new();
    for (key, text) in options.all().iter().filter(|(key, _)| !STEERING.contains(&key.as_str())) {
        let secret = key == "cipassword";
        words.push(format!("-{key} {}", if secret { "<hidden>" } else { text }));
    }
    if !words.is_empty() {
        println!("update VM {vmid}: {}", words.join(" "));
    }
    // volumes first, then the rest, each written as it comes
    let (drives, others): (Vec<_>, Vec<_>) = options
        .all()
        .iter()
        .filter(|(key, _)| !STEERING.contains(&key.as_str()))
        .partition(|(key, _)| drive::is(key));
    for (key, text) in others.into_iter().chain(drives) {
        set(sim, vmid, &mut config, key, text, running)?;
        file::store(sim, Kind::Vm, vmid, &config)?;
    }
    Ok(())
}

fn set(sim: &Sim, vmid: u32, config: &mut Config, key: &str, text: &str, running: bool) -> Result<()> {
    let left: Vec<String> = config.deletes().into_iter().filter(|other| other != key).collect();
    set_deletes(config, &left);
    if drive::is(key) {
        let mut made = Vec::new();
        let value = drive::realise(sim, vmid, key, text, &mut made)?;
        if let Some(volid) = made.first() {
            println!("{key}: successfully created disk '{volid}'");
        }
        let file = drive::Drive::read(sim, key, &value).file().to_owned();
        config.now.values.retain(|other, volume| !(other.starts_with("unused") && *volume == file));
        if let Some(old) = config.get(key).map(str::to_owned) {
            let old_file = drive::Drive::read(sim, key, &old).file().to_owned();
            if running && old != value {
                config.pending.values.insert(key.to_owned(), value);
                return Ok(());
            }
            if old_file != file {
                unuse(sim, vmid, config, key, &old)?;
            }
        } else if running {
            machine::plug(sim, vmid, &drive::Drive::read(sim, key, &value))?;
        }
        config.set(key, value);
        return Ok(());
    }
    if running && !AT_ONCE.contains(&key) {
        let value = canonical(sim, key, text);
        if config.get(key) != Some(value.as_str()) {
            config.pending.values.insert(key.to_owned(), value);
        } else {
            config.pending.values.remove(key);
        }
        return Ok(());
    }
    apply(sim, config, key, text)
}

fn delete(sim: &Sim, vmid: u32, config: &mut Config, key: &str, running: bool) -> Result<()> {
    if key == "description" {
        config.now.description = None;
        return Ok(());
    }
    config.pending.values.remove(key);
    let Some(old) = config.get(key).map(str::to_owned) else {
        eprintln!("cannot delete '{key}' - not set in current configuration!");
        return Ok(());
    };
    if drive::is(key) {
        file::check_protection(Kind::Vm, vmid, config, &format!("can't remove drive '{key}'"))?;
        if running {
            if let Err(refusal) = machine::unplug(vmid, &drive::Drive::read(sim, key, &old)) {
                let mut deletes = config.deletes();
                deletes.push(key.to_owned());
                set_deletes(config, &deletes);
                eprintln!("{}", refusal.text);
                return Ok(());
            }
        }
        config.now.values.remove(key);
        return unuse(sim, vmid, config, key, &old);
    }
    if key.starts_with("unused") {
        file::check_protection(Kind::Vm, vmid, config, &format!("can't remove unused disk '{key}'"))?;
        config.now.values.remove(key);
        let name = old.split(':').nth(1).unwrap_or_default();
        if volume::owner(name) == Some(vmid) {
            allocate::free(sim, &old)?;
        }
        return Ok(());
    }
    if running && !AT_ONCE.contains(&key) {
        let mut deletes = config.deletes();
        deletes.push(key.to_owned());
        set_deletes(config, &deletes);
        return Ok(());
    }
    config.now.values.remove(key);
    Ok(())
}

/// A disk that is taken out becomes unused, if the guest owns it; cloud-init's is freed. Source: `vmconfig_register_unused_drive`.
fn unuse(sim: &Sim, vmid: u32, config: &mut Config, key: &str, old: &str) -> Result<()> {
    let drive = drive::Drive::read(sim, key, old);
    if drive.cloudinit() {
        return allocate::free(sim, drive.file()).or(Ok(()));
    }
    let name = drive.file().split(':').nth(1).unwrap_or_default();
    if drive.is_volume() && !drive.cdrom() && volume::owner(name) == Some(vmid) {
        let number = (0..256).find(|number| config.get(&format!("unused{number}")).is_none()).unwrap_or(0);
        config.set(&format!("unused{number}"), drive.file());
    }
    Ok(())
}

/// Brings what waited into force: at a start.
///
/// # Errors
/// When a disk cannot be taken out.
pub fn apply_pending(sim: &Sim, vmid: u32, config: &mut Config) -> Result<bool> {
    if config.pending.values.is_empty() {
        return Ok(false);
    }
    for key in config.deletes() {
        if let Some(old) = config.now.values.remove(&key)
            && drive::is(&key)
        {
            unuse(sim, vmid, config, &key, &old)?;
        }
    }
    config.pending.values.remove("delete");
    for (key, value) in std::mem::take(&mut config.pending.values) {
        if let Some(old) = config.get(&key).map(str::to_owned).filter(|_| drive::is(&key)) {
            let files = (drive::Drive::read(sim, &key, &old), drive::Drive::read(sim, &key, &value));
            if files.0.file() != files.1.file() {
                unuse(sim, vmid, config, &key, &old)?;
            }
        }
        config.set(&key, value);
    }
    Ok(true)
}

fn set_deletes(config: &mut Config, keys: &[String]) {
    if keys.is_empty() {
        config.pending.values.remove("delete");
    } else {
        config.pending.values.insert("delete".to_owned(), keys.join(","));
    }
}
