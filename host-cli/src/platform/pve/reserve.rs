//! Ids for new guests. Proxmox VE's next free id is a hint; what counts is who makes the guest first. The id is in our file
//! before the guest is made, so that a crash leaves no guest that nobody knows.

use smbgw_api::GatewayName;

use super::call::{Call, External, GuestId, pvesh};
use super::cluster::members;
use super::cluster::registry::Registry;
use super::{Pve, answer, failure};
use crate::{Error, Result};

/// How often another id is tried when somebody else was faster.
pub(super) const TRIES: usize = 8;
/// Last id of Proxmox VE.
const LAST: GuestId = 999_999_999;

impl Pve {
    /// A free id that neither another guest nor another gateway has. `but` are those that will not do.
    pub(super) fn free_id(&self, registry: &Registry, hint: GuestId, but: &[GuestId]) -> Result<GuestId> {
        let guests = members::ids(&self.files.read(".vmlist")?.unwrap_or_default());
        let promised = registry.ids();
        let free = |id: &GuestId| ![&guests[..], &promised[..], but].iter().any(|taken| taken.contains(id));
        (hint..=LAST).find(free).ok_or_else(|| {
            Error::resource("no-id", "no guest id is free").hint("look at next-id in /etc/pve/datacenter.cfg")
        })
    }

    /// Proxmox VE's own answer to which id is free.
    pub(super) fn next_id(&self) -> Result<GuestId> {
        answer::next_id(&self.call("asking for a free id", pvesh::NextId)?.stdout)
    }

    /// Makes a gateway's guest by a call for an id, with another id when somebody else has it by then.
    pub(super) fn make_with_id<C: Into<Call>>(
        &self,
        name: &GatewayName,
        doing: &str,
        but: &[GuestId],
        call: impl Fn(GuestId) -> C,
    ) -> Result<GuestId> {
        let node = self.files.node()?;
        let mut but = but.to_vec();
        let mut hint = self.next_id()?;
        for _ in 0..TRIES {
            let id = Registry::update(&self.files, |registry| {
                let id = self.free_id(registry, hint, &but)?;
                registry.place(name, &node, Some(id))?;
                Ok(id)
            })?;
            let command = call(id).into().command();
            match self.runner.run(&command) {
                Ok(_) => return Ok(id),
                // somebody was faster: whoever has it is not ours
                Err(error)
                    if failure::said(&error).contains("already exists") && self.guest(name)?.is_none() =>
                {
                    tracing::debug!(%error, id, "the id was taken");
                    but.push(id);
                    hint = id.saturating_add(1);
                }
                Err(error) => return Err(failure::failed(doing, error)),
            }
        }
        Err(Error::resource("no-id", format!("{TRIES} guest ids were taken by others, one after the other"))
            .hint("try again when fewer guests are being made"))
    }
}
