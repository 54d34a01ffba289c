//! Making a gateway.

use std::collections::BTreeSet;

use smbgw_api::v1::{DesiredState, ProbeRequest};
use smbgw_api::{Access, ByteSize, GatewaySpec, Location, Mode, Share, User, UserName};

use super::{Entropy, HandWork, Observed, Plan, address, checks, idmap, native};
use crate::platform::{ByHand, Form, choose_template};
use crate::record::{
    CONTAINER_MEMORY, GuestForm, GuestMount, GuestNetwork, GuestPlan, IdRange, MACHINE_CORES, MACHINE_MEMORY,
    RECORD_VERSION, Record, RecordState,
};
use crate::step::{
    AwaitAgent, ClaimDisk, Configure, CreateGuest, EnsureNetwork, Grant, MakeLink, MakePlace, Probe, Prove,
    SetPasswords, Start, Step, WriteRecord,
};
use crate::storage::{Named, access};
use crate::{Error, Result};

/// Template of a gateway that does not name one.
pub const DEFAULT_TEMPLATE: &str = "debian-13";

/// Plans a new gateway. `with_password` are the users whose password is at hand.
///
/// # Errors
/// The first rule that is broken; nothing has changed then.
pub fn plan(
    by_hand: &HandWork<'_>,
    mut spec: GatewaySpec,
    with_password: &BTreeSet<UserName>,
    observed: &Observed,
    entropy: Entropy,
) -> Result<Plan> {
    if let Some(there) = observed.records.iter().find(|record| record.name() == &spec.name) {
        let error = Error::resource("name-taken", format!("there is a gateway {} already", spec.name));
        return Err(if there.state == RecordState::Creating {
            error.hint("its creation is running or was cut off: see `pve-smbgateway ops list`, `ops recover`")
        } else {
            error.hint("choose another name, or change that one with `pve-smbgateway set`")
        });
    }
    super::ids::assign(&mut spec, observed);
    let mut notes = checks::spec(&spec, observed)?;
    let map = idmap::plan(&spec, observed)?;
    let guest = GuestPlan {
        name: spec.name.clone(),
        template: template(&spec, observed)?,
        memory: memory(&spec),
        cores: cores(&spec),
        network: network(&spec, observed, None)?,
        form: form(&spec, map.range, observed)?,
        mounts: mounts(&spec),
        onboot: spec.onboot,
        startup: spec.startup,
        storage: observed.guest_storage.clone(),
    };
    notes.extend(observed.caveats.iter().cloned());
    let unset: Vec<_> =
        spec.users.iter().filter(|u| !with_password.contains(&u.name)).map(|u| u.name.as_str()).collect();
    if !unset.is_empty() {
        notes.push(format!("no password yet for {}: `pve-smbgateway user passwd`", unset.join(", ")));
    }

    let name = spec.name.clone();
    let desired = DesiredState::from(&spec);
    let creating = Record {
        version: RECORD_VERSION,
        state: RecordState::Creating,
        created: entropy.now,
        spec,
        guest: guest.clone(),
    };
    let mut steps: Vec<Step> = vec![
        WriteRecord { new: creating.clone(), old: None, by_hand: by_hand(ByHand::Record(&name)) }.into(),
    ];
    steps.extend(map.widen.map(Step::from));
    steps.extend(EnsureNetwork::of(&guest).map(Step::from));
    steps.extend(places(&creating.spec, observed, entropy));
    if !guest.is_machine() {
        steps.push(MakeLink { guest: guest.clone(), by_hand: by_hand(ByHand::Link(&name)) }.into());
    }
    if creating.spec.disk.is_some() {
        steps.push(ClaimDisk { guest: guest.clone() }.into());
    }
    steps.push(CreateGuest { guest: guest.clone(), by_hand: by_hand(ByHand::Guest(&name)) }.into());
    steps.extend(super::quota::set(None, &creating.spec, observed, false)?);
    steps.extend(super::user_quota::set(None, &creating.spec, observed, false)?);
    steps.extend(grants(&creating.spec, observed)?);
    steps.push(Start { by_hand: by_hand(ByHand::Running(&guest)), guest: guest.clone() }.into());
    let awaited = AwaitAgent::to_configure(&guest);
    steps.push(awaited.clone().into());
    steps.push(
        Configure { gateway: name.clone(), new: desired, old: None, patience_s: awaited.patience_s }.into(),
    );
    if !with_password.is_empty() {
        steps.push(
            SetPasswords { gateway: name.clone(), users: with_password.iter().cloned().collect() }.into(),
        );
    }
    if let Some(domain) = &creating.spec.domain {
        steps.extend(super::domain::join(&creating.spec, domain.fallback, false));
        steps.extend(super::domain::grants(None, &creating.spec, observed, domain.fallback)?);
    }
    steps.extend(proofs(&creating.spec, observed, entropy));
    let active = Record { state: RecordState::Active, ..creating.clone() };
    steps.push(WriteRecord { new: active, old: Some(creating), by_hand: Vec::new() }.into());
    Ok(Plan { verb: "create", target: name.to_string(), steps, notes, details: map.explanation })
}

/// Template of a spec's guest; the node itself is made from none.
fn template(spec: &GatewaySpec, observed: &Observed) -> Result<Option<String>> {
    let of = match spec.mode {
        Mode::Lxc => Form::Container,
        Mode::Vm => Form::Machine,
        Mode::Native => return Ok(None),
    };
    let wanted = spec.template.as_ref().map_or(DEFAULT_TEMPLATE, |template| template.as_str());
    Ok(Some(choose_template(&observed.templates, wanted, of)?.name.clone()))
}

/// Network card of a spec's guest.
pub(super) fn network(
    spec: &GatewaySpec,
    observed: &Observed,
    old: Option<&Record>,
) -> Result<Option<GuestNetwork>> {
    if spec.mode == Mode::Native {
        return Ok(None);
    }
    address::choose(&spec.name, &spec.network, observed, old).map(Some)
}

/// Memory of a spec's guest.
pub(super) fn memory(spec: &GatewaySpec) -> Option<ByteSize> {
    spec.memory.or(match spec.mode {
        Mode::Lxc => Some(CONTAINER_MEMORY),
        Mode::Vm => Some(MACHINE_MEMORY),
        Mode::Native => None,
    })
}

/// Processors of a spec's guest.
pub(super) fn cores(spec: &GatewaySpec) -> Option<u32> {
    spec.cores.or((spec.mode == Mode::Vm).then_some(MACHINE_CORES))
}

/// What a spec's guest is.
pub(super) fn form(spec: &GatewaySpec, ids: Option<IdRange>, observed: &Observed) -> Result<GuestForm> {
    match (spec.mode, ids) {
        (Mode::Vm, _) => Ok(GuestForm::Machine {
            firmware: spec.firmware,
            disk: spec.disk.as_ref().map(|disk| disk.source.clone()),
        }),
        (Mode::Native, _) => native::service(spec, observed).map(GuestForm::Native),
        (_, Some(ids)) => Ok(GuestForm::Container(ids)),
        (_, None) => Err(Error::internal("a container without an id map")),
    }
}

/// Directories on the node that a spec's guest mounts.
pub(super) fn mounts(spec: &GatewaySpec) -> Vec<GuestMount> {
    spec.shares
        .iter()
        .filter_map(|share| {
            Some(GuestMount { source: share.directory()?.clone(), share: share.name.clone() })
        })
        .collect()
}

/// Datasets and directories that shares ask for and their storages do not have yet.
pub(super) fn places(spec: &GatewaySpec, observed: &Observed, entropy: Entropy) -> Vec<Step> {
    let mut made = BTreeSet::new();
    spec.shares
        .iter()
        .filter_map(|share| {
            let Location::Storage(place) = &share.location else { return None };
            let path = place.path.clone().filter(|path| observed.absent.contains(path))?;
            // two shares of one directory make it once
            made.insert(path.clone()).then(|| {
                let (storage, dataset) = (place.storage.clone(), place.dataset.clone());
                let ticket = entropy.ticket();
                MakePlace { share: share.name.clone(), storage, dataset, path, ticket }.into()
            })
        })
        .collect()
}

/// ACL entries that shares ask for and their users do not have yet.
pub(super) fn grants(spec: &GatewaySpec, observed: &Observed) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for share in spec.shares.iter().filter(|share| share.grant) {
        // in a folder on the gateway's disk, the agent lets them in
        let Some(path) = share.directory() else { continue };
        let facts = observed.storage(path)?;
        let named = |one| facts.acl.as_ref().is_some_and(|acl| acl.names(one));
        let (mut uids, mut gids) = spec.grantees(share);
        uids.retain(|uid| !named(Named::User(*uid)) && !access::may_write(facts, *uid, &[*uid]));
        gids.retain(|gid| !named(Named::Group(*gid)) && !access::group_may_write(facts, *gid));
        if !uids.is_empty() || !gids.is_empty() {
            steps.push(Grant { share: share.name.clone(), path: path.clone(), uids, gids }.into());
        }
    }
    Ok(steps)
}

/// One proof a share that can be written to, by the first user who may.
pub(super) fn proofs(spec: &GatewaySpec, observed: &Observed, entropy: Entropy) -> Vec<Step> {
    spec.shares
        .iter()
        .filter_map(|share| {
            let user = spec.users.iter().find(|user| spec.access(share, user) == Access::Write)?;
            let (uid, gid) = (user.uid?, group_of_proof(spec, share, user, observed));
            let (gateway, share_name) = (spec.name.clone(), share.name.clone());
            let file = format!("{}{}", ProbeRequest::PREFIX, entropy.ticket());
            Some(match share.directory() {
                Some(path) => Prove { gateway, share: share_name, path: path.clone(), uid, gid, file }.into(),
                None => Probe { gateway, share: share_name, uid, gid, file }.into(),
            })
        })
        .collect()
}

/// The group that lets a user into a share's directory, if it takes one: a probe has no other groups than that.
fn group_of_proof(spec: &GatewaySpec, share: &Share, user: &User, observed: &Observed) -> Option<u32> {
    let uid = user.uid?;
    let facts = share.directory().and_then(|path| observed.storage.get(path));
    if facts.is_some_and(|facts| access::may_write(facts, uid, &[uid])) {
        return None;
    }
    let (uids, gids) = spec.grantees(share);
    let granted = share.grant || facts.is_none();
    if granted && uids.contains(&uid) {
        return None;
    }
    spec.gids_of(user).into_iter().find(|gid| {
        granted && gids.contains(gid) || facts.is_some_and(|facts| access::may_write(facts, uid, &[*gid]))
    })
}
