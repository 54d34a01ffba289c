//! From a tree of packages to the files of one form.

use std::path::Path;

use super::packages::Packages;
use super::{Built, megabytes};
use crate::agent::AgentFiles;
use crate::boot::{self, UefiPrograms};
use crate::disk;
use crate::error::Error;
use crate::form::Form;
use crate::initrd;
use crate::lint;
use crate::lock::Lock;
use crate::manifest::{self, AgentRecord, BuildRecord, FileRecord, Manifest};
use crate::normalise;
use crate::outputs::{Names, Staging};
use crate::overlay::{self, OverlayFile};
use crate::qcow2;
use crate::recipe::{Recipe, Vm};
use crate::sbom;
use crate::sign::SecretKey;
use crate::size::{Owners, PackageSizes, gate};
use crate::slim;
use crate::tarball::{self, Level};
use crate::tree::{Entry, Tree};

/// All that a form is finished with.
pub(super) struct Finish<'a> {
    pub(super) form: Form,
    /// The recipe as it holds for this form.
    pub(super) recipe: &'a Recipe,
    /// The whole recipe, and where packages come from.
    pub(super) packages: &'a Packages<'a>,
    pub(super) lock: &'a Lock,
    pub(super) files: &'a [OverlayFile],
    pub(super) agent: &'a AgentFiles,
}

/// A form's files, in the staging directory.
pub(super) struct Finished {
    manifest: Manifest,
    file_names: Names,
    tree_cached: bool,
    key_id: Option<String>,
    level: Level,
    /// By package, unpacked.
    sizes: PackageSizes,
    /// What is to be put in place; the template comes last.
    pub(super) names: [String; 4],
}

/// The template itself, written.
struct Packed {
    archive: FileRecord,
    tar: Option<FileRecord>,
    disk: Option<disk::DiskRecord>,
}

impl Finish<'_> {
    pub(super) fn run(
        &self,
        mut tree: Tree,
        tree_cached: bool,
        staging: &Staging,
        level: Level,
    ) -> Result<Finished, Error> {
        let (recipe, lock, context) = (self.recipe, self.lock, self.packages.context);
        let installed = lock.of_form(self.form);
        let stage = context.progress.stage("laying over the agent and checking");
        let dropped = slim::slim(&mut tree, &recipe.slim);
        overlay::apply(&mut tree, recipe, self.files, self.agent)?;
        if self.form == Form::Machine {
            tree.put("/etc/fstab", Entry::file(fstab(&lock.hash())))?;
            initrd::compress(&mut tree, level)?;
        }
        normalise::mark_updated(&mut tree, lock.epoch)?;
        normalise::clamp_times(&mut tree, lock.epoch);
        let findings = lint::run(&lint::Subject { tree: &tree, recipe, lock: &installed });
        if !findings.is_empty() {
            return Err(Error::Lint { findings });
        }
        let paths = manifest::list_paths(&tree);
        stage.done(&format!(
            "{} paths, {:.1} MB left out, {} checks passed",
            paths.len(),
            megabytes(dropped.bytes),
            lint::CHECKS.len()
        ));
        let sizes = PackageSizes::add_up(&paths, &Owners::of_tree(&tree), &self.agent.sha256);
        let names = Names::new(&recipe.name, env!("CARGO_PKG_VERSION"), &recipe.architecture, self.form);
        let packed = match &recipe.vm {
            None => self.pack_container(&tree, &names, staging, level)?,
            Some(vm) => self.pack_machine(&tree, vm, &names, staging, level)?,
        };
        let manifest = Manifest {
            format: manifest::FORMAT,
            template: recipe.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            architecture: recipe.architecture.clone(),
            form: self.form.name().to_owned(),
            suite: recipe.suite.clone(),
            samba: lock.version_of("samba").map(str::to_owned),
            agent: AgentRecord { version: self.agent.version.clone(), sha256: self.agent.sha256.clone() },
            recipe_hash: self.packages.recipe.hash(),
            lock_hash: lock.hash(),
            epoch: lock.epoch,
            build: Some(BuildRecord {
                engine: self.packages.options.engine,
                compression: level,
                lock: lock.clone(),
            }),
            archive: packed.archive,
            tar: packed.tar,
            disk: packed.disk,
            packages: installed.packages.iter().map(Into::into).collect(),
            files: paths,
        };
        staging.write(&names.manifest(), &manifest.to_text())?;
        let bill = sbom::Bill::new(&sbom::Subject { manifest: &manifest, recipe, lock, tree: &tree });
        staging.write(&names.sbom(), &sbom::cyclonedx::text(&bill))?;
        staging.write(&names.sbom_spdx(), &sbom::spdx::text(&bill))?;
        context.check()?;
        let listed = [names.manifest(), names.sbom(), names.sbom_spdx(), names.archive()];
        Ok(Finished { manifest, file_names: names, tree_cached, key_id: None, level, sizes, names: listed })
    }

    fn pack_container(
        &self,
        tree: &Tree,
        names: &Names,
        staging: &Staging,
        level: Level,
    ) -> Result<Packed, Error> {
        let context = self.packages.context;
        let stage = context.progress.stage("compressing");
        let (packed, tar) = tarball::write(tree, &staging.path(&names.archive()), level, &context.interrupt)?;
        stage.done(&format!("{:.1} MB from {:.1} MB", megabytes(packed.size), megabytes(tar.size)));
        Ok(Packed {
            archive: FileRecord { name: names.archive(), sha256: packed.sha256, size: packed.size },
            tar: Some(FileRecord { name: names.tar(), sha256: tar.sha256, size: tar.size }),
            disk: None,
        })
    }

    fn pack_machine(
        &self,
        tree: &Tree,
        vm: &Vm,
        names: &Names,
        staging: &Staging,
        level: Level,
    ) -> Result<Packed, Error> {
        let Packages { work, context, .. } = *self.packages;
        let boot_packages = self.lock.vm.as_ref().map_or(&[][..], |vm| &vm.boot);
        let store = self.packages.fetch(boot_packages)?;

        let stage = context.progress.stage("making the disk");
        let boot = boot::Packages { lock: self.lock, store: &store };
        let contents = disk::Contents {
            tree,
            bios: &boot::make_bios_image(&boot, tree, work, &context.system())?,
            uefi: &UefiPrograms::read(&boot)?,
            kernel_arguments: &vm.disk.kernel_arguments,
            size: vm.disk.size_mib << 20,
            origin: &self.lock.hash(),
            epoch: self.lock.epoch,
        };
        let raw = work.join("disk.raw");
        let mut record = disk::write(&contents, &raw)?;
        stage.done(&format!("{} partitions on {} MiB", record.partitions.len(), vm.disk.size_mib));
        context.check()?;

        let stage = context.progress.stage("compressing the disk");
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let image = staging.path(&names.archive());
        let written = qcow2::write(&raw, &image, level, threads, &context.interrupt)?;
        let _ = std::fs::remove_file(&raw);
        stage.done(&format!("{:.1} MB", megabytes(written.size)));
        record.sha256 = written.disk_sha256;
        let on_disk = boot_packages.iter().filter(|package| boot::ON_DISK.contains(&package.name.as_str()));
        record.boot_packages = on_disk.map(Into::into).collect();
        Ok(Packed {
            archive: FileRecord { name: names.archive(), sha256: written.sha256, size: written.size },
            tar: None,
            disk: Some(record),
        })
    }
}

/// Only the root: the boot loader's partition is nobody's business in the guest.
fn fstab(origin: &str) -> String {
    format!("UUID={} / ext4 errors=remount-ro 0 1\n", disk::root_uuid(origin))
}

impl Finished {
    /// What its size is judged by.
    pub(super) fn packed(&self) -> gate::Packed<'_> {
        let (form, size) = (self.file_names.form(), self.manifest.archive.size);
        gate::Packed { form, level: self.level, size, packages: &self.sizes }
    }

    /// Signs the manifest, which has everything else by hash.
    pub(super) fn sign(&mut self, key: &SecretKey, staging: &Staging) -> Result<(), Error> {
        let Manifest { template, version, form, archive, .. } = &self.manifest;
        let comment = format!("template:{template} version:{version} form:{form} sha256:{}", archive.sha256);
        staging.sign(&self.file_names.manifest(), key, &comment)?;
        self.key_id = Some(key.id().to_string());
        Ok(())
    }

    /// What is said of it, once it is in place.
    pub(super) fn built(self, out: &Path, lock: &Path) -> Built {
        let (manifest, names) = (self.manifest, self.file_names);
        let disk_size = manifest.disk.as_ref().map(|disk| disk.virtual_size);
        Built {
            form: names.form().name(),
            template: out.join(names.archive()),
            manifest: out.join(names.manifest()),
            sbom: out.join(names.sbom()),
            sbom_spdx: out.join(names.sbom_spdx()),
            sha256: manifest.archive.sha256,
            size: manifest.archive.size,
            unpacked_size: manifest.tar.map(|tar| tar.size).or(disk_size).unwrap_or_default(),
            samba: manifest.samba,
            packages: manifest.packages.len(),
            files: manifest.files.len(),
            tree_cached: self.tree_cached,
            lock: lock.to_owned(),
            key_id: self.key_id,
        }
    }
}
