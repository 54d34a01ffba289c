//! What a verb does, as steps. Pure: everything that had to be looked at is in [`Observed`], everything random in
//! [`Entropy`]; `--dry-run` prints exactly what would run.
//!
//! * [`create`], [`change`], [`delete`]: the plans
//! * [`checks`]: what must hold before anything changes
//! * [`idmap`]: who owns files, inside and outside
//! * [`user_quota`]: quotas of users and groups
//! * [`ids`]: ids of users and groups, and who else has the files
//! * [`address`]: bridge and address of a new gateway
//! * [`native`]: what a gateway on the node itself needs
//! * [`quota`]: limits of shares
//! * [`domain`]: membership of a domain

pub mod address;
pub mod change;
pub mod checks;
pub mod create;
pub mod delete;
mod domain;
pub mod idmap;
mod ids;
mod native;
mod quota;
#[cfg(test)]
mod tests;
mod user_quota;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smbgw_api::{DiskSource, GatewayName, GatewaySpec, HostPath, IdBook, Location, StorageId};
use smbgw_command::System;

use crate::platform::{ByHand, DiskFacts, NodeFacts, Platform, Template};
use crate::quota::QuotaFacts;
use crate::quota::owner::{self, Kinds, OwnerFacts};
use crate::record::Record;
use crate::step::Step;
use crate::storage::{self, StorageFacts};
use crate::{Error, Result};

/// Steps, and what to say about them.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Verb, as `create`.
    pub verb: &'static str,
    /// What it is about.
    pub target: String,
    /// Steps in order; none when all is as wanted.
    pub steps: Vec<Step>,
    /// What a person should know before and after: limits, warnings.
    pub notes: Vec<String>,
    /// What was worked out, for `--dry-run`: the id-map plan.
    pub details: Vec<String>,
}

/// Says how a person takes something back by hand, in the platform's words.
pub type HandWork<'a> = dyn Fn(ByHand<'_>) -> Vec<String> + 'a;

/// What exists, looked at once before planning.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The node.
    pub node: NodeFacts,
    /// All gateways.
    pub records: Vec<Record>,
    /// Ids that users and groups of gateways had.
    pub ids: BTreeMap<GatewayName, IdBook>,
    /// Installed templates.
    pub templates: Vec<Template>,
    /// Directories that are to be shared.
    pub storage: BTreeMap<HostPath, StorageFacts>,
    /// Limits of directories that have a quota, or are to get one.
    pub quotas: BTreeMap<HostPath, QuotaFacts>,
    /// Users and groups of file systems where some have quotas, or are to get some.
    pub owners: BTreeMap<HostPath, OwnerFacts>,
    /// Disks that gateways are to have.
    pub disks: BTreeMap<DiskSource, DiskFacts>,
    /// Gateways of other nodes of the cluster, where that matters: native ones, and those with user quotas.
    pub elsewhere: BTreeSet<GatewayName>,
    /// Directories on storages that are to be made.
    pub absent: BTreeSet<HostPath>,
    /// Storage of a new guest's own disk.
    pub guest_storage: Option<StorageId>,
    /// What the platform has a person know.
    pub caveats: Vec<String>,
}

impl Observed {
    /// Looks at the node, and at what this gateway is to have of it; where its storages have their directories is noted in
    /// the spec.
    ///
    /// # Errors
    /// What prevents looking; a directory that cannot be shared is an error of its own.
    pub fn look(platform: &dyn Platform, mut spec: Option<&mut GatewaySpec>) -> Result<Self> {
        if let Some(spec) = spec.as_deref_mut() {
            platform.locate(spec)?;
        }
        let spec = spec.as_deref();
        let (mut storage, mut absent) = (BTreeMap::new(), BTreeSet::new());
        for share in spec.iter().flat_map(|spec| &spec.shares) {
            let Some(path) = share.directory() else { continue };
            let make = matches!(&share.location, Location::Storage(place) if place.create);
            let facts = match storage::inspect(path) {
                Err(error) if error.code == "path-missing" && make => {
                    absent.insert(path.clone());
                    storage::expect(path)?
                }
                other => other?,
            };
            storage.insert(path.clone(), facts);
        }
        let mut disks = BTreeMap::new();
        if let Some(disk) = spec.and_then(|spec| spec.disk.as_ref()) {
            disks.insert(disk.source.clone(), platform.inspect_disk(&disk.source)?);
        }
        let records = platform.records()?;
        let mut quotas = BTreeMap::new();
        let name = spec.map(|spec| &spec.name);
        let old = records.iter().find(|record| Some(record.name()) == name).map(|record| &record.spec);
        for path in quota::concerned(spec.into_iter().chain(old)) {
            if absent.contains(path) || quotas.contains_key(path) {
                continue;
            }
            match crate::quota::look(&System::new(), path) {
                Ok(facts) => drop(quotas.insert(path.clone(), facts)),
                // one that is only to be left may be gone
                Err(error) if !storage.contains_key(path) => {
                    tracing::debug!(%error, "a quota was not looked at");
                }
                Err(error) => return Err(error),
            }
        }
        let mut owners = BTreeMap::new();
        let others = records.iter().map(|record| &record.spec).filter(|other| Some(&other.name) != name);
        let mut asked = BTreeMap::<&HostPath, Kinds>::new();
        for (path, kinds) in user_quota::concerned(spec.into_iter().chain(old).chain(others)) {
            *asked.entry(path).or_default() |= kinds;
        }
        for (path, kinds) in asked.into_iter().filter(|(path, _)| !absent.contains(*path)) {
            match owner::look(&System::new(), path, kinds) {
                Ok(facts) => drop(owners.insert(path.clone(), facts)),
                Err(error) if !storage.contains_key(path) => {
                    tracing::debug!(%error, "users and groups of a file system were not looked at");
                }
                Err(error) => return Err(error),
            }
        }
        let mut caveats = Vec::new();
        let mut guest_storage = None;
        if let Some(spec) = spec {
            caveats = platform.review(spec)?;
            if !records.iter().any(|record| *record.name() == spec.name) {
                guest_storage = platform.place_guest(spec)?;
            }
        }
        let mut elsewhere = BTreeSet::new();
        let local = |record: &&Record| {
            record.guest.is_native() || record.spec.shares.iter().any(|share| !share.user_quotas.is_empty())
        };
        for record in records.iter().filter(local) {
            if !platform.is_here(record)? {
                elsewhere.insert(record.name().clone());
            }
        }
        let (node, templates, ids) = (platform.facts()?, platform.templates()?, platform.ids()?);
        Ok(Self {
            node,
            records,
            ids,
            templates,
            storage,
            quotas,
            owners,
            disks,
            elsewhere,
            absent,
            guest_storage,
            caveats,
        })
    }

    /// A gateway.
    ///
    /// # Errors
    /// Code `no-such-gateway`.
    pub fn record(&self, name: &GatewayName) -> Result<&Record> {
        self.records.iter().find(|record| record.name() == name).ok_or_else(|| crate::record::missing(name))
    }

    /// What was seen of a directory.
    ///
    /// # Errors
    /// When it was not looked at, which is our fault.
    pub fn storage(&self, path: &HostPath) -> Result<&StorageFacts> {
        self.storage.get(path).ok_or_else(|| Error::internal(format!("{path} was not looked at")))
    }

    /// What was seen of a disk.
    ///
    /// # Errors
    /// When it was not looked at, which is our fault.
    pub fn disk(&self, disk: &DiskSource) -> Result<&DiskFacts> {
        self.disks.get(disk).ok_or_else(|| Error::internal(format!("{disk} was not looked at")))
    }
}

/// Time and randomness of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Entropy {
    /// Now.
    pub now: Timestamp,
    /// 128 random bits.
    pub random: u128,
}

impl Entropy {
    /// A short name that nothing else has.
    pub fn ticket(self) -> String {
        format!("{:026x}", self.random >> 24)
    }
}
