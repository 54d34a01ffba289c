//! Gateways on any Debian machine: LXC and QEMU directly, no daemon. For one machine: labs, tests, a file server.
//!
//! * [`records`]: one file a gateway · [`ids`]: ids that are kept · [`template`]: installed templates · [`container`]: making and running
//! * [`machine`]: virtual machines · [`config`]: the container's configuration (pure) · [`guest_file`]: writing into a guest's tree safely
//! * [`bridge`]: our own network · [`cgroup`]: limits and leftovers
//! * [`doctor`]: what the node has and lacks

pub mod bridge;
pub mod cgroup;
pub mod config;
pub mod container;
pub mod doctor;
pub mod guest_file;
pub mod ids;
pub mod machine;
pub mod records;
pub mod template;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use smbgw_api::{DiskSource, GatewayName, GatewaySpec, IdBook, Location, StorageId, StoragePlace};
use smbgw_command::{Interrupt, System};

use super::lock::Locks;
use super::native::{self, facts::NativeFacts};
use super::{
    Abilities, ByHand, DiskFacts, Finding, GuestDetails, GuestState, Installed, Lock, NodeFacts, Platform,
    Template, bridges, subid,
};
use crate::link::guest_agent::GuestAgentLink;
use crate::link::{Link, UnixLink};
use crate::paths::Paths;
use crate::record::{GuestForm, GuestNetwork, GuestPlan, Record};
use crate::{Error, Result};

/// The standalone platform.
#[derive(Debug, Clone)]
pub struct Standalone {
    pub(crate) paths: Paths,
    pub(crate) system: Arc<System>,
    pub(crate) interrupt: Interrupt,
}

impl Standalone {
    /// With its state in these paths. The flag ends waits and commands early.
    pub fn new(paths: Paths, interrupt: Interrupt) -> Self {
        Self { paths, system: Arc::new(System::with_interrupt(interrupt.clone())), interrupt }
    }

    fn locks(&self) -> Locks {
        Locks::new(self.paths.locks(), self.interrupt.clone())
    }

    pub(super) fn node_lock(&self) -> Result<super::Lock> {
        self.locks().node()
    }
}

/// The error of a place on a storage.
fn no_storages(location: &impl std::fmt::Display) -> Error {
    Error::usage("no-storages", format!("{location}: this platform knows no storages"))
        .hint("name the directory or the disk itself: --path or --disk; storages are Proxmox VE's")
}

impl Platform for Standalone {
    fn name(&self) -> &'static str {
        "standalone"
    }

    fn facts(&self) -> Result<NodeFacts> {
        // machine-id(5); a node without one has its gateways' addresses in common with others, no more
        let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
        Ok(NodeFacts {
            id,
            bridges: bridges::existing()?,
            vlan_bridges: bridges::vlan_aware()?,
            own_network: Some(bridge::own()?),
            default_bridge: None,
            id_range: doctor::id_range()?.map(|first| (first, subid::MAP_SIZE)),
            subids: doctor::subids()?,
            id_mechanism: "an idmapped mount",
            abilities: Abilities::default(),
            native: NativeFacts::default(),
        })
    }

    fn locate(&self, spec: &mut GatewaySpec) -> Result<()> {
        let stored = |share: &smbgw_api::Share| matches!(share.location, Location::Storage(_));
        match spec.shares.iter().find(|share| stored(share)) {
            Some(share) => Err(no_storages(&share.location)),
            None => Ok(()),
        }
    }

    fn place_guest(&self, _: &GatewaySpec) -> Result<Option<StorageId>> {
        Ok(None)
    }

    fn review(&self, _: &GatewaySpec) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn records(&self) -> Result<Vec<Record>> {
        records::all(&self.paths)
    }

    fn record(&self, name: &GatewayName) -> Result<Option<Record>> {
        records::read(&self.paths, name)
    }

    fn add_record(&self, record: &Record) -> Result<()> {
        let _node = self.node_lock()?;
        records::add(&self.paths, record)
    }

    fn put_record(&self, record: &Record) -> Result<()> {
        let _node = self.node_lock()?;
        records::put(&self.paths, record)
    }

    fn remove_record(&self, name: &GatewayName) -> Result<()> {
        let _node = self.node_lock()?;
        records::remove(&self.paths, name)
    }

    fn ids(&self) -> Result<BTreeMap<GatewayName, IdBook>> {
        ids::all(&self.paths)
    }

    fn put_ids(&self, name: &GatewayName, ids: Option<&IdBook>) -> Result<()> {
        ids::put(&self.paths, name, ids)
    }

    fn lock(&self, name: &GatewayName) -> Result<Lock> {
        let record = self.paths.records().join(format!("{name}.json"));
        self.locks().gateway(name, move || !record.exists())
    }

    fn templates(&self) -> Result<Vec<Template>> {
        self.list_templates()
    }

    fn install_template(
        &self,
        file: &Path,
        storage: Option<&StorageId>,
        now: Timestamp,
    ) -> Result<Installed> {
        if let Some(storage) = storage {
            return Err(no_storages(storage));
        }
        // one at a time: they unpack into the same place
        let _node = self.node_lock()?;
        self.install_template_file(file, now)
    }

    fn discard_partial_templates(&self) -> Result<()> {
        self.discard_partial()
    }

    fn verify_template(&self, name: &str) -> Result<Vec<String>> {
        self.compare_template(name)
    }

    fn remove_template(&self, name: &str) -> Result<()> {
        self.remove_template_tree(name)
    }

    fn ensure_network(&self, network: &GuestNetwork) -> Result<()> {
        let _node = self.node_lock()?;
        self.ensure_bridge(network)
    }

    fn release_network(&self, network: &GuestNetwork, but: &GatewayName) -> Result<()> {
        let _node = self.node_lock()?;
        self.release_bridge(network, but)
    }

    fn make_link(&self, guest: &GuestPlan) -> Result<()> {
        self.make_link_directory(guest)
    }

    fn remove_link(&self, name: &GatewayName) -> Result<()> {
        crate::durable::remove_tree(&self.paths.link(name))
    }

    fn make_place(&self, place: &StoragePlace, _: &str) -> Result<()> {
        Err(no_storages(&Location::Storage(place.clone())))
    }

    fn remove_place(&self, _: &StoragePlace, _: &str) -> Result<()> {
        Ok(())
    }

    fn create_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_machine() { self.create_machine(guest) } else { self.create_container(guest) }
    }

    fn configure_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_machine() { self.configure_machine(guest) } else { self.write_configuration(guest) }
    }

    fn limit_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_machine() {
            return Ok(());
        }
        self.write_configuration(guest)?;
        self.limit_container(guest)
    }

    fn destroy_guest(&self, name: &GatewayName) -> Result<()> {
        self.stop(name)?;
        crate::durable::remove_tree(&self.guest_directory(name))
    }

    fn retire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        self.move_container(&self.guest_directory(name), &self.paths.trash().join(ticket))
    }

    fn unretire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        self.move_container(&self.paths.trash().join(ticket), &self.guest_directory(name))
    }

    fn purge_guest(&self, ticket: &str) -> Result<()> {
        crate::durable::remove_tree(&self.paths.trash().join(ticket))
    }

    fn start(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_machine() { self.start_machine(guest) } else { self.start_container(guest) }
    }

    fn resume(&self, name: &GatewayName) -> Result<()> {
        self.resume_machine(name)
    }

    fn stop(&self, name: &GatewayName) -> Result<()> {
        // a guest that was never finished may be of either kind, or have nothing but leftovers
        self.stop_machine(name)?;
        self.stop_container(name)
    }

    fn guest_state(&self, name: &GatewayName) -> Result<GuestState> {
        match self.machine_state(name)? {
            GuestState::Absent => self.container_state(name),
            state => Ok(state),
        }
    }

    fn limits_memory(&self) -> bool {
        cgroup::abilities().memory
    }

    fn guest_details(&self, name: &GatewayName) -> Result<GuestDetails> {
        self.machine_details(name)
    }

    fn inspect_disk(&self, disk: &DiskSource) -> Result<DiskFacts> {
        machine::data::inspect(&*self.system, disk, self.paths.state())
    }

    fn claim_disk(&self, guest: &GuestPlan) -> Result<()> {
        self.claim_machine_disk(guest)
    }

    fn release_disk(&self, guest: &GuestPlan) -> Result<()> {
        self.release_machine_disk(guest)
    }

    fn resize_disk(&self, guest: &GuestPlan) -> Result<u64> {
        self.resize_machine_disk(guest)
    }

    fn link(&self, name: &GatewayName) -> Result<Box<dyn Link>> {
        let record = records::read(&self.paths, name)?.ok_or_else(|| crate::record::missing(name))?;
        Ok(match record.guest.form {
            GuestForm::Container(ids) => Box::new(UnixLink::new(self.paths.link(name), ids.base)),
            GuestForm::Native(_) => return Err(native::not_there(name)),
            GuestForm::Machine { .. } => {
                Box::new(GuestAgentLink::new(machine::Guest::new(self.clone(), name.clone())))
            }
        })
    }

    fn diagnose(&self) -> Result<Vec<Finding>> {
        self.examine()
    }

    fn mend(&self) -> Result<Vec<String>> {
        self.mend_node()
    }

    fn by_hand(&self, what: ByHand<'_>) -> Vec<String> {
        let guests = self.paths.guests();
        match what {
            ByHand::Running(guest) => {
                let container = config::container_name(guest.name.as_str());
                if guest.is_machine() {
                    vec![format!("echo 1 > {}/cgroup.kill", machine::group(&container).display())]
                } else {
                    vec![format!("lxc-stop -k -P {} -n {container}", guests.display())]
                }
            }
            ByHand::Guest(name) => vec![format!("rm -r {}", self.guest_directory(name).display())],
            ByHand::Link(name) => vec![format!("rm -r {}", self.paths.link(name).display())],
            ByHand::Record(name) => {
                vec![format!("rm {}", self.paths.records().join(format!("{name}.json")).display())]
            }
        }
    }
}
