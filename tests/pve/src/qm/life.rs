//! Machines run: start, stop, shutdown, reboot. Source: PVE::API2::Qemu, PVE::QemuServer `vm_start`, `vm_stop`.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::monitor::{Monitor, RUN};
use super::{agent, arguments, change, check_movable, cloudinit, machine};
use crate::config::{Kind, file};
use crate::ha;
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::task;

/// Whether a machine runs: its process is there. Source: PVE::QemuServer::Helpers, `vm_running_locally`.
pub fn running(vmid: u32) -> bool {
    pid(vmid).is_some()
}

/// The process of a machine.
pub fn pid(vmid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("{RUN}/{vmid}.pid")).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    line.contains("qemu-system").then_some(pid)
}

/// `qm start`.
///
/// # Errors
/// When it is refused, or the machine does not start.
pub fn start(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let (config, _) = file::load(sim, Kind::Vm, vmid)?;
    if ha::request(sim, Kind::Vm, vmid, "started")? {
        return Ok(());
    }
    if config.is("template") {
        return refuse("you can't start a vm if it's a template");
    }
    if running(vmid) {
        return refuse(format!("VM {vmid} already running"));
    }
    start_now(sim, vmid)
}

/// Starts without asking the high availability.
///
/// # Errors
/// When the machine does not start.
pub fn start_now(sim: &Sim, vmid: u32) -> Result<()> {
    sim.node.check_quorum()?;
    let lock = file::lock(sim, Kind::Vm, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Vm, vmid)?;
    file::check_lock(Kind::Vm, &config)?;
    task::run(sim, "qmstart", &vmid.to_string(), |task| {
        if change::apply_pending(sim, vmid, &mut config)? {
            file::store(sim, Kind::Vm, vmid, &config)?;
        }
        for (_, text) in config.family("net") {
            arguments::check_bridge(sim, &text)?;
        }
        sim.middle();
        if let Some(drive) = cloudinit::write(sim, vmid, &config)? {
            task.say("generating cloud-init ISO");
            config.set(&drive.key.clone(), drive.print(sim));
            file::store(sim, Kind::Vm, vmid, &config)?;
        }
        let plan = machine::Plan::of(sim, vmid, &config)?;
        launch(vmid, &plan)
    })?;
    drop(lock);
    Ok(())
}

/// Starts the one that runs beside QEMU, not in the caller's process group, and waits until QEMU listens.
fn launch(vmid: u32, plan: &machine::Plan) -> Result<()> {
    fs::create_dir_all(RUN)?;
    let file = format!("{RUN}/{vmid}.plan");
    fs::write(&file, serde_json::to_string(plan).unwrap_or_default())?;
    let log = format!("/var/log/pve/qemu-{vmid}.log");
    let output = fs::File::create(&log)?;
    Command::new("setsid")
        .arg("--fork")
        .arg(std::env::current_exe()?)
        .args(["machine", &file])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .status()?;
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if Monitor::open(vmid).is_ok() {
            return Ok(());
        }
        // it takes the file away at its end
        if !Path::new(&file).exists() || Instant::now() > end {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(Refusal::new(format!("start failed: {}", said.trim())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `qm stop`: at once.
///
/// # Errors
/// When it does not end.
pub fn stop(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    file::load(sim, Kind::Vm, vmid)?;
    if ha::request(sim, Kind::Vm, vmid, "stopped")? {
        return Ok(());
    }
    let lock = file::lock(sim, Kind::Vm, vmid)?;
    task::run(sim, "qmstop", &vmid.to_string(), |_| {
        sim.middle();
        quit(vmid)
    })?;
    drop(lock);
    Ok(())
}

/// Ends QEMU. One that does not run is no error.
///
/// # Errors
/// When it does not end.
pub fn quit(vmid: u32) -> Result<()> {
    if let Ok(mut monitor) = Monitor::open(vmid) {
        let _ = monitor.ask("quit", json!({}));
    }
    gone(vmid, Duration::from_secs(20)).or_else(|_| {
        let pid = pid(vmid).and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        }
        gone(vmid, Duration::from_secs(20))
    })
}

/// Waits until QEMU and what ran beside it are gone.
fn gone(vmid: u32, timeout: Duration) -> Result<()> {
    let end = Instant::now() + timeout;
    while running(vmid) || Path::new(&format!("{RUN}/{vmid}.plan")).exists() {
        if Instant::now() > end {
            return refuse("VM quit/powerdown failed - got timeout");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// `qm shutdown`: by the guest agent if it is enabled and answers, else by ACPI. One that does not run is no error.
///
/// # Errors
/// When it does not end in time.
pub fn shutdown(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let (config, _) = file::load(sim, Kind::Vm, vmid)?;
    if ha::request(sim, Kind::Vm, vmid, "stopped")? {
        return Ok(());
    }
    if !running(vmid) {
        return Ok(());
    }
    let lock = file::lock(sim, Kind::Vm, vmid)?;
    task::run(sim, "qmshutdown", &vmid.to_string(), |_| {
        let by_agent = agent::enabled(&config) && agent::shutdown(vmid).is_ok();
        if !by_agent {
            Monitor::open(vmid)?.ask("system_powerdown", json!({}))?;
        }
        let timeout = options.get("timeout").and_then(|text| text.parse().ok()).unwrap_or(180);
        gone(vmid, Duration::from_secs(timeout)).or_else(|refusal| {
            if options.flag("forceStop") == Some(true) { quit(vmid) } else { Err(refusal) }
        })
    })?;
    drop(lock);
    Ok(())
}

/// `qm reboot`.
///
/// # Errors
/// As shutdown and start.
pub fn reboot(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    if !running(vmid) {
        return refuse(format!("VM {vmid} not running"));
    }
    shutdown(sim, options)?;
    start_now(sim, vmid)
}

/// One command of the control socket.
///
/// # Errors
/// When the machine does not run.
pub fn control(sim: &Sim, options: &Options, command: &str) -> Result<()> {
    let vmid = options.vmid();
    file::load(sim, Kind::Vm, vmid)?;
    Monitor::open(vmid)?.ask(command, json!({})).map(drop)
}

/// `qm suspend`.
///
/// # Errors
/// When the machine does not run, or is to be written to disk and cannot.
pub fn suspend(sim: &Sim, options: &Options) -> Result<()> {
    let (config, _) = file::load(sim, Kind::Vm, options.vmid())?;
    if options.flag("todisk") == Some(true) {
        check_movable(&config)?;
        return refuse("simulated: machines are not written to disk");
    }
    control(sim, options, "stop")
}

/// `qm wait`.
///
/// # Errors
/// When it does not end in time.
pub fn wait(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    file::load(sim, Kind::Vm, vmid)?;
    let timeout = options.get("timeout").and_then(|text| text.parse().ok()).unwrap_or(3600);
    gone(vmid, Duration::from_secs(timeout)).map_err(|_| Refusal::code(1, "got timeout"))
}

/// `qm showcmd`.
///
/// # Errors
/// When there is no such machine.
pub fn show(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let (config, _) = file::load(sim, Kind::Vm, vmid)?;
    let plan = machine::Plan::of(sim, vmid, &config)?;
    println!("{}", plan.qemu.join(" "));
    Ok(())
}
