//! What goes through the agent.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use smbgw_api::v1::{DesiredState, NewPassword};
use smbgw_api::{GatewayName, UserName};
use smbgw_command::{WaitError, wait_until};

use super::{Action, count};
use crate::platform::GuestState;
use crate::record::GuestPlan;
use crate::world::World;
use crate::{Error, Result};

/// Time for an agent in a container to come up. It takes half a second; a loaded node may take far longer.
const CONTAINER_UP: u64 = 30;
/// Time for one in a virtual machine: under emulation and load, minutes.
const MACHINE_UP: u64 = 600;
/// Time between two requests to an emulated machine that boots: each runs a program in it, and slows it down.
const POLITE: Duration = Duration::from_secs(4);
/// Time between two looks at whether its guest agent is up, which are nothing to it.
const AGAIN: Duration = Duration::from_secs(1);
/// Time for the agent of a machine whose guest agent is up.
const FOLLOWS: Duration = Duration::from_secs(120);
/// So long before that, a machine whose boot does not come to smbd is told what it should run all the same.
const GIVE_UP: Duration = Duration::from_secs(60);
/// So long a guest that has booted may be without an answer of its guest agent: on a busy node it has moments of that, one that
/// stays so hangs. While it boots, nobody can tell the two apart.
const HUNG: Duration = Duration::from_secs(120);
/// Time for smbd to accept connections.
const SMBD_UP: Duration = Duration::from_secs(30);

/// Waits until the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitAgent {
    /// Gateway.
    pub gateway: GatewayName,
    /// How long, in seconds.
    pub patience_s: u64,
    /// The guest was not started by the same operation: it has most likely booted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub booted: bool,
    /// It is enough that the way to the agent is open: what comes next waits for the rest of the boot itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub way_only: bool,
}

impl AwaitAgent {
    /// As long as this guest may take from its start.
    pub fn of(guest: &GuestPlan) -> Self {
        let patience_s = if guest.is_machine() { MACHINE_UP } else { CONTAINER_UP };
        Self { gateway: guest.name.clone(), patience_s, booted: false, way_only: false }
    }

    /// Before it is configured: the agent of a machine waits for the boot in that, so that nobody has to ask it again and
    /// again. A container is there in a moment.
    pub fn to_configure(guest: &GuestPlan) -> Self {
        Self { way_only: guest.is_machine(), ..Self::of(guest) }
    }
}

impl Action for AwaitAgent {
    const NAME: &'static str = "agent";

    fn describe(&self) -> String {
        "wait for the agent".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        let agent = world.agent(&self.gateway)?;
        let mut last = None;
        let mut asked = 0u32;
        let (start, slow) = (Instant::now(), self.patience_s >= MACHINE_UP);
        // that of a machine is long enough for an emulated one already
        let patience = Duration::from_secs(self.patience_s) * if slow { 1 } else { agent.slack() };
        let mut due = start;
        let mut hung = None;
        let answered = wait_until("the agent", patience, &world.interrupt, || {
            if slow && Instant::now() < due {
                return None;
            }
            asked += 1;
            // one that has booted is asked at once: only that tells all causes of its silence apart
            let way = if self.booted { Ok(()) } else { agent.reach() };
            due = Instant::now() + if way.is_ok() { POLITE } else { AGAIN };
            let answer = match way {
                Ok(()) if self.way_only => return Some(Ok(())),
                Ok(()) => agent.health(),
                Err(error) => Err(error),
            };
            if matches!(&answer, Err(error) if error.code == "guest-agent-hung") {
                hung.get_or_insert_with(Instant::now);
            } else {
                hung = None;
            }
            match answer {
                // a container is there in a moment, and its agent waits itself
                Ok(health) if slow && boots(&health.smbd) && start.elapsed() + GIVE_UP < patience => None,
                Ok(_) => Some(Ok(())),
                // no socket yet, or nobody listens yet; a guest that boots may be too busy to answer
                Err(error) if self.booted && hung.is_some_and(|since| since.elapsed() >= HUNG) => {
                    Some(Err(error))
                }
                Err(error) if COMING.contains(&error.code) => {
                    // a machine that is gone says so by itself
                    let gone = !slow
                        && asked.is_multiple_of(20)
                        && matches!(
                            world.platform.guest_state(&self.gateway),
                            Ok(GuestState::Stopped | GuestState::Absent)
                        );
                    last = Some(error);
                    gone.then(|| {
                        let error = Error::infrastructure("guest-ended", "the guest ended while starting");
                        Err(error.hint(
                            "`pve-smbgateway doctor` says what the node lacks; with many containers that may be inotify instances",
                        ))
                    })
                }
                Err(error) => Some(Err(error)),
            }
        });
        match answered {
            Ok(result) => result,
            Err(WaitError::TimedOut { .. }) => {
                let error = Error::infrastructure(
                    "agent-absent",
                    format!("the agent did not come up within {} s", patience.as_secs()),
                )
                .hint("is the template one of this version? `pve-smbgateway template verify` checks it");
                Err(match last {
                    Some(last) => error.source(last),
                    None => error,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }
}

/// Whether smbd's state, in systemd's words, is that of a guest whose boot has not come to it: the agent is up before the
/// bus, and before the network that smbd waits for. One that stays so is told what it should run all the same.
fn boots(smbd: &str) -> bool {
    matches!(smbd, "unknown" | "inactive" | "activating")
}

/// Codes of errors that may pass while a guest starts.
const COMING: [&str; 5] =
    ["agent-absent", "agent-silent", "guest-agent-starting", "guest-agent-hung", "guest-agent-busy"];

/// Gives the agent the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configure {
    /// Gateway.
    pub gateway: GatewayName,
    /// What it is to run.
    pub new: DesiredState,
    /// What it ran before; nothing when it is new and will be removed anyway.
    pub old: Option<DesiredState>,
    /// Time for the agent to come up again when this is undone, in seconds.
    pub patience_s: u64,
}

impl Action for Configure {
    const NAME: &'static str = "configure";

    fn describe(&self) -> String {
        let (shares, users) = (count(self.new.shares.len(), "share"), count(self.new.users.len(), "user"));
        let groups = match self.new.groups.len() {
            0 => String::new(),
            number => format!(", {}", count(number, "group")),
        };
        format!("configure Samba: {shares}, {users}{groups}")
    }

    fn perform(&self, world: &World) -> Result<()> {
        configure(world, &self.gateway, &self.new)
    }

    fn undo(&self, world: &World) -> Result<()> {
        match &self.old {
            Some(old) => {
                // it ran, or it would not have been changed: one that ended meanwhile must run to be told
                if let (GuestState::Stopped, Some(record)) =
                    (world.platform.guest_state(&self.gateway)?, world.platform.record(&self.gateway)?)
                {
                    world.platform.start(&record.guest)?;
                }
                // the undo of a stop has just started it
                let (gateway, patience_s) = (self.gateway.clone(), self.patience_s);
                let way_only = patience_s >= MACHINE_UP;
                AwaitAgent { gateway, patience_s, booted: false, way_only }.perform(world)?;
                configure(world, &self.gateway, old)
            }
            None => Ok(()),
        }
    }
}

/// Gives the agent a desired state. In a machine, the guest agent may be up before the agent is.
fn configure(world: &World, gateway: &GatewayName, state: &DesiredState) -> Result<()> {
    let agent = world.agent(gateway)?;
    if agent.slack() == 1 {
        return agent.configure(state).map(drop);
    }
    let (mut due, mut last) = (Instant::now(), None);
    let answered = wait_until("the agent", FOLLOWS, &world.interrupt, || {
        if Instant::now() < due {
            return None;
        }
        let answer = agent.configure(state);
        due = Instant::now() + POLITE;
        match answer {
            Err(error) if COMING.contains(&error.code) => {
                last = Some(error);
                None
            }
            other => Some(other.map(drop)),
        }
    });
    match (answered, last) {
        (Ok(result), _) => result,
        (Err(WaitError::TimedOut { .. }), Some(last)) => Err(last),
        (Err(error), _) => Err(error.into()),
    }
}

/// Sets passwords. They are in the world of this run, not in the step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPasswords {
    /// Gateway.
    pub gateway: GatewayName,
    /// Users.
    pub users: Vec<UserName>,
}

impl Action for SetPasswords {
    const NAME: &'static str = "passwords";

    fn describe(&self) -> String {
        let names: Vec<_> = self.users.iter().map(UserName::as_str).collect();
        format!("set the password of {}", names.join(", "))
    }

    fn perform(&self, world: &World) -> Result<()> {
        let agent = world.agent(&self.gateway)?;
        for user in &self.users {
            let secret = world.secret(&self.gateway, user)?;
            agent.set_password(user, &NewPassword { password: secret.expose_secret().to_owned() })?;
        }
        Ok(())
    }

    /// A password cannot be asked for, so an old one cannot be put back; users that are new go with their gateway.
    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }
}

/// Waits until smbd accepts connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Gateway.
    pub gateway: GatewayName,
}

impl Action for Ready {
    const NAME: &'static str = "ready";

    fn describe(&self) -> String {
        "wait until Samba accepts connections".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        let agent = world.agent(&self.gateway)?;
        let mut problems = Vec::new();
        let patience = SMBD_UP * agent.slack();
        let ready =
            wait_until("Samba to accept connections", patience, &world.interrupt, || match agent.health() {
                Ok(health) if health.ready => Some(Ok(())),
                Ok(health) => {
                    problems = health.problems;
                    None
                }
                Err(error) => Some(Err(error)),
            });
        match ready {
            Ok(result) => result,
            Err(WaitError::TimedOut { .. }) => {
                let clean =
                    problems.join("; ").chars().filter(|c| !c.is_control()).take(500).collect::<String>();
                Err(Error::service("samba-not-ready", format!("Samba does not accept connections: {clean}"))
                    .hint("the journal inside the gateway says more: journalctl -u smbd"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }
}
