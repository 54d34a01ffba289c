//! `ad`: the domain of a gateway.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use smbgw_api::v1::domain::{DiagnoseRequest, DomainState, Membership, Verdict};
use smbgw_api::{Domain, DomainFault, GatewayName, GatewaySpec};
use smbgw_command::{WaitError, wait_until};

use super::args::{AdVerb, JoinerArgs, PrecreatedArgs};
use super::edit::Edit;
use crate::joiner;
use crate::operation::{Context, Secrets};
use crate::output::view::{CheckRow, DomainChecks, DomainFinding, DomainStatus};
use crate::plan::change::DomainWish;
use crate::step::{PASSING, credential};
use crate::{Error, Result, record};

pub(super) fn run(context: &Context, verb: AdVerb) -> Result<ExitCode> {
    match verb {
        AdVerb::Join { gateway, domain, joiner, precreated, wait, dry } => {
            let wanted = domain.domain();
            let known = domain_of(context, &gateway)?.map(|domain| domain.realm);
            let realm = wanted.as_ref().map(|domain| domain.realm.clone()).or(known).ok_or_else(|| {
                Error::usage("no-domain", "it is not said which domain to join")
                    .hint("name it: --ad-domain CORP.EXAMPLE")
            })?;
            let who = if dry.dry_run {
                None
            } else {
                joiner::for_join(context, &gateway, &realm, &joiner, &precreated)?
            };
            let context = context.with_joiner(who);
            let attempt = || {
                if !dry.dry_run {
                    preflight(&context, &gateway, wanted.clone())?;
                }
                let edit = Edit { domain: DomainWish::Join, ..Edit::of("ad join", &gateway, dry.dry_run) };
                edit.apply(&context, |spec| {
                    if let Some(wanted) = wanted.clone() {
                        spec.domain = Some(wanted);
                    }
                    Ok(())
                })
            };
            match wait {
                Some(time) if !dry.dry_run => patiently(&context, time, attempt),
                _ => attempt(),
            }
        }
        AdVerb::Leave { gateway, joiner, keep_account, dry } => {
            if domain_of(context, &gateway)?.is_none() {
                return Err(Error::usage("ad-not-joined", format!("gateway {gateway} is in no domain")));
            }
            let who = if keep_account || dry.dry_run { None } else { Some(joiner::account(&joiner)?) };
            let context = context.with_joiner(who);
            let domain = if keep_account { DomainWish::KeepAccount } else { DomainWish::AsSaid };
            let edit = Edit { domain, ..Edit::of("ad leave", &gateway, dry.dry_run) };
            edit.apply(&context, |spec| {
                spec.domain = None;
                forget_allowed(spec)
            })
        }
        AdVerb::Status(args) => {
            known(context, &args.name)?;
            let state = context.world(Secrets::new()).agent(&args.name)?.domain()?;
            context.output.data(&view(&args.name, state));
            Ok(ExitCode::SUCCESS)
        }
        AdVerb::Test(args) => test(context, &args.name),
        AdVerb::Diagnose { gateway, domain, joiner } => diagnose(context, &gateway, domain.domain(), &joiner),
    }
}

/// Takes names of the domain out of shares. One that named nobody else would be open to all local users then.
fn forget_allowed(spec: &mut GatewaySpec) -> Result<()> {
    for share in &mut spec.shares {
        let had = !share.allow.is_empty();
        share.allow.clear();
        if had && share.admission().is_open() && !spec.users.is_empty() {
            let message = format!(
                "share {} names users and groups of the domain only: without them all local users could open it",
                share.name
            );
            return Err(Error::usage("share-opens", message).hint(format!(
                "name those who may first: pve-smbgateway share set {} '{}' --user USER",
                spec.name, share.name
            )));
        }
    }
    Ok(())
}

fn known(context: &Context, name: &GatewayName) -> Result<()> {
    context.platform.record(name)?.map(drop).ok_or_else(|| record::missing(name))
}

fn domain_of(context: &Context, name: &GatewayName) -> Result<Option<smbgw_api::Domain>> {
    Ok(context.platform.record(name)?.ok_or_else(|| record::missing(name))?.spec.domain)
}

/// The domain's own word on it. What it accepts is kept.
fn test(context: &Context, name: &GatewayName) -> Result<ExitCode> {
    known(context, name)?;
    let agent = context.world(Secrets::new()).agent(name)?;
    let state = agent.test_domain()?;
    let healthy = state.membership == Membership::Joined && state.findings.is_empty();
    if healthy {
        context.kept_secrets().put(name, &agent.domain_secrets()?)?;
    }
    context.output.data(&view(name, state));
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::from(crate::Category::Service.exit_code()) })
}

/// Looks at all that the join needs before the gateway is touched: it may have to be restarted.
fn preflight(context: &Context, name: &GatewayName, domain: Option<Domain>) -> Result<()> {
    let world = context.world(Secrets::new());
    let request = DiagnoseRequest { domain, credential: world.joiner().and_then(credential) };
    let checks = world.agent(name)?.diagnose(&request)?.checks;
    let Some(failed) = checks.into_iter().find(|check| check.verdict == Verdict::Failed) else {
        return Ok(());
    };
    let fault = failed.fault.unwrap_or(DomainFault::Other);
    Err(Error::service(fault.code(), format!("gateway {name} cannot join: {}", clean(&failed.message)))
        .hint(fault.fix()))
}

/// Pauses between two tries, in seconds; the last is kept to.
const PAUSES: [u64; 6] = [5, 10, 20, 40, 80, 160];

/// Tries until it succeeds, fails for a reason that does not pass by itself, or the time is over.
fn patiently(
    context: &Context,
    time: Duration,
    mut attempt: impl FnMut() -> Result<ExitCode>,
) -> Result<ExitCode> {
    let start = Instant::now();
    let mut pauses = PAUSES.iter().copied().chain(std::iter::repeat(PAUSES[PAUSES.len() - 1]));
    loop {
        let error = match attempt() {
            Err(error) if PASSING.contains(&error.code) => error,
            other => return other,
        };
        let pause = Duration::from_secs(pauses.next().unwrap_or_default());
        if start.elapsed() + pause > time {
            return Err(error);
        }
        tracing::warn!("{error}; trying again in {} s", pause.as_secs());
        if let Err(WaitError::Interrupted { .. }) =
            wait_until("the next try", pause, &context.interrupt, || None::<()>)
        {
            return Err(error);
        }
    }
}

fn diagnose(
    context: &Context,
    name: &GatewayName,
    domain: Option<Domain>,
    joiner: &JoinerArgs,
) -> Result<ExitCode> {
    known(context, name)?;
    let account = if joiner.password.is_given() { Some(joiner::account(joiner)?) } else { None };
    let request = DiagnoseRequest { domain, credential: account.as_ref().and_then(credential) };
    let diagnosis = context.world(Secrets::new()).agent(name)?.diagnose(&request)?;
    let failed = diagnosis.checks.iter().any(|check| check.verdict == Verdict::Failed);
    context.output.data(&DomainChecks {
        gateway: name.to_string(),
        took_ms: diagnosis.took_ms,
        checks: diagnosis
            .checks
            .into_iter()
            .map(|check| CheckRow {
                name: clean(&check.name),
                verdict: match check.verdict {
                    Verdict::Ok => "ok",
                    Verdict::Warning => "warning",
                    Verdict::Failed => "failed",
                    Verdict::Skipped => "skipped",
                    Verdict::Unknown => "unknown",
                }
                .to_owned(),
                message: clean(&check.message),
                code: check.fault.map(|fault| fault.code().to_owned()),
                fix: check.fault.map(|fault| fault.fix().to_owned()),
            })
            .collect(),
    });
    Ok(if failed { ExitCode::from(crate::Category::Service.exit_code()) } else { ExitCode::SUCCESS })
}

fn view(name: &GatewayName, state: DomainState) -> DomainStatus {
    let text = |value: Option<String>| value.as_deref().map(clean);
    DomainStatus {
        gateway: name.to_string(),
        membership: match state.membership {
            Membership::None => "none",
            Membership::Interrupted => "interrupted",
            Membership::Joined => "joined",
        }
        .to_owned(),
        healthy: state.membership == Membership::Joined && state.findings.is_empty(),
        realm: text(state.realm),
        workgroup: text(state.workgroup),
        account: text(state.account),
        dn: text(state.dn),
        domain_sid: state.domain_sid.map(|sid| sid.to_string()),
        ids: text(state.ids),
        controller: text(state.controller),
        online: state.online,
        principals: state.principals.iter().map(|(name, sid)| format!("{name} = {sid}")).collect(),
        findings: state
            .findings
            .into_iter()
            .map(|finding| DomainFinding {
                code: finding.fault.code().to_owned(),
                message: clean(&finding.message),
                fix: finding.fault.fix().to_owned(),
            })
            .collect(),
    }
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}

/// Who joins in a `create`; nobody when there is no domain.
pub(super) fn joiner_of_create(
    context: &Context,
    spec: &smbgw_api::GatewaySpec,
    joiner: &JoinerArgs,
    precreated: &PrecreatedArgs,
) -> Result<Context> {
    match &spec.domain {
        Some(domain) => {
            let who = joiner::for_join(context, &spec.name, &domain.realm, joiner, precreated)?;
            Ok(context.with_joiner(who))
        }
        None if joiner.password.is_given() || joiner.user.is_some() => {
            Err(Error::usage("no-domain", "it is not said which domain to join")
                .hint("name it: --ad-domain CORP.EXAMPLE"))
        }
        None => Ok(context.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_opens_no_share() {
        let spec = |users: &str, share: &str| -> GatewaySpec {
            serde_yaml::from_str(&format!(
                "{{name: team, domain: {{realm: LAB.TEST}}, users: [{users}], shares: [{{name: a, path: /a, {share}}}]}}"
            ))
            .unwrap()
        };
        let allowed = "allow: ['LAB\\Team']";
        let error = forget_allowed(&mut spec("{name: bob}", allowed)).unwrap_err();
        assert_eq!(error.code, "share-opens");
        for mut fine in [
            spec("", allowed),
            spec("{name: bob}", &format!("{allowed}, users: [bob]")),
            spec("{name: bob}", "users: []"),
        ] {
            forget_allowed(&mut fine).unwrap();
            assert!(fine.shares[0].allow.is_empty());
        }
    }
}
