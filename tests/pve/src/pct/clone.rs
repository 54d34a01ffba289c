//! `pct clone`, `pct template`. Source: PVE::API2::LXC `clone_vm`, `template`.

use super::life;
use super::mount::{Source, all};
use crate::config::property::{keys, print, read};
use crate::config::{Kind, file};
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{allocate, volume};
use crate::task;
use crate::world::mac;

/// Clones a container.
///
/// # Errors
/// When it is refused or fails.
pub fn run(sim: &Sim, options: &Options) -> Result<()> {
    let (vmid, new) = (options.vmid(), options.need("newid").parse().unwrap_or_default());
    sim.node.check_quorum()?;
    let lock = file::lock(sim, Kind::Ct, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Ct, vmid)?;
    file::check_lock(Kind::Ct, &config)?;
    let template = config.is("template");
    let full = options.flag("full").unwrap_or(!template);
    if full && life::running(vmid) && options.get("snapname").is_none() {
        return refuse("Cannot do full clones on a running container without snapshots");
    }
    if !full && options.get("storage").is_some() {
        return Err(Refusal::new("400 Parameter verification failed.\nstorage: requires full clone"));
    }
    let mounts = all(sim, &config);
    for mount in &mounts {
        match mount.source() {
            Source::Volume if !full && !allocate::can_link(sim, mount.volume())? => {
                return Err(Refusal::code(
                    2,
                    format!("Linked clone feature for '{}' is not available", mount.volume()),
                ));
            }
            Source::Volume => {}
            other => {
                return Err(Refusal::code(
                    2,
                    format!("unable to clone mountpoint '{}' (type {})", mount.key, other.word()),
                ));
            }
        }
    }
    file::check_unused(sim, new)
        .map_err(|refusal| Refusal::new(format!("unable to create CT {new} - {}", refusal.text)))?;
    let mut reserved = crate::config::Config::default();
    reserved.set("lock", "create");
    file::store(sim, Kind::Ct, new, &reserved)?;
    sim.middle();
    task::run(sim, "vzclone", &vmid.to_string(), |task| {
        let mut made = Vec::new();
        let result = (|| {
            for mut mount in mounts {
                let path = volume::locate(sim, mount.volume())?;
                let volid = if full {
                    let own = mount.volume().split(':').next().unwrap_or_default();
                    let (size, _) = allocate::measure(&path);
                    let storage = options.get("storage").unwrap_or(own);
                    let request =
                        allocate::Request { storage, vmid: new, content: "rootdir", size, format: None };
                    task.say(&format!("create full clone of mountpoint {} ({})", mount.key, mount.volume()));
                    allocate::copy(sim, &path, request)?
                } else {
                    task.say(&format!(
                        "create linked clone of mountpoint {} ({})",
                        mount.key,
                        mount.volume()
                    ));
                    allocate::link(sim, mount.volume(), new)?
                };
                made.push(volid.clone());
                mount.pairs.insert("volume".to_owned(), volid);
                config.set(&mount.key.clone(), mount.print(sim));
            }
            for (key, text) in config.family("net") {
                if let Some(keys) = keys(&sim.table, "pct set", &key) {
                    let mut pairs = read(keys, &text);
                    pairs.insert("hwaddr".to_owned(), mac());
                    config.set(&key, print(keys, &pairs));
                }
            }
            config.now.values.retain(|key, _| key != "template" && !key.starts_with("unused"));
            config.pending = crate::config::Part::default();
            config.sections.clear();
            for key in ["hostname", "description"] {
                if let Some(text) = options.get(key) {
                    super::change::apply(sim, &mut config, key, text)?;
                }
            }
            file::store(sim, Kind::Ct, new, &config)
        })();
        if result.is_err() {
            for volid in &made {
                let _ = allocate::free(sim, volid);
            }
            let _ = file::remove(sim, Kind::Ct, new);
        }
        result.map_err(|refusal: Refusal| Refusal::new(format!("clone failed: {}", refusal.text)))
    })?;
    drop(lock);
    Ok(())
}

/// Makes a container a template.
///
/// # Errors
/// When it is refused.
pub fn template(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, Kind::Ct, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Ct, vmid)?;
    file::check_lock(Kind::Ct, &config)?;
    if config.is("template") {
        return refuse("you can't convert a CT to template if it is already a template");
    }
    if life::running(vmid) {
        return refuse("you can't convert a CT to template if the CT is running");
    }
    if config.sections.iter().any(|(name, _)| !name.contains(':')) {
        return refuse("unable to create template, because CT contains snapshots");
    }
    for mut mount in all(sim, &config) {
        if mount.source() != Source::Volume {
            return refuse(format!(
                "mountpoint '{}' of type '{}' does not support templates",
                mount.key,
                mount.source().word()
            ));
        }
        let base = allocate::make_base(sim, mount.volume())?;
        mount.pairs.insert("volume".to_owned(), base);
        config.set(&mount.key.clone(), mount.print(sim));
    }
    config.set("template", "1");
    file::store(sim, Kind::Ct, vmid, &config)
}
