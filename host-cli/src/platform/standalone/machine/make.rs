//! Making a machine: its disk over the template's, its seed, its plan.

use std::path::Path;
use std::time::Duration;

use smbgw_api::Firmware;
use smbgw_command::{Command, Runner};

use super::config::{Files, OVMF};
use super::seed;
use crate::cloud_init::Seed;
use crate::platform::standalone::Standalone;
use crate::record::{GuestForm, GuestPlan};
use crate::{Error, Result, durable};

/// Size of a machine's root disk; it takes what is written only.
const ROOT_SIZE: &str = "8G";
/// Free space below which a machine is not made: logs and updates of a first day.
const LEAST_FREE: u64 = 512 << 20;

impl Standalone {
    /// The files of a machine.
    pub(in super::super) fn machine(&self, guest: &smbgw_api::GatewayName) -> Files {
        Files::of(&self.guest_directory(guest))
    }

    pub(in super::super) fn create_machine(&self, guest: &GuestPlan) -> Result<()> {
        let name = guest.template()?;
        let template = self.template_disk(name);
        if !template.is_file() {
            return Err(Error::resource("template-missing", format!("template {name} is not installed"))
                .hint("`pve-smbgateway template list` shows those there are"));
        }
        self.make_state_directories()?;
        self.refuse_full_disk()?;
        let files = self.machine(&guest.name);
        durable::make_directory(&self.guest_directory(&guest.name), 0o700)?;
        if !files.root().exists() {
            let partial = files.root().with_extension("partial");
            durable::remove_file(&partial)?;
            let command = Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
                .arg(template.display().to_string())
                .arg(partial.display().to_string())
                .arg(ROOT_SIZE)
                .deadline(Duration::from_secs(60));
            self.system.run(&command)?;
            rename(&partial, &files.root())?;
        }
        self.configure_machine(guest)
    }

    /// Writes what a machine is started from.
    pub(in super::super) fn configure_machine(&self, guest: &GuestPlan) -> Result<()> {
        let files = self.machine(&guest.name);
        let GuestForm::Machine { firmware, .. } = &guest.form else {
            return Err(Error::internal("a container is not a machine"));
        };
        if *firmware == Firmware::Uefi && !files.variables().exists() {
            let variables = std::fs::read(OVMF[1]).map_err(|source| {
                Error::infrastructure("no-firmware", "there is no UEFI firmware on this node")
                    .hint("apt-get install ovmf, or use --firmware bios")
                    .source(source)
            })?;
            durable::replace(&files.variables(), 0o600, &variables)?;
        }
        durable::replace(&files.seed(), 0o600, &seed::image(&Seed::of(guest)?)?)?;
        let plan = serde_json::to_vec_pretty(guest)
            .map_err(|source| Error::internal("writing a machine's plan").source(source))?;
        durable::replace(&files.plan(), 0o600, &plan)
    }

    /// The plan of a machine, if there is such a machine.
    pub(in super::super) fn machine_plan(&self, name: &smbgw_api::GatewayName) -> Result<Option<GuestPlan>> {
        let path = self.machine(name).plan();
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(format!("reading {}", path.display()), source)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| {
                Error::infrastructure("machine-damaged", format!("{} cannot be read", path.display()))
                    .hint("it was written by a newer version, or by hand")
                    .source(source)
            }),
        }
    }

    fn refuse_full_disk(&self) -> Result<()> {
        let state = self.paths.state();
        let stat = rustix::fs::statvfs(state)
            .map_err(|errno| Error::io(format!("looking at {}", state.display()), errno.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < LEAST_FREE {
            return Err(Error::resource(
                "no-space",
                format!(
                    "{} has {} MiB free, a virtual machine needs {}",
                    state.display(),
                    free >> 20,
                    LEAST_FREE >> 20
                ),
            )
            .hint("free some space; `pve-smbgateway template prune` removes templates that nobody uses"));
        }
        Ok(())
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|source| Error::io(format!("making {}", to.display()), source))
}
