//! Whether the membership is in order. [`state`] asks nobody who may be silent; [`test()`] asks the domain.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use smbgw_api::DomainFault;
use smbgw_api::v1::domain::{DomainState, Finding, Membership};

use super::record::{self, Phase, Record};
use super::tools::{self, As, Query};
use super::{files, ports, winbind};
use crate::agent::Agent;
use crate::error::Result;
use crate::state as applied;
use smbgw_command::Command;

/// For a question to winbindd.
const ASKS: Duration = Duration::from_secs(3);
/// A controller that is there answers at this port.
const LDAP: &[(u16, &str)] = &[(389, "LDAP")];

/// How it is, at once.
pub(crate) fn state(agent: &Agent) -> Result<DomainState> {
    let record = record::load(&agent.paths)?;
    let wanted = applied::load(&agent.paths)?.and_then(|desired| desired.domain);
    let known = record.as_ref().map(|record| record.domain.clone()).or(wanted.clone());
    let mut state = DomainState {
        membership: match record.as_ref().map(|record| record.phase) {
            None => Membership::None,
            Some(Phase::Joining) => Membership::Interrupted,
            Some(Phase::Joined) => Membership::Joined,
        },
        realm: known.as_ref().map(|domain| domain.realm.to_string()),
        workgroup: known.as_ref().map(|domain| domain.workgroup().to_string()),
        account: record.as_ref().map(|record| format!("{}$", record.account)),
        dn: record.as_ref().and_then(|record| record.dn.clone()),
        domain_sid: record.as_ref().and_then(|record| record.domain_sid.clone()),
        ids: known.as_ref().map(|domain| format!("{}: {}", domain.id_backend, domain.ids)),
        controller: None,
        online: false,
        findings: Vec::new(),
        principals: record
            .iter()
            .flat_map(|record| &record.principals)
            .map(|(name, account)| (name.clone(), account.sid.clone()))
            .collect(),
    };
    match &record {
        None if wanted.is_some() => state.findings.push(Finding {
            fault: DomainFault::NotJoined,
            message: "the gateway is to be in a domain and is in none".to_owned(),
        }),
        None => {}
        Some(record) if !record.is_joined() => state.findings.push(Finding {
            fault: DomainFault::Interrupted,
            message: format!("a join to {} did not come to its end", record.domain.realm),
        }),
        Some(record) => {
            let named = wanted.as_ref().is_none_or(|wanted| wanted.aliases == record.domain.aliases);
            if !named {
                state.findings.push(Finding {
                    fault: DomainFault::Names,
                    message: "the computer account has not the names that the configuration gives it"
                        .to_owned(),
                });
            }
            look(agent, record, &mut state);
        }
    }
    Ok(state)
}

fn look(agent: &Agent, record: &Record, state: &mut DomainState) {
    let mut found = |fault, message: String| state.findings.push(Finding { fault, message });
    if !agent.paths.secrets().exists() {
        found(DomainFault::SecretMissing, "the secret of the computer account is gone".to_owned());
    }
    match agent.services.state(&agent.instance.winbind) {
        Ok(unit) if unit == "active" => {}
        Ok(unit) => {
            found(DomainFault::Winbind, format!("winbindd does not run ({unit})"));
            return;
        }
        Err(error) => {
            found(DomainFault::Winbind, error.message);
            return;
        }
    }
    match tools::is_online(agent, record.domain.workgroup().as_str()) {
        Ok(true) => {
            state.online = true;
            let Some((name, address)) = controller(agent, record) else { return };
            // winbindd notices late that nobody answers any more
            let closed = ports::closed(address, LDAP);
            if !closed.is_empty() {
                state.online = false;
                let text = format!("the domain controller {name} ({address}) does not answer");
                state.findings.push(Finding { fault: DomainFault::Unreachable, message: text });
            }
            state.controller = Some(name);
        }
        Ok(false) => found(DomainFault::Unreachable, "winbindd has no connection to the domain".to_owned()),
        Err(error) => found(DomainFault::Winbind, error.message),
    }
}

/// The controller that winbindd uses: `dc1.lab.test (10.86.0.250)`.
fn controller(agent: &Agent, record: &Record) -> Option<(String, IpAddr)> {
    let command =
        Command::new("wbinfo").args(["--dc-info", record.domain.workgroup().as_str()]).deadline(ASKS);
    let output = agent.runner.run(&command).ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (name, address) = text.trim().split_once(" (")?;
    Some((name.chars().take(200).collect(), address.trim_end_matches(')').parse().ok()?))
}

/// How it is, by what the domain says; what can be mended is.
pub(crate) fn test(agent: &Agent) -> Result<DomainState> {
    let mut state = state(agent)?;
    let Some(record) = record::load(&agent.paths)?.filter(Record::is_joined) else { return Ok(state) };
    let conf = files::own_conf(agent);
    let mut found = |fault, message: String| state.findings.push(Finding { fault, message });
    if let Err(error) = tools::test_join(agent, &conf) {
        found(error.fault.unwrap_or(DomainFault::Other), error.message);
        return Ok(state);
    }
    if !state.online {
        // it may have missed that the domain is back
        if winbind::enable(agent, record.domain.id_backend)
            .and_then(|()| winbind::await_online(agent, record.domain.workgroup().as_str()))
            .is_ok()
        {
            return self::state(agent);
        }
        return Ok(state);
    }
    let base = record.domain.realm.dn();
    if let Ok(Some(answer)) = tools::search(agent, &conf, As::Machine, Query::Object(&base), &["objectSid"]) {
        let sid = tools::value(&answer, "objectSid");
        let known = record.domain_sid.as_ref().map(smbgw_api::Sid::as_str);
        if sid.is_some() && sid != known {
            found(
                DomainFault::SidChanged,
                format!(
                    "the domain's SID is {}, and was {}",
                    sid.unwrap_or_default(),
                    known.unwrap_or("not known")
                ),
            );
        }
    }
    // a keytab is mended by writing it anew, which is nothing to the domain
    if keytab_is_old(agent)
        && let Err(error) = tools::write_keytab(agent, &conf)
    {
        found(DomainFault::KeytabStale, error.message);
    }
    Ok(state)
}

/// Whether the keytab is missing, or older than the secret.
fn keytab_is_old(agent: &Agent) -> bool {
    let changed =
        |path: std::path::PathBuf| -> Option<SystemTime> { std::fs::metadata(path).ok()?.modified().ok() };
    match (changed(agent.paths.keytab()), changed(agent.paths.secrets())) {
        (None, _) => true,
        (Some(keytab), Some(secret)) => keytab < secret,
        (Some(_), None) => false,
    }
}
