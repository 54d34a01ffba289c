//! Gateways on the node itself, on any platform: the agent and Samba of a gateway as two services of systemd, in a mount
//! namespace of their own. There, `/etc`, `/var/lib/samba`, `/run/samba` and the shares are the gateway's, at the paths that they
//! have in a container: the agent does the same as everywhere, and neither the node's accounts nor a Samba that the node has are
//! seen or touched.
//!
//! * [`facts`]: what the node has for it · [`units`]: its units (pure) · [`service`]: making, running, removing it
//!
//! [`WithNative`] stands before another platform: it does what concerns such gateways, and hands on all else.

pub mod facts;
mod service;
mod units;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smbgw_api::{DiskSource, GatewayName, GatewaySpec, IdBook, Mode, StorageId, StoragePlace};
use smbgw_command::Runner;

use self::service::Services;
use super::{
    ByHand, DiskFacts, Finding, GuestDetails, GuestState, Installed, Lock, NodeFacts, Platform, Template,
    Verdict,
};
use crate::link::{Link, Request, UnixLink};
use crate::paths::Paths;
use crate::record::{GuestNetwork, GuestPlan, Record};
use crate::{Error, Result};

/// For an agent of another node to say that it is there.
const ELSEWHERE: Duration = Duration::from_secs(10);

/// The error of a gateway that is on record, but has nothing on this node.
pub(super) fn not_there(name: &GatewayName) -> Error {
    Error::infrastructure("guest-missing", format!("gateway {name} has no services on this node"))
        .hint("they were removed past this program; delete the gateway and create it again: its data stays")
}

/// A platform that also knows gateways on the node itself.
pub struct WithNative {
    inner: Arc<dyn Platform>,
    paths: Paths,
    services: Services,
}

impl WithNative {
    /// Before this platform.
    pub fn new(inner: Arc<dyn Platform>, paths: Paths, runner: Arc<dyn Runner>) -> Self {
        Self { inner, services: Services::new(paths.clone(), runner), paths }
    }

    /// Whether a gateway is, or was begun as, one on this node itself.
    fn is_native(&self, name: &GatewayName) -> bool {
        self.services.is_there(name)
    }

    /// How a gateway on a node itself is: one of another node is asked there.
    fn state_of(&self, record: &Record) -> Result<GuestState> {
        if self.inner.is_here(record)? {
            return self.services.state(record.name());
        }
        let question =
            Request { method: "GET", path: "/v1/health".to_owned(), body: None, deadline: ELSEWHERE };
        let answer = self.inner.link(record.name()).and_then(|link| link.request(&question));
        // an agent that does not answer runs no more than a guest that is stopped
        Ok(if answer.is_ok() { GuestState::Running { pid: 0 } } else { GuestState::Stopped })
    }
}

impl Platform for WithNative {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn facts(&self) -> Result<NodeFacts> {
        Ok(NodeFacts { native: facts::read()?, ..self.inner.facts()? })
    }

    fn locate(&self, spec: &mut GatewaySpec) -> Result<()> {
        self.inner.locate(spec)
    }

    fn place_guest(&self, spec: &GatewaySpec) -> Result<Option<StorageId>> {
        if spec.mode == Mode::Native { Ok(None) } else { self.inner.place_guest(spec) }
    }

    fn review(&self, spec: &GatewaySpec) -> Result<Vec<String>> {
        if spec.mode == Mode::Native { Ok(Vec::new()) } else { self.inner.review(spec) }
    }

    fn review_removal(&self, name: &GatewayName) -> Result<()> {
        if self.is_native(name) { Ok(()) } else { self.inner.review_removal(name) }
    }

    fn records(&self) -> Result<Vec<Record>> {
        self.inner.records()
    }

    fn record(&self, name: &GatewayName) -> Result<Option<Record>> {
        self.inner.record(name)
    }

    fn add_record(&self, record: &Record) -> Result<()> {
        self.inner.add_record(record)
    }

    fn put_record(&self, record: &Record) -> Result<()> {
        self.inner.put_record(record)
    }

    fn remove_record(&self, name: &GatewayName) -> Result<()> {
        self.inner.remove_record(name)
    }

    fn ids(&self) -> Result<BTreeMap<GatewayName, IdBook>> {
        self.inner.ids()
    }

    fn put_ids(&self, name: &GatewayName, ids: Option<&IdBook>) -> Result<()> {
        self.inner.put_ids(name, ids)
    }

    fn lock(&self, name: &GatewayName) -> Result<Lock> {
        self.inner.lock(name)
    }

    fn require_writable(&self) -> Result<()> {
        self.inner.require_writable()
    }

    fn templates(&self) -> Result<Vec<Template>> {
        self.inner.templates()
    }

    fn install_template(
        &self,
        file: &Path,
        storage: Option<&StorageId>,
        now: Timestamp,
    ) -> Result<Installed> {
        self.inner.install_template(file, storage, now)
    }

    fn discard_partial_templates(&self) -> Result<()> {
        self.inner.discard_partial_templates()
    }

    fn verify_template(&self, name: &str) -> Result<Vec<String>> {
        self.inner.verify_template(name)
    }

    fn remove_template(&self, name: &str) -> Result<()> {
        self.inner.remove_template(name)
    }

    fn ensure_network(&self, network: &GuestNetwork) -> Result<()> {
        self.inner.ensure_network(network)
    }

    fn release_network(&self, network: &GuestNetwork, but: &GatewayName) -> Result<()> {
        self.inner.release_network(network, but)
    }

    fn make_link(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_native() { self.services.make_link(&guest.name) } else { self.inner.make_link(guest) }
    }

    fn remove_link(&self, name: &GatewayName) -> Result<()> {
        self.inner.remove_link(name)
    }

    fn make_place(&self, place: &StoragePlace, ticket: &str) -> Result<()> {
        self.inner.make_place(place, ticket)
    }

    fn remove_place(&self, place: &StoragePlace, ticket: &str) -> Result<()> {
        self.inner.remove_place(place, ticket)
    }

    fn create_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_native() { self.services.create(guest) } else { self.inner.create_guest(guest) }
    }

    fn configure_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_native() { self.services.configure(guest) } else { self.inner.configure_guest(guest) }
    }

    fn limit_guest(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_native() { self.services.configure(guest) } else { self.inner.limit_guest(guest) }
    }

    fn destroy_guest(&self, name: &GatewayName) -> Result<()> {
        if self.is_native(name) { self.services.destroy(name) } else { self.inner.destroy_guest(name) }
    }

    fn retire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        if self.is_native(name) {
            self.services.retire(name, ticket)
        } else {
            self.inner.retire_guest(name, ticket)
        }
    }

    fn unretire_guest(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        if self.is_native(name) || self.services.is_retired(ticket) {
            self.services.unretire(name, ticket)
        } else {
            self.inner.unretire_guest(name, ticket)
        }
    }

    fn purge_guest(&self, ticket: &str) -> Result<()> {
        if self.services.is_retired(ticket) {
            self.services.purge(ticket)
        } else {
            self.inner.purge_guest(ticket)
        }
    }

    fn start(&self, guest: &GuestPlan) -> Result<()> {
        if guest.is_native() { self.services.start(&guest.name) } else { self.inner.start(guest) }
    }

    fn resume(&self, name: &GatewayName) -> Result<()> {
        if self.is_native(name) { Ok(()) } else { self.inner.resume(name) }
    }

    fn stop(&self, name: &GatewayName) -> Result<()> {
        if self.is_native(name) { self.services.stop(name) } else { self.inner.stop(name) }
    }

    fn guest_state(&self, name: &GatewayName) -> Result<GuestState> {
        if self.is_native(name) {
            return self.services.state(name);
        }
        match self.inner.record(name)? {
            Some(record) if record.guest.is_native() => self.state_of(&record),
            _ => self.inner.guest_state(name),
        }
    }

    fn is_here(&self, record: &Record) -> Result<bool> {
        self.inner.is_here(record)
    }

    fn guest_states(&self, records: &[Record]) -> Result<Vec<GuestState>> {
        let (native, others): (Vec<_>, Vec<_>) =
            records.iter().cloned().partition(|record| record.guest.is_native());
        if native.is_empty() {
            return self.inner.guest_states(records);
        }
        let mut of_others = self.inner.guest_states(&others)?.into_iter();
        let state = |record: &Record| match record.guest.is_native() {
            true => self.state_of(record),
            false => Ok(of_others.next().unwrap_or(GuestState::Absent)),
        };
        records.iter().map(state).collect()
    }

    fn limits_memory(&self) -> bool {
        self.inner.limits_memory()
    }

    fn guest_details(&self, name: &GatewayName) -> Result<GuestDetails> {
        if self.is_native(name) { Ok(GuestDetails::default()) } else { self.inner.guest_details(name) }
    }

    fn inspect_disk(&self, disk: &DiskSource) -> Result<DiskFacts> {
        self.inner.inspect_disk(disk)
    }

    fn claim_disk(&self, guest: &GuestPlan) -> Result<()> {
        self.inner.claim_disk(guest)
    }

    fn release_disk(&self, guest: &GuestPlan) -> Result<()> {
        self.inner.release_disk(guest)
    }

    fn resize_disk(&self, guest: &GuestPlan) -> Result<u64> {
        self.inner.resize_disk(guest)
    }

    fn link(&self, name: &GatewayName) -> Result<Box<dyn Link>> {
        if self.is_native(name) {
            return Ok(Box::new(UnixLink::new(self.paths.link(name), 0)));
        }
        self.inner.link(name)
    }

    fn diagnose(&self) -> Result<Vec<Finding>> {
        let mut findings = self.inner.diagnose()?;
        let facts = facts::read()?;
        let (verdict, detail) = match facts.lacks() {
            None => (Verdict::Good, "this node can run gateways itself".to_owned()),
            Some(lacks) => (Verdict::Limited, format!("this node cannot run gateways itself: {lacks}")),
        };
        let fix = (verdict != Verdict::Good).then(|| "only for mode native; see docs/native.md".to_owned());
        findings.push(Finding { subject: "native".to_owned(), verdict, detail, fix });
        Ok(findings)
    }

    fn mend(&self) -> Result<Vec<String>> {
        self.inner.mend()
    }

    fn by_hand(&self, what: ByHand<'_>) -> Vec<String> {
        match what {
            ByHand::Running(guest) if guest.is_native() => self.services.stop_by_hand(&guest.name),
            ByHand::Guest(name) if self.is_native(name) => self.services.remove_by_hand(name),
            _ => self.inner.by_hand(what),
        }
    }
}
