//! High availability: /etc/pve/ha/resources.cfg, groups.cfg, rules.cfg, and `ha-manager`.
//! Sources: PVE::CLI::ha_manager, PVE::API2::HA::*. The manager itself is one program that does at once what was asked.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::config::{Kind, file};
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::section::{Section, parse, render};
use crate::world::{now, read, write};
use crate::{pct, qm, task};

const RESOURCES: &str = "ha/resources.cfg";

/// All managed guests.
///
/// # Errors
/// When the file cannot be read.
pub fn resources() -> Result<Vec<Section>> {
    Ok(parse(&read(RESOURCES)?))
}

fn sid(kind: Kind) -> &'static str {
    if kind == Kind::Ct { "ct" } else { "vm" }
}

fn find(kind: Kind, vmid: u32) -> Result<Option<Section>> {
    Ok(resources()?.into_iter().find(|section| section.kind == sid(kind) && section.id == vmid.to_string()))
}

/// As the API tells it of a guest.
pub fn managed(_sim: &Sim, kind: Kind, vmid: u32) -> Value {
    match find(kind, vmid) {
        Ok(Some(section)) => {
            json!({ "managed": 1, "state": section.values.get("state").map_or("started", String::as_str) })
        }
        _ => json!({ "managed": 0 }),
    }
}

/// Asks the manager to start or stop a guest, if it is managed. Tells whether it is.
///
/// # Errors
/// When the request cannot be written.
pub fn request(sim: &Sim, kind: Kind, vmid: u32, state: &str) -> Result<bool> {
    if find(kind, vmid)?.is_none() {
        return Ok(false);
    }
    let verb = if state == "started" { "hastart" } else { "hastop" };
    task::run(sim, verb, &vmid.to_string(), |task| {
        task.say(&format!(
            "Requesting HA {} for {} {vmid}",
            if state == "started" { "start" } else { "stop" },
            kind.word()
        ));
        change(kind, vmid, |section| {
            section.values.insert("state".to_owned(), state.to_owned());
        })
    })?;
    // the manager comes to it later
    Command::new("setsid")
        .arg(std::env::current_exe()?)
        .args(["manager", kind.api(), &vmid.to_string(), state])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(true)
}

/// Does what the manager was asked.
///
/// # Errors
/// When the guest cannot be started or stopped.
pub fn act(sim: &Sim, kind: &str, vmid: u32, state: &str) -> Result<()> {
    std::thread::sleep(std::time::Duration::from_millis(300));
    let guest = if kind == "lxc" { Kind::Ct } else { Kind::Vm };
    let wanted = find(guest, vmid)?.and_then(|section| section.values.get("state").cloned());
    if wanted.as_deref() != Some(state) {
        return Ok(());
    }
    match (kind, state) {
        ("lxc", "started") if !pct::life::running(vmid) => pct::life::start_now(sim, vmid),
        ("lxc", "stopped") if pct::life::running(vmid) => pct::life::kill(vmid),
        ("qemu", "started") if !qm::life::running(vmid) => qm::life::start_now(sim, vmid),
        ("qemu", "stopped") => qm::life::quit(vmid),
        _ => Ok(()),
    }
}

fn change(kind: Kind, vmid: u32, edit: impl FnOnce(&mut Section)) -> Result<()> {
    let mut sections = resources()?;
    if let Some(section) =
        sections.iter_mut().find(|section| section.kind == sid(kind) && section.id == vmid.to_string())
    {
        edit(section);
    }
    write(RESOURCES, &render(&sections))
}

/// Refuses to destroy a managed guest unless it is purged. Text: PVE::API2::LXC and PVE::API2::Qemu.
///
/// # Errors
/// When it is.
pub fn check_destroy(_sim: &Sim, kind: Kind, vmid: u32, options: &Options) -> Result<()> {
    if find(kind, vmid)?.is_some() && options.flag("purge") != Some(true) {
        return refuse(format!(
            "unable to remove {} {vmid} - used in HA resources and purge parameter not set.",
            kind.word()
        ));
    }
    Ok(())
}

/// Takes a guest out of it.
///
/// # Errors
/// When it cannot be written.
pub fn purge(_sim: &Sim, kind: Kind, vmid: u32) -> Result<()> {
    let mut sections = resources()?;
    let before = sections.len();
    sections.retain(|section| !(section.kind == sid(kind) && section.id == vmid.to_string()));
    if sections.len() < before { write(RESOURCES, &render(&sections)) } else { Ok(()) }
}

/// `ha/status/current`.
///
/// # Errors
/// When a file cannot be read.
pub fn status(sim: &Sim) -> Result<Value> {
    let quorate = sim.node.quorate();
    let mut items = vec![
        json!({ "id": "quorum", "type": "quorum", "node": sim.node.name, "status": if quorate { "OK" } else { "No quorum on node" }, "quorate": u8::from(quorate) }),
        json!({ "id": "master", "type": "master", "node": sim.node.name, "status": format!("{} (active, now)", sim.node.name), "timestamp": now() }),
    ];
    if sim.node.release.name() == "9.2" {
        items.push(json!({ "id": "fencing", "type": "fencing", "node": sim.node.name, "status": "armed", "armed-state": "armed" }));
    }
    let guests = file::all(sim);
    for section in resources()? {
        let sid = format!("{}:{}", section.kind, section.id);
        let state = section.values.get("state").map_or("started", String::as_str);
        let node = section
            .id
            .parse::<u32>()
            .ok()
            .and_then(|vmid| guests.get(&vmid))
            .map_or("", |(_, node)| node.as_str());
        items.push(json!({
            "id": format!("service:{sid}"), "type": "service", "sid": sid, "node": node, "state": state, "crm_state": state,
            "request_state": state, "max_restart": 1, "max_relocate": 1, "status": format!("{sid} ({node}, {state})"),
        }));
    }
    Ok(items.into())
}

/// The managed guests, as `/cluster/ha/resources` has them.
///
/// # Errors
/// When the file cannot be read.
pub fn list() -> Result<Value> {
    let items = resources()?.into_iter().map(|section| {
        let mut item =
            json!({ "sid": format!("{}:{}", section.kind, section.id), "type": section.kind, "digest": "" });
        for (key, value) in section.values {
            item[key] = value.into();
        }
        item
    });
    Ok(items.collect())
}

/// Runs `ha-manager`.
///
/// # Errors
/// With what it says.
pub fn main(sim: &Sim, arguments: &[String]) -> Result<i32> {
    let count =
        if matches!(arguments.first().map(String::as_str), Some("rules" | "crm-command")) { 2 } else { 1 };
    let verb = arguments.get(..count).map(|words| words.join(" ")).unwrap_or_default();
    let command = format!("ha-manager {verb}");
    let Some(call) = sim.table.cli.get(&command) else {
        return Err(Refusal::new(format!("ERROR: unknown command '{command}'")));
    };
    let verb = call.alias.clone().unwrap_or(verb);
    let options = sim.options(&command, &arguments[count..])?;
    sim.before()?;
    if verb != "config" && verb != "status" {
        sim.node.check_quorum()?;
    }
    match verb.as_str() {
        "add" => add(sim, &options)?,
        "set" => set(sim, &options)?,
        "remove" => {
            let (kind, vmid) = resource(sim, &options)?;
            if find(kind, vmid)?.is_none() {
                return refuse(format!("cannot delete service '{}:{vmid}', not HA managed!", sid(kind)));
            }
            purge(sim, kind, vmid)?;
        }
        "config" => {
            for section in resources()? {
                println!("{}:{}", section.kind, section.id);
                for (key, value) in &section.values {
                    println!("\t{key} {value}");
                }
                println!();
            }
        }
        "status" => {
            for item in status(sim)?.as_array().into_iter().flatten() {
                println!(
                    "{} {}",
                    item["type"].as_str().unwrap_or_default(),
                    item["status"].as_str().unwrap_or_default()
                );
            }
        }
        group if group.starts_with("group") => {
            if sim.node.release.major() >= 9 {
                return Err(Refusal::code(2, "invalid parameter: ha groups have been migrated to rules"));
            }
            let mut groups = parse(&read("ha/groups.cfg")?);
            let id = options.get("group").unwrap_or_default().to_owned();
            groups.retain(|section| section.id != id);
            if group != "groupremove" && !id.is_empty() {
                let values = options.all().iter().filter(|(key, _)| {
                    !["group", "node", "digest", "delete", "type"].contains(&key.as_str())
                });
                groups.push(Section {
                    kind: "group".to_owned(),
                    id,
                    values: values.map(|(key, value)| (key.clone(), value.clone())).collect(),
                });
            }
            write("ha/groups.cfg", &render(&groups))?;
        }
        rules if rules.starts_with("rules") => rule(sim, rules, &options)?,
        _ => {}
    }
    Ok(0)
}

fn resource(sim: &Sim, options: &Options) -> Result<(Kind, u32)> {
    let text = options.need("sid");
    let (kind, id) = text.split_once(':').map_or((None, text), |(kind, id)| (Some(kind), id));
    let vmid: u32 = id.parse().unwrap_or_default();
    let real = file::all(sim).get(&vmid).map(|(kind, _)| *kind);
    let kind = match (kind, real) {
        (Some("ct"), _) => Kind::Ct,
        (Some(_), _) => Kind::Vm,
        (None, Some(kind)) => kind,
        (None, None) => return refuse(format!("unable to find service '{vmid}'")),
    };
    Ok((kind, vmid))
}

fn add(sim: &Sim, options: &Options) -> Result<()> {
    let (kind, vmid) = resource(sim, options)?;
    let real = file::all(sim).get(&vmid).map(|(kind, _)| *kind);
    // only 9 looks what kind of guest the id is
    if sim.node.release.major() >= 9 && real.is_some_and(|real| real != kind) {
        return Err(Refusal::code(
            17,
            format!("unable to add resource '{}:{vmid}', VM is a container", sid(kind)),
        ));
    }
    if real.is_none() {
        return refuse(format!("cannot add service '{}:{vmid}', no such guest", sid(kind)));
    }
    if find(kind, vmid)?.is_some() {
        return refuse(format!("resource ID '{}:{vmid}' already defined", sid(kind)));
    }
    if options.get("group").is_some() && sim.node.release.major() >= 9 {
        return refuse("invalid parameter 'group': ha groups have been migrated to rules");
    }
    let mut sections = resources()?;
    let values = options.all().iter().filter(|(key, _)| !["sid", "node", "type"].contains(&key.as_str()));
    let mut values: std::collections::BTreeMap<String, String> =
        values.map(|(key, value)| (key.clone(), value.clone())).collect();
    values.entry("state".to_owned()).or_insert_with(|| "started".to_owned());
    sections.push(Section { kind: sid(kind).to_owned(), id: vmid.to_string(), values });
    write(RESOURCES, &render(&sections))
}

fn set(sim: &Sim, options: &Options) -> Result<()> {
    let (kind, vmid) = resource(sim, options)?;
    if find(kind, vmid)?.is_none() {
        return refuse(format!("no such resource '{}:{vmid}'", sid(kind)));
    }
    change(kind, vmid, |section| {
        for (key, value) in options.all() {
            if !["sid", "node", "type", "digest", "delete"].contains(&key.as_str()) {
                section.values.insert(key.clone(), value.clone());
            }
        }
    })
}

fn rule(sim: &Sim, verb: &str, options: &Options) -> Result<()> {
    let mut rules = parse(&read("ha/rules.cfg")?);
    let id = options.get("rule").unwrap_or_default().to_owned();
    match verb {
        "rules list" | "rules config" => {
            let items: Vec<Value> = rules.iter().map(|rule| json!({ "rule": rule.id, "type": rule.kind, "resources": rule.values.get("resources") })).collect();
            println!("{}", Value::from(items));
            return Ok(());
        }
        "rules remove" => rules.retain(|rule| rule.id != id),
        _ => {
            for resource in options.get("resources").unwrap_or_default().split(',') {
                let known =
                    resources()?.iter().any(|section| format!("{}:{}", section.kind, section.id) == resource);
                if !known {
                    return refuse(format!("cannot use unmanaged resource(s) {resource}."));
                }
            }
            rules.retain(|rule| rule.id != id);
            let values = options
                .all()
                .iter()
                .filter(|(key, _)| !["rule", "node", "type", "digest", "delete"].contains(&key.as_str()));
            let values = values.map(|(key, value)| (key.clone(), value.clone())).collect();
            rules.push(Section { kind: options.need("type").to_owned(), id, values });
        }
    }
    let _ = sim;
    write("ha/rules.cfg", &render(&rules))
}
