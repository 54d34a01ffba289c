//! What only a virtual machine has. The rest of the recipe holds for both forms.

use serde::{Deserialize, Serialize};

use super::{Overlay, Recipe, Services, SetId, Slim};
use crate::form::Form;
use crate::glob::Glob;

/// The `vm` section of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Vm {
    /// Packages installed on top of the container's.
    pub packages: Vec<String>,
    /// The ram disk that the kernel starts with.
    pub initrd: Initrd,
    /// The disk.
    pub disk: Disk,
    /// What is left out besides the container's `slim`.
    pub slim: Slim,
    /// What is laid over the tree after the container's `overlay`.
    pub overlay: Overlay,
    /// What starts, in place of the container's `services`.
    pub services: Services,
    /// Set-id programs besides the container's `set-id`.
    pub set_id: SetId,
    /// Paths that must not exist, in place of the container's `forbid`.
    #[serde(default)]
    pub forbid: Vec<Glob>,
}

/// The ram disk that the kernel starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Initrd {
    /// Kernel modules in it, with all they need; the root's device must be among them.
    pub modules: Vec<String>,
    /// Paths that are never unpacked, because they would go into it.
    #[serde(default)]
    pub without: Vec<Glob>,
}

/// The disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Disk {
    /// Its size before it is grown, in MiB.
    pub size_mib: u64,
    /// Arguments of the kernel, after those that name the root.
    pub kernel_arguments: Vec<String>,
}

/// Partitions and their tables take 20 MiB; less than this is left for nothing.
const SMALLEST_MIB: u64 = 256;
/// What FAT, GPT and the writer are tested for, and more than a template needs.
const LARGEST_MIB: u64 = 64 << 10;

impl Vm {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(SMALLEST_MIB..=LARGEST_MIB).contains(&self.disk.size_mib) {
            return Err(format!(
                "`size-mib` must be from {SMALLEST_MIB} to {LARGEST_MIB}, not {}",
                self.disk.size_mib
            ));
        }
        // they stand in a GRUB script, between quotes nobody wrote
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_.,=:/@".contains(c);
        match self.disk.kernel_arguments.iter().find(|text| text.is_empty() || !text.chars().all(safe)) {
            Some(odd) => {
                Err(format!("`{odd}` cannot be a kernel argument: letters, digits and -_.,=:/@ only"))
            }
            None => self.initrd.modules.iter().try_for_each(|module| super::word("module", module)),
        }
    }
}

impl Recipe {
    /// The recipe as it holds for one form; the `vm` section is merged into it, or gone.
    ///
    /// # Errors
    /// A sentence for people when the recipe has no such form.
    pub fn of_form(&self, form: Form) -> Result<Self, String> {
        let mut recipe = self.clone();
        match (form, &self.vm) {
            (Form::Container, _) => recipe.vm = None,
            (Form::Machine, None) => {
                return Err("it has no `vm` section, so there is no virtual machine to build".into());
            }
            (Form::Machine, Some(vm)) => {
                recipe.packages.extend(vm.packages.iter().cloned());
                recipe.slim.drop.extend(vm.slim.drop.iter().cloned());
                recipe.slim.keep.extend(vm.slim.keep.iter().cloned());
                recipe.overlay.rules.extend(vm.overlay.rules.iter().cloned());
                recipe.overlay.links.extend(vm.overlay.links.iter().cloned());
                recipe.overlay.remove.extend(vm.overlay.remove.iter().cloned());
                recipe.set_id.keep.extend(vm.set_id.keep.iter().cloned());
                recipe.set_id.strip.extend(vm.set_id.strip.iter().cloned());
                recipe.services = vm.services.clone();
                recipe.forbid = vm.forbid.clone();
            }
        }
        recipe.check()?;
        Ok(recipe)
    }
}
