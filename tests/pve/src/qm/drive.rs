//! Disks of a configuration. Source: PVE::QemuServer::Drive.

use crate::config::Config;
use crate::config::property::{Pairs, keys, print, read};
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{self, allocate, volume};

/// Kinds of disks, in the order in which Proxmox VE goes through them.
const FAMILIES: &[&str] = &["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"];

/// A disk.
#[derive(Debug, Clone)]
pub struct Drive {
    /// `scsi0` and the like.
    pub key: String,
    /// Its pairs.
    pub pairs: Pairs,
}

/// Whether an option is a disk.
pub fn is(key: &str) -> bool {
    let stem = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    FAMILIES.contains(&stem) && stem != key
}

/// All disks.
pub fn all(sim: &Sim, config: &Config) -> Vec<Drive> {
    let each = FAMILIES.iter().flat_map(|family| config.family(family));
    each.map(|(key, text)| Drive::read(sim, &key, &text)).collect()
}

impl Drive {
    /// Reads one.
    pub fn read(sim: &Sim, key: &str, text: &str) -> Self {
        let pairs = keys(&sim.table, "qm set", key).map(|keys| read(keys, text)).unwrap_or_default();
        Self { key: key.to_owned(), pairs }
    }

    /// The value to write.
    pub fn print(&self, sim: &Sim) -> String {
        keys(&sim.table, "qm set", &self.key).map(|keys| print(keys, &self.pairs)).unwrap_or_default()
    }

    /// The volume id or path.
    pub fn file(&self) -> &str {
        self.pairs.get("file").map(String::as_str).unwrap_or_default()
    }

    /// Whether it is a CD.
    pub fn cdrom(&self) -> bool {
        self.pairs.get("media").is_some_and(|media| media == "cdrom")
    }

    /// Whether it is what cloud-init reads.
    pub fn cloudinit(&self) -> bool {
        let name = self.file().rsplit(['/', ':']).next().unwrap_or_default();
        name == "cloudinit" || (name.starts_with("vm-") && name.contains("-cloudinit"))
    }

    /// The number in its key.
    pub fn index(&self) -> u32 {
        self.key.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or_default()
    }

    /// Whether it is a volume of a storage.
    pub fn is_volume(&self) -> bool {
        !self.file().starts_with('/') && self.file().contains(':')
    }
}

/// Makes or finds what a disk names; gives the disk as it is written, and the volume that was made.
///
/// # Errors
/// When it is refused. Texts: PVE::API2::Qemu, `create_disks`.
pub fn realise(sim: &Sim, vmid: u32, key: &str, text: &str, made: &mut Vec<String>) -> Result<String> {
    let mut drive = Drive::read(sim, key, text);
    let file = drive.file().to_owned();
    if file == "none" || file == "cdrom" || file.starts_with('/') {
        if file.starts_with('/') && std::fs::metadata(&file).is_err() {
            return refuse(format!("failed to stat '{file}' - No such file or directory"));
        }
        return Ok(drive.print(sim));
    }
    let (id, name) = volume::split(&file)?;
    let storage = storage::usable(sim, id)?;
    if name == "cloudinit" {
        allocate::check_content(&storage, "images")?;
        allocate::check_room(sim, &storage)?;
        let (directory, end) =
            if storage.is_path() { (format!("{vmid}/"), ".qcow2") } else { (String::new(), "") };
        let name = format!("{directory}vm-{vmid}-cloudinit{end}");
        let volid = format!("{id}:{name}");
        let request = allocate::Request { storage: id, vmid, content: "images", size: 4 << 20, format: None };
        if volume::path(&storage, &name)?.exists() {
            return refuse(format!(
                "disk image '{}' already exists",
                volume::path(&storage, &name)?.display()
            ));
        }
        allocate::place(&storage, &name, request)?;
        made.push(volid.clone());
        drive.pairs.insert("file".to_owned(), volid);
        drive.pairs.insert("media".to_owned(), "cdrom".to_owned());
        return Ok(drive.print(sim));
    }
    if let Ok(gibibytes) = name.parse::<f64>() {
        let format = drive.pairs.remove("format");
        let volid = match drive.pairs.remove("import-from") {
            Some(source) => {
                if gibibytes != 0.0 {
                    return Err(Refusal::new(format!(
                        "400 Parameter verification failed.\n{key}: when specifying 'import-from', the size needs to be 0"
                    )));
                }
                import(sim, vmid, id, &source, format.as_deref())?
            }
            None => {
                // what the firmware keeps has a size of its own
                let size = if key.starts_with("efidisk") {
                    540_672
                } else {
                    (gibibytes * f64::from(1 << 30)) as u64
                };
                let format =
                    format.as_deref().or((storage.is_path() && key.starts_with("efidisk")).then_some("raw"));
                allocate::make(sim, allocate::Request { storage: id, vmid, content: "images", size, format })?
            }
        };
        made.push(volid.clone());
        let (size, _) = allocate::measure(&volume::locate(sim, &volid)?);
        if key.starts_with("efidisk") {
            variables(sim, &volid, &drive)?;
        }
        drive.pairs.insert("file".to_owned(), volid);
        drive.pairs.insert("size".to_owned(), allocate::size_text(size));
        return Ok(drive.print(sim));
    }
    let path = volume::path(&storage, name)?;
    if !path.exists() {
        return refuse(format!("volume '{file}' does not exist"));
    }
    let (size, _) = allocate::measure(&path);
    if !drive.cdrom() {
        drive.pairs.insert("size".to_owned(), allocate::size_text(size));
    }
    Ok(drive.print(sim))
}

/// Copies an image into a storage; gives the new volume.
///
/// # Errors
/// When there is no such image.
pub fn import(sim: &Sim, vmid: u32, storage: &str, source: &str, format: Option<&str>) -> Result<String> {
    if !source.starts_with('/') {
        let (id, name) = volume::split(source)?;
        let from = storage::usable(sim, id)?;
        let content = volume::content(&from, name);
        if !matches!(content, Some("import" | "images")) {
            return refuse(format!(
                "cannot import from '{source}' - needs content type 'images' or 'import'"
            ));
        }
        allocate::check_content(&from, content.unwrap_or_default())?;
    }
    let path = volume::locate(sim, source)?;
    if !path.is_file() {
        return refuse(format!("volume '{source}' does not exist"));
    }
    let size = path.metadata()?.len();
    let target = storage::usable(sim, storage)?;
    allocate::check_content(&target, "images")?;
    allocate::copy(sim, &path, allocate::Request { storage, vmid, content: "images", size, format })
}

/// Source: PVE::QemuServer::OVMF, `create_efidisk`.
fn variables(sim: &Sim, volid: &str, drive: &Drive) -> Result<()> {
    let enrolled = drive.pairs.get("pre-enrolled-keys").is_some_and(|text| text == "1");
    let from =
        if enrolled { "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" } else { "/usr/share/OVMF/OVMF_VARS_4M.fd" };
    std::fs::copy(from, volume::locate(sim, volid)?)?;
    Ok(())
}
