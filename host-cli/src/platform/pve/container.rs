//! Making and changing containers.

use super::Pve;
use super::call::pct;
use super::config::container::{self, ROOT_GIB};
use super::config::file::GuestFile;
use super::config::guest::{self, GuestConfig};
use super::config::marker;
use crate::record::GuestPlan;
use crate::{Error, Result};

impl Pve {
    /// One `pct create` with every option, then the lines that it cannot write.
    pub(super) fn create_container(&self, plan: &GuestPlan) -> Result<()> {
        self.clear_wreck(&plan.name)?;
        if let Some(there) = self.guest(&plan.name)? {
            // this step runs for the second time
            return self.write_raw_lines(plan, &there.file);
        }
        let template = self.container_template(plan.template()?)?;
        let storage = plan.storage.clone().ok_or_else(|| Error::internal("a container without a storage"))?;
        let mounts = self.capabilities()?.share_mounts();
        let options = container::options(plan, mounts, &GuestConfig::default())?;
        let id = self.make_with_id(&plan.name, "making the container", &[], |id| pct::Create {
            id,
            template: template.clone(),
            hostname: plan.name.to_string(),
            description: marker::of_gateway(&plan.name),
            tags: marker::TAG.to_owned(),
            storage: storage.clone(),
            root_gib: ROOT_GIB,
            options: options.clone(),
        })?;
        let node = self.files.node()?;
        self.write_raw_lines(plan, &GuestFile { node, kind: super::call::pvesh::Kind::Container, id })
    }

    /// Gives a stopped container what a plan says.
    pub(super) fn configure_container(&self, plan: &GuestPlan) -> Result<()> {
        let there = self.guest_here(&plan.name)?;
        let options = container::options(plan, self.capabilities()?.share_mounts(), &there.config)?;
        let delete = container::surplus(&options, &there.config);
        self.call("changing the container", pct::Set { id: there.file.id, options, delete })?;
        self.write_raw_lines(plan, &there.file)
    }

    /// Changes what a running container takes at once: limits, and its start with the node.
    pub(super) fn limit_container(&self, plan: &GuestPlan) -> Result<()> {
        let there = self.guest_here(&plan.name)?;
        let mut options = container::options(plan, self.capabilities()?.share_mounts(), &there.config)?;
        options.hardware = None;
        let delete = container::surplus(&options, &there.config);
        self.call("changing the container's limits", pct::Set { id: there.file.id, options, delete })?;
        Ok(())
    }

    fn write_raw_lines(&self, plan: &GuestPlan, file: &GuestFile) -> Result<()> {
        let wanted =
            container::raw_lines(plan, self.capabilities()?.share_mounts(), &self.paths.link(&plan.name));
        // where we write a map, or have written one, there is none but ours
        let wants_map = wanted.iter().any(|(key, _)| key == container::ID_MAP);
        file.edit(&self.files, self.paths.container_locks(), |text| {
            let mapped = wants_map || text.lines().any(container::is_our_map);
            let is_ours = |key: &str, value: &str| {
                container::is_our_line(key, value) || mapped && key == container::ID_MAP
            };
            guest::with_raw(text, is_ours, &wanted)
        })
    }
}
