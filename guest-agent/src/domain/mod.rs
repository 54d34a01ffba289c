//! Active Directory: joining a domain, leaving it, and whether it is in order.
//!
//! * [`record`]: what is known of the membership; its write is the commit point of a join
//! * [`dns`], [`ports`], [`tools`]: who is asked
//! * [`classify`]: what the tools' texts mean (pure)
//! * [`preflight`]: what is looked at before anything changes
//! * [`join`], [`leave`]: the way in and out
//! * [`access`]: ids of those whom shares admit
//! * [`principals`]: users and groups of the domain, by SID
//! * [`status`]: whether the membership is in order; [`figures`]: the same for those who ask often
//! * [`secrets`]: machine secrets that outlive the gateway

pub(crate) mod access;
pub(crate) mod classify;
pub(crate) mod dns;
pub(crate) mod figures;
pub(crate) mod files;
pub(crate) mod join;
pub(crate) mod leave;
mod ports;
pub(crate) mod preflight;
pub(crate) mod principals;
pub(crate) mod record;
pub(crate) mod secrets;
pub(crate) mod status;
pub(crate) mod tools;
pub(crate) mod winbind;
