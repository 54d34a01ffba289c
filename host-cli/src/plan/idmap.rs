//! The id-map plan: who owns files, inside the gateway and on the node, and by which mechanism.

use smbgw_api::domain::ids::BUILTIN_IDS;
use smbgw_api::{Domain, GatewaySpec, Group, Mode, User};

use super::Observed;
use crate::record::{DomainRange, IdRange};
use crate::step::WidenIds;
use crate::{Error, Result};

/// An id-map plan. On the mounts of shares, ids inside equal ids on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMapPlan {
    /// Host ids of the container; others have no map.
    pub range: Option<IdRange>,
    /// Gives root the host ids that it lacks for a domain.
    pub widen: Option<WidenIds>,
    /// In words, for `--dry-run`.
    pub explanation: Vec<String>,
}

/// Works the plan out.
///
/// # Errors
/// When root has no range of host ids, or a user's id does not fit into the map.
pub fn plan(spec: &GatewaySpec, observed: &Observed) -> Result<IdMapPlan> {
    if spec.mode != Mode::Lxc {
        let place = if spec.mode == Mode::Vm { "in the virtual machine" } else { "of the gateway's users" };
        let mut explanation = vec![format!("ids {place} are ids on the node")];
        explanation.extend(spec.users.iter().filter_map(|user| Some(owner(user, user.uid?))));
        explanation.extend(spec.groups.iter().filter_map(|group| Some(shared(group, group.gid?))));
        if let Some(domain) = &spec.domain {
            explanation.push(format!("users and groups of {} have ids {}", domain.realm, domain.ids));
        }
        return Ok(IdMapPlan { range: None, widen: None, explanation });
    }
    let (base, count) = observed.node.id_range.ok_or_else(|| {
        Error::infrastructure("no-id-range", "root has no range of host ids for containers on this node")
            .hint("`pve-smbgateway doctor --fix` gives it one")
    })?;
    let mut explanation = vec![format!(
        "container ids 0-{} are host ids {base}-{}; on shares, {} makes ids inside and on the node equal",
        count - 1,
        base + count - 1,
        observed.node.id_mechanism
    )];
    for user in &spec.users {
        let Some(uid) = user.uid else {
            return Err(Error::internal(format!("user {} has no uid", user.name)));
        };
        if uid >= count {
            return Err(Error::usage(
                "uid-outside-map",
                format!("uid {uid} of user {} does not fit into the container's {count} ids", user.name),
            ));
        }
        explanation.push(owner(user, uid));
    }
    for group in &spec.groups {
        let Some(gid) = group.gid else {
            return Err(Error::internal(format!("group {} has no gid", group.name)));
        };
        if gid >= count {
            return Err(Error::usage(
                "uid-outside-map",
                format!("gid {gid} of group {} does not fit into the container's {count} ids", group.name),
            ));
        }
        explanation.push(shared(group, gid));
    }
    let mut widen = None;
    let mut of_domain = None;
    if let Some(domain) = &spec.domain {
        let (range, step) = self::domain(domain, base, observed)?;
        explanation.push(format!(
            "ids {}-{} of the domain {} and Samba's own are host ids {}-{} in the container; on shares, ids inside and on the node are equal",
            range.inside,
            range.inside + (range.count - 1),
            domain.realm,
            range.outside,
            range.outside + (range.count - 1),
        ));
        widen = step;
        of_domain = Some(range);
    }
    Ok(IdMapPlan { range: Some(IdRange { base, count, domain: of_domain }), widen, explanation })
}

/// The part of the map that a domain needs: its ids, and those that Samba gives to what is in no domain.
fn domain(domain: &Domain, base: u32, observed: &Observed) -> Result<(DomainRange, Option<WidenIds>)> {
    let inside = BUILTIN_IDS.0;
    let count = domain.ids.last() - inside + 1;
    let (outside, is_there) = observed.node.subids.for_domain(base, count).ok_or_else(|| {
        Error::infrastructure(
            "no-id-range",
            format!("no {count} host ids in a row are free for the domain's ids"),
        )
        .hint("give the domain fewer ids (--ad-id-range), or free some in /etc/subuid and /etc/subgid")
    })?;
    let widen = (!is_there).then_some(WidenIds { first: outside, count });
    Ok((DomainRange { inside, outside, count }, widen))
}

fn owner(user: &User, uid: u32) -> String {
    format!("files of {} belong to uid {uid} on the node", user.name)
}

fn shared(group: &Group, gid: u32) -> String {
    format!("group {} is gid {gid} on the node", group.name)
}
