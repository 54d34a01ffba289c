//! Templates as every platform lists them, and choosing one.

use serde::Serialize;

use crate::{Error, Result};

/// What guests a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub enum Form {
    /// Containers.
    #[serde(rename = "lxc")]
    Container,
    /// Virtual machines.
    #[serde(rename = "vm")]
    Machine,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Container => "lxc",
            Self::Machine => "vm",
        })
    }
}

/// An installed template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Template {
    /// What guests it is for.
    pub form: Form,
    /// Exact name, as `debian-13_0.1.0`, or `debian-13-vm_0.1.0` for virtual machines.
    pub name: String,
    /// Name without version, as `debian-13`.
    pub base: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the file that it was installed from.
    pub sha256: String,
    /// Samba's version, as Debian writes it.
    pub samba: String,
    /// Storage that it is on, where there are storages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Gateways made from it.
    pub used_by: Vec<String>,
}

impl Template {
    /// What the names of templates for virtual machines end with: both forms of a recipe are installed side by side.
    pub const MACHINE: &str = "-vm";
}

/// What installing a template came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Exact name.
    pub name: String,
    /// It had been installed before, the same to the byte.
    pub unchanged: bool,
}

/// Picks the newest version of a template by name, or exactly the one that is named. The name may be that of the recipe,
/// without saying what guests it is for.
///
/// # Errors
/// Code `template-missing`; the hint says how to get one.
pub fn choose_template<'a>(templates: &'a [Template], wanted: &str, form: Form) -> Result<&'a Template> {
    let of_form = || templates.iter().filter(|template| template.form == form);
    let alias = match wanted.split_once('_') {
        Some((base, version)) => format!("{base}{}_{version}", Template::MACHINE),
        None => format!("{wanted}{}", Template::MACHINE),
    };
    let is = |template: &&Template, name: &str| template.name == name || template.base == name;
    of_form().find(|template| is(template, wanted)).or_else(|| of_form().find(|template| is(template, &alias))).ok_or_else(|| {
        let there: Vec<_> = of_form().map(|template| template.name.as_str()).collect();
        let there = if there.is_empty() { "none is installed".to_owned() } else { there.join(", ") };
        let recipe = wanted.strip_suffix(Template::MACHINE).unwrap_or(wanted);
        let suffix = if form == Form::Machine { "qcow2" } else { "tar.zst" };
        Error::resource(
            "template-missing",
            format!("template {wanted} for mode {form} is not installed ({there})"),
        )
        .hint(format!(
            "build and install it: pve-smbgateway template build {recipe} --mode {form}; or install a finished one: \
             pve-smbgateway template install smb-gateway-{recipe}_VERSION_amd64.{suffix}"
        ))
    })
}
