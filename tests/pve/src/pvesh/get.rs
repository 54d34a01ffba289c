//! What is read.

use std::fs;

use serde_json::{Value, json};

use super::route::Found;
use crate::config::{Kind, file};
use crate::guests::facts;
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{self, Storage, section, volume};
use crate::world::read;
use crate::{ha, mapping, qm, task};

/// Answers a GET.
///
/// # Errors
/// With what the endpoint says.
pub fn run(sim: &Sim, found: &Found, options: &Options) -> Result<Value> {
    let path = found.name.trim_start_matches("GET ");
    if let Some(rest) = path.strip_prefix("/nodes/{node}/lxc") {
        return guest(sim, Kind::Ct, rest, options);
    }
    if let Some(rest) = path.strip_prefix("/nodes/{node}/qemu") {
        return guest(sim, Kind::Vm, rest, options);
    }
    let node = &sim.node;
    Ok(match path {
        "/version" | "/nodes/{node}/version" => {
            json!({ "version": node.release.manager(), "release": node.release.name(), "repoid": "0123456789abcdef" })
        }
        "/cluster/nextid" => next(sim, options)?,
        "/cluster/resources" => resources(sim, options)?,
        "/cluster/status" => members(sim),
        "/cluster/backup" => json!([]),
        "/cluster/mapping/dir" => mapping::list(None)?,
        "/cluster/mapping/dir/{id}" => mapping::list(options.get("id"))?,
        "/cluster/ha/status/current" => ha::status(sim)?,
        "/cluster/ha/resources" => ha::list()?,
        "/cluster/ha/resources/{sid}" => {
            let sid = options.need("sid");
            let all = ha::list()?;
            let one = all.as_array().into_iter().flatten().find(|item| item["sid"] == sid).cloned();
            one.ok_or_else(|| Refusal::new(format!("no such resource '{sid}'")))?
        }
        "/cluster/ha/groups" => groups(sim)?,
        "/cluster/ha/rules" => {
            section::parse(&read("ha/rules.cfg")?).iter().map(|rule| json!({ "rule": rule.id, "type": rule.kind })).collect()
        }
        "/nodes" => node.members.iter().map(|name| json!({ "node": name, "status": "online", "type": "node", "id": format!("node/{name}") })).collect(),
        "/nodes/{node}/status" => json!({
            "pveversion": format!("pve-manager/{}/0123456789abcdef", node.release.manager()), "kversion": "Linux", "uptime": 1000,
            "cpuinfo": { "cpus": std::thread::available_parallelism().map_or(1, usize::from) }, "memory": { "total": 8_u64 << 30 },
        }),
        "/nodes/{node}/network" => network(),
        "/nodes/{node}/dns" => json!({ "search": "lab.example", "dns1": "192.0.2.53" }),
        "/nodes/{node}/tasks" => json!([]),
        "/nodes/{node}/tasks/{upid}/status" => task_status(options.need("upid"))?,
        "/nodes/{node}/tasks/{upid}/log" => {
            let text = fs::read_to_string(task::log(options.need("upid"))).unwrap_or_default();
            text.lines().enumerate().map(|(index, line)| json!({ "n": index + 1, "t": line })).collect()
        }
        "/storage" => storage::all(sim)?.iter().map(configured).collect(),
        "/storage/{storage}" => configured(&storage::get(sim, options.need("storage"))?),
        "/nodes/{node}/storage" => storages(sim, options)?,
        "/nodes/{node}/storage/{storage}/status" => state(sim, &storage::get(sim, options.need("storage"))?),
        "/nodes/{node}/storage/{storage}/content" => content(sim, options)?,
        _ => return refuse(format!("simulated: {} is not there", found.name)),
    })
}

fn guest(sim: &Sim, kind: Kind, rest: &str, options: &Options) -> Result<Value> {
    let node = &sim.node.name;
    if rest.is_empty() {
        return facts::list(sim, node, kind);
    }
    let vmid = options.vmid();
    let (config, digest) = file::load(sim, kind, vmid)?;
    match rest {
        "/{vmid}/config" => Ok(facts::config(kind, &config, &digest, options.flag("current") == Some(true))),
        "/{vmid}/pending" => Ok(facts::pending(&config)),
        "/{vmid}/status/current" => Ok(facts::status(sim, node, kind, vmid, &config)),
        "/{vmid}/interfaces" => facts::interfaces(vmid),
        "/{vmid}/snapshot" => {
            let names =
                config.sections.iter().map(|(name, _)| name.as_str()).filter(|name| !name.contains(':'));
            Ok(names.chain(["current"]).map(|name| json!({ "name": name })).collect())
        }
        "/{vmid}/agent/network-get-interfaces" => {
            Ok(json!({ "result": qm::agent::result(sim, vmid, "network-get-interfaces")? }))
        }
        _ => refuse(format!("simulated: {rest} of guests is not there")),
    }
}

/// A free id. Source: PVE::API2::Cluster, `nextid`.
fn next(sim: &Sim, options: &Options) -> Result<Value> {
    let used = file::all(sim);
    if let Some(vmid) = options.get("vmid").and_then(|text| text.parse::<u32>().ok()) {
        if used.contains_key(&vmid) {
            return refuse(format!("400 Parameter verification failed.\nvmid: VM {vmid} already exists"));
        }
        return Ok(vmid.into());
    }
    let text = read("datacenter.cfg")?;
    let line = text.lines().find_map(|line| line.strip_prefix("next-id:")).unwrap_or_default();
    let limit = |key: &str, default: u32| {
        let part = line.trim().split(',').find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('='));
        part.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (lower, upper) = (limit("lower", 100), limit("upper", 1_000_000));
    let free = (lower..upper).find(|vmid| !used.contains_key(vmid));
    free.map(Into::into)
        .ok_or_else(|| Refusal::new(format!("unable to get any free VMID in range [{lower}, {}]", upper - 1)))
}

fn resources(sim: &Sim, options: &Options) -> Result<Value> {
    let kind = options.get("type");
    let mut items = Vec::new();
    if kind.is_none_or(|kind| kind == "vm") {
        for (vmid, (kind, node)) in file::all(sim) {
            let (config, _) = file::load_from(sim, &node, kind, vmid)?;
            let mut item = facts::status(sim, &node, kind, vmid, &config);
            item["id"] = format!("{}/{vmid}", kind.api()).into();
            item["type"] = kind.api().into();
            item["node"] = node.into();
            items.push(item);
        }
    }
    if kind.is_none_or(|kind| kind == "storage") {
        for node in &sim.node.members {
            for storage in storage::all(sim)?.iter().filter(|storage| storage.enabled_on(node)) {
                let (total, used, _) = storage::room(sim, storage);
                items.push(json!({
                    "id": format!("storage/{node}/{}", storage.id), "type": "storage", "storage": storage.id, "node": node, "status": "available",
                    "plugintype": storage.kind, "content": storage.content().join(","), "shared": u8::from(storage.shared()),
                    "maxdisk": total, "disk": used,
                }));
            }
        }
    }
    if kind.is_none_or(|kind| kind == "node") {
        items.extend(sim.node.members.iter().map(
            |node| json!({ "id": format!("node/{node}"), "type": "node", "node": node, "status": "online" }),
        ));
    }
    Ok(items.into())
}

fn members(sim: &Sim) -> Value {
    let node = &sim.node;
    let mut items = Vec::new();
    if node.members.len() > 1 {
        items.push(json!({ "id": "cluster", "type": "cluster", "name": "lab", "nodes": node.members.len(), "quorate": u8::from(node.quorate()), "version": 2 }));
    }
    for (index, name) in node.members.iter().enumerate() {
        items.push(json!({
            "id": format!("node/{name}"), "type": "node", "name": name, "online": 1, "local": u8::from(*name == node.name),
            "nodeid": if node.members.len() > 1 { index + 1 } else { 0 }, "ip": format!("10.10.10.{}", index + 1),
        }));
    }
    items.into()
}

fn groups(sim: &Sim) -> Result<Value> {
    if sim.node.release.major() >= 9 {
        return refuse("cannot index groups: ha groups have been migrated to rules");
    }
    Ok(section::parse(&read("ha/groups.cfg")?)
        .iter()
        .map(|group| json!({ "group": group.id, "type": "group" }))
        .collect())
}

/// Bridges and cards, by what the kernel has.
fn network() -> Value {
    let mut items = Vec::new();
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "lo" || name.starts_with("veth") || name.starts_with("tap") {
            continue;
        }
        let bridge = entry.path().join("bridge").is_dir();
        items.push(json!({ "iface": name, "type": if bridge { "bridge" } else { "eth" }, "active": 1, "autostart": 1 }));
    }
    items.into()
}

fn task_status(upid: &str) -> Result<Value> {
    let parts: Vec<&str> = upid.split(':').collect();
    if parts.len() < 9 {
        return refuse(format!(
            "400 Parameter verification failed.\nupid: unable to parse worker upid '{upid}'"
        ));
    }
    let text = fs::read_to_string(task::log(upid)).map_err(|_| Refusal::new("no such task"))?;
    let last = text.lines().last().unwrap_or_default();
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).unwrap_or_default();
    let mut status = json!({
        "upid": upid, "node": parts[1], "pid": hexadecimal(parts[2]), "pstart": hexadecimal(parts[3]), "starttime": hexadecimal(parts[4]),
        "type": parts[5], "id": parts[6], "user": parts[7], "status": "running",
    });
    let ended = last.strip_prefix("TASK ").map(|rest| rest.strip_prefix("ERROR: ").unwrap_or(rest));
    let alive = std::path::Path::new(&format!("/proc/{}", hexadecimal(parts[2]))).exists();
    if let Some(exit) = ended.or((!alive).then_some("unexpected status")) {
        status["status"] = "stopped".into();
        status["exitstatus"] = exit.into();
    }
    Ok(status)
}

fn configured(storage: &Storage) -> Value {
    let mut item = json!({ "storage": storage.id, "type": storage.kind, "digest": "" });
    for (key, value) in &storage.values {
        item[key] = value.as_str().into();
    }
    item
}

/// A storage as a node sees it.
pub fn state(sim: &Sim, storage: &Storage) -> Value {
    let enabled = storage.enabled_on(&sim.node.name);
    let active = enabled && storage::active(sim, storage);
    let mut item = json!({
        "storage": storage.id, "type": storage.kind, "content": storage.content().join(","), "shared": u8::from(storage.shared()),
        "enabled": u8::from(enabled), "active": u8::from(active),
    });
    if active {
        let (total, used, avail) = storage::room(sim, storage);
        item["total"] = total.into();
        item["used"] = used.into();
        item["avail"] = avail.into();
        item["used_fraction"] = json!(if total > 0 { used as f64 / total as f64 } else { 0.0 });
    }
    item
}

fn storages(sim: &Sim, options: &Options) -> Result<Value> {
    let mut items = Vec::new();
    for storage in storage::all(sim)? {
        let nodes = storage.values.get("nodes");
        let here = nodes.is_none_or(|nodes| nodes.split(',').any(|node| node == sim.node.name));
        let one = options.get("storage").is_none_or(|id| id == storage.id);
        let content =
            options.get("content").is_none_or(|list| list.split(',').any(|content| storage.takes(content)));
        let enabled = options.flag("enabled") != Some(true) || storage.enabled_on(&sim.node.name);
        if here && one && content && enabled {
            items.push(state(sim, &storage));
        }
    }
    Ok(items.into())
}

fn content(sim: &Sim, options: &Options) -> Result<Value> {
    let storage = storage::usable(sim, options.need("storage"))?;
    let wanted = options.get("content");
    let vmid = options.get("vmid").and_then(|text| text.parse::<u32>().ok());
    let volumes = volume::list(sim, &storage).into_iter().filter(|volume| {
        let shown = storage.takes(volume.content) && wanted.is_none_or(|wanted| wanted == volume.content);
        shown && vmid.is_none_or(|vmid| volume.vmid == Some(vmid))
    });
    Ok(volumes
        .map(|volume| {
            let mut item = json!({ "volid": volume.volid, "content": volume.content, "format": volume.format, "size": volume.size });
            if let Some(vmid) = volume.vmid {
                item["vmid"] = vmid.into();
            }
            if let Some(parent) = volume.parent {
                item["parent"] = parent.into();
            }
            item
        })
        .collect())
}
