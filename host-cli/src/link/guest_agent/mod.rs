//! The link to an agent in a virtual machine: `smbgw-agent call` is run there through the QEMU guest agent, with the
//! request's body on its stdin and the answer, as ASCII JSON, on its stdout.
//!
//! * [`GuestExec`]: runs a program in a guest; each platform has its way
//! * [`channel`]: the guest agent's channel as a socket on the node
//! * [`GuestAgentLink`]: one HTTP request, by one or several such programs

pub mod channel;

use std::time::{Duration, Instant};

use smbgw_api::v1::MAX_BODY;

use super::{Link, Request, Response};
use crate::{Error, Result};

/// The agent's program in every template.
const AGENT: &str = "/usr/bin/smbgw-agent";
/// Most bytes that are sent with one command: Proxmox VE's interface takes 64 KiB of base64.
const CHUNK: usize = 45 << 10;
/// Exit codes of `smbgw-agent call`.
const REFUSED: i32 = 1;
const NOBODY: i32 = 3;
const SILENT: i32 = 4;

/// A program to run in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Absolute path.
    pub path: String,
    /// Arguments.
    pub args: Vec<String>,
    /// What it reads. May hold a password, so it is neither logged nor part of an error.
    pub input: Vec<u8>,
}

/// What it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its stdout.
    pub output: Vec<u8>,
    /// Its stderr.
    pub errors: Vec<u8>,
    /// The guest agent kept the beginning of the output only.
    pub truncated: bool,
}

/// Runs programs in a guest.
pub trait GuestExec: Send + Sync {
    /// Runs one and waits for its end.
    ///
    /// # Errors
    /// Codes `guest-stopped`, `guest-agent-starting`, `guest-agent-absent`, `guest-agent-hung`, `guest-frozen`,
    /// `guest-exec-failed`, and those of a machine that stands still.
    fn exec(&self, program: &Program, deadline: Instant) -> Result<Ran>;

    /// Whether the guest agent answers; nothing is run in the guest.
    ///
    /// # Errors
    /// As [`Self::exec`].
    fn ping(&self) -> Result<()>;
}

/// Link to the agent of a virtual machine.
pub struct GuestAgentLink<E> {
    guest: E,
}

impl<E: GuestExec> GuestAgentLink<E> {
    /// Through this guest's agent.
    pub fn new(guest: E) -> Self {
        Self { guest }
    }

    fn agent(&self, args: Vec<String>, input: &[u8], deadline: Instant) -> Result<Ran> {
        let program = Program { path: AGENT.to_owned(), args, input: input.to_owned() };
        let ran = self.guest.exec(&program, deadline)?;
        if ran.truncated {
            return Err(Error::infrastructure("agent-too-much", "the agent's answer was cut off on its way")
                .hint("the gateway is damaged or was tampered with; create it anew, its data stays"));
        }
        Ok(ran)
    }

    /// Brings a long body into the guest, piece by piece.
    fn stash(&self, ticket: &str, body: &[u8], deadline: Instant) -> Result<()> {
        for chunk in body.chunks(CHUNK) {
            let ran = self.agent(vec!["stash".into(), ticket.into()], chunk, deadline)?;
            if ran.code != Some(0) {
                return Err(failed("stash", &ran));
            }
        }
        Ok(())
    }
}

impl<E: GuestExec> Link for GuestAgentLink<E> {
    fn reach(&self) -> Result<()> {
        self.guest.ping()
    }

    /// An emulated machine on a loaded node.
    fn slack(&self) -> u32 {
        5
    }

    fn request(&self, request: &Request) -> Result<Response> {
        let deadline = Instant::now() + request.deadline;
        // the program in the guest ends by itself, before we give it up
        let patience = request.deadline.saturating_sub(Duration::from_millis(500)).as_secs().max(1);
        let mut args = vec!["call".to_owned(), request.method.to_owned(), request.path.clone()];
        args.extend(["--deadline".to_owned(), patience.to_string()]);
        let body = request.body.as_deref().unwrap_or_default();
        let ran = if body.len() > CHUNK {
            let ticket = format!("{:032x}", crate::world::random()?);
            self.stash(&ticket, body, deadline)?;
            args.extend(["--stash".to_owned(), ticket]);
            self.agent(args, &[], deadline)?
        } else {
            self.agent(args, body, deadline)?
        };
        match ran.code {
            Some(0) => response(200, ran),
            Some(REFUSED) if ran.output.first() == Some(&b'{') => response(400, ran),
            Some(NOBODY) => Err(Error::infrastructure("agent-absent", "the agent in the guest does not run")
                .hint("it may be starting; if it stays so: `pve-smbgateway stop` and `start`")),
            Some(SILENT) => Err(Error::infrastructure(
                "agent-silent",
                format!("the agent did not answer {} {} within {patience} s", request.method, request.path),
            )
            .hint("the gateway may be overloaded or its agent hung; `pve-smbgateway stop` and `start` restart it")),
            _ => Err(failed("call", &ran)),
        }
    }
}

fn response(status: u16, ran: Ran) -> Result<Response> {
    if ran.output.len() > MAX_BODY || !ran.output.is_ascii() {
        return Err(Error::infrastructure("agent-garbage", "the agent's answer is not what it should be")
            .hint("agent and host may be of different versions: create the gateway anew from a current template"));
    }
    Ok(Response { status, body: ran.output })
}

/// The error of a program that did something else than it should.
fn failed(verb: &str, ran: &Ran) -> Error {
    let clean = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(500).collect::<String>()
    };
    let how = ran.code.map_or_else(|| "was killed".to_owned(), |code| format!("ended with exit code {code}"));
    Error::infrastructure(
        "guest-exec-failed",
        format!("`smbgw-agent {verb}` in the guest {how}: {}", clean(&ran.errors)),
    )
    .hint("agent and host may be of different versions: create the gateway anew from a current template")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Guest {
        answers: Mutex<Vec<Ran>>,
        seen: Mutex<Vec<Program>>,
    }

    fn ran(code: i32, output: &str) -> Ran {
        Ran { code: Some(code), output: output.into(), errors: b"why".to_vec(), truncated: false }
    }

    fn link(mut answers: Vec<Ran>) -> GuestAgentLink<Guest> {
        answers.reverse();
        GuestAgentLink::new(Guest { answers: Mutex::new(answers), seen: Mutex::default() })
    }

    impl GuestExec for Guest {
        fn exec(&self, program: &Program, _: Instant) -> Result<Ran> {
            self.seen.lock().unwrap().push(program.clone());
            Ok(self.answers.lock().unwrap().pop().unwrap())
        }

        fn ping(&self) -> Result<()> {
            Ok(())
        }
    }

    fn request(body: Option<Vec<u8>>) -> Request {
        Request { method: "PUT", path: "/v1/gateway".into(), body, deadline: Duration::from_secs(20) }
    }

    #[test]
    fn an_answer_is_an_answer() {
        let link =
            link(vec![ran(0, "{\"changed\":true}\n"), ran(1, "{\"kind\":\"samba\",\"message\":\"no\"}")]);
        let response = link.request(&request(Some(b"{}".to_vec()))).unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, &b"{\"changed\":true}\n"[..]));
        assert_eq!(link.request(&request(None)).unwrap().status, 400);
        let seen = link.guest.seen.lock().unwrap();
        assert_eq!(seen[0].args, ["call", "PUT", "/v1/gateway", "--deadline", "19"]);
        assert_eq!(seen[0].input, b"{}");
    }

    #[test]
    fn a_long_body_goes_in_pieces() {
        let body = vec![b'x'; 100_000];
        let link = link(vec![ran(0, "{}"), ran(0, "{}"), ran(0, "{}"), ran(0, "{}")]);
        link.request(&request(Some(body.clone()))).unwrap();
        let seen = link.guest.seen.lock().unwrap();
        assert_eq!(seen.len(), 4);
        assert!(seen.iter().all(|program| program.input.len() <= CHUNK));
        let sent: Vec<u8> = seen.iter().flat_map(|program| program.input.clone()).collect();
        assert_eq!(sent, body);
        assert_eq!((seen[0].args[0].as_str(), &seen[0].args[1]), ("stash", seen[3].args.last().unwrap()));
    }

    #[test]
    fn every_failure_has_its_code() {
        let cut = Ran { truncated: true, ..ran(0, "{") };
        for (answer, code) in [
            (ran(3, ""), "agent-absent"),
            (ran(4, ""), "agent-silent"),
            (ran(1, "boom"), "guest-exec-failed"),
            (ran(2, ""), "guest-exec-failed"),
            (Ran { code: None, ..ran(0, "") }, "guest-exec-failed"),
            (cut, "agent-too-much"),
            (ran(0, "\u{e4}"), "agent-garbage"),
        ] {
            assert_eq!(link(vec![answer]).request(&request(None)).unwrap_err().code, code);
        }
    }
}
