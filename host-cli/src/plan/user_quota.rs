//! Quotas of users and groups: what they are to be, beside what they are. Such a limit holds for a whole file system or dataset, so
//! shares and gateways that are on the same one have it together.

use smbgw_api::{ByteSize, GatewayName, GatewaySpec, HostPath, Principal, Share};

use super::Observed;
use crate::quota::owner::{Holding, Kinds, Owner, OwnerFacts, Realm};
use crate::quota::{same, unavailable};
use crate::step::{SetUserQuota, Step};
use crate::{Error, Result};

/// One that a spec has.
struct Claim<'a> {
    gateway: &'a GatewayName,
    share: &'a Share,
    path: &'a HostPath,
    principal: &'a Principal,
    owner: Owner,
    limit: u64,
}

fn claims(spec: &GatewaySpec) -> impl Iterator<Item = Claim<'_>> {
    spec.shares.iter().flat_map(move |share| {
        share.user_quotas.iter().filter_map(move |(principal, size)| {
            let owner = Owner::of(principal, spec.id_of(principal)?);
            let (path, limit) = (share.directory()?, size.bytes());
            Some(Claim { gateway: &spec.name, share, path, principal, owner, limit })
        })
    })
}

/// Directories whose users and groups have to be looked at before these specs are planned.
pub(super) fn concerned<'a>(
    specs: impl IntoIterator<Item = &'a GatewaySpec>,
) -> impl Iterator<Item = (&'a HostPath, Kinds)> {
    let shares =
        specs.into_iter().flat_map(|spec| &spec.shares).filter(|share| !share.user_quotas.is_empty());
    shares.filter_map(|share| Some((share.directory()?, Kinds::of(share.user_quotas.keys()))))
}

/// Where a limit for this directory would hold.
fn realm<'a>(observed: &'a Observed, path: &HostPath) -> Option<&'a Realm> {
    observed.owners.get(path)?.realm.as_ref().ok()
}

/// Those of this spec and of all other gateways of this node.
fn all<'a>(spec: &'a GatewaySpec, observed: &'a Observed) -> impl Iterator<Item = Claim<'a>> {
    let others = observed.records.iter().map(|record| &record.spec);
    let others = others.filter(|other| other.name != spec.name && !observed.elsewhere.contains(&other.name));
    claims(spec).chain(others.flat_map(claims))
}

/// Limits that are new or change. With `force`, also those below what is there already, and those that somebody else has set.
///
/// # Errors
/// Codes `quota-unavailable`, `quota-conflict`, `quota-too-large`, `quota-below-usage`, `quota-foreign`.
pub(super) fn set(
    old: Option<&GatewaySpec>,
    new: &GatewaySpec,
    observed: &Observed,
    force: bool,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut done: Vec<(&Realm, Owner)> = Vec::new();
    for claim in claims(new) {
        let Some(facts) = observed.owners.get(claim.path) else {
            return Err(Error::usage(
                "quota-unavailable",
                format!("{} does not exist yet, so nobody knows whether it can have user quotas", claim.path),
            )
            .hint("leave them out, and set them when the share is there: pve-smbgateway quota set --user"));
        };
        let realm = facts.realm.as_ref().map_err(|lacking| unavailable(lacking.clone()))?;
        let here = |other: &Claim<'_>| {
            other.owner == claim.owner && self::realm(observed, other.path) == Some(realm)
        };
        if let Some(other) = all(new, observed).find(|other| here(other) && other.limit != claim.limit) {
            return Err(conflict(&claim, &other, realm));
        }
        if done.contains(&(realm, claim.owner)) {
            continue;
        }
        done.push((realm, claim.owner));
        let holding = facts.holdings.get(&claim.owner).copied().unwrap_or_default();
        if same(holding.limit, Some(claim.limit)) {
            continue;
        }
        let ours = old.is_some_and(|old| claims(old).any(|claim| here(&claim)))
            || all(new, observed).any(|other| other.gateway != claim.gateway && here(&other));
        permitted(&claim, holding, facts, ours, force)?;
        steps.push(step(&claim, Some(claim.limit), holding.limit, Some(realm)));
    }
    Ok(steps)
}

fn step(claim: &Claim<'_>, new: Option<u64>, old: Option<u64>, realm: Option<&Realm>) -> Step {
    let by_hand = realm.map(|realm| realm.by_hand(claim.owner, old)).into_iter().collect();
    SetUserQuota {
        share: claim.share.name.clone(),
        path: claim.path.clone(),
        principal: claim.principal.clone(),
        owner: claim.owner,
        new,
        old,
        by_hand,
    }
    .into()
}

fn conflict(claim: &Claim<'_>, other: &Claim<'_>, realm: &Realm) -> Error {
    let (size, theirs) = (ByteSize::from_bytes(claim.limit), ByteSize::from_bytes(other.limit));
    let (option, name) = match claim.principal {
        Principal::User(name) => ("--user", name.as_str()),
        Principal::Group(name) => ("--group", name.as_str()),
    };
    Error::usage(
        "quota-conflict",
        format!(
            "{} cannot have {size} in share {} and {theirs} in share {} of gateway {}: both are on {realm}",
            claim.principal, claim.share.name, other.share.name, other.gateway
        ),
    )
    .hint(format!(
        "such a quota holds for all of it: take the other off first, `pve-smbgateway quota set {} none --share {} {option} {name}`, and set it again",
        other.gateway, other.share.name
    ))
}

fn permitted(claim: &Claim<'_>, holding: Holding, facts: &OwnerFacts, ours: bool, force: bool) -> Result<()> {
    let (who, path, wanted) = (claim.principal, claim.path, ByteSize::from_bytes(claim.limit));
    if facts.capacity.is_some_and(|capacity| claim.limit > capacity) {
        let has = facts.capacity.unwrap_or(0);
        return Err(Error::usage(
            "quota-too-large",
            format!("{wanted} for {who} is more than the file system of {path} has ({has} bytes)"),
        )
        .hint("a quota beyond the file system would never be reached"));
    }
    if force {
        return Ok(());
    }
    if holding.used > claim.limit {
        return Err(Error::resource(
            "quota-below-usage",
            format!("{who} has {} bytes on the file system of {path} already, more than {wanted}", holding.used),
        )
        .hint("nothing more could be written: remove something first, or use `pve-smbgateway quota set --force`"));
    }
    match holding.limit {
        Some(limit) if !ours => Err(Error::resource(
            "quota-foreign",
            format!(
                "{who} (id {}) has a limit of {limit} bytes on the file system of {path} that was not set by this program",
                claim.owner.id()
            ),
        )
        .hint(
            "take it off by the tools of the file system, or replace it: `pve-smbgateway quota set --force`",
        )),
        _ => Ok(()),
    }
}

/// Limits that nothing wants any longer.
pub(super) fn lifted(old: &GatewaySpec, new: &GatewaySpec, observed: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut done: Vec<(Option<&Realm>, &HostPath, Owner)> = Vec::new();
    for claim in claims(old) {
        let realm = realm(observed, claim.path);
        let still = |other: Claim<'_>| {
            let same_place = match realm {
                Some(realm) => self::realm(observed, other.path) == Some(realm),
                None => other.path == claim.path,
            };
            other.owner == claim.owner && same_place
        };
        let seen = |(place, path, owner): &(Option<&Realm>, &HostPath, Owner)| {
            *owner == claim.owner && if realm.is_some() { *place == realm } else { *path == claim.path }
        };
        if all(new, observed).any(still) || done.iter().any(seen) {
            continue;
        }
        done.push((realm, claim.path, claim.owner));
        // where it was not looked at, it is what was set
        let limit = match observed.owners.get(claim.path) {
            Some(facts) => facts.holdings.get(&claim.owner).and_then(|holding| holding.limit),
            None => Some(claim.limit),
        };
        if limit.is_some() {
            steps.push(step(&claim, None, limit, realm));
        }
    }
    steps
}
