//! Joining. Order: all looks come first; then the record that a join began; then the join; then the proof that the domain accepts
//! us, and where; then the record that we are a member, which is the commit point; then Samba is told. What fails before the end
//! is taken back with the same password; who was a member before stays one.

use std::time::Duration;

use secrecy::SecretString;
use smbgw_api::v1::domain::{Finding, JoinRequest, JoinWith, Joined, Verdict};
use smbgw_api::v1::{ApiError, DesiredState};
use smbgw_api::{Domain, DomainFault, Sid};
use smbgw_command::{Interrupt, wait_until};

use super::preflight::{self, Preflight};
use super::record::{self, Phase, Record};
use super::tools::{self, Account, As, Query};
use super::{access, files, leave, secrets, status, winbind};
use crate::agent::Agent;
use crate::error::{Result, domain, invalid};
use crate::{apply, state, system};

/// How long it is tried to register the gateway's name; a try that has begun comes to its own end.
const REGISTERS: Duration = Duration::from_secs(3);

/// What a join is made with, checked.
enum With {
    Account(Account),
    Blob(SecretString),
    Kept(smbgw_api::v1::domain::KeptSecrets),
}

impl TryFrom<JoinWith> for With {
    type Error = ApiError;

    fn try_from(with: JoinWith) -> Result<Self> {
        Ok(match with {
            JoinWith::Credential(credential) => Self::Account(credential.try_into()?),
            JoinWith::Blob(text) => Self::Blob(secrets::blob(text)?),
            JoinWith::Secrets(kept) => Self::Kept(kept),
        })
    }
}

/// Joins the domain of the desired state. One that is a member already and in order is left as it is.
pub(crate) fn join(agent: &Agent, request: JoinRequest) -> Result<Joined> {
    let desired = state::load(&agent.paths)?.ok_or_else(|| invalid("no configuration was applied yet"))?;
    let wanted = desired.domain.clone().ok_or_else(|| invalid("the configuration names no domain"))?;
    let with = With::try_from(request.with)?;
    let before = record::load(&agent.paths)?;
    if let Some(record) = &before
        && record.is_joined()
    {
        if record.domain.realm != wanted.realm {
            let text = format!("the gateway is a member of {}", record.domain.realm);
            return Err(domain(DomainFault::AlreadyJoined, text));
        }
        // other names are the account's in the domain
        let named = record.domain.aliases == wanted.aliases;
        if named && tools::test_join(agent, &files::own_conf(agent)).is_ok() {
            finish(agent, &desired)?;
            let state = status::state(agent)?;
            return Ok(Joined { state, changed: false, warnings: Vec::new() });
        }
    }
    let result = attempt(agent, &desired, &wanted, before.as_ref(), &with);
    files::clear_scratch(agent);
    let warnings = result?;
    Ok(Joined { state: status::state(agent)?, changed: true, warnings })
}

fn attempt(
    agent: &Agent,
    desired: &DesiredState,
    wanted: &Domain,
    before: Option<&Record>,
    with: &With,
) -> Result<Vec<Finding>> {
    let account = match with {
        With::Account(account) => Some(account),
        _ => None,
    };
    let flight = preflight::run(agent, desired, wanted, before, account)?;
    if let Some(error) = flight.error() {
        if before.is_none() {
            files::remove_keys(agent)?;
        }
        return Err(error);
    }
    let controller = flight.facts.controller.clone().unwrap_or_default();
    let name = preflight::account_name(desired);
    let begun = Record { domain_sid: flight.facts.domain_sid.clone(), ..Record::begun(wanted, name.clone()) };
    // a member that joins again stays what it is until the domain has accepted it anew
    let was_member = before.is_some_and(Record::is_joined);
    if !was_member {
        record::save(&agent.paths, &begun)?;
    }
    let conf = files::write_join_conf(agent, desired, &begun)?;
    let joined = enter(agent, &conf, wanted, with, &name, &controller)
        .and_then(|()| prove(agent, &conf, wanted, begun))
        .and_then(|member| {
            record::save(&agent.paths, &member)?;
            finish(agent, desired)?;
            Ok(member)
        });
    let member = match joined {
        Ok(member) => member,
        Err(error) if was_member => return Err(error),
        Err(error) => return Err(take_back(agent, desired, &conf, account, flight, error)),
    };
    let mut warnings: Vec<Finding> = flight
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Warning)
        .map(|check| Finding {
            fault: check.fault.unwrap_or(DomainFault::Other),
            message: check.message.clone(),
        })
        .collect();
    if let Err(error) = register(agent, &member) {
        warnings.push(Finding { fault: DomainFault::DnsUpdate, message: error.message });
    }
    tracing::info!(realm = %wanted.realm, account = %name, dn = member.dn, "joined");
    Ok(warnings)
}

fn enter(
    agent: &Agent,
    conf: &str,
    wanted: &Domain,
    with: &With,
    name: &str,
    controller: &str,
) -> Result<()> {
    match with {
        With::Account(account) => tools::join(agent, conf, account, wanted, Some(controller)),
        With::Blob(blob) => secrets::take_blob(agent, conf, blob),
        With::Kept(kept) => secrets::restore(agent, conf, wanted, name, kept),
    }
}

/// Proves that the domain accepts us, and that the account is where it should be.
fn prove(agent: &Agent, conf: &str, wanted: &Domain, begun: Record) -> Result<Record> {
    tools::test_join(agent, conf)?;
    let filter = format!("(sAMAccountName={}$)", begun.account);
    let found =
        tools::search(agent, conf, As::Machine, Query::Filter(&filter), &["distinguishedName", "objectSid"])?
            .unwrap_or_default();
    let dn = tools::value(&found, "distinguishedName").map(str::to_owned);
    if let (Some(dn), Some(ou)) = (&dn, &wanted.ou) {
        let parent = dn.split_once(',').map_or("", |(_, parent)| parent);
        if !parent.eq_ignore_ascii_case(&ou.dn(&wanted.realm)) {
            return Err(domain(DomainFault::WrongOu, format!("the computer account is {dn}, not in {ou}")));
        }
    }
    let sid =
        tools::value(&found, "objectSid").and_then(|sid| sid.rsplit_once('-')).map(|(domain, _)| domain);
    let domain_sid = sid.and_then(|sid| Sid::parse(sid).ok()).or(begun.domain_sid.clone());
    if domain_sid.is_none() {
        return Err(domain(DomainFault::Other, "the domain does not tell its SID"));
    }
    Ok(Record { phase: Phase::Joined, dn, domain_sid, ..begun })
}

/// Has Samba and winbindd take the membership over; also when that was cut off.
pub(crate) fn finish(agent: &Agent, desired: &DesiredState) -> Result<()> {
    let Some(member) = record::load(&agent.paths)?.filter(Record::is_joined) else { return Ok(()) };
    files::write_krb5(agent, &member.domain.realm)?;
    // names of the domain cannot be told before winbindd runs, and it runs by this smb.conf
    apply::run::mend(agent, desired)?;
    let workgroup = member.domain.workgroup();
    if !tools::is_online(agent, workgroup.as_str()).unwrap_or(false) {
        winbind::enable(agent, member.domain.id_backend)?;
        winbind::await_online(agent, workgroup.as_str())?;
    }
    apply::run::apply(agent, desired)?;
    access::grant_folders(agent, desired)
}

/// When the agent starts: a membership whose takeover by Samba was cut off goes on. A join that was cut off before that waits for
/// somebody with a password.
pub(crate) fn resume(agent: &Agent) -> Result<()> {
    let joined = record::load(&agent.paths)?.is_some_and(|record| record.is_joined());
    let unit = &agent.instance.winbind;
    // on a node nothing but the agent starts it
    let taken_over = match agent.instance.shared {
        true => !joined || agent.services.state(unit)? == "active",
        false => agent.paths.unit_wanted(unit).is_symlink(),
    };
    match state::load(&agent.paths)? {
        Some(desired) if joined && desired.domain.is_some() && !taken_over => finish(agent, &desired),
        Some(desired) => leave::unless_wanted(agent, &desired),
        None => Ok(()),
    }
}

/// Takes a join back that did not come to its end.
fn take_back(
    agent: &Agent,
    desired: &DesiredState,
    conf: &str,
    account: Option<&Account>,
    flight: Preflight,
    mut error: ApiError,
) -> ApiError {
    tracing::warn!(%error, "taking the join back");
    let mut remains = None;
    // an account that was there before is not ours to delete
    if flight.facts.existing.is_none() {
        match account {
            Some(account) if exists(agent, conf) => {
                remains = tools::leave(agent, conf, account).err().map(|error| error.message);
            }
            _ => {}
        }
    }
    if let Err(problem) = leave::forget(agent, desired) {
        error.message.push_str(&format!("; and putting the gateway back failed: {}", problem.message));
    }
    if let Some(why) = remains {
        let name = preflight::account_name(desired);
        error.message.push_str(&format!("; the computer account {name} may be left in the domain ({why})"));
    }
    error
}

/// Whether there is a secret, and so a computer account that we made.
fn exists(agent: &Agent, conf: &str) -> bool {
    !matches!(tools::test_join(agent, conf), Err(error) if error.fault == Some(DomainFault::SecretMissing))
}

/// Registers the addresses of the gateway; a domain need not let it.
fn register(agent: &Agent, member: &Record) -> Result<()> {
    let addresses = match agent.instance.listen.address {
        Some(address) => vec![address.to_string()],
        None => system::addresses()?,
    };
    let addresses: Vec<String> =
        addresses.iter().filter_map(|address| Some(address.split('/').next()?.to_owned())).collect();
    let (conf, mut last) = (files::own_conf(agent), None);
    let registered = wait_until("the domain's DNS to take the name", REGISTERS, &Interrupt::new(), || {
        let register = |name: String| tools::register_dns(agent, &conf, &name, &addresses);
        member.names().try_for_each(register).map_err(|error| last = Some(error)).ok()
    });
    match (registered, last) {
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) => Err(domain(DomainFault::DnsUpdate, error.to_string())),
        (Ok(()), _) => Ok(()),
    }
}
