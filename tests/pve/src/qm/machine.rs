//! What runs beside a machine: it makes the network cards, starts virtiofsd and QEMU, waits for QEMU's end, and clears up, as
//! qmeventd and the service manager do on a real node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arguments::{self, Shared};
use super::drive::Drive;
use super::monitor::{Monitor, RUN};
use crate::command::run;
use crate::config::Config;
use crate::config::property::{keys, read};
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{allocate, volume};
use crate::{mapping, pct};

/// Where virtiofsd may be.
const VIRTIOFSD: &[&str] = &["/usr/libexec/virtiofsd", "/usr/local/libexec/virtiofsd"];

/// What is to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    vmid: u32,
    /// Network cards of the node, and their bridges.
    taps: Vec<(String, String)>,
    /// Arguments of each virtiofsd, the program first, and the socket that it makes.
    daemons: Vec<(Vec<String>, String)>,
    /// Program and arguments.
    pub qemu: Vec<String>,
}

impl Plan {
    /// Of a configuration.
    ///
    /// # Errors
    /// When a volume or directory is nowhere.
    pub fn of(sim: &Sim, vmid: u32, config: &Config) -> Result<Self> {
        let mut taps = Vec::new();
        let mut numbers = Vec::new();
        for (key, text) in config.family("net") {
            let pairs = keys(&sim.table, "qm set", &key).map(|keys| read(keys, &text)).unwrap_or_default();
            let number: u32 = key[3..].parse().unwrap_or_default();
            let tap = format!("tap{vmid}i{number}");
            if let Some(bridge) = pairs.get("bridge") {
                taps.push((tap.clone(), bridge.clone()));
                numbers.push((number, tap));
            }
        }
        let (mut daemons, mut shared) = (Vec::new(), Vec::new());
        for (key, text) in config.family("virtiofs") {
            let pairs = keys(&sim.table, "qm set", &key).map(|keys| read(keys, &text)).unwrap_or_default();
            let tag = pairs.get("dirid").cloned().unwrap_or_default();
            let directory = mapping::here(sim, &tag)?;
            let index: u32 = key["virtiofs".len()..].parse().unwrap_or_default();
            let socket = format!("{RUN}/{vmid}.virtiofs{index}");
            let program = VIRTIOFSD.iter().find(|program| Path::new(program).exists());
            let program = program
                .ok_or_else(|| Refusal::new("virtiofsd: command not found, install the package virtiofsd"))?;
            let mut words = vec![
                (*program).to_owned(),
                format!("--socket-path={socket}"),
                "--shared-dir".to_owned(),
                directory,
            ];
            words.push("--announce-submounts".to_owned());
            if let Some(cache) = pairs.get("cache") {
                words.push(format!("--cache={cache}"));
            }
            let is = |name: &str| pairs.get(name).is_some_and(|text| text == "1");
            if is("expose-acl") {
                words.push("--posix-acl=always".to_owned());
            }
            if is("expose-acl") || is("expose-xattr") {
                words.push("--xattr".to_owned());
            }
            if is("direct-io") {
                words.push("--allow-direct-io".to_owned());
            }
            daemons.push((words, socket));
            shared.push(Shared { tag, index });
        }
        let mut qemu = vec!["qemu-system-x86_64".to_owned()];
        qemu.extend(arguments::qemu(sim, vmid, config, &shared, &numbers)?);
        Ok(Self { vmid, taps, daemons, qemu })
    }

    fn cgroup(&self) -> PathBuf {
        PathBuf::from(format!("/sys/fs/cgroup/qemu.slice/{}.scope", self.vmid))
    }
}

/// Runs a machine to its end: `pve-sim machine FILE`.
///
/// # Errors
/// When it cannot be started.
pub fn main(file: &str) -> anyhow::Result<i32> {
    let plan: Plan = serde_json::from_str(&fs::read_to_string(file)?)?;
    let cgroup = plan.cgroup();
    let _ = fs::create_dir_all(&cgroup);
    let _ = fs::write(cgroup.join("cgroup.procs"), "0");
    let mut children = Vec::new();
    let result = together(&plan, &mut children);
    for child in &mut children {
        let _ = child.kill();
        let _ = child.wait();
    }
    for (tap, _) in &plan.taps {
        let _ = Command::new("ip").args(["link", "delete", tap]).stderr(Stdio::null()).status();
    }
    for end in ["pid", "qmp", "qga", "serial0"] {
        let _ = fs::remove_file(format!("{RUN}/{}.{end}", plan.vmid));
    }
    for (_, socket) in &plan.daemons {
        let _ = fs::remove_file(socket);
        let _ = fs::remove_file(format!("{socket}.pid"));
    }
    let _ = fs::write("/sys/fs/cgroup/init.scope/cgroup.procs", "0");
    let _ = fs::remove_dir(&cgroup);
    let _ = fs::remove_dir("/sys/fs/cgroup/qemu.slice");
    // whoever waits for the end looks for this
    let _ = fs::remove_file(file);
    result.map_err(|refusal| anyhow::anyhow!(refusal.text))
}

fn together(plan: &Plan, children: &mut Vec<Child>) -> Result<i32> {
    for (tap, bridge) in &plan.taps {
        run("ip", ["tuntap", "add", "mode", "tap", tap])?;
        run("ip", ["link", "set", tap, "master", bridge, "up"])?;
    }
    for (words, socket) in &plan.daemons {
        children.push(Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).spawn()?);
        let end = Instant::now() + Duration::from_secs(10);
        while !Path::new(socket).exists() {
            if Instant::now() > end {
                return refuse("virtiofsd did not make its socket");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let mut qemu = Command::new(&plan.qemu[0]).args(&plan.qemu[1..]).stdin(Stdio::null()).spawn()?;
    let status = qemu.wait()?;
    Ok(status.code().unwrap_or(1))
}

/// Puts a disk into a running machine.
///
/// # Errors
/// When QEMU refuses.
pub fn plug(sim: &Sim, vmid: u32, drive: &Drive) -> Result<()> {
    if !drive.key.starts_with("scsi") || !drive.is_volume() {
        return refuse(format!("hotplug problem - can't plug {}", drive.key));
    }
    let (key, index) = (&drive.key, drive.index());
    let path = volume::locate(sim, drive.file())?;
    let mut monitor = Monitor::open(vmid)?;
    monitor.ask(
        "blockdev-add",
        json!({
            "driver": allocate::really(&path)?, "node-name": format!("drive-{key}"), "discard": "unmap",
            "file": { "driver": "file", "filename": path },
        }),
    )?;
    let controller = format!("virtioscsi{index}");
    // a machine with one controller for all has it already
    let bus = match monitor.ask("device_add", json!({ "driver": "virtio-scsi-pci", "id": controller })) {
        Ok(_) => format!("{controller}.0"),
        Err(_) => "scsihw0.0".to_owned(),
    };
    let mut device = json!({ "driver": "scsi-hd", "bus": bus, "id": key, "drive": format!("drive-{key}") });
    if let Some(serial) = drive.pairs.get("serial") {
        device["serial"] = serial.as_str().into();
    }
    if sim.node.release.major() >= 9 {
        device["device_id"] = format!("drive-{key}").into();
    }
    monitor.ask("device_add", device).map(drop)
}

/// Takes a disk out of a running machine.
///
/// # Errors
/// When QEMU refuses.
pub fn unplug(vmid: u32, drive: &Drive) -> Result<()> {
    let mut monitor = Monitor::open(vmid)?;
    monitor.ask("device_del", json!({ "id": drive.key }))?;
    let node = format!("drive-{}", drive.key);
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match monitor.ask("blockdev-del", json!({ "node-name": node })) {
            Ok(_) => return Ok(()),
            Err(refusal) if Instant::now() > end => {
                return refuse(format!("error unplugging device '{}': {}", drive.key, refusal.text));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Makes a disk of a running machine larger.
///
/// # Errors
/// When QEMU refuses.
pub fn resize(vmid: u32, drive: &Drive, size: u64) -> Result<()> {
    let device = format!("drive-{}", drive.key);
    let mut monitor = Monitor::open(vmid)?;
    monitor
        .ask("block_resize", json!({ "device": device, "size": size }))
        .or_else(|_| monitor.ask("block_resize", json!({ "node-name": device, "size": size })))
        .map(drop)
}

/// Ends every guest of this node: when the node ends.
pub fn stop_all() {
    for entry in fs::read_dir(RUN).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(vmid) = name.strip_suffix(".pid").and_then(|id| id.parse().ok()) {
            let _ = super::life::quit(vmid);
        }
    }
    for entry in fs::read_dir(pct::life::LXC).into_iter().flatten().flatten() {
        if let Ok(vmid) = entry.file_name().to_string_lossy().parse()
            && pct::life::running(vmid)
        {
            let _ = pct::life::kill(vmid);
        }
    }
}
