//! `pct set`. Source: PVE::LXC::Config `update_pct_config`, `vmconfig_hotplug_pending`.

use std::path::Path;

use super::mount::{Mount, Source, check_directory, check_volume};
use super::{hotplug, life};
use crate::config::property::{keys, print, read};
use crate::config::{Config, Kind, file};
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{allocate, volume};
use crate::world::mac;

/// Options that steer the call.
const STEERING: &[&str] = &["vmid", "node", "digest", "delete", "revert"];
/// Options that hold at once, whether it runs or not. Source: `$LXC_FASTPLUG_OPTIONS`.
const AT_ONCE: &[&str] =
    &["description", "onboot", "startup", "protection", "hostname", "hookscript", "cores", "tags", "lock"];
/// Options that can be changed while it runs.
const HOTPLUG: &[&str] = &["memory", "swap", "cpulimit", "cpuunits"];

/// Puts one option into a configuration, in its canonical form.
///
/// # Errors
/// When it is refused.
pub fn apply(sim: &Sim, config: &mut Config, key: &str, text: &str) -> Result<()> {
    if key == "description" {
        config.now.description = (!text.is_empty()).then(|| format!("{}\n", text.trim_end_matches('\n')));
        return Ok(());
    }
    let value = canonical(sim, key, text)?;
    config.set(key, value);
    Ok(())
}

fn canonical(sim: &Sim, key: &str, text: &str) -> Result<String> {
    if key.starts_with("net") && key != "network" {
        let Some(keys) = keys(&sim.table, "pct set", key) else { return Ok(text.to_owned()) };
        let mut pairs = read(keys, text);
        if let Some(bridge) = pairs.get("bridge") {
            check_bridge(bridge)?;
        }
        pairs.entry("hwaddr".to_owned()).or_insert_with(mac);
        pairs.insert("type".to_owned(), "veth".to_owned());
        return Ok(print(keys, &pairs));
    }
    if key.starts_with("mp") || key == "rootfs" || key == "features" {
        let Some(keys) = keys(&sim.table, "pct set", key) else { return Ok(text.to_owned()) };
        return Ok(print(keys, &read(keys, text)));
    }
    if key == "tags" {
        return Ok(tags(text));
    }
    Ok(text.to_owned())
}

/// Refuses a bridge that is not there; a container's is looked for at once.
///
/// # Errors
/// When it is not there.
pub fn check_bridge(bridge: &str) -> Result<()> {
    if Path::new("/sys/class/net").join(bridge).join("bridge").is_dir() {
        return Ok(());
    }
    Err(Refusal::code(2, format!("bridge '{bridge}' does not exist")))
}

/// Tags as they are stored.
pub fn tags(text: &str) -> String {
    let mut tags: Vec<String> =
        text.split([' ', ',', ';']).filter(|tag| !tag.is_empty()).map(str::to_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags.join(";")
}

/// Changes options; what cannot be changed now waits for a restart.
///
/// # Errors
/// When something is refused.
pub fn run(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Ct, vmid)?;
    let (mut config, digest) = file::load(sim, Kind::Ct, vmid)?;
    file::check_lock(Kind::Ct, &config)?;
    file::check_digest(options.get("digest"), &digest)?;
    let running = life::running(vmid);
    let known = |key: &str| {
        let params = sim.table.command("pct set").map(|call| &call.params);
        key == "description" || params.is_some_and(|params| crate::schema::find(params, key).is_some())
    };
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
        if !known(&key) && !key.starts_with("unused") {
            return Err(Refusal::new(format!(
                "400 Parameter verification failed.\ndelete: unknown option '{key}'"
            )));
        }
        delete(sim, vmid, &mut config, &key, running)?;
    }
    sim.middle();
    let mut errors = Vec::new();
    for (key, text) in options.all() {
        if STEERING.contains(&key.as_str()) {
            continue;
        }
        if let Err(refusal) = set(sim, vmid, &mut config, key, text, running) {
            if !running {
                return Err(refusal);
            }
            errors.push(Refusal::code(1, format!("{key}: unable to hotplug {key}: {}", refusal.text)));
            continue;
        }
        let left: Vec<String> = config.deletes().into_iter().filter(|other| other != key).collect();
        set_deletes(&mut config, &left);
    }
    // those that could be changed are, as on the real one
    file::store(sim, Kind::Ct, vmid, &config)?;
    errors.into_iter().next().map_or(Ok(()), Err)
}

fn set(sim: &Sim, vmid: u32, config: &mut Config, key: &str, text: &str, running: bool) -> Result<()> {
    if key.starts_with("mp") || key == "rootfs" {
        let mut mount = Mount::read(sim, key, &canonical(sim, key, text)?);
        check_volume(sim, &mount)?;
        let new = config.get(key).is_none();
        if running && new && mount.source() == Source::Bind {
            check_directory(mount.volume())?;
        }
        if let Some((storage, size)) = mount.wanted() {
            let bytes = (size * f64::from(1 << 30)) as u64;
            let format = (bytes == 0).then_some("subvol");
            let volid = allocate::make(
                sim,
                allocate::Request { storage, vmid, content: "rootdir", size: bytes, format },
            )?;
            let path = volume::locate(sim, &volid)?;
            rustix::fs::chown(&path, super::create::owner(config), super::create::group(config))?;
            mount.pairs.insert("volume".to_owned(), volid);
            if bytes > 0 {
                mount.pairs.insert("size".to_owned(), allocate::size_text(bytes));
            }
        }
        let value = mount.print(sim);
        if !running {
            config.set(key, value);
        } else if new {
            hotplug::mount(sim, vmid, config, &mount)?;
            config.set(key, value);
        } else if config.get(key) != Some(value.as_str()) {
            config.pending.values.insert(key.to_owned(), value);
        }
        return Ok(());
    }
    let wait = running && !AT_ONCE.contains(&key) && !HOTPLUG.contains(&key) && !key.starts_with("net");
    if wait {
        let value = canonical(sim, key, text)?;
        if config.get(key) != Some(value.as_str()) {
            config.pending.values.insert(key.to_owned(), value);
        }
        return Ok(());
    }
    apply(sim, config, key, text)?;
    config.pending.values.remove(key);
    if running {
        hotplug::limit(vmid, config, key);
    }
    Ok(())
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
    if key == "rootfs" || ["unprivileged", "arch", "ostype", "template"].contains(&key) {
        return refuse(format!("unable to delete required option '{key}'"));
    }
    let wait = running && !AT_ONCE.contains(&key) && !key.starts_with("net") && !key.starts_with("unused");
    if wait {
        let mut deletes = config.deletes();
        deletes.push(key.to_owned());
        set_deletes(config, &deletes);
        return Ok(());
    }
    remove(sim, vmid, config, key, &old)
}

/// Takes an option out; a volume becomes unused, and an unused one is destroyed.
fn remove(sim: &Sim, vmid: u32, config: &mut Config, key: &str, old: &str) -> Result<()> {
    let mount = Mount::read(sim, key, old);
    config.now.values.remove(key);
    if key.starts_with("unused") {
        let name = old.split(':').nth(1).unwrap_or_default();
        if volume::owner(name) == Some(vmid) {
            allocate::free(sim, old)?;
        }
    } else if key.starts_with("mp") && mount.source() == Source::Volume {
        let number = (0..256).find(|number| config.get(&format!("unused{number}")).is_none()).unwrap_or(0);
        config.set(&format!("unused{number}"), mount.volume());
    }
    Ok(())
}

/// Brings what waited into force: at a start. Source: `vmconfig_apply_pending`.
///
/// # Errors
/// When a volume cannot be destroyed.
pub fn apply_pending(sim: &Sim, vmid: u32, config: &mut Config) -> Result<bool> {
    if config.pending.values.is_empty() {
        return Ok(false);
    }
    for key in config.deletes() {
        if let Some(old) = config.get(&key).map(str::to_owned) {
            remove(sim, vmid, config, &key, &old)?;
        }
    }
    config.pending.values.remove("delete");
    let waiting = std::mem::take(&mut config.pending.values);
    config.now.values.extend(waiting);
    Ok(true)
}

fn set_deletes(config: &mut Config, keys: &[String]) {
    if keys.is_empty() {
        config.pending.values.remove("delete");
    } else {
        config.pending.values.insert("delete".to_owned(), keys.join(","));
    }
}

/// `pct resize`.
///
/// # Errors
/// When it is refused.
pub fn resize(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Ct, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Ct, vmid)?;
    file::check_lock(Kind::Ct, &config)?;
    let key = options.need("disk").to_owned();
    let Some(text) = config.get(&key) else {
        return refuse(format!("no options specified for disk '{key}'"));
    };
    let mut mount = Mount::read(sim, &key, text);
    let old = mount.pairs.get("size").and_then(|size| allocate::size_bytes(size)).unwrap_or_default();
    let text = options.need("size");
    let new = match text.strip_prefix('+') {
        Some(more) => old + allocate::size_bytes(more).unwrap_or_default(),
        None => allocate::size_bytes(text).unwrap_or_default(),
    };
    if new < old {
        return refuse("unable to shrink disk size");
    }
    allocate::resize(sim, mount.volume(), new)?;
    mount.pairs.insert("size".to_owned(), allocate::size_text(new));
    config.set(&key, mount.print(sim));
    file::store(sim, Kind::Ct, vmid, &config)
}
