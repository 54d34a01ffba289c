//! Arguments of QEMU. Source: PVE::QemuServer, `config_to_command`; options of QEMU 7.2 to 10.

use std::path::Path;

use super::drive::{self, Drive};
use super::monitor::RUN;
use crate::config::Config;
use crate::config::property::{keys, read};
use crate::faults::Fault;
use crate::refusal::{Refusal, Result};
use crate::sim::Sim;
use crate::storage::{allocate, volume};

/// The processor that is emulated, whatever the configuration says: x86-64-v2 with AES.
const EMULATED: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+aes,+pclmulqdq";

/// Refuses a bridge that is not there: a machine's is looked for at its start. Text: pve-bridge of qemu-server.
///
/// # Errors
/// When it is not there.
pub fn check_bridge(sim: &Sim, text: &str) -> Result<()> {
    let Some(keys) = keys(&sim.table, "qm set", "net0") else { return Ok(()) };
    let pairs = read(keys, text);
    let Some(bridge) = pairs.get("bridge") else { return Ok(()) };
    if Path::new("/sys/class/net").join(bridge).join("bridge").is_dir() {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "bridge '{bridge}' does not exist\nkvm: -netdev type=tap,id=net0: network script /usr/libexec/qemu-server/pve-bridge failed with status 512\nstart failed: QEMU exited with code 1"
    )))
}

/// A directory that a machine is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The mapping, which is the tag in the guest.
    pub tag: String,
    /// Its number.
    pub index: u32,
}

/// All arguments but the program's name.
///
/// # Errors
/// When a volume is nowhere.
pub fn qemu(
    sim: &Sim,
    vmid: u32,
    config: &Config,
    shared: &[Shared],
    taps: &[(u32, String)],
) -> Result<Vec<String>> {
    let mut list: Vec<String> = Vec::new();
    let mut add = |option: &str, value: &str| list.extend([option.to_owned(), value.to_owned()]);
    let memory = config
        .get("memory")
        .and_then(|text| text.split([',', '=']).find_map(|part| part.parse::<u64>().ok()))
        .unwrap_or(512);
    let name = config.get("name").unwrap_or("vm");
    add("-name", &format!("{name},debug-threads=on"));
    add("-chardev", &format!("socket,id=qmp,path={RUN}/{vmid}.qmp,server=on,wait=off"));
    add("-mon", "chardev=qmp,mode=control");
    add("-pidfile", &format!("{RUN}/{vmid}.pid"));
    add("-display", "none");
    let machine =
        if config.get("machine").is_some_and(|machine| machine.contains("q35")) { "q35" } else { "pc" };
    // a KVM that is there may not work, or be slower than this
    add("-accel", "tcg,thread=multi");
    add("-cpu", EMULATED);
    let number = |key: &str| config.get(key).and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    add(
        "-smp",
        &format!(
            "{},sockets={},cores={}",
            number("cores") * number("sockets"),
            number("sockets"),
            number("cores")
        ),
    );
    add("-m", &memory.to_string());
    if shared.is_empty() {
        add("-machine", machine);
    } else {
        add("-object", &format!("memory-backend-memfd,id=virtiofs-mem,size={memory}M,share=on"));
        add("-machine", &format!("{machine},memory-backend=virtiofs-mem"));
    }
    if config.get("bios") == Some("ovmf") {
        let variables = config.get("efidisk0").map(|text| Drive::read(sim, "efidisk0", text));
        let path = variables.map(|drive| volume::locate(sim, drive.file())).transpose()?;
        add("-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd");
        if let Some(path) = path {
            add("-drive", &format!("if=pflash,unit=1,format=raw,file={}", path.display()));
        }
    }
    if let Some(uuid) = config.get("smbios1").and_then(|text| text.strip_prefix("uuid=")) {
        add("-smbios", &format!("type=1,uuid={uuid}"));
    }
    add("-device", "virtio-rng-pci");
    if config.get("serial0") == Some("socket") {
        add(
            "-chardev",
            &format!(
                "socket,id=serial0,path={RUN}/{vmid}.serial0,server=on,wait=off,logfile=/var/log/pve/console-{vmid}.log"
            ),
        );
        add("-device", "isa-serial,chardev=serial0");
    }
    if super::agent::enabled(config) {
        add("-chardev", &format!("socket,path={RUN}/{vmid}.qga,server=on,wait=off,id=qga0"));
        add("-device", "virtio-serial,id=qga0");
        if sim.fault != Some(Fault::NoAgent) {
            add("-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0");
        }
    }
    let boot = config.get("boot").and_then(|text| text.split("order=").nth(1)).unwrap_or("scsi0").to_owned();
    let order: Vec<&str> = boot.split([';', ',']).collect();
    let single = config.get("scsihw") == Some("virtio-scsi-single");
    if !single && !config.family("scsi").is_empty() {
        add("-device", "virtio-scsi-pci,id=scsihw0");
    }
    for drive in drive::all(sim, config) {
        if drive.file() == "none" || drive.key.starts_with("efidisk") || drive.key.starts_with("tpmstate") {
            continue;
        }
        let place = order.iter().position(|key| *key == drive.key).map(|place| place + 100);
        for (option, value) in disk(sim, &drive, single, place)? {
            add(&option, &value);
        }
    }
    for (number, tap) in taps {
        let text = config.get(&format!("net{number}")).unwrap_or_default();
        let pairs = keys(&sim.table, "qm set", "net0").map(|keys| read(keys, text)).unwrap_or_default();
        let model = pairs.get("model").map_or("virtio", String::as_str);
        let device = if model == "virtio" { "virtio-net-pci" } else { model };
        let mac = pairs.get("macaddr").map(String::as_str).unwrap_or_default();
        add("-netdev", &format!("type=tap,id=net{number},ifname={tap},script=no,downscript=no"));
        add("-device", &format!("{device},mac={mac},netdev=net{number},id=net{number},romfile="));
    }
    for Shared { tag, index } in shared {
        add("-chardev", &format!("socket,id=virtiofs{index},path={RUN}/{vmid}.virtiofs{index}"));
        add("-device", &format!("vhost-user-fs-pci,queue-size=1024,chardev=virtiofs{index},tag={tag}"));
    }
    if let Some(more) = config.get("args") {
        list.extend(more.split_whitespace().map(str::to_owned));
    }
    Ok(list)
}

/// One disk. Source: PVE::QemuServer, `print_drive_commandline_full`, `print_drivedevice_full`.
fn disk(sim: &Sim, drive: &Drive, single: bool, place: Option<usize>) -> Result<Vec<(String, String)>> {
    let path = volume::locate(sim, drive.file())?;
    let (key, index) = (&drive.key, drive.index());
    let format = if path.starts_with("/dev") { "raw".to_owned() } else { allocate::really(&path)? };
    let mut options = format!(
        "file={},if=none,id=drive-{key},format={format}",
        path.display().to_string().replace(',', ",,")
    );
    options.push_str(if drive.cdrom() { ",media=cdrom,readonly=on" } else { ",cache=unsafe" });
    if drive.pairs.get("discard").is_some_and(|text| text == "on") {
        options.push_str(",discard=on,detect-zeroes=unmap");
    }
    let mut list = vec![("-drive".to_owned(), options)];
    let mut device = if key.starts_with("scsi") {
        let controller = if single {
            list.push(("-device".to_owned(), format!("virtio-scsi-pci,id=virtioscsi{index}")));
            format!("virtioscsi{index}")
        } else {
            "scsihw0".to_owned()
        };
        let lun = if single { 0 } else { index };
        // since machines of QEMU 10 the id does not follow the serial number any more
        let id =
            if sim.node.release.major() >= 9 { format!(",device_id=drive-{key}") } else { String::new() };
        format!("scsi-hd,bus={controller}.0,channel=0,scsi-id=0,lun={lun},drive=drive-{key},id={key}{id}")
    } else if key.starts_with("virtio") {
        format!("virtio-blk-pci,drive=drive-{key},id={key}")
    } else {
        let kind = if drive.cdrom() { "ide-cd" } else { "ide-hd" };
        // both machines call their buses so
        format!("{kind},bus=ide.{},drive=drive-{key},id={key}", index / 2)
    };
    if let Some(serial) = drive.pairs.get("serial") {
        device.push_str(&format!(",serial={serial}"));
    }
    if let Some(place) = place {
        device.push_str(&format!(",bootindex={place}"));
    }
    list.push(("-device".to_owned(), device));
    Ok(list)
}
