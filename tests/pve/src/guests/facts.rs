//! What the API tells of guests. Sources: PVE::API2::LXC, PVE::API2::Qemu and their Status modules.

use std::fs;

use serde_json::{Value, json};

use super::running;
use crate::config::{Config, Kind, file};
use crate::ha;
use crate::refusal::Result;
use crate::sim::Sim;
use crate::storage::allocate::size_bytes;
use crate::{pct, qm};

/// Numbers are numbers where the API has them so, as `memory`; others are text.
fn number(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Into::into)
}

/// `config`.
pub fn config(kind: Kind, config: &Config, digest: &str, current: bool) -> Value {
    let mut fields = serde_json::Map::new();
    let mut values = config.now.values.clone();
    if !current {
        for key in config.deletes() {
            values.remove(&key);
        }
        values.extend(
            config
                .pending
                .values
                .iter()
                .filter(|(key, _)| *key != "delete")
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    for (key, value) in &values {
        let numeric = [
            "memory",
            "swap",
            "cores",
            "sockets",
            "onboot",
            "unprivileged",
            "protection",
            "template",
            "tty",
            "console",
            "cpuunits",
            "numa",
            "ciupgrade",
            "balloon",
        ];
        // a machine's memory is a property string
        let text = kind == Kind::Vm && key == "memory";
        fields.insert(
            key.clone(),
            if numeric.contains(&key.as_str()) && !text { number(value) } else { value.as_str().into() },
        );
    }
    if let Some(description) = &config.now.description {
        fields.insert("description".to_owned(), description.as_str().into());
    }
    if !config.now.raw.is_empty() {
        let raw: Vec<Value> = config.now.raw.iter().map(|(key, value)| json!([key, value])).collect();
        fields.insert("lxc".to_owned(), raw.into());
    }
    fields.insert("digest".to_owned(), digest.into());
    Value::Object(fields)
}

/// `pending`.
pub fn pending(config: &Config) -> Value {
    let deletes = config.deletes();
    let mut keys: Vec<&String> =
        config.now.values.keys().chain(config.pending.values.keys()).filter(|key| *key != "delete").collect();
    keys.sort();
    keys.dedup();
    let items = keys.into_iter().map(|key| {
        let mut item = json!({ "key": key });
        if let Some(value) = config.now.values.get(key) {
            item["value"] = value.as_str().into();
        }
        if let Some(value) = config.pending.values.get(key) {
            item["pending"] = value.as_str().into();
        }
        if deletes.contains(key) {
            item["delete"] = 1.into();
        }
        item
    });
    items.collect()
}

/// `status/current`.
pub fn status(sim: &Sim, node: &str, kind: Kind, vmid: u32, config: &Config) -> Value {
    let runs = node == sim.node.name && running(kind, vmid);
    let memory = config.get("memory").and_then(|text| text.parse::<u64>().ok()).unwrap_or(512) << 20;
    let root = config.get(if kind == Kind::Ct { "rootfs" } else { "scsi0" }).unwrap_or_default();
    let disk =
        root.split("size=").nth(1).and_then(|rest| size_bytes(rest.split(',').next()?)).unwrap_or_default();
    let cores = config.get("cores").map_or(Value::from(if kind == Kind::Ct { 2 } else { 1 }), number);
    let mut status = json!({
        "vmid": vmid, "status": if runs { "running" } else { "stopped" }, "name": config.name(kind, vmid), "cpus": cores, "cpu": 0,
        "maxmem": memory, "mem": 0, "maxdisk": disk, "disk": 0, "netin": 0, "netout": 0, "diskread": 0, "diskwrite": 0, "uptime": 0,
        "ha": ha::managed(sim, kind, vmid),
    });
    if kind == Kind::Ct {
        status["type"] = "lxc".into();
        status["swap"] = 0.into();
        status["maxswap"] =
            (config.get("swap").and_then(|text| text.parse::<u64>().ok()).unwrap_or(512) << 20).into();
    } else {
        status["qmpstatus"] = status["status"].clone();
        if qm::agent::enabled(config) {
            status["agent"] = 1.into();
        }
    }
    for key in ["lock", "tags"] {
        if let Some(text) = config.get(key) {
            status[key] = text.into();
        }
    }
    if config.is("template") {
        status["template"] = 1.into();
    }
    if runs {
        let pid = if kind == Kind::Ct { pct::life::init(vmid) } else { qm::life::pid(vmid) };
        status["pid"] = pid.into();
        status["uptime"] = pid.map(uptime).unwrap_or_default().into();
        let cgroup =
            if kind == Kind::Ct { format!("lxc.payload.{vmid}") } else { format!("qemu.slice/{vmid}.scope") };
        let used = fs::read_to_string(format!("/sys/fs/cgroup/{cgroup}/memory.current")).ok();
        status["mem"] = used.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(64 << 20).into();
    }
    status
}

/// Seconds since a process began.
fn uptime(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .and_then(|tail| tail.split_whitespace().nth(19)?.parse().ok())
        .unwrap_or_default();
    let now = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let now: f64 = now.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    (now as u64).saturating_sub(ticks / 100).max(1)
}

/// All guests of one kind on a node.
///
/// # Errors
/// When a file cannot be read.
pub fn list(sim: &Sim, node: &str, kind: Kind) -> Result<Value> {
    let mut found = Vec::new();
    for (vmid, (other, place)) in file::all(sim) {
        if other == kind && place == node {
            let (config, _) = file::load_from(sim, node, kind, vmid)?;
            let mut status = status(sim, node, kind, vmid, &config);
            if let Some(fields) = status.as_object_mut() {
                for key in ["ha", "qmpstatus", "agent"] {
                    fields.remove(key);
                }
            }
            found.push(status);
        }
    }
    Ok(found.into())
}

/// `interfaces` of a running container.
///
/// # Errors
/// When it cannot be asked.
pub fn interfaces(vmid: u32) -> Result<Value> {
    let Some(pid) = pct::life::init(vmid) else { return Ok(Value::Null) };
    let text = crate::command::output("nsenter", ["-t", &pid.to_string(), "-n", "ip", "-j", "a"])?;
    let links: Value = serde_json::from_str(&text).unwrap_or_default();
    let told = links.as_array().into_iter().flatten().map(|link| {
        let mut item = json!({ "name": link["ifname"], "hwaddr": link["address"], "hardware-address": link["address"] });
        let mut addresses = Vec::new();
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let family = address["family"].as_str().unwrap_or_default();
            let cidr = format!("{}/{}", address["local"].as_str().unwrap_or_default(), address["prefixlen"]);
            item[family] = cidr.into();
            addresses.push(json!({ "ip-address": address["local"], "ip-address-type": family, "prefix": address["prefixlen"].to_string() }));
        }
        item["ip-addresses"] = addresses.into();
        item
    });
    Ok(told.collect())
}
