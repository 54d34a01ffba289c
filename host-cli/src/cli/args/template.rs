//! `template`

use std::path::PathBuf;

use clap::Subcommand;
use smbgw_api::{StorageId, TemplateName};

use super::DryRun;
use super::values::parse_form;
use crate::platform::Form;

/// `template`
#[derive(Debug, Subcommand)]
pub enum TemplateVerb {
    /// List the installed templates
    List,
    /// Build a template from a recipe, and install it
    Build {
        /// Recipe: its file, or a name as debian-13
        recipe: PathBuf,
        /// Keep the built files here as well
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Modes to build it for: lxc, vm or both
        #[arg(long, value_delimiter = ',', default_value = "lxc", value_parser = parse_form)]
        mode: Vec<Form>,
        /// Nothing is downloaded
        #[arg(long)]
        offline: bool,
        /// Storage to keep it on (Proxmox VE) [default: chosen]
        #[arg(long, value_name = "STORAGE")]
        storage: Option<StorageId>,
    },
    /// Install a template from its file
    Install {
        /// The .tar.zst or .qcow2; its manifest lies beside it
        file: PathBuf,
        /// Storage to keep it on (Proxmox VE) [default: chosen]
        #[arg(long, value_name = "STORAGE")]
        storage: Option<StorageId>,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Compare an installed template with its manifest, file by file
    Verify {
        /// Name of the template
        name: TemplateName,
    },
    /// Remove templates that no gateway uses, but the newest of each name
    Prune {
        /// The newest ones, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
}
