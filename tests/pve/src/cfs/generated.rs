//! Files that nobody writes. Source: status.c, `cfs_create_memberlist_msg`, `cfs_create_vmlist_msg`, `cfs_create_version_msg`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::tree::guest;
use crate::world::Node;

/// Their names.
pub const NAMES: &[&str] = &[".clusterlog", ".debug", ".members", ".rrd", ".version", ".vmlist"];

/// Whether it is one of them.
pub fn is(name: &str) -> bool {
    NAMES.contains(&name)
}

/// What one says.
pub fn text(node: &Node, stored: &Path, name: &str) -> Option<String> {
    Some(match name {
        ".members" => pretty(&members(node)),
        ".vmlist" => pretty(&list(node, stored)),
        ".version" => pretty(&version(node)),
        ".clusterlog" => pretty(&json!({ "data": [] })),
        ".rrd" => String::new(),
        ".debug" => "0\n".to_owned(),
        _ => return None,
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).map(|text| format!("{text}\n")).unwrap_or_default()
}

/// One that is alone has no cluster.
fn members(node: &Node) -> Value {
    if node.members.len() < 2 {
        return json!({ "nodename": node.name, "version": 0 });
    }
    let list: BTreeMap<&str, Value> = node
        .members
        .iter()
        .enumerate()
        .map(|(index, name)| {
            (name.as_str(), json!({ "id": index + 1, "online": 1, "ip": format!("10.10.10.{}", index + 1) }))
        })
        .collect();
    json!({
        "nodename": node.name,
        "version": 4,
        "cluster": {
            "name": "lab", "version": node.members.len(), "nodes": node.members.len(), "quorate": i32::from(node.quorate()),
        },
        "nodelist": list,
    })
}

/// Guests of the whole cluster, with the paths of their files.
pub fn guests(stored: &Path) -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    for node in fs::read_dir(stored.join("nodes")).into_iter().flatten().flatten() {
        for kind in ["lxc", "qemu-server"] {
            for entry in fs::read_dir(node.path().join(kind)).into_iter().flatten().flatten() {
                let path = Path::new("nodes").join(node.file_name()).join(kind).join(entry.file_name());
                found.extend(guest(&path).map(|vmid| (vmid, path)));
            }
        }
    }
    found
}

fn list(node: &Node, stored: &Path) -> Value {
    let counts = counts(node);
    let ids: BTreeMap<String, Value> = guests(stored)
        .into_iter()
        .map(|(vmid, path)| {
            let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let kind = if parts[2] == "lxc" { "lxc" } else { "qemu" };
            let version = counts.get(&path.display().to_string()).copied().unwrap_or(1);
            (vmid.to_string(), json!({ "node": parts[1], "type": kind, "version": version }))
        })
        .collect();
    json!({ "version": counts.get("vmlist").copied().unwrap_or(1), "ids": ids })
}

fn version(node: &Node) -> Value {
    let counts = counts(node);
    let mut version = json!({ "starttime": 1_700_000_000, "clinfo": node.members.len(), "kvstore": {} });
    version["vmlist"] = counts.get("vmlist").copied().unwrap_or(1).into();
    for name in [
        "corosync.conf",
        "storage.cfg",
        "user.cfg",
        "datacenter.cfg",
        "vzdump.cron",
        "jobs.cfg",
        "ha/resources.cfg",
        "mapping/directory.cfg",
    ] {
        version[name] = counts.get(name).copied().unwrap_or(1).into();
    }
    version
}

fn counts(node: &Node) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(node.control("versions")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Counts a change.
pub fn count(node: &Node, path: &Path) {
    let Ok(mut file) =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(node.control("versions"))
    else {
        return;
    };
    if flock(&file, FlockOperation::LockExclusive).is_err() {
        return;
    }
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let mut counts: BTreeMap<String, u64> = serde_json::from_str(&text).unwrap_or_default();
    *counts.entry(path.display().to_string()).or_insert(1) += 1;
    if guest(path).is_some() {
        *counts.entry("vmlist".to_owned()).or_insert(1) += 1;
    }
    let text = serde_json::to_string(&counts).unwrap_or_default();
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
}
