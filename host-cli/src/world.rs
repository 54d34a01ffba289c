//! What steps act on: the platform, the secrets of this run, the clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;
use smbgw_api::{DomainUser, GatewayName, UserName};
use smbgw_command::Interrupt;

use crate::kept_secrets::SecretStore;
use crate::link::Agent;
use crate::platform::Platform;
use crate::{Error, Result};

/// What steps act on.
pub struct World {
    /// Where gateways run.
    pub platform: Arc<dyn Platform>,
    /// Set by Ctrl-C.
    pub interrupt: Interrupt,
    /// Passwords of this run. They are here and nowhere else: no step, journal or record holds one.
    pub secrets: BTreeMap<(GatewayName, UserName), SecretString>,
    /// Who joins and leaves domains in this run; likewise nowhere else.
    pub joiner: Option<Joiner>,
    /// Secrets of computer accounts that outlive their gateways.
    pub kept_secrets: SecretStore,
}

/// What a domain is joined with.
#[derive(Debug, Clone)]
pub enum Joiner {
    /// An account of the domain, which can leave it, too.
    Account {
        /// Its name.
        user: DomainUser,
        /// Its password.
        password: SecretString,
    },
    /// An offline join.
    Blob(SecretString),
}

impl World {
    /// The agent of a gateway.
    ///
    /// # Errors
    /// When there is no link to it.
    pub fn agent(&self, gateway: &GatewayName) -> Result<Agent> {
        Ok(Agent::new(self.platform.link(gateway)?))
    }

    /// Who joins and leaves domains.
    pub fn joiner(&self) -> Option<&Joiner> {
        self.joiner.as_ref()
    }

    /// Password of a user.
    ///
    /// # Errors
    /// When this run has none, as in a recovery.
    pub fn secret(&self, gateway: &GatewayName, user: &UserName) -> Result<SecretString> {
        self.secrets
            .get(&(gateway.clone(), user.clone()))
            .cloned()
            .ok_or_else(|| Error::internal(format!("no password for {user} at hand")))
    }
}

/// The time. The only place that asks the system for it.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Random bits from the kernel. The only place that asks for them.
///
/// # Errors
/// When the kernel gives none.
pub fn random() -> Result<u128> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::io("asking the kernel for random bytes", errno.into()))?;
    Ok(u128::from_le_bytes(bytes))
}
