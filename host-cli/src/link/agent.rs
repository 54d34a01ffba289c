//! The agent's requests, typed.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smbgw_api::v1::domain::{
    DiagnoseRequest, Diagnosis, DomainState, JoinRequest, Joined, KeptSecrets, LeaveRequest, Left,
    ShareAccess,
};
use smbgw_api::v1::{
    ApiError, Applied, DesiredState, DiskState, ErrorKind, GatewayState, Health, Metrics, NewPassword,
    ProbeRequest, ProbeResult, Session, Usage, UserState,
};
use smbgw_api::{DomainFault, UserName};

use super::{Link, Request};
use crate::{Error, Result};

/// Time for a question.
const ASK: Duration = Duration::from_secs(5);
/// Time for a change: the agent restarts Samba and waits for it within it.
const CHANGE: Duration = Duration::from_secs(60);

/// For a join or a leave: shorter than the agent's own limit, longer than all that is in it.
const JOIN: Duration = Duration::from_secs(240);

/// The agent of one gateway.
pub struct Agent {
    link: Box<dyn Link>,
}

impl Agent {
    /// Over this link.
    pub fn new(link: Box<dyn Link>) -> Self {
        Self { link }
    }

    /// How many times longer than in a container things may take in this gateway.
    pub fn slack(&self) -> u32 {
        self.link.slack()
    }

    /// Whether the way to it is open, at the least cost.
    ///
    /// # Errors
    /// As [`Link::reach`].
    pub fn reach(&self) -> Result<()> {
        self.link.reach()
    }

    /// Whether the gateway serves.
    ///
    /// # Errors
    /// As [`Link::request`], and what the agent refuses.
    pub fn health(&self) -> Result<Health> {
        self.call("GET", "/v1/health", None::<&()>, ASK)
    }

    /// What it runs.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn state(&self) -> Result<GatewayState> {
        self.call("GET", "/v1/gateway", None::<&()>, ASK)
    }

    /// Makes it run this.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn configure(&self, desired: &DesiredState) -> Result<Applied> {
        self.call("PUT", "/v1/gateway", Some(desired), CHANGE)
    }

    /// Sets a user's password.
    ///
    /// # Errors
    /// As [`Agent::health`]; the password is in none of them.
    pub fn set_password(&self, user: &UserName, password: &NewPassword) -> Result<Applied> {
        self.call("PUT", &format!("/v1/users/{user}/password"), Some(password), CHANGE)
    }

    /// Its users.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn users(&self) -> Result<Vec<UserState>> {
        self.call("GET", "/v1/users", None::<&()>, ASK)
    }

    /// Lets a user write a probe file.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn probe(&self, request: &ProbeRequest) -> Result<ProbeResult> {
        self.call("POST", "/v1/probe", Some(request), ASK * 2)
    }

    /// Removes a probe file, if it is there.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn unprobe(&self, request: &ProbeRequest) -> Result<ProbeResult> {
        self.call("DELETE", "/v1/probe", Some(request), ASK * 2)
    }

    /// Grows the file system of the gateway's disk to the disk's size.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn grow_disk(&self) -> Result<DiskState> {
        self.call("POST", "/v1/disk/grow", None::<&()>, CHANGE)
    }

    /// Tells it what shares hold, as clients are to see it.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn tell_usage(&self, usage: &Usage) -> Result<Applied> {
        self.call("PUT", "/v1/quota", Some(usage), ASK)
    }

    /// How it stands with its domain.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn domain(&self) -> Result<DomainState> {
        self.call("GET", "/v1/domain", None::<&()>, ASK * 4)
    }

    /// Who of the domain may open which share.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn domain_access(&self) -> Result<Vec<ShareAccess>> {
        self.call("GET", "/v1/domain/access", None::<&()>, ASK * 6)
    }

    /// Asks the domain, and mends what can be mended.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn test_domain(&self) -> Result<DomainState> {
        self.call("POST", "/v1/domain/test", None::<&()>, CHANGE * 2)
    }

    /// Joins the domain of its configuration.
    ///
    /// # Errors
    /// As [`Agent::health`]; no password is in any of them.
    pub fn join(&self, request: &JoinRequest) -> Result<Joined> {
        self.call("POST", "/v1/domain/join", Some(request), JOIN)
    }

    /// Leaves the domain.
    ///
    /// # Errors
    /// As [`Agent::join`].
    pub fn leave(&self, request: &LeaveRequest) -> Result<Left> {
        self.call("POST", "/v1/domain/leave", Some(request), JOIN)
    }

    /// Looks at all that a join needs.
    ///
    /// # Errors
    /// As [`Agent::join`].
    pub fn diagnose(&self, request: &DiagnoseRequest) -> Result<Diagnosis> {
        self.call("POST", "/v1/domain/diagnose", Some(request), CHANGE * 2)
    }

    /// Secrets of the computer account, if the domain accepts them now.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn domain_secrets(&self) -> Result<KeptSecrets> {
        self.call("GET", "/v1/domain/secrets", None::<&()>, CHANGE)
    }

    /// SMB sessions.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn sessions(&self) -> Result<Vec<Session>> {
        self.call("GET", "/v1/sessions", None::<&()>, ASK)
    }

    /// Ends a session, as [`Agent::sessions`] names it.
    ///
    /// # Errors
    /// As [`Agent::health`]; code `agent-garbage` when the id is none that can be said in a path.
    pub fn close_session(&self, id: &str) -> Result<Applied> {
        // the id comes from the gateway
        let plain = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
        if id.is_empty() || id.len() > 100 || !id.chars().all(plain) {
            return Err(garbage("/v1/sessions"));
        }
        self.call("DELETE", &format!("/v1/sessions/{id}"), None::<&()>, CHANGE)
    }

    /// Figures.
    ///
    /// # Errors
    /// As [`Agent::health`].
    pub fn metrics(&self) -> Result<Metrics> {
        self.call("GET", "/v1/metrics", None::<&()>, ASK)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&impl Serialize>,
        deadline: Duration,
    ) -> Result<T> {
        let body = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|source| Error::internal("writing a request").source(source))?;
        let deadline = deadline * self.link.slack();
        let response = self.link.request(&Request { method, path: path.to_owned(), body, deadline })?;
        if (200..300).contains(&response.status) {
            return serde_json::from_slice(&response.body).map_err(|source| garbage(path).source(source));
        }
        let error: ApiError =
            serde_json::from_slice(&response.body).map_err(|source| garbage(path).source(source))?;
        Err(refused(error))
    }
}

fn garbage(path: &str) -> Error {
    Error::infrastructure("agent-garbage", format!("the agent's answer to {path} is not what it should be"))
        .hint("agent and host may be of different versions: create the gateway anew from a current template")
}

/// An agent's refusal in the host's words. The text comes from the gateway: control characters are dropped, so that
/// it cannot play with a terminal, and it is cut at a sane length.
fn refused(error: ApiError) -> Error {
    let clean =
        |text: &str| text.chars().filter(|c| !c.is_control() || *c == '\n').take(2000).collect::<String>();
    let message = clean(&error.message);
    // only requests are read strictly, and only an agent that is older than this program misses a field of theirs
    if error.kind == ErrorKind::Invalid && message.contains("unknown field") {
        return Error::infrastructure("agent-too-old", format!("the gateway's agent is too old for this: {message}"))
            .hint("delete the gateway and create it from a current template; its data, and the ids of its users, stay");
    }
    let base = match error.kind {
        ErrorKind::Invalid => Error::usage("agent-refused", message),
        ErrorKind::NotFound => Error::resource("agent-not-found", message),
        ErrorKind::Storage => Error::resource("storage", message),
        ErrorKind::Domain => {
            let fault = error.fault.unwrap_or(DomainFault::Other);
            Error::service(fault.code(), message).hint(fault.fix())
        }
        ErrorKind::Samba => Error::service("samba", message),
        ErrorKind::Internal | ErrorKind::Unknown => Error::service("agent-failed", message),
    };
    match error.hint {
        Some(hint) => base.hint(clean(&hint)),
        None => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_cannot_play_with_the_terminal() {
        let error = refused(ApiError {
            kind: ErrorKind::Samba,
            message: "\u{1b}[2Jno".into(),
            hint: Some("\u{7}x".into()),
            fault: None,
        });
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("[2Jno", Some("x")));
    }

    /// Answers all with the request line.
    struct Echo;

    impl Link for Echo {
        fn request(&self, request: &Request) -> Result<super::super::Response> {
            let said = format!("{} {}", request.method, request.path);
            let body = serde_json::to_vec(&Applied { changed: true, actions: vec![said] });
            Ok(super::super::Response { status: 200, body: body.unwrap() })
        }
    }

    #[test]
    fn an_id_of_a_session_is_no_path() {
        let agent = Agent::new(Box::new(Echo));
        let closed = agent.close_session("1234:56_a-B").unwrap();
        assert_eq!(closed.actions, ["DELETE /v1/sessions/1234:56_a-B"]);
        for bad in ["", "..", "a/b", "a b", "a%2f", "ä", "a?b"] {
            assert_eq!(agent.close_session(bad).unwrap_err().code, "agent-garbage", "{bad}");
        }
    }

    #[test]
    fn an_old_agent_is_called_one() {
        let message =
            "the body is not what is expected at groups: unknown field `groups`, expected one of `name`";
        let error =
            refused(ApiError { kind: ErrorKind::Invalid, message: message.into(), hint: None, fault: None });
        assert_eq!(error.code, "agent-too-old");
        assert!(error.hint.unwrap().contains("current template"));
    }
}
