//! What a change does to the membership of a domain.

use smbgw_api::{Domain, GatewaySpec};

use super::change::DomainWish;
use crate::record::{GuestForm, Record};
use crate::step::{ForgetSecrets, JoinDomain, KeepSecrets, LeaveDomain, Step};
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
pub(super) fn change(old: &Record, spec: &GatewaySpec, wish: DomainWish) -> Result<Membership> {
    let gateway = spec.name.clone();
    match (&old.spec.domain, &spec.domain) {
        (Some(was), None) => {
            let keep_account = wish == DomainWish::KeepAccount;
            let mut before: Vec<Step> =
                vec![LeaveDomain { gateway: gateway.clone(), realm: was.realm.clone(), keep_account }.into()];
            if !keep_account {
                before.push(ForgetSecrets { gateway }.into());
            }
            Ok(Membership { before, after: Vec::new() })
        }
        (was, Some(now)) => {
            fits(old, was.as_ref(), now)?;
            if was.is_some() && wish != DomainWish::Join {
                return Ok(Membership::default());
            }
            let join = JoinDomain { gateway: gateway.clone(), realm: now.realm.clone() };
            Ok(Membership { before: Vec::new(), after: vec![join.into(), KeepSecrets { gateway }.into()] })
        }
        (None, None) => Ok(Membership::default()),
    }
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
    let GuestForm::Container(ids) = old.guest.form else { return Ok(()) };
    let has = ids.domain.is_some_and(|range| now.ids.last() < range.inside + range.count);
    if has {
        return Ok(());
    }
    let message = format!("the container was made without the ids {} of the domain", now.ids);
    Err(Error::usage("ids-fixed", message).hint(
        "a container's id map cannot change: delete the gateway and create it with --ad-domain; its data, and the ids of its users, stay",
    ))
}
