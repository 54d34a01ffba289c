//! Joining and leaving a domain, and what is kept of it.

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use smbgw_api::v1::domain::{Credential, JoinRequest, JoinWith, LeaveRequest, Membership};
use smbgw_api::{Fallback, GatewayName, Realm};

use super::{Action, AwaitAgent};
use crate::link::Agent;
use crate::world::{Joiner, World};
use crate::{Error, Result};

/// Joins the domain of the gateway's configuration. The password is in the world of this run, not in the step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinDomain {
    /// Gateway.
    pub gateway: GatewayName,
    /// Domain.
    pub realm: Realm,
    /// What happens when the domain cannot be reached.
    #[serde(default, skip_serializing_if = "Fallback::is_fail")]
    pub fallback: Fallback,
    /// By its configuration it is a member already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl JoinDomain {
    fn new(gateway: GatewayName, realm: Realm) -> Self {
        Self { gateway, realm, fallback: Fallback::Fail, again: false }
    }
}

/// Errors that may be gone later, without anybody's doing on this side.
pub const PASSING: &[&str] = &["ad-dns", "ad-unreachable", "ad-port-blocked", "ad-timeout"];

impl Action for JoinDomain {
    const NAME: &'static str = "join";

    fn describe(&self) -> String {
        format!("join the domain {}", self.realm)
    }

    fn perform(&self, world: &World) -> Result<()> {
        let with = match world.joiner() {
            Some(joiner) => with(joiner),
            None => kept(world, &self.gateway, &self.realm)?,
        };
        let joined = match world.agent(&self.gateway)?.join(&JoinRequest { with }) {
            Err(error) if self.fallback == Fallback::Local && PASSING.contains(&error.code) => {
                tracing::warn!(
                    "{error}: the gateway serves its local users until `pve-smbgateway ad join {} --wait` has joined it",
                    self.gateway
                );
                return Ok(());
            }
            other => other?,
        };
        for warning in joined.warnings {
            tracing::warn!("{}: {}", clean(&warning.message), warning.fault.fix());
        }
        Ok(())
    }

    /// With the password at hand the computer account is deleted. Without, as in a recovery, it stays, and that is said. Who was a
    /// member before stays one.
    fn undo(&self, world: &World) -> Result<()> {
        if self.again {
            return Ok(());
        }
        let asked = agent_back(world, &self.gateway).and_then(|agent| Ok((agent.domain()?, agent)));
        let (state, agent) = match asked {
            Ok((state, _)) if state.membership == Membership::None => return Ok(()),
            Ok(asked) => asked,
            // a guest that stands still forgets the join when it is told its old state
            Err(error) => {
                tracing::warn!(
                    "{error}: if the computer account of {} was made, it stays in {}; a join with the same name takes it over",
                    self.gateway,
                    self.realm
                );
                return Ok(());
            }
        };
        let credential = world.joiner().and_then(credential);
        if credential.is_none() {
            let account = state.account.as_deref().map(clean).unwrap_or_default();
            tracing::warn!(
                "the computer account {account} stays in {}: a join with the same name takes it over, or delete it in the domain",
                self.realm
            );
        }
        agent.leave(&LeaveRequest { credential }).map(drop)
    }

    fn by_hand(&self) -> Vec<String> {
        let account = self.gateway.as_str().to_ascii_uppercase();
        vec![format!(
            "samba-tool computer delete {account}    # or Remove-ADComputer {account}, in the domain"
        )]
    }
}

/// Leaves the domain, and has the computer account deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveDomain {
    /// Gateway.
    pub gateway: GatewayName,
    /// Domain.
    pub realm: Realm,
    /// The computer account stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_account: bool,
}

impl Action for LeaveDomain {
    const NAME: &'static str = "leave";

    fn describe(&self) -> String {
        if self.keep_account {
            format!("leave the domain {}; the computer account stays", self.realm)
        } else {
            format!("leave the domain {} and delete the computer account", self.realm)
        }
    }

    fn perform(&self, world: &World) -> Result<()> {
        let credential = match (self.keep_account, world.joiner()) {
            (true, _) => None,
            (false, Some(joiner)) => credential(joiner),
            // a deletion that is finished later has no password any more
            (false, None) => {
                tracing::warn!("no password is at hand: the computer account stays in {}", self.realm);
                None
            }
        };
        let left = world.agent(&self.gateway)?.leave(&LeaveRequest { credential })?;
        if let Some(remains) = left.remains {
            tracing::warn!("the computer account {} stays in the domain", clean(&remains));
        }
        Ok(())
    }

    fn undo(&self, world: &World) -> Result<()> {
        // the undo of a stop has just started it
        if agent_back(world, &self.gateway)?.domain()?.membership == Membership::Joined {
            return Ok(());
        }
        match JoinDomain::new(self.gateway.clone(), self.realm.clone()).perform(world) {
            // a recovery has no password, and the kept secret is of an account that is gone; all else is as it was, and the person
            // can join again
            Err(error) if world.joiner().is_none() && GONE.contains(&error.code) => {
                tracing::warn!(
                    "gateway {} has left {} and is in no domain until `pve-smbgateway ad join {}`",
                    self.gateway,
                    self.realm,
                    self.gateway
                );
                Ok(())
            }
            other => other,
        }
    }

    fn by_hand(&self) -> Vec<String> {
        vec!["pve-smbgateway ops recover".to_owned(), format!("pve-smbgateway ad join {}", self.gateway)]
    }
}

/// Keeps the secrets of the computer account on the node, so that a gateway made anew is the same computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepSecrets {
    /// Gateway.
    pub gateway: GatewayName,
    /// That the gateway is no member yet is no error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_wait: bool,
    /// By its configuration it is a member already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl Action for KeepSecrets {
    const NAME: &'static str = "keep-secrets";

    fn describe(&self) -> String {
        "keep the computer account's secrets on this node".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        let agent = world.agent(&self.gateway)?;
        if self.may_wait && agent.domain()?.membership != Membership::Joined {
            return Ok(());
        }
        let secrets = agent.domain_secrets()?;
        world.kept_secrets.put(&self.gateway, &secrets)
    }

    /// With a password at hand the account is deleted next. Without, they are what it can be had back with.
    fn undo(&self, world: &World) -> Result<()> {
        if !self.again && world.joiner().and_then(credential).is_some() {
            return world.kept_secrets.remove(&self.gateway);
        }
        Ok(())
    }
}

/// Forgets them: the computer account is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetSecrets {
    /// Gateway.
    pub gateway: GatewayName,
}

impl Action for ForgetSecrets {
    const NAME: &'static str = "forget-secrets";

    fn describe(&self) -> String {
        "forget the computer account's secrets".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.kept_secrets.remove(&self.gateway)
    }

    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }
}

fn with(joiner: &Joiner) -> JoinWith {
    match joiner {
        Joiner::Account { user, password } => JoinWith::Credential(Credential {
            user: user.clone(),
            password: password.expose_secret().to_owned(),
        }),
        Joiner::Blob(blob) => JoinWith::Blob(blob.expose_secret().to_owned()),
    }
}

/// An account that may delete the computer account.
pub fn credential(joiner: &Joiner) -> Option<Credential> {
    match with(joiner) {
        JoinWith::Credential(credential) => Some(credential),
        _ => None,
    }
}

fn kept(world: &World, gateway: &GatewayName, realm: &Realm) -> Result<JoinWith> {
    let secrets = world.kept_secrets.get(gateway)?.filter(|kept| kept.realm == *realm);
    secrets.map(JoinWith::Secrets).ok_or_else(|| {
        Error::service(NO_PASSWORD, format!("there is no password to join {realm} with"))
            .hint("join it with `pve-smbgateway ad join`")
    })
}

/// There is nothing that a join could be made with.
const NO_PASSWORD: &str = "ad-no-password";
/// Errors of a join with what is kept, when the account is gone.
const GONE: [&str; 3] = [NO_PASSWORD, "ad-secret-invalid", "ad-secret-missing"];

/// The agent of a gateway that may be on its way: it was killed, or its guest was started a moment ago.
pub(super) fn agent_back(world: &World, gateway: &GatewayName) -> Result<Agent> {
    let record = world.platform.record(gateway)?.ok_or_else(|| crate::record::missing(gateway))?;
    AwaitAgent::of(&record.guest).perform(world)?;
    world.agent(gateway)
}

/// Text of a gateway, fit for a terminal.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
