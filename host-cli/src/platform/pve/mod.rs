//! Gateways as containers and virtual machines of Proxmox VE 8.4 and 9.0 to 9.2: `pct`, `qm`, `pvesh` and the cluster file
//! system. Each call costs about a second, so there are as few as can be, and what files say is read from files.
//!
//! * [`call`]: every command line · [`answer`]: what is answered (pure) · [`failure`]: what a refusal means (pure)
//! * [`capabilities`]: what this node's version can (pure) · [`cluster`]: `/etc/pve`, and our file in it
//! * [`config`]: a guest's configuration · [`guests`]: finding guests, and proving that they are ours · [`reserve`]: ids
//! * [`container`], [`machine`]: making and changing them · [`mapping`]: directories for virtio-fs
//! * [`run`]: starting, stopping, state · [`retire`]: deletions · [`hook`]: what is done before a container starts
//! * [`guest_exec`]: agents in virtual machines · [`remote`]: agents on other nodes
//! * [`storage`]: where shares, disks and templates are · [`template`]: installed templates
//! * [`review`]: what is said before anything changes · [`doctor`]: what the node has and lacks

pub mod answer;
pub mod call;
pub mod capabilities;
pub mod cluster;
pub mod config;
mod container;
mod doctor;
mod failure;
mod guest_exec;
mod guests;
pub mod hook;
mod machine;
mod mapping;
pub mod remote;
mod reserve;
mod retire;
mod review;
mod run;
pub mod storage;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use smbgw_api::{BridgeName, DiskSource, GatewayName, GatewaySpec, IdBook, StorageId, StoragePlace};
use smbgw_command::{Interrupt, Runner, System};

use self::answer::Storage;
use self::call::{Call, pvesh};
use self::capabilities::Capabilities;
use self::cluster::ClusterFiles;
use self::cluster::registry::Registry;
use self::guest_exec::QmGuest;
use self::remote::Relay;
use self::storage::settings::{self, Settings};
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

/// Bridge that the installer of Proxmox VE makes.
const BRIDGE: &str = "vmbr0";
/// First host id of unprivileged containers (PVE 8.4 and 9.2, `PVE::LXC`).
const FIRST_ID: u32 = 100_000;

/// The platform of a Proxmox VE node.
#[derive(Clone)]
pub struct Pve {
    paths: Paths,
    files: ClusterFiles,
    runner: Arc<dyn Runner + Send + Sync>,
    interrupt: Interrupt,
    capabilities: Arc<OnceLock<Capabilities>>,
    storages: Arc<OnceLock<Vec<Storage>>>,
}

impl Pve {
    /// With its state in these paths. The flag ends waits and commands early.
    pub fn new(paths: Paths, interrupt: Interrupt) -> Self {
        let system = System::with_interrupt(interrupt.clone());
        Self::with_runner(paths, interrupt, Arc::new(system))
    }

    /// The same with another runner.
    fn with_runner(paths: Paths, interrupt: Interrupt, runner: Arc<dyn Runner + Send + Sync>) -> Self {
        Self {
            files: ClusterFiles::new(paths.cluster().to_owned(), interrupt.clone()),
            paths,
            runner,
            interrupt,
            capabilities: Arc::default(),
            storages: Arc::default(),
        }
    }

    fn registry(&self) -> Result<Registry> {
        Registry::read(&self.files)
    }

    /// What this node's version can; asked once.
    fn capabilities(&self) -> Result<&Capabilities> {
        if let Some(known) = self.capabilities.get() {
            return Ok(known);
        }
        let read = Capabilities::read(&*self.runner)?;
        Ok(self.capabilities.get_or_init(|| read))
    }

    /// Storages of this node as they are now; asked once.
    fn storages(&self) -> Result<&[Storage]> {
        if let Some(known) = self.storages.get() {
            return Ok(known);
        }
        let output = self.call("asking for the storages", pvesh::Storages { node: self.files.node()? })?;
        let read = answer::parse("the storages", &output.stdout)?;
        Ok(self.storages.get_or_init(|| read))
    }

    /// Storages as they are configured.
    fn settings(&self) -> Result<Vec<Settings>> {
        Ok(settings::parse(&self.files.read("storage.cfg")?.unwrap_or_default()))
    }

    fn call(&self, doing: &str, call: impl Into<Call>) -> Result<smbgw_command::Output> {
        Call::run(call, &*self.runner).map_err(|error| failure::failed(doing, error))
    }

    fn locks(&self) -> Locks {
        Locks::new(self.paths.locks(), self.interrupt.clone())
    }
}

impl Platform for Pve {
    fn name(&self) -> &'static str {
        "pve"
    }

    fn facts(&self) -> Result<NodeFacts> {
        let capabilities = self.capabilities()?;
        let bridges = bridges::existing()?;
        let default = bridges.iter().find(|name| *name == BRIDGE).or_else(|| bridges.first());
        Ok(NodeFacts {
            // machine-id(5), as on any node
            id: std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned(),
            default_bridge: default.map(|name| BridgeName::parse(name)).transpose()?,
            // Proxmox VE makes a bridge for each VLAN where one does not tell them apart
            vlan_bridges: bridges.clone(),
            bridges,
            own_network: None,
            id_range: self.has_ids()?.then_some((FIRST_ID, subid::MAP_SIZE)),
            subids: crate::platform::standalone::doctor::subids()?,
            id_mechanism: capabilities.id_mechanism(),
            abilities: Abilities { storages: true, starts_guests: true },
            native: NativeFacts::default(),
        })
    }

    fn locate(&self, spec: &mut GatewaySpec) -> Result<()> {
        self.locate_places(spec)
    }

    fn place_guest(&self, spec: &GatewaySpec) -> Result<Option<StorageId>> {
        self.choose_guest_storage(spec).map(Some)
    }

    fn review(&self, spec: &GatewaySpec) -> Result<Vec<String>> {
        self.review_spec(spec)
    }

    fn review_removal(&self, name: &GatewayName) -> Result<()> {
        self.refuse_removal(name)
    }

    fn records(&self) -> Result<Vec<Record>> {
        Ok(self.registry()?.gateways()?.into_iter().map(|entry| entry.record).collect())
    }

    fn record(&self, name: &GatewayName) -> Result<Option<Record>> {
        Ok(self.registry()?.gateway(name)?.map(|entry| entry.record))
    }

    fn add_record(&self, record: &Record) -> Result<()> {
        let node = self.files.node()?;
        Registry::update(&self.files, |registry| registry.add(record, &node))
    }

    fn put_record(&self, record: &Record) -> Result<()> {
        let node = self.files.node()?;
        Registry::update(&self.files, |registry| registry.put(record, &node))
    }

    fn remove_record(&self, name: &GatewayName) -> Result<()> {
        self.forget(name)
    }

    fn ids(&self) -> Result<BTreeMap<GatewayName, IdBook>> {
        self.registry()?.ids_of_people()
    }

    fn put_ids(&self, name: &GatewayName, ids: Option<&IdBook>) -> Result<()> {
        Registry::update(&self.files, |registry| registry.put_ids(name, ids))
    }

    /// Another node is kept out by the place of the guest: only its own node changes a gateway.
    fn lock(&self, name: &GatewayName) -> Result<Lock> {
        self.files.require_quorum()?;
        self.refuse_elsewhere(name)?;
        let (files, gateway) = (self.files.clone(), name.clone());
        let gone = move || {
            Registry::read(&files).is_ok_and(|registry| matches!(registry.gateway(&gateway), Ok(None)))
        };
        self.locks().gateway(name, gone)
    }

    fn require_writable(&self) -> Result<()> {
        self.files.require_quorum()
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
        let _node = self.locks().node()?;
        self.install_template_file(file, storage, now)
    }

    fn discard_partial_templates(&self) -> Result<()> {
        self.discard_partial()
    }

    fn verify_template(&self, name: &str) -> Result<Vec<String>> {
        self.compare_template(name)
    }

    fn remove_template(&self, name: &str) -> Result<()> {
        self.remove_installed(name)
    }

    fn ensure_network(&self, network: &GuestNetwork) -> Result<()> {
        let there = bridges::existing()?.iter().any(|name| name == network.bridge.as_str());
        if there { Ok(()) } else { Err(bridges::no_bridge(network.bridge.as_str())) }
    }

    /// Bridges are the administrator's.
    fn release_network(&self, _: &GuestNetwork, _: &GatewayName) -> Result<()> {
        Ok(())
    }

    fn make_link(&self, guest: &GuestPlan) -> Result<()> {
        hook::make_link(&self.paths, &guest.name, guest.ids()?.base)
    }

    fn remove_link(&self, name: &GatewayName) -> Result<()> {
        crate::durable::remove_tree(&self.paths.link(name))
    }

    fn make_place(&self, place: &StoragePlace, ticket: &str) -> Result<()> {
        self.make_directory(place, ticket)
    }

    fn remove_place(&self, place: &StoragePlace, ticket: &str) -> Result<()> {
        self.remove_directory(place, ticket)
    }

    fn create_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_machine() { self.create_machine(guest) } else { self.create_container(guest) }
    }

    fn configure_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_machine() { self.configure_machine(guest) } else { self.configure_container(guest) }
    }

    fn limit_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_machine() { self.start_machine_with_node(guest) } else { self.limit_container(guest) }
    }

    fn destroy_guest(&self, name: &GatewayName) -> Result<()> {
        self.destroy(name)
    }

    fn retire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        self.retire(name, ticket)
    }

    fn unretire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        self.unretire(name, ticket)
    }

    fn purge_guest(&self, ticket: &str) -> Result<()> {
        self.purge(ticket)
    }

    fn start(&self, guest: &GuestPlan) -> Result<()> {
        self.start_guest(guest)
    }

    fn resume(&self, name: &GatewayName) -> Result<()> {
        self.resume_guest(name)
    }

    fn stop(&self, name: &GatewayName) -> Result<()> {
        self.stop_guest(name)
    }

    fn guest_state(&self, name: &GatewayName) -> Result<GuestState> {
        self.state_of(name)
    }

    fn is_here(&self, record: &Record) -> Result<bool> {
        let entry = self.registry()?.gateway(record.name())?;
        let node = entry.map(|entry| self.node_of(&entry)).transpose()?;
        let here = self.files.node()?;
        Ok(node.is_none_or(|node| node == here))
    }

    fn guest_states(&self, records: &[Record]) -> Result<Vec<GuestState>> {
        self.states_of(records)
    }

    /// Proxmox VE needs the controllers itself.
    fn limits_memory(&self) -> bool {
        true
    }

    fn guest_details(&self, name: &GatewayName) -> Result<GuestDetails> {
        self.details_of(name)
    }

    fn inspect_disk(&self, disk: &DiskSource) -> Result<DiskFacts> {
        self.inspect_data(disk)
    }

    fn claim_disk(&self, guest: &GuestPlan) -> Result<()> {
        self.refuse_foreign_data(guest)
    }

    /// The record is the claim, and goes with the gateway.
    fn release_disk(&self, _: &GuestPlan) -> Result<()> {
        Ok(())
    }

    fn resize_disk(&self, guest: &GuestPlan) -> Result<u64> {
        self.size_of_data(guest)
    }

    fn link(&self, name: &GatewayName) -> Result<Box<dyn Link>> {
        let entry = self.registry()?.gateway(name)?.ok_or_else(|| crate::record::missing(name))?;
        let node = self.node_of(&entry)?;
        if node != self.files.node()? {
            return Ok(Box::new(Relay::new(self.clone(), node, name.clone())));
        }
        Ok(match entry.record.guest.form {
            GuestForm::Container(ids) => Box::new(UnixLink::new(self.paths.link(name), ids.base)),
            GuestForm::Native(_) => return Err(native::not_there(name)),
            GuestForm::Machine { .. } => {
                let id = entry.id.ok_or_else(|| guests::not_made(name))?;
                Box::new(GuestAgentLink::new(QmGuest::new(self.clone(), name.clone(), node, id)))
            }
        })
    }

    fn diagnose(&self) -> Result<Vec<Finding>> {
        self.examine()
    }

    fn mend(&self) -> Result<Vec<String>> {
        hook::make_state_directories(&self.paths)?;
        Ok(Vec::new())
    }

    fn by_hand(&self, what: ByHand<'_>) -> Vec<String> {
        self.hand_work(what)
    }
}

impl Pve {
    /// Whether root has the host ids that Proxmox VE gives to unprivileged containers.
    fn has_ids(&self) -> Result<bool> {
        let read = |path: &str| match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            other => other.map_err(|source| Error::io(format!("reading {path}"), source)),
        };
        let (uids, gids) = (read("/etc/subuid")?, read("/etc/subgid")?);
        Ok(subid::covers(&uids, FIRST_ID) && subid::covers(&gids, FIRST_ID))
    }
}
