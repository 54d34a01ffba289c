//! Making and changing virtual machines.

use super::Pve;
use super::call::qm;
use super::config::file::GuestFile;
use super::config::guest::GuestConfig;
use super::config::machine::{self, Data};
use super::config::marker;
use crate::record::{GuestForm, GuestPlan};
use crate::{Error, Result};

impl Pve {
    /// A clone of the template's guest, its directory mappings, and one `qm set` with every option.
    pub(super) fn create_machine(&self, plan: &GuestPlan) -> Result<()> {
        self.clear_wreck(&plan.name)?;
        if self.guest(&plan.name)?.is_some() {
            // this step runs for the second time
            return self.configure_machine(plan);
        }
        let template = self.machine_template(plan.template()?)?;
        let storage =
            plan.storage.clone().ok_or_else(|| Error::internal("a virtual machine without a storage"))?;
        let copy_to =
            (storage != template.storage || !self.clones(&template.storage)?).then_some(storage.clone());
        let data = self.data_of(plan)?;
        // its data would be freed with it, if it were named for this guest
        let but: Vec<_> = match &data {
            Some(Data::Volume(volume)) => volume.owner().into_iter().collect(),
            _ => Vec::new(),
        };
        let id = self.make_with_id(&plan.name, "cloning the virtual machine", &but, |id| qm::Clone {
            template: template.id,
            id,
            name: plan.name.to_string(),
            description: marker::of_gateway(&plan.name),
            copy_to: copy_to.clone(),
        })?;
        let file = GuestFile { node: self.files.node()?, kind: super::call::pvesh::Kind::Machine, id };
        let there = file.read(&self.files)?.unwrap_or_default();
        self.map_directories(plan)?;
        self.set_machine(id, plan, data.as_ref(), &there)
    }

    /// Gives a stopped virtual machine what a plan says.
    pub(super) fn configure_machine(&self, plan: &GuestPlan) -> Result<()> {
        let there = self.guest_here(&plan.name)?;
        let data = self.data_of(plan)?;
        self.map_directories(plan)?;
        self.set_machine(there.file.id, plan, data.as_ref(), &there.config)?;
        self.unmap_others(plan)
    }

    /// Changes whether a virtual machine starts with the node, whether it runs or not.
    pub(super) fn start_machine_with_node(&self, plan: &GuestPlan) -> Result<()> {
        let there = self.guest_here(&plan.name)?;
        let gone = plan.startup.is_none() && there.config.get("startup").is_some();
        let delete = if gone { vec!["startup".to_owned()] } else { Vec::new() };
        let set =
            qm::Set { id: there.file.id, onboot: plan.onboot, startup: plan.startup, hardware: None, delete };
        self.call("changing the virtual machine's start", set)?;
        Ok(())
    }

    fn set_machine(&self, id: u32, plan: &GuestPlan, data: Option<&Data>, there: &GuestConfig) -> Result<()> {
        let storage =
            plan.storage.clone().ok_or_else(|| Error::internal("a virtual machine without a storage"))?;
        let set = machine::set(id, plan, data, there, &storage)?;
        self.call("configuring the virtual machine", set)?;
        Ok(())
    }

    /// The data disk of a plan, as `qm` is told.
    fn data_of(&self, plan: &GuestPlan) -> Result<Option<Data>> {
        match &plan.form {
            GuestForm::Machine { disk: Some(disk), .. } => self.data(disk).map(Some),
            _ => Ok(None),
        }
    }
}
