//! Installed templates: one directory a version, its root file system owned by the ids that containers use.

mod compare;

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smbgw_api::TemplateName;
use smbgw_command::{Command, Streams};

use super::{Standalone, doctor, machine, records};
use crate::platform::archive::{
    self, Manifest, hash_file, manifest_path, read_bounded, read_manifest, version_key,
};
use crate::platform::{Form, Installed, Template, subid};
use crate::record::GuestPlan;
use crate::{Error, Result, durable};

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
    /// First host id of its files; a machine's disk has none.
    id_base: Option<u32>,
}

impl Standalone {
    /// Root file system of an installed template.
    pub(super) fn template_root(&self, name: &str) -> PathBuf {
        self.paths.templates().join(name).join("rootfs")
    }

    /// Disk of an installed template for virtual machines.
    pub(super) fn template_disk(&self, name: &str) -> PathBuf {
        self.paths.templates().join(name).join("disk.qcow2")
    }

    pub(super) fn list_templates(&self) -> Result<Vec<Template>> {
        let records = records::all(&self.paths)?;
        let mut templates: Vec<_> = self
            .notes()?
            .into_iter()
            .map(|note| Template {
                used_by: records
                    .iter()
                    .filter(|record| record.guest.template.as_ref() == Some(&note.name))
                    .map(|record| record.name().to_string())
                    .collect(),
                form: if note.id_base.is_some() { Form::Container } else { Form::Machine },
                name: note.name,
                base: note.base,
                version: note.version,
                sha256: note.sha256,
                samba: note.samba,
                storage: None,
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
        let (base, name) = archive::names(&manifest)?;
        let sha256 = archive::check(file, &manifest)?;
        if let Some(note) = self.note(name.as_str())? {
            if note.sha256 == sha256 {
                return Ok(Installed { name: name.to_string(), unchanged: true });
            }
            self.refuse_if_used(name.as_str())?;
        }
        let id_base = match manifest.form {
            Form::Machine => None,
            Form::Container => Some(doctor::id_range()?.ok_or_else(|| {
                Error::infrastructure("no-id-range", "root has no range of host ids for containers")
                    .hint("`pve-smbgateway doctor --fix` gives it one")
            })?),
        };
        self.make_state_directories()?;
        let partial = self.paths.templates().join(format!(".{name}.partial"));
        durable::remove_tree(&partial)?;
        let unpacked = match id_base {
            Some(id_base) => self.unpack(file, &partial, id_base),
            None => copy_disk(file, &partial),
        };
        let installed = unpacked.and_then(|()| {
            let note = Note {
                name: name.to_string(),
                base,
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
        match note.id_base {
            Some(id_base) => compare::differences(&self.template_root(name), &manifest, id_base),
            // the disk is one file, and its manifest was checked against it when it was installed
            None if hash_file(&self.template_disk(name))? == note.sha256 => Ok(Vec::new()),
            None => Ok(vec!["disk.qcow2 has other content".to_owned()]),
        }
    }

    pub(super) fn remove_template_tree(&self, name: &str) -> Result<()> {
        self.refuse_if_used(name)?;
        durable::remove_tree(&self.paths.templates().join(name))
    }

    /// A template's files belong to the ids that root had when it was installed.
    pub(super) fn refuse_other_ids(&self, guest: &GuestPlan) -> Result<()> {
        let base = guest.ids()?.base;
        match self.note(guest.template()?)?.and_then(|note| note.id_base) {
            Some(id_base) if id_base != base => Err(Error::infrastructure(
                "template-other-ids",
                format!(
                    "template {} was installed for host ids from {id_base}, but root's range begins at {base}",
                    guest.template()?
                ),
            )
            .hint("remove the template (`template prune --all`) and install it again")),
            _ => Ok(()),
        }
    }

    /// Machines whose disk lies over this template without a record: a deletion that was cut short can bring them back.
    fn machines_on(&self, name: &str) -> Vec<String> {
        let directories = [self.paths.guests(), self.paths.trash()].map(std::fs::read_dir);
        let entries = directories.into_iter().flatten().flatten().flatten();
        entries
            .filter_map(|entry| {
                let plan = std::fs::read(machine::config::Files::of(&entry.path()).plan()).ok()?;
                let plan: GuestPlan = serde_json::from_slice(&plan).ok()?;
                let known = records::read(&self.paths, &plan.name).ok().flatten().is_some();
                (plan.template.as_deref() == Some(name) && !known)
                    .then(|| format!("{} (unfinished)", plan.name))
            })
            .collect()
    }

    fn refuse_if_used(&self, name: &str) -> Result<()> {
        let users: Vec<_> = records::all(&self.paths)?
            .iter()
            .filter(|record| record.guest.template.as_deref() == Some(name))
            .map(|record| record.name().to_string())
            .chain(self.machines_on(name))
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

/// Copies a machine's disk, sharing blocks where the file system can.
fn copy_disk(file: &Path, into: &Path) -> Result<()> {
    durable::make_directory(into, 0o711)?;
    let place = into.join("disk.qcow2");
    std::fs::copy(file, &place)
        .and_then(|_| std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o444)))
        .map_err(|source| Error::io(format!("copying {}", file.display()), source))
}
