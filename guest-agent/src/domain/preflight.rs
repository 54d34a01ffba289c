//! What a join needs, looked at before anything changes. Each look has a deadline; nothing that needs an account is asked before
//! all else is in order, so that no wrong answer counts towards a lockout.

use std::net::IpAddr;

use smbgw_api::v1::domain::{Check, Verdict};
use smbgw_api::v1::{ApiError, DesiredState};
use smbgw_api::{Domain, DomainFault, IdBackend, Sid};

use super::dns::{DnsError, Resolver};
use super::record::Record;
use super::tools::{self, Account, As, Query};
use super::{files, ports};
use crate::agent::Agent;
use crate::error::{Result, domain};

/// From so many seconds on a difference of clocks is worth a warning.
const SKEW_WARNS: u64 = 180;
/// What Kerberos allows ([MS-KILE], `MaxClockSkew`; krb5.conf(5), `clockskew`).
const SKEW_FAILS: u64 = 300;
/// So many controllers are tried.
const CONTROLLERS: usize = 4;
/// What `operatingSystem` of our computer accounts says.
pub(crate) const MARK: &str = "pve-smbgateway";

/// What the looks found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The controller that all is done at.
    pub(crate) controller: Option<String>,
    /// The domain's SID.
    pub(crate) domain_sid: Option<Sid>,
    /// DN of a computer account of our name that is there.
    pub(crate) existing: Option<String>,
}

/// Checks in their order, and what they found.
#[derive(Debug, Default)]
pub(crate) struct Preflight {
    /// Every check.
    pub(crate) checks: Vec<Check>,
    /// What was found.
    pub(crate) facts: Facts,
}

impl Preflight {
    /// The first check that failed, as an error.
    pub(crate) fn error(&self) -> Option<ApiError> {
        let failed = self.checks.iter().find(|check| check.verdict == Verdict::Failed)?;
        Some(domain(failed.fault.unwrap_or(DomainFault::Other), failed.message.clone()))
    }

    fn add(&mut self, name: &str, verdict: Verdict, fault: Option<DomainFault>, message: impl Into<String>) {
        self.checks.push(Check { name: name.to_owned(), verdict, message: message.into(), fault });
    }

    fn ok(&mut self, name: &str, message: impl Into<String>) {
        self.add(name, Verdict::Ok, None, message);
    }

    fn warn(&mut self, name: &str, fault: DomainFault, message: impl Into<String>) {
        self.add(name, Verdict::Warning, Some(fault), message);
    }

    fn fail(&mut self, name: &str, fault: DomainFault, message: impl Into<String>) {
        self.add(name, Verdict::Failed, Some(fault), message);
    }

    fn skip(&mut self, names: &[&str], why: &str) {
        for name in names {
            self.add(name, Verdict::Skipped, None, why);
        }
    }

    fn failed(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == Verdict::Failed)
    }
}

/// Looks. Without an account, what needs one is left out.
pub(crate) fn run(
    agent: &Agent,
    desired: &DesiredState,
    wanted: &Domain,
    record: Option<&Record>,
    account: Option<&Account>,
) -> Result<Preflight> {
    let mut flight = Preflight::default();
    let resolv =
        crate::files::read_optional(&agent.paths.resolv_conf()).unwrap_or_default().unwrap_or_default();
    let candidates = names(&mut flight, &Resolver::of(&resolv), wanted);
    let late = ["clock", "workgroup", "credentials", "ou", "name", "ids"];
    if flight.failed() {
        flight.skip(&["ports"], "the domain's controllers are not known");
        flight.skip(&late, "the domain cannot be reached");
        return Ok(flight);
    }
    reach(&mut flight, &candidates);
    if flight.failed() {
        flight.skip(&late, "the domain controller cannot be reached");
        return Ok(flight);
    }
    // the tools need a configuration of the domain, whatever the gateway's own says
    let begun = Record::begun(wanted, account_name(desired));
    files::write_krb5(agent, &wanted.realm)?;
    let conf = files::write_join_conf(agent, desired, &begun)?;
    clock(&mut flight, agent, &conf, wanted);
    let Some(account) = account else {
        flight.skip(&["credentials", "ou", "name", "ids"], "no password is given");
        return Ok(flight);
    };
    if flight.failed() {
        flight.skip(&["credentials", "ou", "name", "ids"], "an earlier check failed");
        return Ok(flight);
    }
    let cache = agent.paths.domain_scratch().join("ticket").display().to_string();
    match tools::kinit(agent, account, &wanted.realm, &cache) {
        Ok(()) => {
            flight.ok("credentials", format!("the domain accepts {}", account.user));
            directory(&mut flight, agent, (&conf, &cache), desired, wanted, record)?;
        }
        Err(error) => {
            flight.fail("credentials", error.fault.unwrap_or(DomainFault::Other), error.message);
            flight.skip(&["ou", "name", "ids"], "the account cannot log on");
        }
    }
    let _ = std::fs::remove_file(&cache);
    Ok(flight)
}

/// Name of the computer account, without `$`.
pub(crate) fn account_name(desired: &DesiredState) -> String {
    desired.name.as_str().to_ascii_uppercase()
}

/// Controllers with their addresses, best first.
fn names(flight: &mut Preflight, resolver: &Resolver, wanted: &Domain) -> Vec<(String, IpAddr)> {
    let realm = wanted.realm.dns();
    let dns = |error: &DnsError| format!("{error}");
    let services = match resolver.services(&format!("_ldap._tcp.dc._msdcs.{realm}")) {
        Ok(services) => services,
        Err(error) => {
            flight.fail("dns", DomainFault::Dns, dns(&error));
            return Vec::new();
        }
    };
    if let Err(error) = resolver.services(&format!("_kerberos._tcp.{realm}")) {
        flight.fail("dns", DomainFault::Dns, dns(&error));
        return Vec::new();
    }
    let mut hosts: Vec<String> = services.into_iter().map(|service| service.host).collect();
    if let Some(controller) = &wanted.controller {
        hosts = vec![controller.to_string()];
    }
    hosts.dedup();
    hosts.truncate(CONTROLLERS);
    let mut last = None;
    let mut found = Vec::new();
    for host in hosts {
        match resolver.addresses(&host) {
            Ok(addresses) => {
                found.extend(addresses.into_iter().take(1).map(|address| (host.clone(), address)));
            }
            Err(error) => last = Some(error),
        }
    }
    match (found.first(), last) {
        (Some((host, address)), _) => {
            flight.ok(
                "dns",
                format!("{realm} has {} domain controllers, the first is {host} ({address})", found.len()),
            );
            reverse(flight, resolver, host, *address);
        }
        (None, last) => {
            let why = last.map_or_else(|| "nobody".to_owned(), |error| dns(&error));
            flight.fail("dns", DomainFault::Dns, format!("the domain controllers have no address: {why}"));
        }
    }
    found
}

/// The name of the controller's address: Kerberos does without, some tools do not.
fn reverse(flight: &mut Preflight, resolver: &Resolver, host: &str, address: IpAddr) {
    let IpAddr::V4(v4) = address else { return };
    match resolver.names(v4) {
        Ok(names) if names.iter().any(|name| name == host) => {
            flight.ok("reverse", format!("{address} is {host}"));
        }
        Ok(names) => {
            flight.warn(
                "reverse",
                DomainFault::Dns,
                format!("{address} is {}, not {host}", names.join(", ")),
            );
        }
        // a domain without a reverse zone is nothing unusual
        Err(_) => flight.ok("reverse", format!("{address} has no name; a join does without")),
    }
}

/// Finds a controller all of whose ports answer.
fn reach(flight: &mut Preflight, candidates: &[(String, IpAddr)]) {
    let mut first = None;
    for (host, address) in candidates {
        let closed = ports::closed(*address, ports::PORTS);
        // another server may answer questions about names
        let grave: Vec<_> = closed.iter().filter(|closed| closed.port != 53).cloned().collect();
        if grave.is_empty() {
            flight.ok("ports", format!("{host} answers on all ports"));
            flight.facts.controller = Some(host.clone());
            return;
        }
        first.get_or_insert((host, address, grave));
    }
    let Some((host, address, closed)) = first else {
        flight.fail("ports", DomainFault::Unreachable, "no domain controller is known");
        return;
    };
    let at = format!("{host} ({address})");
    if closed.len() == ports::PORTS.len() - 1 {
        let how = if closed.iter().all(|closed| closed.refused) {
            "refuses all connections"
        } else {
            "does not answer"
        };
        flight.fail("ports", DomainFault::Unreachable, format!("the domain controller {at} {how}"));
    } else {
        let list = ports::list(&closed);
        flight.fail(
            "ports",
            DomainFault::PortBlocked,
            format!("the domain controller {at} does not answer on port {list}"),
        );
    }
}

fn clock(flight: &mut Preflight, agent: &Agent, conf: &str, wanted: &Domain) {
    let controller = flight.facts.controller.clone();
    let info = match tools::info(agent, conf, controller.as_deref()) {
        Ok(info) => info,
        Err(error) => {
            flight.fail("clock", error.fault.unwrap_or(DomainFault::Unreachable), error.message);
            return;
        }
    };
    let offset = info.offset_s;
    let way = if offset > 0 { "behind" } else { "ahead of" };
    let text = format!("the gateway's clock is {} s {way} the domain controller's", offset.abs());
    match offset.unsigned_abs() {
        0..=1 => flight.ok("clock", "the clocks agree"),
        skew if skew > SKEW_FAILS => flight.fail("clock", DomainFault::ClockSkew, text),
        skew if skew >= SKEW_WARNS => flight.warn("clock", DomainFault::ClockSkew, text),
        _ => flight.ok("clock", text),
    }
    let workgroup = wanted.workgroup();
    let theirs = info.workgroup.unwrap_or_default();
    if theirs.eq_ignore_ascii_case(workgroup.as_str()) {
        flight.ok("workgroup", format!("the domain's NetBIOS name is {workgroup}"));
    } else {
        let text = format!("the domain's NetBIOS name is {theirs}, not {workgroup}");
        flight.fail("workgroup", DomainFault::Workgroup, text);
    }
}

/// What only an account of the domain may ask.
fn directory(
    flight: &mut Preflight,
    agent: &Agent,
    (conf, cache): (&str, &str),
    desired: &DesiredState,
    wanted: &Domain,
    record: Option<&Record>,
) -> Result<()> {
    let ask = |what: Query<'_>, attributes: &[&str]| {
        tools::search(agent, conf, As::Ticket(cache), what, attributes)
    };
    let base = wanted.realm.dn();
    if let Some(found) = ask(Query::Object(&base), &["objectSid"])? {
        flight.facts.domain_sid = tools::value(&found, "objectSid").and_then(|sid| Sid::parse(sid).ok());
    }
    let name = account_name(desired);
    let existing = ask(
        Query::Filter(&format!("(sAMAccountName={name}$)")),
        &["distinguishedName", "operatingSystem", "logonCount"],
    )?;
    let existing_dn =
        existing.as_ref().and_then(|found| tools::value(found, "distinguishedName")).map(str::to_owned);
    unit(flight, wanted, existing_dn.as_deref(), ask)?;
    match (&existing, &existing_dn) {
        (Some(found), Some(dn)) => {
            let is_known =
                record.is_some_and(|record| record.account == name && record.domain.realm == wanted.realm);
            let is_marked = tools::value(found, "operatingSystem") == Some(MARK);
            let is_new = tools::value(found, "logonCount").is_none_or(|count| count == "0");
            if is_known || is_marked || is_new {
                flight.ok("name", format!("the computer account {dn} is taken over"));
            } else {
                flight.fail("name", DomainFault::NameTaken, format!("another computer has the name: {dn}"));
            }
        }
        _ => flight.ok("name", format!("no computer is called {name}")),
    }
    flight.facts.existing = existing_dn;
    ids(flight, wanted, ask)
}

/// Whether the unit is there and the account may make computers in it.
fn unit(
    flight: &mut Preflight,
    wanted: &Domain,
    existing: Option<&str>,
    ask: impl Fn(Query<'_>, &[&str]) -> Result<Option<Vec<(String, String)>>>,
) -> Result<()> {
    let dn = match &wanted.ou {
        Some(ou) => ou.dn(&wanted.realm),
        None => format!("CN=Computers,{}", wanted.realm.dn()),
    };
    let Some(found) = ask(Query::Object(&dn), &["distinguishedName", "allowedChildClassesEffective"])? else {
        if wanted.ou.is_some() {
            flight.fail("ou", DomainFault::OuMissing, format!("there is no {dn}"));
        } else {
            flight.ok("ou", "the domain's own default");
        }
        return Ok(());
    };
    if let (Some(existing), true) = (existing, wanted.ou.is_some()) {
        let parent = existing.split_once(',').map_or("", |(_, parent)| parent);
        if !parent.eq_ignore_ascii_case(&dn) {
            let text = format!("the computer account is {existing}, not in {dn}");
            flight.fail("ou", DomainFault::WrongOu, text);
            return Ok(());
        }
    }
    let may = found.iter().any(|(name, value)| name == "allowedChildClassesEffective" && value == "computer");
    if may || existing.is_some() {
        flight.ok("ou", format!("the computer account is in {dn}, or will be"));
    } else if wanted.ou.is_some() {
        flight.fail("ou", DomainFault::NoRights, format!("the account may not make computers in {dn}"));
    } else {
        // every user may make some there by ms-DS-MachineAccountQuota, which no attribute tells of
        flight.ok("ou", "the domain's own default, where a join shows whether the account may");
    }
    Ok(())
}

/// Whether the ids have room for what the domain has given out.
fn ids(
    flight: &mut Preflight,
    wanted: &Domain,
    ask: impl Fn(Query<'_>, &[&str]) -> Result<Option<Vec<(String, String)>>>,
) -> Result<()> {
    if wanted.id_backend != IdBackend::Rid {
        flight.ok("ids", format!("{} gives ids from {}", wanted.id_backend, wanted.ids));
        return Ok(());
    }
    let manager = format!("CN=RID Manager$,CN=System,{}", wanted.realm.dn());
    let found = ask(Query::Object(&manager), &["rIDAvailablePool"])?;
    let pool = found.as_ref().and_then(|found| tools::value(found, "rIDAvailablePool")?.parse::<u64>().ok());
    // the lower half is the first that no controller has ([MS-ADTS] 3.1.1.5.1.7)
    match pool.map(|pool| (pool & 0xffff_ffff) as u32) {
        None => flight.ok("ids", "how many accounts the domain has cannot be told"),
        Some(next) if wanted.ids.of_rid(next).is_none() => {
            let text = format!(
                "the domain has given out RIDs up to {next}, and {} has no room for them",
                wanted.ids
            );
            flight.fail("ids", DomainFault::IdRange, text);
        }
        Some(next) => flight.ok("ids", format!("the domain's RIDs up to {next} fit into {}", wanted.ids)),
    }
    Ok(())
}
