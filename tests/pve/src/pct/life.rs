//! Containers run: start, stop, shutdown, reboot. Source: PVE::API2::LXC::Status, PVE::LXC `vm_start`, `vm_stop`.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{change, lxc, mount, setup};
use crate::command::run as run_program;
use crate::config::{Kind, file};
use crate::ha;
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::volume;
use crate::task;

/// Where LXC keeps its containers.
pub const LXC: &str = "/var/lib/lxc";

/// How a container is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// At once.
    Kill,
    /// By itself.
    Halt,
}

/// Whether a container runs: its monitor listens. Source: PVE::LXC `check_running`, which looks for the same socket.
pub fn running(vmid: u32) -> bool {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let socket = format!("@{LXC}/{vmid}/command");
    text.lines().any(|line| line.ends_with(&socket))
}

/// The first process of a container, as the node sees it.
pub fn init(vmid: u32) -> Option<u32> {
    let text = crate::command::output("lxc-info", ["-P", LXC, "-n", &vmid.to_string(), "-pH"]).ok()?;
    text.trim().parse().ok()
}

/// `pct start`.
///
/// # Errors
/// When it is refused, or the container does not start.
pub fn start(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let (config, _) = file::load(sim, Kind::Ct, vmid)?;
    if running(vmid) {
        return refuse(format!("CT {vmid} already running"));
    }
    if ha::request(sim, Kind::Ct, vmid, "started")? {
        return Ok(());
    }
    if config.is("template") {
        return refuse("you can't start a CT if it's a template");
    }
    start_now(sim, vmid)
}

/// Starts without asking the high availability.
///
/// # Errors
/// When the container does not start.
pub fn start_now(sim: &Sim, vmid: u32) -> Result<()> {
    let lock = file::lock(sim, Kind::Ct, vmid)?;
    let (mut config, _) = file::load(sim, Kind::Ct, vmid)?;
    file::check_lock(Kind::Ct, &config)?;
    task::run(sim, "vzstart", &vmid.to_string(), |task| {
        if change::apply_pending(sim, vmid, &mut config)? {
            file::store(sim, Kind::Ct, vmid, &config)?;
        }
        sim.middle();
        let failed = |why: &str| {
            // the reason is in a log that nobody shows
            let _ = fs::write(format!("/run/lxc/pct-{vmid}.stderr"), why);
            let lines = format!(
                "run_buffer: 322 Script exited with status 2\nlxc_init: 844 Failed to run lxc.hook.pre-start for container \"{vmid}\"\n\
                 __lxc_start: 2027 Failed to initialize container \"{vmid}\"\nstartup for container '{vmid}' failed"
            );
            Refusal::new(lines)
        };
        fs::create_dir_all("/run/lxc")?;
        if sim.node.check_quorum().is_err() {
            return Err(failed("cluster not ready - no quorum?"));
        }
        let mounts = mount::all(sim, &config);
        for mount in &mounts {
            if mount.source() == mount::Source::Bind {
                mount::check_directory(mount.volume()).map_err(|refusal| failed(&refusal.text))?;
            }
        }
        let root = mounts
            .iter()
            .find(|mount| mount.key == "rootfs")
            .map(|mount| volume::locate(sim, mount.volume()));
        let root =
            root.transpose()?.filter(|root| root.is_dir()).ok_or_else(|| failed("no root file system"))?;
        setup::each_start(&config, &root).map_err(|refusal| failed(&refusal.text))?;
        let directory = Path::new(LXC).join(vmid.to_string());
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("config"), lxc::render(sim, vmid, &config, &root)?)?;
        launch(vmid, &directory).map_err(|refusal| {
            eprintln!("{}", refusal.text);
            Refusal::new(format!("startup for container '{vmid}' failed"))
        })?;
        let _ = task;
        Ok(())
    })?;
    drop(lock);
    Ok(())
}

/// Starts LXC as a service manager would: not in the caller's process group, nor with its files.
fn launch(vmid: u32, directory: &Path) -> Result<()> {
    let log = directory.join("log");
    let _ = fs::remove_file(&log);
    let status = Command::new("setsid")
        .args(["--wait", "lxc-start", "-P", LXC, "-n", &vmid.to_string(), "-d", "-l", "INFO", "-o"])
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .status()?;
    if status.success() && running(vmid) {
        return Ok(());
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let errors: Vec<&str> = text.lines().filter(|line| line.contains(" ERROR ")).take(12).collect();
    Err(Refusal::new(errors.join("\n")))
}

/// `pct stop`, `pct shutdown`.
///
/// # Errors
/// When it does not run, or does not stop in time.
pub fn stop(sim: &Sim, options: &Options, way: Way) -> Result<()> {
    let vmid = options.vmid();
    let (config, _) = file::load(sim, Kind::Ct, vmid)?;
    if !running(vmid) {
        return refuse(format!("CT {vmid} not running"));
    }
    if ha::request(sim, Kind::Ct, vmid, "stopped")? {
        return Ok(());
    }
    file::check_lock(Kind::Ct, &config)?;
    let lock = file::lock(sim, Kind::Ct, vmid)?;
    let kind = if way == Way::Kill { "vzstop" } else { "vzshutdown" };
    task::run(sim, kind, &vmid.to_string(), |_| {
        sim.middle();
        if way == Way::Kill {
            return kill(vmid);
        }
        let timeout = options.get("timeout").and_then(|text| text.parse().ok()).unwrap_or(60);
        halt(vmid, Duration::from_secs(timeout)).or_else(|refusal| {
            if options.flag("forceStop") == Some(true) { kill(vmid) } else { Err(refusal) }
        })
    })?;
    drop(lock);
    Ok(())
}

/// Ends a container at once.
///
/// # Errors
/// When it does not end.
pub fn kill(vmid: u32) -> Result<()> {
    run_program("lxc-stop", ["-P", LXC, "-n", &vmid.to_string(), "--kill"])?;
    gone(vmid, Duration::from_secs(30))
}

fn halt(vmid: u32, timeout: Duration) -> Result<()> {
    let seconds = timeout.as_secs().to_string();
    run_program("lxc-stop", ["-P", LXC, "-n", &vmid.to_string(), "--nokill", "--timeout", &seconds])?;
    gone(vmid, Duration::from_secs(5))
}

fn gone(vmid: u32, timeout: Duration) -> Result<()> {
    let end = Instant::now() + timeout;
    while running(vmid) {
        if Instant::now() > end {
            return refuse(format!("command 'lxc-stop -n {vmid}' failed: still running"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// `pct reboot`: down, what waited comes into force, up.
///
/// # Errors
/// As stop and start.
pub fn reboot(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    file::load(sim, Kind::Ct, vmid)?;
    if !running(vmid) {
        return refuse(format!("CT {vmid} not running"));
    }
    let timeout = options.get("timeout").and_then(|text| text.parse().ok()).unwrap_or(60);
    halt(vmid, Duration::from_secs(timeout)).or_else(|_| kill(vmid))?;
    start_now(sim, vmid)
}
