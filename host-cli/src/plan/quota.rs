//! Quotas of shares: what they are to be, beside what they are.

use smbgw_api::{ByteSize, GatewaySpec, HostPath, QuotaMode, Share};

use super::Observed;
use crate::step::{SetQuota, Step};
use crate::{Error, Result, quota};

/// The limit that a file system is to enforce for a share.
fn enforced(share: &Share) -> Option<u64> {
    share.quota.filter(|quota| quota.mode == QuotaMode::Enforce).map(|quota| quota.size.bytes())
}

/// The limit that a spec has for a directory.
fn of(spec: Option<&GatewaySpec>, path: &HostPath) -> Option<u64> {
    spec?.shares.iter().find(|share| share.directory() == Some(path)).and_then(enforced)
}

/// Directories whose quota has to be looked at before these specs are planned.
pub(super) fn concerned<'a>(specs: impl IntoIterator<Item = &'a GatewaySpec>) -> Vec<&'a HostPath> {
    let shares = specs.into_iter().flat_map(|spec| &spec.shares);
    shares.filter(|share| enforced(share).is_some()).filter_map(Share::directory).collect()
}

/// Limits that are new or change. With `force`, also those below what is there already, and those that somebody else has set.
///
/// # Errors
/// Codes `quota-unavailable`, `quota-too-large`, `quota-below-usage`, `quota-foreign`.
pub(super) fn set(
    old: Option<&GatewaySpec>,
    new: &GatewaySpec,
    observed: &Observed,
    force: bool,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for share in &new.shares {
        let Some(path) = share.directory() else { continue };
        let (was, wanted) = (of(old, path), enforced(share));
        if wanted.is_none() && was.is_none() {
            continue;
        }
        let Some(facts) = observed.quotas.get(path) else {
            // still to be made: a dataset will have one
            if wanted.is_some() && observed.storage(path)?.filesystem == "zfs" {
                steps.push(step(share, path, wanted, None, None));
                continue;
            }
            return Err(Error::usage(
                "quota-unavailable",
                format!("{path} does not exist yet, so nobody knows whether it can have a quota"),
            )
            .hint("leave the quota out, and set it when the share is there: pve-smbgateway quota set"));
        };
        if let Some(wanted) = wanted {
            if let Err(lacking) = &facts.mechanism {
                return Err(quota::unavailable(lacking.clone()));
            }
            if !quota::same(Some(wanted), facts.limit) {
                permitted(path, wanted, was, facts, force)?;
            }
        }
        if !quota::same(wanted, facts.limit) {
            steps.push(step(share, path, wanted, facts.limit, Some(facts)));
        }
    }
    Ok(steps)
}

/// The step, with the command that takes it back by hand where the mechanism is known.
fn step(
    share: &Share,
    path: &HostPath,
    new: Option<u64>,
    old: Option<u64>,
    facts: Option<&quota::QuotaFacts>,
) -> Step {
    let mechanism = facts.and_then(|facts| facts.mechanism.as_ref().ok());
    let by_hand = mechanism.map(|mechanism| mechanism.by_hand(path, old)).into_iter().collect();
    SetQuota { share: share.name.clone(), path: path.clone(), new, old, by_hand }.into()
}

fn permitted(
    path: &HostPath,
    wanted: u64,
    was: Option<u64>,
    facts: &quota::QuotaFacts,
    force: bool,
) -> Result<()> {
    let size = |bytes: u64| ByteSize::from_bytes(bytes);
    if facts.capacity.is_some_and(|capacity| wanted > capacity) {
        return Err(Error::usage(
            "quota-too-large",
            format!(
                "{} is more than the file system of {path} has ({} bytes)",
                size(wanted),
                facts.capacity.unwrap_or(0)
            ),
        )
        .hint("a quota beyond the file system would never be reached"));
    }
    let below = facts.used > wanted;
    if below && matches!(facts.mechanism, Ok(quota::Mechanism::Zfs { .. })) {
        return Err(Error::resource(
            "quota-below-usage",
            format!("{path} holds {} bytes already, more than {}", facts.used, size(wanted)),
        )
        .hint("ZFS takes no limit below what is there, not even with --force: remove something first"));
    }
    if force {
        return Ok(());
    }
    if below {
        return Err(Error::resource(
            "quota-below-usage",
            format!("{path} holds {} bytes already, more than {}", facts.used, size(wanted)),
        )
        .hint("nothing more could be written: remove something first, or use `pve-smbgateway quota set --force`"));
    }
    match facts.limit {
        Some(limit) if was.is_none() => Err(Error::resource(
            "quota-foreign",
            format!("{path} has a limit of {limit} bytes that was not set by this program"),
        )
        .hint(
            "take it off by the tools of the file system, or replace it: `pve-smbgateway quota set --force`",
        )),
        _ => Ok(()),
    }
}

/// Limits of directories that are no longer shared.
pub(super) fn lifted(old: &GatewaySpec, new: &GatewaySpec, observed: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    for share in &old.shares {
        let Some(path) = share.directory() else { continue };
        if enforced(share).is_none() || new.shares.iter().any(|other| other.directory() == Some(path)) {
            continue;
        }
        // where it was not looked at, it is what was set
        let facts = observed.quotas.get(path);
        let limit = facts.map_or_else(|| enforced(share), |facts| facts.limit);
        if limit.is_some() {
            steps.push(step(share, path, None, limit, facts));
        }
    }
    steps
}
