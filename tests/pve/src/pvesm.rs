//! `pvesm`: storages. Source: PVE::CLI::pvesm, PVE::API2::Storage::Config.

use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::section::{Section, parse, render};
use crate::storage::{self, allocate, volume};
use crate::world::{read, write};

const FILE: &str = "storage.cfg";
/// Options that steer the call.
const STEERING: &[&str] =
    &["storage", "type", "node", "digest", "delete", "create-base-path", "create-subdirs"];

/// Runs `pvesm`.
///
/// # Errors
/// With what it says.
pub fn main(sim: &Sim, arguments: &[String]) -> Result<i32> {
    let Some((verb, rest)) = arguments.split_first() else {
        return refuse("ERROR: no command specified\nUSAGE: pvesm <COMMAND> [ARGS] [OPTIONS]");
    };
    let command = format!("pvesm {verb}");
    if !sim.table.cli.contains_key(&command) {
        return refuse(format!("ERROR: unknown command '{command}'"));
    }
    let options = sim.options(&command, rest)?;
    sim.before()?;
    match verb.as_str() {
        "status" => status(sim, &options)?,
        "list" => list(sim, &options)?,
        "path" => println!("{}", path(sim, options.need("volume"))?),
        "alloc" => alloc(sim, &options)?,
        "free" => {
            allocate::free(sim, options.need("volume"))?;
            println!("Removed volume '{}'", options.need("volume"));
        }
        "add" => add(sim, &options)?,
        "set" => set(sim, &options)?,
        "remove" => remove(sim, options.need("storage"))?,
        "apiinfo" => {
            let (version, age) = if sim.node.release.major() == 8 { (11, 2) } else { (15, 6) };
            println!("APIVER {version}\nAPIAGE {age}");
        }
        _ => return refuse(format!("simulated: pvesm {verb} is not there")),
    }
    Ok(0)
}

fn status(sim: &Sim, options: &Options) -> Result<()> {
    let unit = if sim.node.release.major() >= 9 { " (KiB)" } else { "" };
    let (total, used, available) =
        (format!("Total{unit}"), format!("Used{unit}"), format!("Available{unit}"));
    println!(
        "{:<15} {:>10} {:>10} {total:>15} {used:>15} {available:>15} {:>8}",
        "Name", "Type", "Status", "%"
    );
    for storage in storage::all(sim)? {
        let wanted = options.get("storage").is_none_or(|id| id == storage.id);
        if !wanted
            || !options
                .get("content")
                .is_none_or(|list| list.split(',').any(|content| storage.takes(content)))
        {
            continue;
        }
        let state = if !storage.enabled_on(&sim.node.name) {
            "disabled"
        } else if storage::active(sim, &storage) {
            "active"
        } else {
            "inactive"
        };
        let (total, used, available) =
            if state == "active" { storage::room(sim, &storage) } else { (0, 0, 0) };
        let percent = if total > 0 { used as f64 * 100.0 / total as f64 } else { 0.0 };
        println!(
            "{:<15} {:>10} {state:>10} {:>15} {:>15} {:>15} {percent:>7.2}%",
            storage.id,
            storage.kind,
            total >> 10,
            used >> 10,
            available >> 10
        );
    }
    Ok(())
}

fn list(sim: &Sim, options: &Options) -> Result<()> {
    let storage = storage::usable(sim, options.need("storage"))?;
    println!("{:<40} {:<7} {:<9} {:>12} VMID", "Volid", "Format", "Type", "Size");
    for volume in volume::list(sim, &storage) {
        let wanted = options.get("content").is_none_or(|content| content == volume.content);
        let owned = options
            .get("vmid")
            .is_none_or(|vmid| volume.vmid.map(|id| id.to_string()).as_deref() == Some(vmid));
        if wanted && owned && storage.takes(volume.content) {
            let vmid = volume.vmid.map(|vmid| vmid.to_string()).unwrap_or_default();
            println!(
                "{:<40} {:<7} {:<9} {:>12} {vmid}",
                volume.volid, volume.format, volume.content, volume.size
            );
        }
    }
    Ok(())
}

/// The path of a volume, as its own kind of storage would tell it; nothing is activated, nor need it be there.
fn path(sim: &Sim, volid: &str) -> Result<String> {
    let (id, name) = volume::split(volid)?;
    let storage = storage::get(sim, id)?;
    let last = name.rsplit('/').next().unwrap_or_default();
    let value = |key: &str| storage.values.get(key).cloned().unwrap_or_default();
    Ok(match storage.kind.as_str() {
        "zfspool" if last.starts_with("subvol-") || last.starts_with("basevol-") => {
            let mount =
                storage.values.get("mountpoint").cloned().unwrap_or_else(|| format!("/{}", value("pool")));
            format!("{mount}/{last}")
        }
        "zfspool" => format!("/dev/zvol/{}/{last}", value("pool")),
        "rbd" if value("krbd") != "1" => format!(
            "rbd:{}/{last}:conf=/etc/pve/ceph.conf:id=admin:keyring=/etc/pve/priv/ceph/{id}.keyring",
            value("pool")
        ),
        "rbd" => format!("/dev/rbd-pve/00000000-0000-0000-0000-000000000000/{}/{last}", value("pool")),
        "lvm" | "lvmthin" => format!("/dev/{}/{last}", value("vgname")),
        _ => volume::path(&storage, name)?.display().to_string(),
    })
}

fn alloc(sim: &Sim, options: &Options) -> Result<()> {
    let id = options.need("storage");
    let vmid = options.vmid();
    let storage = storage::usable(sim, id)?;
    let text = options.need("size");
    let bytes = if text.ends_with(['M', 'G']) {
        allocate::size_bytes(text)
    } else {
        text.parse::<u64>().ok().map(|number| number << 10)
    };
    let size = bytes.ok_or_else(|| {
        Refusal::new(format!("400 Parameter verification failed.\nsize: invalid format '{text}'"))
    })?;
    let format = options.get("format");
    let content = if format == Some("subvol") { "rootdir" } else { "images" };
    let request = allocate::Request { storage: id, vmid, content, size, format };
    let name = options.need("filename");
    let volid = if name.is_empty() {
        allocate::make(sim, request)?
    } else {
        if volume::owner(name) != Some(vmid) {
            return refuse(format!("illegal name '{name}' - should be 'vm-{vmid}-*'"));
        }
        allocate::check_room(sim, &storage)?;
        let name = if storage.is_path() { format!("{vmid}/{name}") } else { name.to_owned() };
        if volume::path(&storage, &name)?.exists() {
            return refuse(format!(
                "disk image '{}' already exists",
                volume::path(&storage, &name)?.display()
            ));
        }
        allocate::place(&storage, &name, request)?;
        format!("{id}:{name}")
    };
    println!("successfully created '{volid}'");
    Ok(())
}

/// `add`.
///
/// # Errors
/// When it is there, or cannot be activated.
pub fn add(sim: &Sim, options: &Options) -> Result<()> {
    sim.node.check_quorum()?;
    let id = options.need("storage").to_owned();
    let mut sections = parse(&read(FILE)?);
    if sections.iter().any(|section| section.id == id) {
        return refuse(format!("create storage failed: storage ID '{id}' already defined"));
    }
    let values = options.all().iter().filter(|(key, _)| !STEERING.contains(&key.as_str()));
    let values = values.map(|(key, value)| (key.clone(), value.clone())).collect();
    sections.push(Section { kind: options.need("type").to_owned(), id, values });
    write(FILE, &render(&sections))
}

/// `set`.
///
/// # Errors
/// When there is none of this name.
pub fn set(sim: &Sim, options: &Options) -> Result<()> {
    sim.node.check_quorum()?;
    let id = options.need("storage");
    let mut sections = parse(&read(FILE)?);
    let Some(section) = sections.iter_mut().find(|section| section.id == id) else {
        return refuse(format!("update storage failed: storage '{id}' does not exist"));
    };
    for key in options.get("delete").unwrap_or_default().split(',').filter(|key| !key.is_empty()) {
        section.values.remove(key);
    }
    for (key, value) in options.all().iter().filter(|(key, _)| !STEERING.contains(&key.as_str())) {
        section.values.insert(key.clone(), value.clone());
    }
    write(FILE, &render(&sections))
}

/// `remove`.
///
/// # Errors
/// When there is none of this name.
pub fn remove(sim: &Sim, id: &str) -> Result<()> {
    sim.node.check_quorum()?;
    let mut sections = parse(&read(FILE)?);
    let before = sections.len();
    sections.retain(|section| section.id != id);
    if sections.len() == before {
        return refuse(format!("delete storage failed: storage '{id}' does not exist"));
    }
    write(FILE, &render(&sections))
}
