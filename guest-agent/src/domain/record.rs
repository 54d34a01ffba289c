//! What is known of the membership, in `/var/lib/smbgw/domain.json`. No secret is in it. Writing [`Phase::Joined`] is the commit
//! point of a join: before it the gateway is a server of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smbgw_api::v1::domain::AccountKind;
use smbgw_api::{Domain, DomainPrincipal, Sid};

use crate::error::{Doing, Result, internal};
use crate::files;
use crate::paths::Paths;

/// How far a join came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It began: a computer account may be there.
    Joining,
    /// The domain accepts us.
    Joined,
}

/// A user or a group of the domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Its SID.
    pub(crate) sid: Sid,
    /// What it is.
    pub(crate) kind: AccountKind,
}

/// A membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// How far it came.
    pub(crate) phase: Phase,
    /// Domain.
    pub(crate) domain: Domain,
    /// Computer account, without `$`.
    pub(crate) account: String,
    /// Its DN.
    #[serde(default)]
    pub(crate) dn: Option<String>,
    /// The domain's SID.
    #[serde(default)]
    pub(crate) domain_sid: Option<Sid>,
    /// Users and groups that shares name, by SID. A name that was given to another later does not take the access along.
    #[serde(default)]
    pub(crate) principals: BTreeMap<DomainPrincipal, Account>,
}

impl Record {
    /// A join that begins.
    pub(crate) fn begun(domain: &Domain, account: String) -> Self {
        Self {
            phase: Phase::Joining,
            domain: domain.clone(),
            account,
            dn: None,
            domain_sid: None,
            principals: BTreeMap::new(),
        }
    }

    /// Its names in DNS.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let own = format!("{}.{}", self.account.to_ascii_lowercase(), self.domain.realm.dns());
        std::iter::once(own).chain(self.domain.aliases.iter().map(ToString::to_string))
    }

    /// Whether it is a whole membership.
    pub(crate) fn is_joined(&self) -> bool {
        self.phase == Phase::Joined
    }
}

/// Reads it; none outside a domain.
pub(crate) fn load(paths: &Paths) -> Result<Option<Record>> {
    let path = paths.domain();
    let text = files::read_optional(&path).doing(|| format!("reading {}", path.display()))?;
    let parse = |text: String| {
        serde_json::from_str(&text)
            .map_err(|error| internal(format!("{} is damaged: {error}", path.display())))
    };
    text.map(parse).transpose()
}

/// Writes it, durably.
pub(crate) fn save(paths: &Paths, record: &Record) -> Result<()> {
    let path = paths.domain();
    let mut json =
        serde_json::to_vec_pretty(record).map_err(|error| internal(format!("the membership: {error}")))?;
    json.push(b'\n');
    files::replace(&path, &json, 0o600).doing(|| format!("writing {}", path.display()))
}

/// Forgets it.
pub(crate) fn remove(paths: &Paths) -> Result<()> {
    let path = paths.domain();
    files::remove(&path).doing(|| format!("removing {}", path.display()))
}
