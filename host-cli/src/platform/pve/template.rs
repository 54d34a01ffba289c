//! Installed templates. The form for containers is an archive on a storage; the one for virtual machines is a guest that
//! gateways are cloned from. Both are sections of the cluster's file, one for each node.

use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use smbgw_api::{GatewaySpec, Mode, StorageId, VolumeId};

use super::Pve;
use super::call::pvesh::Kind;
use super::call::{GuestId, pvesm, qm};
use super::cluster::registry::{Installed as Section, Registry};
use super::config::file::GuestFile;
use super::config::marker::{self, Ownership};
use super::storage::choose::{check, choose};
use super::storage::settings;
use crate::plan::create::DEFAULT_TEMPLATE;
use crate::platform::archive::{self, read_manifest, version_key};
use crate::platform::{Form, Installed, Template, choose_template};
use crate::{Error, Result, durable};

/// What a section's `state` is while its template is being installed.
const PARTIAL: &str = "installing";

/// A template for virtual machines.
#[derive(Debug, Clone)]
pub(super) struct MachineTemplate {
    /// Id of its guest.
    pub(super) id: GuestId,
    /// Storage of its disk.
    pub(super) storage: StorageId,
}

fn form(section: &Section) -> Form {
    if section.section.get("form") == Some("vm") { Form::Machine } else { Form::Container }
}

impl Pve {
    /// Sections of templates that can be used on this node.
    fn usable_templates(&self) -> Result<Vec<Section>> {
        let here = self.files.node()?;
        let shared: Vec<_> =
            self.settings()?.iter().filter(|one| one.is_shared()).map(|one| one.id().to_owned()).collect();
        let reachable = |section: &Section| {
            let storage = section.section.get("storage").unwrap_or_default();
            // a guest can be cloned on its own node only
            section.node == here
                || (form(section) == Form::Container && shared.iter().any(|one| one == storage))
        };
        let done = |section: &Section| section.section.get("state") != Some(PARTIAL);
        let mut templates = self.registry()?.templates();
        templates.retain(|section| reachable(section) && done(section));
        // of two that have the same name, this node's
        templates.sort_by_key(|section| (section.name.clone(), section.node != here));
        templates.dedup_by(|a, b| a.name == b.name);
        Ok(templates)
    }

    pub(super) fn list_templates(&self) -> Result<Vec<Template>> {
        let records: Vec<_> = self.registry()?.gateways()?.into_iter().map(|entry| entry.record).collect();
        let mut templates: Vec<_> = self
            .usable_templates()?
            .into_iter()
            .map(|installed| {
                let get = |key: &str| installed.section.get(key).unwrap_or_default().to_owned();
                let made_from = records
                    .iter()
                    .filter(|record| record.guest.template.as_deref() == Some(&*installed.name));
                Template {
                    form: form(&installed),
                    base: get("base"),
                    version: get("version"),
                    sha256: get("sha256"),
                    samba: get("samba"),
                    storage: installed.section.get("storage").map(ToOwned::to_owned),
                    used_by: made_from.map(|record| record.name().to_string()).collect(),
                    name: installed.name,
                }
            })
            .collect();
        templates.sort_by(|a, b| {
            a.base.cmp(&b.base).then_with(|| version_key(&b.version).cmp(&version_key(&a.version)))
        });
        Ok(templates)
    }

    fn template(&self, name: &str) -> Result<Section> {
        self.usable_templates()?.into_iter().find(|section| section.name == name).ok_or_else(|| {
            Error::resource("template-missing", format!("template {name} is not installed"))
                .hint("`pve-smbgateway template list` shows those there are")
        })
    }

    pub(super) fn container_template(&self, name: &str) -> Result<VolumeId> {
        let section = self.template(name)?;
        Ok(VolumeId::parse(section.section.get("volume").unwrap_or_default())?)
    }

    pub(super) fn machine_template(&self, name: &str) -> Result<MachineTemplate> {
        let section = self.template(name)?;
        let damaged = || {
            Error::infrastructure(
                "template-damaged",
                format!("template {name} has no guest in smbgateway.cfg"),
            )
            .hint("install it again")
        };
        let id = section.section.get("vmid").and_then(|id| id.parse().ok()).ok_or_else(damaged)?;
        let storage = section.section.get("storage").ok_or_else(damaged)?;
        Ok(MachineTemplate { id, storage: StorageId::parse(storage)? })
    }

    /// Whether disks on a storage can be cloned without a copy.
    pub(super) fn clones(&self, storage: &StorageId) -> Result<bool> {
        Ok(settings::find(&self.settings()?, storage)?.clones())
    }

    /// Storage of a new guest's own disk. That of a virtual machine is its template's, which makes it a linked clone.
    pub(super) fn choose_guest_storage(&self, spec: &GatewaySpec) -> Result<StorageId> {
        let wanted = spec.template.as_ref().map_or(DEFAULT_TEMPLATE, |template| template.as_str());
        if spec.mode == Mode::Vm {
            if spec.guest_storage.is_none() {
                let name = choose_template(&self.list_templates()?, wanted, Form::Machine)?.name.clone();
                return Ok(self.machine_template(&name)?.storage);
            }
            return choose(self.storages()?, spec.guest_storage.as_ref(), "images");
        }
        let name = choose_template(&self.list_templates()?, wanted, Form::Container)?.name.clone();
        let archive = self.container_template(&name)?;
        let storage = archive.parts().0;
        let holding = self.storages()?.iter().find(|one| one.storage == storage);
        check(holding.ok_or_else(|| settings::missing(storage))?, "vztmpl")?;
        choose(self.storages()?, spec.guest_storage.as_ref(), "rootdir")
    }

    pub(super) fn install_template_file(
        &self,
        file: &Path,
        storage: Option<&StorageId>,
        now: Timestamp,
    ) -> Result<Installed> {
        let manifest = read_manifest(file)?;
        let (base, name) = archive::names(&manifest)?;
        let sha256 = archive::check(file, &manifest)?;
        let name = name.to_string();
        self.files.require_quorum()?;
        let here = self.files.node()?;
        let known = self.registry()?.templates().into_iter().find(|one| one.name == name && one.node == here);
        if let Some(known) = &known {
            let same =
                known.section.get("sha256") == Some(&sha256) && known.section.get("state") != Some(PARTIAL);
            if same && storage.is_none_or(|storage| known.section.get("storage") == Some(storage.as_str())) {
                return Ok(Installed { name, unchanged: true });
            }
            self.refuse_if_used(&name)?;
            self.remove_section(known)?;
        }
        let content = if manifest.form == Form::Machine { "images" } else { "vztmpl" };
        let storage = choose(self.storages()?, storage, content)?;
        let form = if manifest.form == Form::Machine { "vm" } else { "lxc" };
        let mut keys = vec![
            ("form", form.to_owned()),
            ("base", base),
            ("version", manifest.version.clone()),
            ("sha256", sha256),
            ("samba", manifest.samba.clone().unwrap_or_default()),
            ("agent", manifest.agent.version.clone().unwrap_or_default()),
            ("installed", now.to_string()),
            ("storage", storage.to_string()),
        ];
        let made = match manifest.form {
            Form::Container => self.copy_archive(file, &name, &storage, &mut keys),
            Form::Machine => self.make_template_guest(file, &name, &storage, &mut keys),
        };
        if let Err(error) = made {
            let _ = self.discard_partial();
            return Err(error);
        }
        keys.push(("state", "installed".to_owned()));
        self.note(&name, &keys)?;
        Ok(Installed { name, unchanged: false })
    }

    fn note(&self, name: &str, keys: &[(&str, String)]) -> Result<()> {
        let here = self.files.node()?;
        Registry::update(&self.files, |registry| {
            registry.put_template(name, &here, keys);
            Ok(())
        })
    }

    fn begin(&self, name: &str, keys: &[(&str, String)]) -> Result<()> {
        let keys: Vec<_> = keys.iter().cloned().chain([("state", PARTIAL.to_owned())]).collect();
        self.note(name, &keys)
    }

    fn copy_archive(
        &self,
        file: &Path,
        name: &str,
        storage: &StorageId,
        keys: &mut Vec<(&'static str, String)>,
    ) -> Result<()> {
        // a volume's name has fewer characters than a version
        let volume = format!("{storage}:vztmpl/smb-gateway-{}.tar.zst", name.replace('~', "-"));
        let volume = VolumeId::parse(&volume)?;
        keys.push(("volume", volume.to_string()));
        let place = self.path_of(&volume)?;
        keys.push(("path", place.display().to_string()));
        self.begin(name, keys)?;
        let partial = partial(&place);
        let io = |source| Error::io(format!("copying the template to {}", place.display()), source);
        durable::make_directory(place.parent().unwrap_or(&place), 0o755)?;
        std::fs::copy(file, &partial).map_err(io)?;
        File::open(&partial).and_then(|copy| copy.sync_all()).map_err(io)?;
        std::fs::rename(&partial, &place).map_err(io)
    }

    /// Where a volume is on this node.
    fn path_of(&self, volume: &VolumeId) -> Result<PathBuf> {
        let output = self.call("asking where a volume is", pvesm::Path { volume: volume.clone() })?;
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if path.starts_with('/') && !path.contains('\n') {
            return Ok(path.into());
        }
        Err(Error::infrastructure("proxmox-garbage", format!("Proxmox VE does not say where {volume} is"))
            .hint(format!("pvesm path {volume} should print a path")))
    }

    fn make_template_guest(
        &self,
        file: &Path,
        name: &str,
        storage: &StorageId,
        keys: &mut Vec<(&'static str, String)>,
    ) -> Result<()> {
        let hint = self.next_id()?;
        let here = self.files.node()?;
        let id = Registry::update(&self.files, |registry| {
            let id = self.free_id(registry, hint, &[])?;
            let mut keys = keys.clone();
            keys.extend([("vmid", id.to_string()), ("state", PARTIAL.to_owned())]);
            registry.put_template(name, &here, &keys);
            Ok(id)
        })?;
        keys.push(("vmid", id.to_string()));
        let create = qm::Create {
            id,
            // a DNS name
            name: format!("smbgw-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
            description: marker::of_template(name),
            tags: marker::TAG.to_owned(),
            storage: storage.clone(),
            image: file.display().to_string(),
            format: settings::find(&self.settings()?, storage)?.clone_format(),
        };
        if create.image.contains([',', '=']) {
            return Err(Error::usage(
                "template-invalid",
                format!("the path {} has a ',' or a '='", create.image),
            )
            .hint("Proxmox VE has no way to write it: copy the template elsewhere first"));
        }
        self.call("importing the template's disk", create)?;
        self.call("turning the guest into a template", qm::Template { id })?;
        Ok(())
    }

    pub(super) fn discard_partial(&self) -> Result<()> {
        let here = self.files.node()?;
        let templates = self.registry()?.templates();
        for section in
            templates.iter().filter(|one| one.node == here && one.section.get("state") == Some(PARTIAL))
        {
            self.remove_section(section)?;
        }
        Ok(())
    }

    pub(super) fn remove_installed(&self, name: &str) -> Result<()> {
        self.files.require_quorum()?;
        self.refuse_if_used(name)?;
        let here = self.files.node()?;
        let templates = self.registry()?.templates();
        match templates.iter().find(|one| one.name == name && one.node == here) {
            Some(section) => self.remove_section(section),
            None => Ok(()),
        }
    }

    /// Removes a template's archive or guest, then its section.
    fn remove_section(&self, installed: &Section) -> Result<()> {
        if let Some(id) = installed.section.get("vmid").and_then(|id| id.parse().ok())
            && let Some((file, config)) = self.settled(&marker::of_template(&installed.name), id)?
        {
            self.remove_ours(&file, &config)?;
        }
        if let Some(path) = installed.section.get("path").map(Path::new) {
            durable::remove_file(&partial(path))?;
            if path.exists()
                && let Some(volume) = installed.section.get("volume")
            {
                self.call(
                    "removing the template's archive",
                    pvesm::Free { volume: VolumeId::parse(volume)? },
                )?;
            }
        }
        Registry::update(&self.files, |registry| {
            registry.remove_template(&installed.name, &installed.node);
            Ok(())
        })
    }

    fn refuse_if_used(&self, name: &str) -> Result<()> {
        let entries = self.registry()?.gateways()?;
        let users: Vec<_> = entries
            .iter()
            .filter(|entry| entry.record.guest.template.as_deref() == Some(name))
            .map(|entry| entry.record.name().to_string())
            .collect();
        if users.is_empty() {
            return Ok(());
        }
        Err(Error::resource("template-in-use", format!("template {name} is used by {}", users.join(", ")))
            .hint("gateways were made from it: give the new one another version, or delete them first"))
    }

    pub(super) fn compare_template(&self, name: &str) -> Result<Vec<String>> {
        let section = self.template(name)?;
        if form(&section) == Form::Machine {
            let template = self.machine_template(name)?;
            let file = GuestFile { node: section.node.clone(), kind: Kind::Machine, id: template.id };
            let difference = match file.read(&self.files)? {
                None => "is missing",
                Some(config) if marker::ownership(&config, &marker::of_template(name)) != Ownership::Ours => {
                    "is somebody else's"
                }
                Some(config) if config.get("template") != Some("1") => "is no template any more",
                Some(_) => return Ok(Vec::new()),
            };
            return Ok(vec![format!("guest {} {difference}", template.id)]);
        }
        let volume = self.container_template(name)?;
        let path = self.path_of(&volume)?;
        if !path.is_file() {
            return Ok(vec![format!("{volume} is missing ({})", path.display())]);
        }
        let same = section.section.get("sha256") == Some(&archive::hash_file(&path)?);
        Ok(if same { Vec::new() } else { vec![format!("{volume} has other content")] })
    }
}

/// The name of an archive while it is being copied: no archive to Proxmox VE.
fn partial(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.partial"))
}
