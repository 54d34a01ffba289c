//! `sessions`

use std::process::ExitCode;

use smbgw_api::GatewayName;
use smbgw_api::v1::Session;

use super::args::{SessionsVerb, WhichSessions};
use super::asking::Asked;
use super::top::{Runs, running};
use crate::operation::{Context, Secrets, audit, who};
use crate::output::foreign;
use crate::output::view::{SessionList, SessionRow, SessionsClosed, SilentGateway};
use crate::platform::GuestState;
use crate::{Error, Result, record, world};

pub(super) fn run(context: &Context, verb: &SessionsVerb) -> Result<ExitCode> {
    match verb {
        SessionsVerb::List { name } => list(context, name.as_ref()),
        SessionsVerb::Close { name, which } => close(context, name, which),
    }
}

fn list(context: &Context, name: Option<&GatewayName>) -> Result<ExitCode> {
    let gateways = match name {
        Some(name) => vec![known(context, name)?],
        None => running(context)?.into_iter().map(|Runs { name, .. }| name).collect(),
    };
    let asked: Vec<_> = gateways
        .into_iter()
        .map(|gateway| {
            let asked = Asked::agent(context, &gateway, crate::link::Agent::sessions);
            (gateway, asked)
        })
        .collect();
    let (mut list, mut code) = (SessionList { sessions: Vec::new(), silent: Vec::new() }, 0);
    for (gateway, asked) in asked {
        match asked.wait(&context.interrupt) {
            Ok(sessions) => list.sessions.extend(sessions.iter().map(|session| row(&gateway, session))),
            // the only one that was asked for
            Err(error) if name.is_some() || context.interrupt.is_set() => return Err(error),
            Err(error) => {
                code = code.max(error.category.exit_code());
                list.silent.push(SilentGateway { gateway: gateway.to_string(), error: (&error).into() });
            }
        }
    }
    context.output.data(&list);
    Ok(ExitCode::from(code))
}

/// A gateway that is there and runs.
fn known(context: &Context, name: &GatewayName) -> Result<GatewayName> {
    context.platform.record(name)?.ok_or_else(|| record::missing(name))?;
    match context.platform.guest_state(name)? {
        GuestState::Running { .. } => Ok(name.clone()),
        _ => Err(Error::resource("gateway-stopped", format!("gateway {name} does not run"))
            .hint(format!("pve-smbgateway start {name}"))),
    }
}

fn row(gateway: &GatewayName, session: &Session) -> SessionRow {
    let word = |cipher: &Option<String>| cipher.as_deref().map(foreign::name);
    SessionRow {
        gateway: gateway.to_string(),
        id: foreign::name(&session.id),
        user: foreign::name(&session.user),
        client: foreign::name(&session.client),
        dialect: word(&session.dialect),
        signing: word(&session.signing),
        encryption: word(&session.encryption),
        shares: session.shares.iter().map(|share| foreign::name(share)).collect(),
    }
}

impl WhichSessions {
    fn names(&self, session: &Session) -> bool {
        self.id.as_ref().is_none_or(|id| session.id == *id)
            // Samba takes names of users in any case
            && self.user.as_ref().is_none_or(|user| session.user.to_lowercase() == user.to_lowercase())
            && self.client.as_ref().is_none_or(|client| session.client == *client)
    }

    fn words(&self) -> String {
        let words = [("id", &self.id), ("user", &self.user), ("client", &self.client)];
        let words = words.iter().filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)));
        foreign::name(&words.collect::<Vec<_>>().join(", "))
    }
}

fn close(context: &Context, name: &GatewayName, which: &WhichSessions) -> Result<ExitCode> {
    known(context, name)?;
    let sessions = Asked::agent(context, name, crate::link::Agent::sessions).wait(&context.interrupt)?;
    let matching: Vec<_> = sessions.into_iter().filter(|session| which.names(session)).collect();
    if matching.is_empty() {
        return Err(Error::resource(
            "no-such-session",
            format!("nobody is connected to {name} with {}", which.words()),
        )
        .hint(format!("`pve-smbgateway sessions list {name}` shows those there are")));
    }
    let mut done = SessionsClosed { gateway: name.to_string(), closed: Vec::new(), gone: Vec::new() };
    let result = close_each(context, name, &matching, &mut done);
    note(context, name, which, &done, &result);
    result?;
    context.output.data(&done);
    Ok(ExitCode::SUCCESS)
}

fn close_each(
    context: &Context,
    name: &GatewayName,
    sessions: &[Session],
    done: &mut SessionsClosed,
) -> Result<()> {
    let agent = context.world(Secrets::new()).agent(name)?;
    for session in sessions {
        if context.interrupt.is_set() {
            return Err(Error::new(crate::Category::Interrupted, "interrupted", "interrupted")
                .doing(format!("{} of {} sessions are closed", done.closed.len(), sessions.len())));
        }
        match agent.close_session(&session.id) {
            Ok(applied) if applied.changed => done.closed.push(row(name, session)),
            Ok(_) => done.gone.push(row(name, session)),
            // it has ended, or the agent knows no such request
            Err(error) if error.code == "agent-not-found" => {
                if agent.sessions()?.iter().any(|still| still.id == session.id) {
                    return Err(Error::infrastructure(
                        "agent-too-old",
                        format!("the agent of {name} is too old to close sessions"),
                    )
                    .hint("delete the gateway and create it from a current template; its data, and the ids of its users, stay")
                    .source(error));
                }
                done.gone.push(row(name, session));
            }
            Err(error) => return Err(error.doing(format!("closing a session of {name}"))),
        }
    }
    Ok(())
}

/// The line of the audit trail. There is nothing to take back, so there is no operation either.
fn note(
    context: &Context,
    name: &GatewayName,
    which: &WhichSessions,
    done: &SessionsClosed,
    result: &Result<()>,
) {
    let step =
        |session: &SessionRow| format!("close {} of {} from {}", session.id, session.user, session.client);
    audit::write(
        context,
        &audit::Entry {
            time: world::now(),
            operation: String::new(),
            verb: format!("sessions close --{}", which.words()),
            target: name.to_string(),
            by: who::asks(),
            steps: done.closed.iter().map(step).collect(),
            result: match result {
                Ok(()) => "done",
                Err(_) if done.closed.is_empty() => "rolled-back",
                // those that are closed stay so
                Err(_) => "incomplete",
            }
            .to_owned(),
            error: result.as_ref().err().map(Error::chain),
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, user: &str, client: &str) -> Session {
        Session {
            id: id.to_owned(),
            user: user.to_owned(),
            client: client.to_owned(),
            dialect: None,
            signing: None,
            encryption: None,
            shares: Vec::new(),
        }
    }

    #[test]
    fn which_sessions_are_meant() {
        let which = |id: Option<&str>, user: Option<&str>, client: Option<&str>| WhichSessions {
            id: id.map(str::to_owned),
            user: user.map(str::to_owned),
            client: client.map(str::to_owned),
        };
        let alice = session("77", "CORP\\Alice", "10.0.0.1");
        assert!(which(Some("77"), None, None).names(&alice));
        assert!(!which(Some("7"), None, None).names(&alice));
        assert!(which(None, Some("corp\\alice"), None).names(&alice));
        assert!(!which(None, Some("alice"), None).names(&alice));
        assert!(which(None, None, Some("10.0.0.1")).names(&alice));
        assert_eq!(which(None, Some("bob"), None).words(), "user bob");
    }
}
