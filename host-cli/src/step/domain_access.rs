//! Access of a domain's users and groups to a share's top directory. Their ids are known when the gateway is a member, so the gateway
//! is asked; what it says counts within the ids of the domain only.

use serde::{Deserialize, Serialize};
use smbgw_api::v1::domain::{AccountKind, DomainAccount};
use smbgw_api::{DomainIds, GatewayName, HostPath, ShareName};

use super::Action;
use super::access::change;
use super::domain::agent_back;
use crate::link::Agent;
use crate::storage::{Named, access, inspect};
use crate::world::World;
use crate::{Category, Error, Result};

/// Lets all in whom the share admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantDomain {
    /// Gateway.
    pub gateway: GatewayName,
    /// Share.
    pub share: ShareName,
    /// Directory.
    pub path: HostPath,
    /// Ids of the domain.
    pub ids: DomainIds,
    /// Entries within these that were there before.
    pub kept: Vec<Named>,
    /// That the gateway is no member yet is no error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_wait: bool,
}

/// Takes the entries of these off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeDomain {
    /// Gateway.
    pub gateway: GatewayName,
    /// Share.
    pub share: ShareName,
    /// Directory.
    pub path: HostPath,
    /// Ids of the domain.
    pub ids: DomainIds,
    /// Names that other shares of the directory still admit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl Action for GrantDomain {
    const NAME: &'static str = "grant-domain";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        format!("let the domain's users and groups of share {} into {} by ACL", self.share, self.path)
    }

    fn perform(&self, world: &World) -> Result<()> {
        let accounts = accounts(&world.agent(&self.gateway)?, &self.share)?;
        if accounts.is_empty() && self.may_wait {
            return Ok(());
        }
        let facts = inspect(&self.path)?;
        let mut lacking = Vec::new();
        for account in accounts {
            let Some(named) = named(&account, self.ids)? else {
                tracing::warn!(
                    "the domain gives {} no id, so no file can be its own, and it gets no access to {}",
                    account.name.escape_debug(),
                    self.path
                );
                continue;
            };
            let may = match named {
                Named::User(id) => access::may_write(&facts, id, &[id]),
                Named::Group(id) => access::group_may_write(&facts, id),
            };
            if !may {
                lacking.push(named);
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        change(&self.path, |acl| lacking.iter().fold(acl, |acl, one| acl.with(*one)))
    }

    /// Without the gateway, which may be gone.
    fn undo(&self, _: &World) -> Result<()> {
        let ours = |acl: &crate::storage::Acl| -> Vec<Named> {
            let all = acl.all_named().into_iter();
            all.filter(|one| is_of(*one, self.ids) && !self.kept.contains(one)).collect()
        };
        let facts = inspect(&self.path)?;
        if facts.acl.as_ref().is_none_or(|acl| ours(acl).is_empty()) {
            return Ok(());
        }
        change(&self.path, |acl| ours(&acl).into_iter().fold(acl, |acl, one| acl.without(one)))
    }

    fn by_hand(&self) -> Vec<String> {
        vec![format!(
            "getfacl --numeric '{}'; setfacl -x g:ID -x d:g:ID for ids within {}",
            self.path, self.ids
        )]
    }
}

impl Action for RevokeDomain {
    const NAME: &'static str = "revoke-domain";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        format!(
            "take the ACL entries of the domain's users and groups of share {} off {}",
            self.share, self.path
        )
    }

    fn perform(&self, world: &World) -> Result<()> {
        let named = match world.agent(&self.gateway).and_then(|agent| self.named(&agent)) {
            Ok(named) => named,
            // a gateway that is broken must not stay for that
            Err(error) if error.category == Category::Infrastructure => {
                tracing::warn!(
                    "{error}: entries of the domain's users and groups stay in the ACL of {}",
                    self.path
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match change(&self.path, |acl| named.iter().fold(acl, |acl, one| acl.without(*one))) {
            // the person has moved the data away: nothing to take back
            Err(error) if error.code == "path-missing" => Ok(()),
            other => other,
        }
    }

    fn undo(&self, world: &World) -> Result<()> {
        let named = self.named(&agent_back(world, &self.gateway)?)?;
        change(&self.path, |acl| named.iter().fold(acl, |acl, one| acl.with(*one)))
    }

    fn by_hand(&self) -> Vec<String> {
        vec![format!(
            "setfacl -m g:ID:rwx -m d:g:ID:rwx '{}'    # ids of those who may open share {}",
            self.path, self.share
        )]
    }
}

impl RevokeDomain {
    fn named(&self, agent: &Agent) -> Result<Vec<Named>> {
        let mut all = Vec::new();
        for account in accounts(agent, &self.share)? {
            if !self.except.contains(&account.name) {
                all.extend(named(&account, self.ids)?);
            }
        }
        Ok(all)
    }
}

fn accounts(agent: &Agent, share: &ShareName) -> Result<Vec<DomainAccount>> {
    let shares = agent.domain_access()?;
    Ok(shares.into_iter().find(|one| one.share == *share).map(|one| one.accounts).unwrap_or_default())
}

/// The entry of an account. A gateway must not get anybody else in by an id that is not of its domain.
fn named(account: &DomainAccount, ids: DomainIds) -> Result<Option<Named>> {
    let Some(id) = account.id else { return Ok(None) };
    let named = match account.kind {
        AccountKind::User => Named::User(id),
        AccountKind::Group => Named::Group(id),
    };
    if is_of(named, ids) {
        return Ok(Some(named));
    }
    let message = format!(
        "the gateway says that {} has the id {id}, which is not of {ids}",
        account.name.escape_debug()
    );
    Err(Error::service("ad-id-range", message)
        .hint("give the domain more ids: --ad-id-range; a container is then created anew"))
}

fn is_of(named: Named, ids: DomainIds) -> bool {
    let (Named::User(id) | Named::Group(id)) = named;
    (ids.first()..=ids.last()).contains(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_the_domain_count() {
        let account = |kind, id| DomainAccount { name: "LAB\\x".to_owned(), kind, id };
        let ids = DomainIds::default();
        assert_eq!(named(&account(AccountKind::User, None), ids).unwrap(), None);
        let group = named(&account(AccountKind::Group, Some(101_109)), ids).unwrap();
        assert_eq!(group, Some(Named::Group(101_109)));
        for id in [0, 1000, 99_999, 1_100_000] {
            assert_eq!(named(&account(AccountKind::User, Some(id)), ids).unwrap_err().code, "ad-id-range");
        }
    }
}
