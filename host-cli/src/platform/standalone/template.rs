//! Installed templates: one directory a version, its root file system owned by the ids that containers use.

mod compare;
mod manifest;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smbgw_api::TemplateName;
use smbgw_command::{Command, Streams};

use self::manifest::Manifest;
use super::{Standalone, doctor, records, subid};
use crate::platform::{Installed, Template};
use crate::record::GuestPlan;
use crate::{Error, Result, durable};

const ARCHIVE_SUFFIX: &str = ".tar.zst";
/// Largest manifest that is read: it lists every file of a template, some 3 MB.
const MAX_MANIFEST: u64 = 64 << 20;

/// What is noted beside an installed template.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Note {
    name: String,
    base: String,
    version: String,
    sha256: String,
    samba: String,
    agent: String,
    installed: Timestamp,
    id_base: u32,
}

impl Standalone {
    /// Root file system of an installed template.
    pub(super) fn template_root(&self, name: &str) -> PathBuf {
        self.paths.templates().join(name).join("rootfs")
    }

    pub(super) fn list_templates(&self) -> Result<Vec<Template>> {
        let records = records::all(&self.paths)?;
        let mut templates: Vec<_> = self
            .notes()?
            .into_iter()
            .map(|note| Template {
                used_by: records
                    .iter()
                    .filter(|record| record.guest.template == note.name)
                    .map(|record| record.name().to_string())
                    .collect(),
                name: note.name,
                base: note.base,
                version: note.version,
                sha256: note.sha256,
                samba: note.samba,
            })
            .collect();
        templates.sort_by(|a, b| {
            a.base.cmp(&b.base).then_with(|| version_key(&b.version).cmp(&version_key(&a.version)))
        });
        Ok(templates)
    }

    fn notes(&self) -> Result<Vec<Note>> {
        let directory = self.paths.templates();
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| Error::io(format!("listing {}", directory.display()), source))?,
        };
        let mut notes = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if TemplateName::parse(&name).is_ok()
                && let Some(note) = self.note(&name)?
            {
                notes.push(note);
            }
        }
        Ok(notes)
    }

    fn note(&self, name: &str) -> Result<Option<Note>> {
        let path = self.paths.templates().join(name).join("template.json");
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(format!("reading {}", path.display()), source)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| {
                Error::infrastructure("template-damaged", format!("{} cannot be read", path.display()))
                    .hint("remove its directory and install the template again")
                    .source(source)
            }),
        }
    }

    pub(super) fn install_template_file(&self, file: &Path, now: Timestamp) -> Result<Installed> {
        let manifest = read_manifest(file)?;
        let name = TemplateName::parse(&format!("{}_{}", manifest.template, manifest.version))?;
        let sha256 = hash_file(file)?;
        if sha256 != manifest.archive.sha256 {
            return Err(Error::resource(
                "template-checksum",
                format!("{} is not the file that its manifest speaks of (SHA-256 {sha256})", file.display()),
            )
            .hint("it is damaged or was changed: copy it again, or build it again"));
        }
        if let Some(note) = self.note(name.as_str())? {
            if note.sha256 == sha256 {
                return Ok(Installed { name: name.to_string(), unchanged: true });
            }
            self.refuse_if_used(name.as_str())?;
        }
        let id_base = doctor::id_range()?.ok_or_else(|| {
            Error::infrastructure("no-id-range", "root has no range of host ids for containers")
                .hint("`pve-smbgateway doctor --fix` gives it one")
        })?;
        self.make_state_directories()?;
        let partial = self.paths.templates().join(format!(".{name}.partial"));
        durable::remove_tree(&partial)?;
        let installed = self.unpack(file, &partial, id_base).and_then(|()| {
            let note = Note {
                name: name.to_string(),
                base: manifest.template.clone(),
                version: manifest.version.clone(),
                sha256,
                samba: manifest.samba.clone().unwrap_or_default(),
                agent: manifest.agent.version.clone().unwrap_or_default(),
                installed: now,
                id_base,
            };
            self.finish_install(file, &partial, &note)
        });
        if installed.is_err() {
            let _ = durable::remove_tree(&partial);
        }
        installed?;
        Ok(Installed { name: name.to_string(), unchanged: false })
    }

    /// Unpacks as the container's own root, in a user namespace: nothing in the archive can reach outside.
    fn unpack(&self, file: &Path, into: &Path, id_base: u32) -> Result<()> {
        let root = into.join("rootfs");
        durable::make_directory(into, 0o711)?;
        durable::make_directory(&root, 0o755)?;
        std::os::unix::fs::lchown(&root, Some(id_base), Some(id_base))
            .map_err(|source| Error::io(format!("giving {} to the container", root.display()), source))?;
        let reading = |source| Error::io(format!("reading {}", file.display()), source);
        let tar = zstd::stream::read::Decoder::new(File::open(file).map_err(reading)?).map_err(reading)?;
        let map = |kind: char| format!("{kind}:0:{id_base}:{}", subid::MAP_SIZE);
        let command = Command::new("lxc-usernsexec")
            .args(["-m", &map('u'), "-m", &map('g'), "--", "tar", "--extract", "--file", "-"])
            .args(["--numeric-owner", "--preserve-permissions", "--delay-directory-restore", "--directory"])
            .arg(root.display().to_string())
            .deadline(Duration::from_secs(300));
        self.system.run_streaming(&command, Streams { stdin: Some(Box::new(tar)), ..Streams::default() })?;
        Ok(())
    }

    fn finish_install(&self, file: &Path, partial: &Path, note: &Note) -> Result<()> {
        let manifest = manifest_path(file);
        std::fs::copy(&manifest, partial.join("manifest.json"))
            .map_err(|source| Error::io(format!("copying {}", manifest.display()), source))?;
        let text =
            serde_json::to_vec_pretty(note).map_err(|e| Error::internal("writing a note").source(e))?;
        durable::replace(&partial.join("template.json"), 0o644, &text)?;
        let directory = File::open(partial).map_err(|e| Error::io("opening the new template", e))?;
        rustix::fs::syncfs(&directory).map_err(|e| Error::io("syncing the new template", e.into()))?;
        let place = self.paths.templates().join(&note.name);
        durable::remove_tree(&place)?;
        std::fs::rename(partial, &place)
            .map_err(|source| Error::io(format!("making {}", place.display()), source))
    }

    pub(super) fn discard_partial(&self) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(self.paths.templates()) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') && name.ends_with(".partial") {
                durable::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn compare_template(&self, name: &str) -> Result<Vec<String>> {
        let note = self.note(name)?.ok_or_else(|| not_installed(name))?;
        let path = self.paths.templates().join(name).join("manifest.json");
        let manifest = Manifest::parse(&path, &read_bounded(&path)?)?;
        compare::differences(&self.template_root(name), &manifest, note.id_base)
    }

    pub(super) fn remove_template_tree(&self, name: &str) -> Result<()> {
        self.refuse_if_used(name)?;
        durable::remove_tree(&self.paths.templates().join(name))
    }

    /// A template's files belong to the ids that root had when it was installed.
    pub(super) fn refuse_other_ids(&self, guest: &GuestPlan) -> Result<()> {
        match self.note(&guest.template)? {
            Some(note) if note.id_base != guest.id_base => Err(Error::infrastructure(
                "template-other-ids",
                format!(
                    "template {} was installed for host ids from {}, but root's range begins at {}",
                    guest.template, note.id_base, guest.id_base
                ),
            )
            .hint("remove the template (`template prune --all`) and install it again")),
            _ => Ok(()),
        }
    }

    fn refuse_if_used(&self, name: &str) -> Result<()> {
        let users: Vec<_> = records::all(&self.paths)?
            .iter()
            .filter(|record| record.guest.template == name)
            .map(|record| record.name().to_string())
            .collect();
        if users.is_empty() {
            return Ok(());
        }
        Err(Error::resource("template-in-use", format!("template {name} is used by {}", users.join(", ")))
            .hint("gateways run on it: give the new one another version, or delete them first"))
    }
}

/// The error of a template that is not there.
fn not_installed(name: &str) -> Error {
    Error::resource("template-missing", format!("template {name} is not installed"))
        .hint("`pve-smbgateway template list` shows those there are")
}

fn manifest_path(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(ARCHIVE_SUFFIX).unwrap_or(&name);
    file.with_file_name(format!("{stem}.manifest.json"))
}

fn read_manifest(file: &Path) -> Result<Manifest> {
    if !file.is_file() {
        return Err(Error::resource("template-missing", format!("there is no file {}", file.display()))
            .hint("build one: pve-smbgateway template build debian-13"));
    }
    if !file.to_string_lossy().ends_with(ARCHIVE_SUFFIX) {
        return Err(Error::usage(
            "template-invalid",
            format!("{} is not a {ARCHIVE_SUFFIX} file", file.display()),
        ));
    }
    let path = manifest_path(file);
    if !path.is_file() {
        return Err(Error::resource("template-invalid", format!("there is no manifest {}", path.display()))
            .hint(
                "copy the manifest and SHA256SUMS along with the template: without them it cannot be checked",
            ));
    }
    Manifest::parse(&path, &read_bounded(&path)?)
}

fn read_bounded(path: &Path) -> Result<String> {
    let reading = |source| Error::io(format!("reading {}", path.display()), source);
    let mut text = String::new();
    File::open(path).map_err(reading)?.take(MAX_MANIFEST).read_to_string(&mut text).map_err(reading)?;
    Ok(text)
}

/// SHA-256 of a file, in hexadecimal.
fn hash_file(path: &Path) -> Result<String> {
    let reading = |source| Error::io(format!("reading {}", path.display()), source);
    let mut file = File::open(path).map_err(reading)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(reading)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Order of versions: numbers by value, the rest as text.
fn version_key(version: &str) -> Vec<(u64, String)> {
    version
        .split(['.', '-', '+', '~'])
        .map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            (digits.parse().unwrap_or(0), part[digits.len()..].to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(version_key("0.10.0") > version_key("0.9.1"));
        assert!(version_key("1.0") > version_key("0.99"));
    }

    #[test]
    fn the_manifest_lies_beside_the_archive() {
        assert_eq!(
            manifest_path(Path::new("/x/smb-gateway-debian-13_0.1.0_amd64.tar.zst")),
            Path::new("/x/smb-gateway-debian-13_0.1.0_amd64.manifest.json")
        );
    }
}
