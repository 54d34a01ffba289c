//! A Debian that is a node by itself: the product runs inside the machine. For what the kernel of the machine outside does not know.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smbgw_command::Command;

use super::{Machine, agent};
use crate::{Answer, Daemon, Product, files};

/// Where the programs and the template are inside.
const LAB: &str = "/mnt/lab";
/// For one run of the host command: a container boots in an emulated machine.
const LONG: Duration = Duration::from_secs(900);

/// The files that it boots from.
#[derive(Debug, Clone)]
pub struct NodeImage {
    /// Where they lie.
    pub directory: PathBuf,
    /// Kernel.
    pub kernel: PathBuf,
    /// Its ram disk.
    pub initrd: PathBuf,
    /// File system of the root.
    pub root: PathBuf,
}

impl NodeImage {
    /// Those of a cache.
    pub fn in_cache(cache: &Path) -> Self {
        let directory = cache.join("node");
        let at = |name: &str| directory.join(name);
        Self { kernel: at("vmlinuz"), initrd: at("initrd"), root: at("root.img"), directory }
    }
}

/// A node that runs, with the product installed.
#[derive(Debug)]
pub struct Node {
    machine: Machine,
}

impl Node {
    /// Boots one whose files lie in `directory`, with empty disks of these sizes in MiB, `/dev/vdc` the first. The node has the
    /// programs and the template `debian-13`.
    ///
    /// # Errors
    /// When it does not boot, or the product cannot be installed.
    pub fn boot(product: &Product, directory: &Path, disks: &[u64]) -> Result<Self> {
        files::directory(directory, 0)?;
        let cache = std::env::var_os("SMBGW_CACHE").context("SMBGW_CACHE is not set")?;
        let image = NodeImage::in_cache(Path::new(&cache));
        ensure!(image.root.exists(), "no {}: run `cargo xtask test --lab`", image.root.display());
        let at = |name: &str| directory.join(name).display().to_string();
        let mut machine = Machine { daemon: None, directory: directory.to_owned() };
        let root = at("root.qcow2");
        let new = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
        let make = Command::new("qemu-img").args(new).arg(image.root.canonicalize()?.display().to_string());
        Answer::of(&make.arg(&root))?.ok()?;
        lab_disk(product, directory)?;
        let mut command = Process::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-machine", "q35"])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .arg("-kernel")
            .arg(&image.kernel)
            .arg("-initrd")
            .arg(&image.initrd)
            .args(["-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 apparmor=0 audit=0 quiet"])
            .args(["-serial", &format!("file:{}", at("console.log"))])
            .args(["-device", "virtio-serial-pci,id=serial"])
            .args(["-chardev", &format!("socket,id=qga,path={},server=on,wait=off", at(agent::SOCKET))])
            .args(["-device", "virtserialport,bus=serial.0,chardev=qga,name=org.qemu.guest_agent.0"])
            .args(["-device", "virtio-rng-pci"])
            .args(["-drive", &format!("file={root},if=virtio,format=qcow2,cache=unsafe")])
            .args(["-drive", &format!("file={},if=virtio,format=raw,readonly=on", at("lab.img"))]);
        for (number, mebibytes) in disks.iter().enumerate() {
            let disk = at(&format!("disk-{number}.img"));
            std::fs::File::create(&disk)?.set_len(mebibytes << 20)?;
            command.args(["-drive", &format!("file={disk},if=virtio,format=raw,cache=unsafe")]);
        }
        machine.daemon = Some(Daemon::start(&mut command, &directory.join("qemu.log"))?);
        machine.wait_agent()?;
        let node = Self { machine };
        node.shell(&format!(
            "set -e; mkdir -p {LAB}; mount -o ro /dev/vdb {LAB}; modprobe bridge; modprobe veth
            install -m 755 {LAB}/pve-smbgateway /usr/local/bin/; pve-smbgateway doctor --fix >/dev/null || true
            pve-smbgateway template install {LAB}/*.tar.zst"
        ))?
        .ok()?;
        Ok(node)
    }

    /// Runs a script of `sh` on the node.
    ///
    /// # Errors
    /// When the guest agent does not answer, or the script does not end in time.
    pub fn shell(&self, script: &str) -> Result<Answer> {
        let script =
            format!("export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8\n{script}");
        agent::Channel::open(&self.machine.directory, LONG)?.run("/bin/sh", &["-c", &script], LONG)
    }

    /// Runs `pve-smbgateway` with these arguments and `--output json`.
    ///
    /// # Errors
    /// As [`Self::shell`].
    pub fn host(&self, line: &str) -> Result<Answer> {
        self.shell(&format!("pve-smbgateway --output json {line}"))
    }

    /// The same, by the build that heeds faults.
    ///
    /// # Errors
    /// As [`Self::shell`].
    pub fn host_with_fault(&self, fault: &str, line: &str) -> Result<Answer> {
        self.shell(&format!("SMBGW_FAULT='{fault}' {LAB}/pve-smbgateway-faults --output json {line}"))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn quit(self) -> Result<()> {
        self.machine.quit()
    }
}

/// A disk with the programs, the template, and what says that it is whole.
fn lab_disk(product: &Product, directory: &Path) -> Result<()> {
    let tree = directory.join("lab");
    files::directory(&tree, 0)?;
    let template = product.template("debian-13")?;
    let folder = template.parent().context("a template without a folder")?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        std::fs::copy(&path, tree.join(path.file_name().context("no name")?))?;
    }
    for (program, name) in
        [("pve-smbgateway", "pve-smbgateway"), ("faults/pve-smbgateway", "pve-smbgateway-faults")]
    {
        std::fs::copy(product.program(program), tree.join(name))?;
    }
    let disk = directory.join("lab.img");
    std::fs::File::create(&disk)?.set_len(400 << 20)?;
    let make = Command::new("mke2fs").args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]);
    Answer::of(&make.arg(tree.display().to_string()).arg(disk.display().to_string()))?.ok()?;
    std::fs::remove_dir_all(&tree)?;
    Ok(())
}
