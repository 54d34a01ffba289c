//! `config`, `status`, `list`, `pending`. Sources: PVE::CLI::pct, PVE::CLI::qm, PVE::CLIFormatter.

use serde_json::Value;

use super::{facts, running};
use crate::config::parse::encode;
use crate::config::{Kind, file};
use crate::options::Options;
use crate::refusal::Result;
use crate::sim::Sim;

/// `config`: what will hold, or with `--current` what holds.
///
/// # Errors
/// When there is no such guest.
pub fn config(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let (config, _) = file::load(sim, kind, options.vmid())?;
    let mut values = config.now.values.clone();
    if options.flag("current") != Some(true) {
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
    if let Some(description) = &config.now.description {
        // encoded as a whole, its line ends too
        let text: String = description
            .split_inclusive('\n')
            .map(|line| {
                let end = if line.ends_with('\n') { "%0A" } else { "" };
                format!("{}{end}", encode(line.trim_end_matches('\n')))
            })
            .collect();
        values.insert("description".to_owned(), text);
    }
    for (key, value) in values {
        println!("{key}: {value}");
    }
    for (key, value) in &config.now.raw {
        println!("{key}: {value}");
    }
    Ok(())
}

/// `status`.
///
/// # Errors
/// When there is no such guest.
pub fn status(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let (config, _) = file::load(sim, kind, vmid)?;
    if options.flag("verbose") != Some(true) {
        println!("status: {}", if running(kind, vmid) { "running" } else { "stopped" });
        return Ok(());
    }
    let status = facts::status(sim, &sim.node.name, kind, vmid, &config);
    for (key, value) in status.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) | Value::Array(_) => {}
            Value::String(text) => println!("{key}: {text}"),
            other => println!("{key}: {other}"),
        }
    }
    Ok(())
}

/// `pct list`.
///
/// # Errors
/// When a file cannot be read.
pub fn containers(sim: &Sim) -> Result<()> {
    let own = own(sim, Kind::Ct);
    if own.is_empty() {
        return Ok(());
    }
    println!("{:<10} {:<10} {:<12} {:<20}", "VMID", "Status", "Lock", "Name");
    for vmid in own {
        let (config, _) = file::load(sim, Kind::Ct, vmid)?;
        let status = if running(Kind::Ct, vmid) { "running" } else { "stopped" };
        println!(
            "{vmid:<10} {status:<10} {:<12} {:<20}",
            config.get("lock").unwrap_or_default(),
            config.name(Kind::Ct, vmid)
        );
    }
    Ok(())
}

/// `qm list`.
///
/// # Errors
/// When a file cannot be read.
pub fn machines(sim: &Sim) -> Result<()> {
    let own = own(sim, Kind::Vm);
    if own.is_empty() {
        return Ok(());
    }
    println!(
        "{:>10} {:<20} {:<10} {:<10} {:>12} {:<10}",
        "VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID"
    );
    for vmid in own {
        let (config, _) = file::load(sim, Kind::Vm, vmid)?;
        let status = if running(Kind::Vm, vmid) { "running" } else { "stopped" };
        let pid = crate::qm::life::pid(vmid).unwrap_or(0);
        let memory = config.get("memory").unwrap_or("512");
        println!(
            "{vmid:>10} {:<20} {status:<10} {memory:<10} {:>12.2} {pid:<10}",
            config.name(Kind::Vm, vmid),
            0.0
        );
    }
    Ok(())
}

fn own(sim: &Sim, kind: Kind) -> Vec<u32> {
    file::all(sim)
        .into_iter()
        .filter(|(_, (other, node))| *other == kind && *node == sim.node.name)
        .map(|(vmid, _)| vmid)
        .collect()
}

/// `pending`.
///
/// # Errors
/// When there is no such guest.
pub fn pending(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let (config, _) = file::load(sim, kind, options.vmid())?;
    for item in facts::pending(&config).as_array().into_iter().flatten() {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let key = text("key");
        if item.get("delete").is_some() {
            println!("del {key}: {}", text("value"));
        } else if item.get("pending").is_some() {
            println!("cur {key}: {}", text("value"));
            println!("new {key}: {}", text("pending"));
        } else {
            println!("cur {key}: {}", text("value"));
        }
    }
    Ok(())
}
