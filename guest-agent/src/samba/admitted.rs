//! Who may open a share, as smb.conf(5) takes it.

use smbgw_api::v1::domain::AccountKind;
use smbgw_api::v1::{DesiredShare, DesiredState, Storage};
use smbgw_api::{DomainPrincipal, GroupName, Principal, Sid, UserName};

use super::member::Member;
use super::sid;

/// RID of the group that every user of a domain is in, "Domain Users" in any language ([MS-DTYP] 2.4.2.4).
pub(crate) const DOMAIN_USERS: u32 = 513;

/// A name in `valid users` or `read list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// A local user, by name.
    User(UserName),
    /// A local group.
    Group(GroupName),
    /// Anybody by SID. In a domain local users, too: Samba would take a name without an account of its own for one of the domain.
    Sid(Sid),
}

impl std::fmt::Display for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "{name}"),
            // `+` is a group in `/etc/group`; `@` would be looked for among netgroups first
            Self::Group(name) => write!(f, "+{}", name.unix_name()),
            Self::Sid(sid) => write!(f, "{sid}"),
        }
    }
}

impl Admitted {
    /// A local user or group.
    pub(super) fn of(principal: &Principal, desired: &DesiredState, member: Option<&Member>) -> Option<Self> {
        match (principal, member) {
            (Principal::Group(name), _) => Some(Self::Group(name.clone())),
            (Principal::User(name), None) => Some(Self::User(name.clone())),
            (Principal::User(name), Some(_)) => {
                let uid = desired.users.iter().find(|user| user.name == *name)?.uid;
                Some(Self::Sid(sid::of_user(uid)?))
            }
        }
    }
}

/// The group whose members write to a share, when there is but one, as `force group` takes it: with `+` it becomes the first group of
/// those who are in it, and of nobody else. virtiofsd makes files with a user's first group alone (and, since Linux 6.3, with the
/// owning group of the directory), so that an ACL's entry for any other group does not let a user make one (seen with 6.12).
pub(super) fn only_group(share: &DesiredShare, member: Option<&Member>) -> Option<String> {
    if !matches!(share.storage, Storage::VirtioFs { .. }) || share.read_only {
        return None;
    }
    let local = share.groups.iter().map(|name| format!("+{}", name.unix_name()));
    let is_group = |name: &&DomainPrincipal| {
        let account = member.and_then(|member| member.principals.get(*name));
        account.is_some_and(|account| account.kind == AccountKind::Group)
    };
    let mut all = local.chain(share.allow.iter().filter(is_group).map(|name| format!("+{name}")));
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// All who may open a share: a reader must get in, too.
pub(super) fn to(share: &DesiredShare, desired: &DesiredState, member: Option<&Member>) -> Vec<Admitted> {
    let local = |principal: &Principal| Admitted::of(principal, desired, member);
    let mut admitted: Vec<Admitted> = if share.admission().is_open() {
        let users = desired.users.iter().map(|user| Principal::User(user.name.clone()));
        let domain = member.map(|member| Admitted::Sid(member.sid.account(DOMAIN_USERS)));
        users.filter_map(|user| local(&user)).chain(domain).collect()
    } else {
        let users = share.users.iter().cloned().map(Principal::User);
        let groups = share.groups.iter().cloned().map(Principal::Group);
        let named = users.chain(groups).chain(share.readers.iter().cloned());
        let known = |name| member.and_then(|member| member.principals.get(name));
        let domain: Vec<_> =
            share.allow.iter().filter_map(known).map(|account| Admitted::Sid(account.sid.clone())).collect();
        named.filter_map(|one| local(&one)).chain(domain).collect()
    };
    let mut seen = Vec::new();
    admitted.retain(|one| {
        let new = !seen.contains(one);
        seen.push(one.clone());
        new
    });
    admitted
}
