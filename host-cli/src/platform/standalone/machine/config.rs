//! How QEMU and virtiofsd are started (pure). Options: qemu-system-x86_64(1) of QEMU 7.2 to 10, virtiofsd 1.10 to 1.14.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use smbgw_api::v1::{DISK_SERIAL, Storage};
use smbgw_api::{DiskSource, Firmware};

use crate::Result;
use crate::record::{GuestForm, GuestMount, GuestPlan};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU, some ten times slower.
    Tcg,
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg (software emulation)",
        })
    }
}

/// Where the files of a machine are, all in its own directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// Of the machine in this directory.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Its plan, as the platform wrote it.
    pub fn plan(&self) -> PathBuf {
        self.directory.join("machine.json")
    }

    /// Its root disk, over the template's.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root.qcow2")
    }

    /// What cloud-init reads.
    pub fn seed(&self) -> PathBuf {
        self.directory.join("seed.img")
    }

    /// What the firmware remembers.
    pub fn variables(&self) -> PathBuf {
        self.directory.join("uefi-variables.fd")
    }

    /// What QEMU, virtiofsd and their supervisor said.
    pub fn log(&self) -> PathBuf {
        self.directory.join("machine.log")
    }

    /// What the guest's kernel said.
    pub fn console(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    /// QEMU's own control socket.
    pub fn control(&self) -> PathBuf {
        self.directory.join("qmp.sock")
    }

    /// The guest agent's channel.
    pub fn channel(&self) -> PathBuf {
        self.directory.join("qga.sock")
    }

    /// By which we take turns at it.
    pub fn channel_lock(&self) -> PathBuf {
        self.directory.join("qga.lock")
    }

    /// There once the guest agent has answered in this run of the machine.
    pub fn seen(&self) -> PathBuf {
        self.directory.join("qga.seen")
    }

    /// Socket between QEMU and the virtiofsd of one mount. Unix sockets have short names, tags are long.
    pub fn mount(&self, index: usize) -> PathBuf {
        self.directory.join(format!("fs{index}.sock"))
    }
}

/// Firmware files of Debian's `ovmf`, with Microsoft's keys: code and the variables to begin with.
pub const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"];

/// The processor that is emulated: x86-64-v2 with AES, which signing uses. What it has more under `max` (AVX) is used by
/// every program there is and slow to emulate: booting took a quarter longer.
const EMULATED: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+aes,+pclmulqdq";

/// Arguments of virtiofsd for one mount.
pub fn virtiofsd(files: &Files, index: usize, mount: &GuestMount) -> Vec<String> {
    vec![
        format!("--socket-path={}", files.mount(index).display()),
        "--shared-dir".into(),
        mount.source.to_string(),
        // Windows ACLs and attributes live in extended attributes; implies --xattr
        "--posix-acl=always".into(),
        // file systems below the directory are told apart
        "--announce-submounts".into(),
        // others on the node may write in the same tree: what the guest knows of it is old after a second at most
        "--cache=auto".into(),
        "--log-level=warn".into(),
    ]
}

/// Arguments of QEMU.
///
/// # Errors
/// For what is no virtual machine.
pub fn qemu(guest: &GuestPlan, files: &Files, tap: &str, accelerator: Accelerator) -> Result<Vec<String>> {
    let mut args = Arguments::default();
    let (firmware, disk) = match &guest.form {
        GuestForm::Machine { firmware, disk } => (*firmware, disk.as_ref()),
        _ => (Firmware::Bios, None),
    };
    let memory = guest.memory()?.bytes() >> 20;
    args.add("-name", format!("guest={}", guest.name));
    args.flags(&["-nodefaults", "-no-user-config"]);
    args.add("-display", "none");
    args.add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny");
    args.add("-object", format!("memory-backend-memfd,id=memory,size={memory}M,share=on"));
    let (name, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", EMULATED),
    };
    args.add("-accel", name);
    // secure firmware keeps its variables from the guest by system management mode
    let smm = if firmware == Firmware::Uefi { ",smm=on" } else { ",smm=off" };
    args.add("-machine", format!("q35,memory-backend=memory,usb=off,vmport=off{smm}"));
    args.add("-cpu", cpu);
    args.add("-smp", guest.cores.unwrap_or(crate::record::MACHINE_CORES).to_string());
    args.add("-m", format!("{memory}M"));
    args.add("-rtc", "base=utc,driftfix=slew");
    args.add("-device", "virtio-rng-pci");
    uefi(&mut args, firmware, files);

    args.add("-chardev", socket("control", &files.control()));
    args.add("-mon", "chardev=control,mode=control");
    args.add("-chardev", format!("file,id=console,path={}", comma(&files.console())));
    args.add("-serial", "chardev:console");
    args.add("-device", "virtio-serial-pci,id=serial");
    args.add("-chardev", socket("qga", &files.channel()));
    args.add("-device", "virtserialport,bus=serial.0,chardev=qga,id=qga-port,name=org.qemu.guest_agent.0");

    args.add("-device", "virtio-scsi-pci,id=scsi");
    args.block(&json!({
        "driver": "qcow2", "node-name": "root", "discard": "unmap", "detect-zeroes": "unmap",
        "file": { "driver": "file", "filename": files.root() },
    }));
    args.add("-device", "scsi-hd,bus=scsi.0,scsi-id=0,drive=root,serial=smbgw-root,bootindex=0");
    args.block(&json!({
        "driver": "raw", "node-name": "seed", "read-only": true,
        "file": { "driver": "file", "filename": files.seed(), "read-only": true },
    }));
    args.add("-device", "scsi-hd,bus=scsi.0,scsi-id=1,drive=seed,serial=smbgw-seed");
    if let Some(disk) = disk {
        args.block(&json!({
            "driver": "raw", "node-name": DATA, "discard": "unmap", "file": blocks(disk),
        }));
        args.add("-device", format!("scsi-hd,bus=scsi.0,scsi-id=2,drive={DATA},serial={DISK_SERIAL}"));
    }

    args.add("-netdev", format!("tap,id=net,ifname={tap},script=no,downscript=no"));
    // without a boot ROM: it never boots from the network
    args.add("-device", format!("virtio-net-pci,netdev=net,mac={},romfile=", guest.network()?.mac));
    for (index, mount) in guest.mounts.iter().enumerate() {
        let tag = Storage::tag(&guest.name, &mount.share);
        args.add("-chardev", format!("socket,id=fs{index},path={}", comma(&files.mount(index))));
        args.add("-device", format!("vhost-user-fs-pci,queue-size=1024,chardev=fs{index},tag={tag}"));
    }
    Ok(args.list)
}

/// Name of the data disk's block node, by which it is resized.
pub const DATA: &str = "data";

/// The blocks of a data disk, as QEMU is told (`-blockdev`, qemu-img's `json:`).
pub fn blocks(source: &DiskSource) -> Value {
    match source {
        DiskSource::File(path) if Path::new(path.as_str()).starts_with("/dev") => {
            json!({ "driver": "host_device", "filename": path.as_str() })
        }
        DiskSource::File(path) => json!({ "driver": "file", "filename": path.as_str() }),
        DiskSource::Rbd { image, user } => {
            let (pool, namespace, image) = image.parts();
            let mut rbd = json!({
                "driver": "rbd", "pool": pool, "image": image, "conf": "/etc/ceph/ceph.conf",
            });
            if let Some(namespace) = namespace {
                rbd["namespace"] = namespace.into();
            }
            if let Some(user) = user {
                rbd["user"] = user.as_str().into();
            }
            rbd
        }
        // refused before: this platform has no storages
        DiskSource::Volume(volume) => json!({ "driver": "file", "filename": volume.as_str() }),
    }
}

fn uefi(args: &mut Arguments, firmware: Firmware, files: &Files) {
    if firmware != Firmware::Uefi {
        return;
    }
    args.add("-global", "driver=cfi.pflash01,property=secure,value=on");
    args.add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={}", OVMF[0]));
    args.add("-drive", format!("if=pflash,unit=1,format=raw,file={}", comma(&files.variables())));
}

fn socket(id: &str, path: &Path) -> String {
    format!("socket,id={id},path={},server=on,wait=off", comma(path))
}

/// QEMU's options are separated by commas; one in a value is written twice.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[derive(Default)]
struct Arguments {
    list: Vec<String>,
}

impl Arguments {
    fn flags(&mut self, flags: &[&str]) {
        self.list.extend(flags.iter().map(|&flag| flag.to_owned()));
    }

    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.list.extend([option.to_owned(), value.into()]);
    }

    fn block(&mut self, node: &Value) {
        self.add("-blockdev", node.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::machine;

    fn in_lines(arguments: &[String]) -> String {
        arguments.iter().fold(String::new(), |text, argument| {
            let separator = if argument.starts_with('-') && !text.is_empty() { "\n" } else { " " };
            format!("{text}{separator}{argument}").trim_start().to_owned()
        })
    }

    #[test]
    fn a_whole_machine() {
        let files = Files::of(Path::new("/g/smbgw-team"));
        insta::assert_snapshot!(in_lines(
            &qemu(&machine(), &files, "sg020102030405", Accelerator::Tcg).unwrap()
        ));
    }

    #[test]
    fn with_secure_firmware_and_an_image_file() {
        let mut guest = machine();
        let disk = smbgw_api::DiskPath::parse("/srv/a, b.img").unwrap();
        guest.form = GuestForm::Machine { firmware: Firmware::Uefi, disk: Some(DiskSource::File(disk)) };
        guest.mounts.clear();
        let files = Files::of(Path::new("/g/smbgw-team"));
        insta::assert_snapshot!(in_lines(&qemu(&guest, &files, "sg020102030405", Accelerator::Kvm).unwrap()));
    }

    #[test]
    fn virtiofsd_of_a_mount() {
        let guest = machine();
        let files = Files::of(Path::new("/g/smbgw-team"));
        insta::assert_snapshot!(virtiofsd(&files, 0, &guest.mounts[0]).join("\n"));
    }
}
