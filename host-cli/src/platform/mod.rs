//! Where gateways run. Verbs and steps never ask which platform they are on.
//!
//! * [`Platform`]: what each one can do
//! * [`standalone`]: LXC and QEMU on any Debian machine
//! * [`pve`]: containers and virtual machines of Proxmox VE
//! * [`native`]: the node itself, before either of them
//! * [`templates`]: what one is, and choosing one
//! * [`archive`]: a template's file and its manifest · [`bridges`], [`subid`], [`lock`]: what every node has

pub mod archive;
pub mod bridges;
pub mod lock;
pub(crate) mod mount_entry;
pub mod native;
pub mod pve;
pub mod standalone;
pub mod subid;
mod templates;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use smbgw_api::{BridgeName, DiskSource, GatewayName, GatewaySpec, IdBook, StorageId, StoragePlace};

pub use self::templates::{Form, Installed, Template, choose_template};
use crate::Result;
use crate::link::Link;
use crate::record::{GuestNetwork, GuestPlan, Record};

/// What a platform can do. Everything that changes something can be done twice.
pub trait Platform: Send + Sync {
    /// Its name, as `standalone`.
    fn name(&self) -> &'static str;

    /// What the node offers.
    ///
    /// # Errors
    /// When the node cannot be looked at.
    fn facts(&self) -> Result<NodeFacts>;

    /// Works out where the directories are that shares have on storages, and notes it in the spec.
    ///
    /// # Errors
    /// Codes `no-storages`, `storage-missing`, `storage-unsuitable`, `storage-inactive`.
    fn locate(&self, spec: &mut GatewaySpec) -> Result<()>;

    /// The storage that a new guest's own disk goes to; none where there are no storages.
    ///
    /// # Errors
    /// Codes `storage-missing`, `storage-content`, `storage-inactive`.
    fn place_guest(&self, spec: &GatewaySpec) -> Result<Option<StorageId>>;

    /// Looks for what the platform forbids in a spec; what a person should know of it before is said.
    ///
    /// # Errors
    /// The first thing that is forbidden.
    fn review(&self, spec: &GatewaySpec) -> Result<Vec<String>>;

    /// Looks for what forbids the removal of a gateway.
    ///
    /// # Errors
    /// The first thing that does: codes `guest-protected`, `guest-locked`, `share-data`.
    fn review_removal(&self, _: &GatewayName) -> Result<()> {
        Ok(())
    }

    /// All gateways, by name.
    ///
    /// # Errors
    /// When a record cannot be read.
    fn records(&self) -> Result<Vec<Record>>;

    /// One gateway.
    ///
    /// # Errors
    /// When its record cannot be read.
    fn record(&self, name: &GatewayName) -> Result<Option<Record>>;

    /// Writes a new record, which must be the first of its name and have an address that no other has.
    ///
    /// # Errors
    /// Codes `name-taken` and `address-taken`.
    fn add_record(&self, record: &Record) -> Result<()>;

    /// Replaces a record.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put_record(&self, record: &Record) -> Result<()>;

    /// Removes a record.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_record(&self, name: &GatewayName) -> Result<()>;

    /// Ids that users and groups of gateways had; those that they have are in the records.
    ///
    /// # Errors
    /// When they cannot be read.
    fn ids(&self) -> Result<BTreeMap<GatewayName, IdBook>>;

    /// Replaces those of a gateway; none forgets them.
    ///
    /// # Errors
    /// When they cannot be written.
    fn put_ids(&self, name: &GatewayName, ids: Option<&IdBook>) -> Result<()>;

    /// Takes the lock of a gateway, so that one operation at a time changes it. Held until dropped.
    ///
    /// # Errors
    /// Code `gateway-busy`.
    fn lock(&self, name: &GatewayName) -> Result<Lock>;

    /// Makes sure that something can be written down at all.
    ///
    /// # Errors
    /// Code `no-quorum`.
    fn require_writable(&self) -> Result<()> {
        Ok(())
    }

    /// Installed templates, each name's newest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn templates(&self) -> Result<Vec<Template>>;

    /// Installs a template from its file, with the manifest beside it, on this storage if there are storages. Says its exact
    /// name.
    ///
    /// # Errors
    /// Codes `template-missing`, `template-checksum`, `template-invalid`.
    fn install_template(&self, file: &Path, storage: Option<&StorageId>, now: Timestamp)
    -> Result<Installed>;

    /// Removes what an interrupted installation left.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn discard_partial_templates(&self) -> Result<()>;

    /// Compares an installed template with its manifest: the differences.
    ///
    /// # Errors
    /// When it cannot be read.
    fn verify_template(&self, name: &str) -> Result<Vec<String>>;

    /// Removes a template.
    ///
    /// # Errors
    /// Code `template-in-use`.
    fn remove_template(&self, name: &str) -> Result<()>;

    /// Makes the network that a guest is attached to, if it is the platform's own.
    ///
    /// # Errors
    /// When the node refuses.
    fn ensure_network(&self, network: &GuestNetwork) -> Result<()>;

    /// Removes the platform's own network, if no gateway besides this one uses it.
    ///
    /// # Errors
    /// When the node refuses.
    fn release_network(&self, network: &GuestNetwork, but: &GatewayName) -> Result<()>;

    /// Makes the place where the agent's socket will be.
    ///
    /// # Errors
    /// When it cannot be made.
    fn make_link(&self, guest: &GuestPlan) -> Result<()>;

    /// Removes it.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_link(&self, name: &GatewayName) -> Result<()>;

    /// Makes a dataset or directory on a storage, marked with this ticket as ours; one that is there stays as it is.
    ///
    /// # Errors
    /// When the storage refuses.
    fn make_place(&self, place: &StoragePlace, ticket: &str) -> Result<()>;

    /// Removes a dataset or directory that has this ticket and nothing in it; any other stays.
    ///
    /// # Errors
    /// When the storage refuses.
    fn remove_place(&self, place: &StoragePlace, ticket: &str) -> Result<()>;

    /// Makes a guest from its template.
    ///
    /// # Errors
    /// When template, storage or the node do not allow it.
    fn create_guest(&self, guest: &GuestPlan) -> Result<()>;

    /// Gives a stopped guest another configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    fn configure_guest(&self, guest: &GuestPlan) -> Result<()>;

    /// Applies the limits of a guest while it runs, and whether it starts with the node.
    ///
    /// # Errors
    /// When the node refuses.
    fn limit_guest(&self, guest: &GuestPlan) -> Result<()>;

    /// Removes a guest that does not run, with all that is its own; never what is mounted into it.
    ///
    /// # Errors
    /// When something cannot be removed.
    fn destroy_guest(&self, name: &GatewayName) -> Result<()>;

    /// Moves a stopped guest aside, so that it can be brought back.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn retire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()>;

    /// Brings a retired guest back.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn unretire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()>;

    /// Removes a retired guest for good.
    ///
    /// # Errors
    /// When something cannot be removed.
    fn purge_guest(&self, ticket: &str) -> Result<()>;

    /// Starts a guest, if it does not run.
    ///
    /// # Errors
    /// Code `start-failed` with what the platform said.
    fn start(&self, guest: &GuestPlan) -> Result<()>;

    /// Lets a guest that stands still go on.
    ///
    /// # Errors
    /// When it cannot.
    fn resume(&self, name: &GatewayName) -> Result<()>;

    /// Stops a guest, if it runs: cleanly within a deadline, else by force.
    ///
    /// # Errors
    /// When it cannot be stopped.
    fn stop(&self, name: &GatewayName) -> Result<()>;

    /// How a guest is.
    ///
    /// # Errors
    /// When the platform does not say.
    fn guest_state(&self, name: &GatewayName) -> Result<GuestState>;

    /// Whether this node has, or is to have, a gateway's guest.
    ///
    /// # Errors
    /// When the platform does not say.
    fn is_here(&self, _: &Record) -> Result<bool> {
        Ok(true)
    }

    /// How the guests of these gateways are, in the same order.
    ///
    /// # Errors
    /// When the platform does not say.
    fn guest_states(&self, records: &[Record]) -> Result<Vec<GuestState>> {
        records.iter().map(|record| self.guest_state(record.name())).collect()
    }

    /// Whether the memory limits of containers are enforced.
    fn limits_memory(&self) -> bool;

    /// What can be seen of a running guest from outside, beyond its state.
    ///
    /// # Errors
    /// When the platform does not say.
    fn guest_details(&self, name: &GatewayName) -> Result<GuestDetails>;

    /// What a disk on the node is.
    ///
    /// # Errors
    /// When it cannot be a gateway's disk: codes `disk-missing`, `disk-unusable`, `disk-in-use`.
    fn inspect_disk(&self, disk: &DiskSource) -> Result<DiskFacts>;

    /// Claims a guest's data disk for it, so that no other gateway takes it.
    ///
    /// # Errors
    /// Code `disk-in-use`.
    fn claim_disk(&self, guest: &GuestPlan) -> Result<()>;

    /// Gives a data disk back, if it is this guest's.
    ///
    /// # Errors
    /// When the storage refuses.
    fn release_disk(&self, guest: &GuestPlan) -> Result<()>;

    /// Tells a running guest that its data disk has grown.
    ///
    /// # Errors
    /// When the guest does not run or has no such disk.
    fn resize_disk(&self, guest: &GuestPlan) -> Result<u64>;

    /// Link to a gateway's agent.
    ///
    /// # Errors
    /// When there is no such gateway.
    fn link(&self, name: &GatewayName) -> Result<Box<dyn Link>>;

    /// What the node has and lacks.
    ///
    /// # Errors
    /// When the node cannot be looked at.
    fn diagnose(&self) -> Result<Vec<Finding>>;

    /// Mends what [`Platform::diagnose`] found mendable; says what was done.
    ///
    /// # Errors
    /// When the node refuses.
    fn mend(&self) -> Result<Vec<String>>;

    /// Commands that remove a guest by hand.
    fn by_hand(&self, what: ByHand<'_>) -> Vec<String>;
}

/// A thing that a person may have to clean up by hand.
#[derive(Debug, Clone, Copy)]
pub enum ByHand<'a> {
    /// A running guest.
    Running(&'a GuestPlan),
    /// A guest.
    Guest(&'a GatewayName),
    /// Its link directory.
    Link(&'a GatewayName),
    /// Its record.
    Record(&'a GatewayName),
}

/// A lock that is held while it lives.
pub struct Lock {
    _file: std::fs::File,
    forget: Option<Forget>,
}

/// A lock file that goes when what it guards is gone.
pub struct Forget {
    /// The lock file.
    pub lock: std::path::PathBuf,
    /// Whether what it guards is gone.
    pub gone: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Lock {
    /// Holds the lock that this open file has.
    pub fn holding(file: std::fs::File, forget: Option<Forget>) -> Self {
        Self { _file: file, forget }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // still held: whoever waits finds that the file is another one by then, and tries again
        if let Some(forget) = self.forget.take().filter(|forget| (forget.gone)()) {
            let _ = std::fs::remove_file(forget.lock);
        }
    }
}

/// What the node offers to gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// What tells this node from others, and stays.
    pub id: String,
    /// Bridges that exist.
    pub bridges: Vec<String>,
    /// Those that tell VLANs apart.
    pub vlan_bridges: Vec<String>,
    /// The platform's own network, if it has one.
    pub own_network: Option<OwnNetwork>,
    /// Bridge of a gateway that names none, where the platform has no network of its own.
    pub default_bridge: Option<BridgeName>,
    /// Host ids that containers may use: first and number.
    pub id_range: Option<(u32, u32)>,
    /// Ranges of host ids that are given away: /etc/subuid, /etc/subgid.
    pub subids: subid::SubIds,
    /// How ids are kept the same on the mounts of containers, in words.
    pub id_mechanism: &'static str,
    /// What only some platforms can.
    pub abilities: Abilities,
    /// What the node has for gateways on itself.
    pub native: native::facts::NativeFacts,
}

/// What only some platforms can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// Names of storages mean something.
    pub storages: bool,
    /// It starts guests by itself when the node starts, in an order.
    pub starts_guests: bool,
}

/// The platform's own network: a bridge that it makes for its gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnNetwork {
    /// Bridge.
    pub bridge: BridgeName,
    /// The node's address in it.
    pub node: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
}

/// How a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestState {
    /// There is none.
    Absent,
    /// It does not run.
    Stopped,
    /// It runs.
    Running {
        /// Process id of its init, on the node.
        pid: u32,
    },
}

/// What can be seen of a running guest from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestDetails {
    /// What executes a virtual machine, as `kvm`.
    pub accelerator: Option<String>,
    /// What is wrong; empty when nothing is.
    pub problems: Vec<String>,
    /// It stands still, and goes on where it stood when it is resumed.
    pub stands_still: bool,
    /// The storage of a share is gone for good until the guest is restarted.
    pub storage_lost: bool,
    /// Memory of a virtual machine's processes on the node, in bytes.
    pub memory_resident_bytes: Option<u64>,
}

/// What a disk on the node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    /// Its size in bytes.
    pub bytes: u64,
}

/// Something that a doctor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do; nothing when all is well.
    pub fix: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it must be.
    Good,
    /// Works, with a limit.
    Limited,
    /// `doctor --fix` mends it.
    Mendable,
    /// A person must mend it.
    Bad,
}
