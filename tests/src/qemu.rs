//! A virtual machine that a test starts itself, from a finished `.qcow2`, without the product: what an image does under another hypervisor.
//!
//! * [`firmware`]: SeaBIOS, UEFI, UEFI with Secure Boot
//! * [`agent`]: the guest agent's channel
//! * [`seed`]: the disk that cloud-init reads
//! * [`node`]: a Debian that is a node by itself

mod agent;
mod firmware;
mod node;
mod seed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use anyhow::{Context, Result};
use smbgw_command::Command;

pub use self::firmware::Firmware;
pub use self::node::{Node, NodeImage};
use crate::{Answer, Daemon, files};

/// Until the guest agent answers, under emulation and on a busy machine; on a quiet one it takes half a minute or so.
const BOOT: Duration = Duration::from_secs(600);
/// For one command in the guest.
const COMMAND: Duration = Duration::from_secs(120);

/// A running machine. When it is dropped, it and its files are gone.
#[derive(Debug)]
pub struct Machine {
    daemon: Option<Daemon>,
    directory: PathBuf,
}

impl Machine {
    /// Boots an image: a root disk over it that is larger, 512 MiB of memory, a network that leads nowhere, and `name` as its host name.
    /// Its files lie in `directory`, which must be new.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn boot(image: &Path, directory: &Path, name: &str, disk: &str, firmware: Firmware) -> Result<Self> {
        files::directory(directory, 0)?;
        let mut machine = Self { daemon: None, directory: directory.to_owned() };
        let at = |name: &str| directory.join(name).display().to_string();
        let root = at("root.qcow2");
        let new = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"];
        let image = image.canonicalize().with_context(|| format!("no image {}", image.display()))?;
        let make = Command::new("qemu-img").args(new).arg(image.display().to_string()).args([&root, disk]);
        Answer::of(&make)?.ok()?;
        fs::write(directory.join("seed.img"), seed::image(name)?)?;
        let mut command = Process::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512"])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(firmware.arguments(directory)?)
            .args(["-serial", &format!("file:{}", at("console.log"))])
            .args(["-drive", &format!("file={root},if=none,id=root,format=qcow2,cache=unsafe")])
            .args(["-device", "virtio-blk-pci,drive=root,bootindex=0"])
            .args(["-drive", &format!("file={},if=none,id=seed,format=raw,readonly=on", at("seed.img"))])
            .args(["-device", "virtio-blk-pci,drive=seed"])
            .args(["-device", "virtio-serial-pci,id=serial"])
            .args(["-chardev", &format!("socket,id=qga,path={},server=on,wait=off", at(agent::SOCKET))])
            .args(["-device", "virtserialport,bus=serial.0,chardev=qga,name=org.qemu.guest_agent.0"])
            .args(["-netdev", "user,id=net,restrict=on"])
            .args(["-device", &format!("virtio-net-pci,netdev=net,mac={},romfile=", seed::MAC)])
            .args(["-device", "virtio-rng-pci"]);
        machine.daemon = Some(Daemon::start(&mut command, &directory.join("qemu.log"))?);
        Ok(machine)
    }

    /// Waits until the guest agent answers.
    ///
    /// # Errors
    /// When QEMU ends or the agent does not answer in time: with the end of the console.
    pub fn wait_agent(&mut self) -> Result<()> {
        let directory = self.directory.clone();
        let daemon = self.daemon.as_mut().context("it does not run")?;
        let answers = || agent::Channel::open(&directory, Duration::from_secs(5)).ok().map(|_| ());
        let waited = daemon.wait_for("the guest agent", BOOT, answers);
        waited.with_context(|| format!("the end of the console:\n{}", tail(&self.console(), 30)))
    }

    /// Runs a program in the guest, as root, to its end.
    ///
    /// # Errors
    /// When the guest agent does not answer, or the program does not end in time.
    pub fn run<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        let args: Vec<&str> = args.into_iter().collect();
        agent::Channel::open(&self.directory, COMMAND)?.run(program, &args, COMMAND)
    }

    /// Runs a script of `sh` in the guest, as root.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn shell(&self, script: &str) -> Result<Answer> {
        self.run("/bin/sh", ["-c", script])
    }

    /// What the serial console has shown so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("console.log")).unwrap_or_default())
            .into_owned()
    }

    /// The process id of QEMU.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// Ends QEMU, not the guest, and removes the files.
    ///
    /// # Errors
    /// When it does not end.
    pub fn quit(mut self) -> Result<()> {
        self.daemon.take().context("it does not run")?.stop()?;
        fs::remove_dir_all(&self.directory).with_context(|| format!("removing {}", self.directory.display()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.daemon.take());
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Runs a program in a guest whose guest agent's channel lies in `directory`.
///
/// # Errors
/// As [`Machine::run`].
pub fn run_in<'a>(
    directory: &Path,
    program: &str,
    args: impl IntoIterator<Item = &'a str>,
) -> Result<Answer> {
    let args: Vec<&str> = args.into_iter().collect();
    agent::Channel::open(directory, COMMAND)?.run(program, &args, COMMAND)
}

/// The last lines.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
