//! What a change does to the membership of a domain, and to the access of its users and groups.

use smbgw_api::{Domain, Fallback, GatewaySpec, HostPath, Share};

use super::Observed;
use super::change::DomainWish;
use crate::record::{GuestForm, IdRange, Record};
use crate::step::{ForgetSecrets, GrantDomain, JoinDomain, KeepSecrets, LeaveDomain, RevokeDomain, Step};
use crate::storage::{Acl, Named};
use crate::{Error, Result};

/// Steps around the new configuration.
#[derive(Debug, Default)]
pub(super) struct Membership {
    /// Before the gateway has it.
    pub(super) before: Vec<Step>,
    /// When it has it.
    pub(super) after: Vec<Step>,
}

impl Membership {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// Works it out.
pub(super) fn change(
    old: &Record,
    spec: &GatewaySpec,
    wish: DomainWish,
    observed: &Observed,
) -> Result<Membership> {
    let gateway = spec.name.clone();
    let mut before = revocations(&old.spec, spec);
    match (&old.spec.domain, &spec.domain) {
        (Some(was), None) => {
            let keep_account = wish == DomainWish::KeepAccount;
            before.push(
                LeaveDomain { gateway: gateway.clone(), realm: was.realm.clone(), keep_account }.into(),
            );
            if !keep_account {
                before.push(ForgetSecrets { gateway }.into());
            }
            Ok(Membership { before, after: Vec::new() })
        }
        (was, Some(now)) => {
            fits(old, was.as_ref(), now)?;
            let mut after = Vec::new();
            let joins = was.is_none() || wish == DomainWish::Join;
            if joins {
                // a person who asks for a join is told that there is none
                after.extend(join(spec, Fallback::Fail, was.is_some()));
            }
            after.extend(grants(if joins { None } else { Some(&old.spec) }, spec, observed, Fallback::Fail)?);
            Ok(Membership { before, after })
        }
        (None, None) => Ok(Membership { before, after: Vec::new() }),
    }
}

/// Joins, when there is a domain; `again` when it is a member already by its configuration.
pub(super) fn join(spec: &GatewaySpec, fallback: Fallback, again: bool) -> Vec<Step> {
    let Some(domain) = &spec.domain else { return Vec::new() };
    let (gateway, realm) = (spec.name.clone(), domain.realm.clone());
    vec![
        JoinDomain { gateway: gateway.clone(), realm, fallback, again }.into(),
        KeepSecrets { gateway, may_wait: fallback == Fallback::Local, again }.into(),
    ]
}

/// Access of the domain's accounts to directories whose shares ask for it, but for those that had it by the old spec.
pub(super) fn grants(
    old: Option<&GatewaySpec>,
    spec: &GatewaySpec,
    observed: &Observed,
    fallback: Fallback,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (share, path, domain) in granted(spec) {
        let same = |(other, at, _): (&Share, &HostPath, &Domain)| {
            other.name == share.name && at == path && names(other) == names(share)
        };
        if old.is_some_and(|old| granted(old).any(same)) {
            continue;
        }
        let has = observed.storage(path)?.acl.iter().flat_map(Acl::all_named);
        let of_domain = |one: &Named| {
            let (Named::User(id) | Named::Group(id)) = one;
            (domain.ids.first()..=domain.ids.last()).contains(id)
        };
        steps.push(
            GrantDomain {
                gateway: spec.name.clone(),
                share: share.name.clone(),
                path: path.clone(),
                ids: domain.ids,
                kept: has.filter(of_domain).collect(),
                may_wait: fallback == Fallback::Local,
            }
            .into(),
        );
    }
    Ok(steps)
}

/// Takes the access of those back who have nothing to do with a directory any more. The gateway is asked for their ids, so this
/// comes before it forgets them.
pub(super) fn revocations(old: &GatewaySpec, new: &GatewaySpec) -> Vec<Step> {
    granted(old)
        .filter_map(|(share, path, domain)| {
            let still = granted(new).filter(|(_, at, _)| *at == path);
            let except: Vec<String> = still.flat_map(|(other, ..)| names(other)).collect();
            let gone = names(share).iter().any(|name| !except.contains(name));
            gone.then(|| {
                RevokeDomain {
                    gateway: old.name.clone(),
                    share: share.name.clone(),
                    path: path.clone(),
                    ids: domain.ids,
                    except,
                }
                .into()
            })
        })
        .collect()
}

/// Shares of directories that let their users in, of a gateway in a domain.
fn granted(spec: &GatewaySpec) -> impl Iterator<Item = (&Share, &HostPath, &Domain)> {
    spec.domain.iter().flat_map(|domain| {
        let shares = spec.shares.iter().filter(|share| share.grant);
        shares.filter_map(move |share| Some((share, share.directory()?, domain)))
    })
}

/// Names of the domain's accounts that may open a share, as the gateway tells them: all users when it is open to all.
fn names(share: &Share) -> Vec<String> {
    if share.admission().is_open() {
        return vec!["Domain Users".to_owned()];
    }
    share.allow.iter().map(ToString::to_string).collect()
}

/// Whether a gateway that is there can be in this domain.
fn fits(old: &Record, was: Option<&Domain>, now: &Domain) -> Result<()> {
    if let Some(was) = was
        && was.realm != now.realm
    {
        let message = format!("gateway {} is in the domain {}", old.name(), was.realm);
        return Err(Error::usage("domain-fixed", message)
            .hint(format!("leave it first: pve-smbgateway ad leave {}", old.name())));
    }
    let GuestForm::Container(IdRange { domain: Some(range), .. }) = old.guest.form else { return Ok(()) };
    if now.ids.last() < range.inside + range.count {
        return Ok(());
    }
    let message = format!("the container has {} ids for a domain, too few for {}", range.count, now.ids);
    Err(Error::usage("ids-fixed", message).hint(
        "ids that a container has cannot change: delete the gateway and create it with --ad-domain; its data, and the ids of its users, stay",
    ))
}
