//! Changing a gateway: from the spec it has to the one it is to have.

use std::collections::BTreeSet;

use smbgw_api::v1::DesiredState;
use smbgw_api::{GatewaySpec, UserName};

use super::create::{cores, form, grants, memory, mounts, network, places, proofs};
use super::{Entropy, HandWork, Observed, Plan, checks, idmap};
use crate::platform::{ByHand, GuestState};
use crate::record::{GuestForm, GuestPlan, IdRange, Record, RecordState};
use crate::step::{
    AwaitAgent, ClaimDisk, Configure, ConfigureGuest, EnsureNetwork, LimitGuest, Ready, ReleaseDisk, Revoke,
    SetPasswords, Start, Step, Stop, WriteRecord,
};
use crate::{Error, Result};

/// What a person wants.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// Verb, as `set`.
    pub verb: &'static str,
    /// What the gateway is to be.
    pub spec: GatewaySpec,
    /// Users whose password is at hand.
    pub with_password: &'a BTreeSet<UserName>,
    /// A quota may be smaller than what is there, and replace one that somebody else has set.
    pub force: bool,
    /// What of its domain changes.
    pub domain: DomainWish,
}

/// What of a gateway's domain changes beside its spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DomainWish {
    /// What the spec says.
    #[default]
    AsSaid,
    /// Join, also when it is in the domain already by its spec.
    Join,
    /// When it leaves, the computer account stays in the domain.
    KeepAccount,
}

/// Plans the change; no steps when nothing differs. `running` is how its guest is.
///
/// # Errors
/// The first rule that is broken; nothing has changed then.
pub fn plan(
    by_hand: &HandWork<'_>,
    wish: Wish<'_>,
    running: GuestState,
    observed: &Observed,
    entropy: Entropy,
) -> Result<Plan> {
    let Wish { verb, mut spec, with_password, .. } = wish;
    let old = observed.record(&spec.name)?;
    if old.state == RecordState::Creating {
        return Err(Error::resource("gateway-unfinished", format!("gateway {} is not finished", spec.name))
            .hint("its creation is running or was cut off: see `pve-smbgateway ops list`, `ops recover`"));
    }
    super::ids::assign(&mut spec, observed);
    let mut plan = Plan {
        verb,
        target: spec.name.to_string(),
        steps: Vec::new(),
        notes: Vec::new(),
        details: Vec::new(),
    };
    if spec == old.spec && with_password.is_empty() && wish.domain != DomainWish::Join {
        return Ok(plan);
    }
    if spec.mode != old.spec.mode {
        return Err(Error::usage("mode-fixed", "the mode of a gateway cannot be changed")
            .hint("delete the gateway and create it with the other mode; its data stays"));
    }
    if spec.template != old.spec.template && spec.template.as_ref().is_some_and(|t| !uses(old, t.as_str())) {
        return Err(Error::usage("template-fixed", "the template of a gateway cannot be changed")
            .hint("delete the gateway and create it from the other template; its data stays"));
    }
    plan.notes = checks::spec(&spec, observed)?;
    let map = idmap::plan(&spec, observed)?;
    let membership = super::domain::change(old, &spec, wish.domain, observed)?;
    let name = spec.name.clone();
    let guest = GuestPlan {
        name: name.clone(),
        template: old.guest.template.clone(),
        memory: memory(&spec),
        cores: cores(&spec),
        network: network(&spec, observed, Some(old))?,
        form: match old.guest.form {
            // a map cannot change under a root file system that has its ids; ids that nobody had can be added
            GuestForm::Container(ids) => {
                let of_domain = map.range.and_then(|range| range.domain);
                GuestForm::Container(IdRange { domain: ids.domain.or(of_domain), ..ids })
            }
            GuestForm::Machine { .. } | GuestForm::Native(_) => form(&spec, None, observed)?,
        },
        mounts: mounts(&spec),
        onboot: spec.onboot,
        startup: spec.startup,
        // it stays where it was made
        storage: old.guest.storage.clone(),
    };
    if spec.guest_storage != old.spec.guest_storage {
        return Err(Error::usage(
            "storage-fixed",
            "the storage of a gateway's own disk cannot be changed here",
        )
        .hint("move the disk with the platform's own tools (`pct move-volume`, `qm disk move`)"));
    }
    if spec.shares != old.spec.shares {
        plan.notes.extend(observed.caveats.iter().cloned());
    }
    plan.details = map.explanation;
    let mut quotas = super::quota::set(Some(&old.spec), &spec, observed, wish.force)?;
    quotas.extend(super::user_quota::set(Some(&old.spec), &spec, observed, wish.force)?);
    let kept = super::ids::keep(old, Some(&spec), observed);
    let new = Record { spec, guest, ..old.clone() };
    let (was, wanted) = (DesiredState::from(&old.spec), DesiredState::from(&new.spec));
    let sized = (new.guest.memory, new.guest.cores) != (old.guest.memory, old.guest.cores);
    let source = |record: &Record| record.spec.disk.as_ref().map(|disk| disk.source.clone());
    let moved = source(old) != source(&new);
    // the disk and what starts it, memory and processors of a machine
    let hardware = new.guest.form != old.guest.form || (sized && new.guest.is_machine());
    let remount = hardware || new.guest.mounts != old.guest.mounts || new.guest.network != old.guest.network;
    let boot = |guest: &GuestPlan| (guest.onboot, guest.startup);
    let started = observed.node.abilities.starts_guests && boot(&new.guest) != boot(&old.guest);
    let limits = (sized && !new.guest.is_machine()) || started;
    let is_running = matches!(running, GuestState::Running { .. });
    if hardware && !is_running && was == wanted && with_password.is_empty() {
        // nothing in it has to be told: it takes effect at its next start
        if moved && new.spec.disk.is_some() {
            plan.steps.push(ClaimDisk { guest: new.guest.clone() }.into());
        }
        plan.steps.extend(quotas);
        plan.steps.push(ConfigureGuest { new: new.guest.clone(), old: old.guest.clone() }.into());
        if moved && old.spec.disk.is_some() {
            plan.steps.push(ReleaseDisk { guest: old.guest.clone() }.into());
        }
        plan.steps.push(WriteRecord { new, old: Some(old.clone()), by_hand: Vec::new() }.into());
        plan.notes.push("it takes effect when the gateway is started".to_owned());
        return Ok(plan);
    }
    let domain = !membership.is_empty();
    if !is_running && (was != wanted || remount || domain || !with_password.is_empty()) {
        return Err(Error::resource("gateway-stopped", format!("gateway {name} does not run"))
            .hint(format!("start it first: pve-smbgateway start {name}")));
    }

    let steps = &mut plan.steps;
    if moved && new.spec.disk.is_some() {
        steps.push(ClaimDisk { guest: new.guest.clone() }.into());
    }
    steps.extend(places(&new.spec, observed, entropy));
    steps.extend(quotas);
    steps.extend(grants(&new.spec, observed)?);
    if remount {
        let bridge = |guest: &GuestPlan| guest.network.as_ref().map(|card| card.bridge.clone());
        if bridge(&new.guest) != bridge(&old.guest) {
            steps.extend(EnsureNetwork::of(&new.guest).map(Step::from));
        }
        if new.guest.form != old.guest.form {
            steps.extend(map.widen.map(Step::from));
        }
        steps.push(Stop { guest: old.guest.clone(), ran: true }.into());
        steps.push(ConfigureGuest { new: new.guest.clone(), old: old.guest.clone() }.into());
        steps.push(Start { guest: new.guest.clone(), by_hand: by_hand(ByHand::Running(&new.guest)) }.into());
        let how_long = if new.guest.is_machine() { "when it has booted" } else { "after about a second" };
        plan.notes.push(format!("the gateway is restarted: clients reconnect {how_long}"));
    } else if limits {
        steps.push(LimitGuest { new: new.guest.clone(), old: old.guest.clone() }.into());
    }
    if was != wanted || remount || domain || !with_password.is_empty() {
        // it may have been started a moment ago, here or by somebody else
        let awaited = if remount { AwaitAgent::to_configure(&new.guest) } else { AwaitAgent::of(&new.guest) };
        steps.push(AwaitAgent { booted: !remount, ..awaited }.into());
    }
    steps.extend(membership.before);
    if was != wanted || remount {
        steps.push(
            Configure {
                gateway: name.clone(),
                new: wanted,
                old: Some(was),
                patience_s: AwaitAgent::of(&new.guest).patience_s,
            }
            .into(),
        );
    }
    if !with_password.is_empty() {
        steps.push(
            SetPasswords { gateway: name.clone(), users: with_password.iter().cloned().collect() }.into(),
        );
    }
    steps.extend(membership.after);
    steps.extend(new_proofs(old, &new, observed, entropy));
    if is_running {
        steps.push(Ready { gateway: name.clone() }.into());
    }
    steps.extend(revocations(old, &new));
    steps.extend(super::quota::lifted(&old.spec, &new.spec, observed));
    steps.extend(super::user_quota::lifted(&old.spec, &new.spec, observed));
    if moved && old.spec.disk.is_some() {
        steps.push(ReleaseDisk { guest: old.guest.clone() }.into());
    }
    steps.extend(kept.map(Step::from));
    if new != *old {
        steps.push(WriteRecord { new, old: Some(old.clone()), by_hand: Vec::new() }.into());
    }
    Ok(plan)
}

/// Whether the gateway was made from this template, named with or without its version.
fn uses(record: &Record, template: &str) -> bool {
    record.guest.template.as_deref().is_some_and(|made_from| {
        made_from == template || made_from.split_once('_').is_some_and(|(base, _)| base == template)
    })
}

/// Proofs of shares that are new, or became writable, or lie elsewhere now.
fn new_proofs(old: &Record, new: &Record, observed: &Observed, entropy: Entropy) -> Vec<Step> {
    let mut spec = new.spec.clone();
    spec.shares.retain(|share| {
        !old.spec.shares.iter().any(|o| o.name == share.name && o.same_place(share) && !o.read_only)
    });
    proofs(&spec, observed, entropy)
}

/// ACL entries of users and groups who have no longer anything to do with a directory.
pub(super) fn revocations(old: &Record, new: &Record) -> Vec<Step> {
    old.spec
        .shares
        .iter()
        .filter(|share| share.grant)
        .filter_map(|share| {
            let path = share.directory()?;
            let same = |other: &&smbgw_api::Share| other.same_place(share) && other.grant;
            let still: Vec<_> =
                new.spec.shares.iter().filter(same).map(|share| new.spec.grantees(share)).collect();
            let (mut uids, mut gids) = old.spec.grantees(share);
            uids.retain(|uid| !still.iter().any(|(uids, _)| uids.contains(uid)));
            gids.retain(|gid| !still.iter().any(|(_, gids)| gids.contains(gid)));
            (!uids.is_empty() || !gids.is_empty())
                .then(|| Revoke { share: share.name.clone(), path: path.clone(), uids, gids }.into())
        })
        .collect()
}
