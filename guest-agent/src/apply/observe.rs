//! What is there, as far as a plan depends on it.

use smbgw_api::v1::DesiredState;

use crate::accounts::Accounts;
use crate::agent::Agent;
use crate::domain::record::Record;
use crate::error::{Doing, Result};
use crate::instance::Instance;
use crate::{domain, files, samba, state, storage};

/// What a plan starts from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// Accounts of the gateway.
    pub(crate) accounts: Accounts,
    /// Content of smb.conf.
    pub(crate) smb_conf: String,
    /// What was applied last.
    pub(crate) applied: Option<DesiredState>,
    /// Host name.
    pub(crate) host: String,
    /// NetBIOS name for which the machine's SID was set.
    pub(crate) sid_set_for: Option<String>,
    /// Mounts and the disk.
    pub(crate) storage: storage::observe::Observed,
    /// State of smbd's unit.
    pub(crate) smbd: String,
    /// Which Samba is ours.
    pub(crate) instance: Instance,
    /// The domain that it is a member of.
    pub(crate) membership: Option<Record>,
}

impl Observed {
    /// Looks, as far as this state needs it. With `lenient`, names that the domain does not tell now are left out.
    pub(crate) fn read(agent: &Agent, desired: &DesiredState, lenient: bool) -> Result<Self> {
        let smb_conf = agent.paths.smb_conf();
        Ok(Self {
            accounts: Accounts::read(&agent.paths)?,
            smb_conf: files::read_optional(&smb_conf)
                .doing(|| format!("reading {}", smb_conf.display()))?
                .unwrap_or_default(),
            applied: state::load(&agent.paths)?,
            host: crate::system::host_name(),
            sid_set_for: samba::sid::set_for(&agent.paths)?,
            storage: storage::observe::Observed::read(agent, desired)?,
            instance: agent.instance.clone(),
            membership: domain::principals::resolve(agent, desired, lenient)?,
            smbd: agent.services.state(&agent.instance.unit)?,
        })
    }
}
