//! A gateway and its domain. Passwords are in [`JoinRequest`], [`LeaveRequest`] and [`DiagnoseRequest`], and nowhere else.

use serde::{Deserialize, Serialize};

use crate::{Domain, DomainFault, DomainPrincipal, DomainUser, ShareName, Sid};

/// Who joins or leaves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Account of the domain.
    pub user: DomainUser,
    /// Its password.
    pub password: String,
}

/// What a join is made with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinWith {
    /// An account that may create the computer account.
    Credential(Credential),
    /// What `net offlinejoin provision` or `djoin /provision` wrote, in base64 as they write it.
    Blob(String),
    /// What the gateway of this name had when it was last seen to be in order ([`KeptSecrets`]).
    Secrets(KeptSecrets),
}

/// Joins the domain of the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// With what.
    pub with: JoinWith,
}

/// Leaves the domain. That the gateway is in none is no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// Who deletes the computer account; without, it stays in the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
}

/// What an account of the domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A user.
    User,
    /// A group.
    Group,
}

/// A user or a group of the domain that may open a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainAccount {
    /// Name, as the share has it.
    pub name: String,
    /// What it is.
    pub kind: AccountKind,
    /// Its id on files; none when the domain gives it none (idmap_ad(8)).
    pub id: Option<u32>,
}

/// Who of the domain may open a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareAccess {
    /// Share.
    pub share: ShareName,
    /// Accounts.
    pub accounts: Vec<DomainAccount>,
}

/// Looks at all that a join needs, and changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagnoseRequest {
    /// Which domain; that of the configuration when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// Who would join; without, what needs an account is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
}

/// Machine account secrets, for the host to keep.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptSecrets {
    /// Realm that they are for.
    pub realm: crate::Realm,
    /// Computer account, without `$`.
    pub account: String,
    /// The domain's SID.
    pub domain_sid: Sid,
    /// secrets.tdb, as tdbdump(8) prints it.
    pub dump: String,
}

macro_rules! hidden {
    ($($type:ident),*) => { $(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), " [hidden]"))
            }
        }
    )* };
}
hidden!(Credential, JoinWith, KeptSecrets);

/// What a join did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Where the gateway is now.
    pub state: DomainState,
    /// Whether anything was changed.
    pub changed: bool,
    /// What did not go well and does not matter to the membership.
    pub warnings: Vec<Finding>,
}

/// What a leave did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Whether anything was changed.
    pub changed: bool,
    /// Computer account that stays in the domain, as a DN.
    pub remains: Option<String>,
}

/// Whether a gateway is in a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// In none.
    None,
    /// A join began and did not end.
    Interrupted,
    /// A member.
    Joined,
}

/// A gateway and its domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainState {
    /// Whether it is in one.
    pub membership: Membership,
    /// Realm: of the membership, or the wanted one.
    pub realm: Option<String>,
    /// NetBIOS name of the domain.
    pub workgroup: Option<String>,
    /// Computer account, as `TEAM$`.
    pub account: Option<String>,
    /// DN of the computer account, as it was after the join.
    pub dn: Option<String>,
    /// SID of the domain.
    pub domain_sid: Option<Sid>,
    /// Ids of the domain's accounts.
    pub ids: Option<String>,
    /// Domain controller that winbindd talks to.
    pub controller: Option<String>,
    /// Whether winbindd has a connection to the domain.
    pub online: bool,
    /// What is wrong; empty when nothing is.
    pub findings: Vec<Finding>,
    /// Users and groups of the domain that shares name, with their SIDs.
    #[serde(default)]
    pub principals: Vec<(DomainPrincipal, Sid)>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing.
    pub fault: DomainFault,
    /// What exactly.
    pub message: String,
}

/// What was looked at, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Every check.
    pub checks: Vec<Check>,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
}

/// A check of a [`Diagnosis`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, as `dns`.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was seen.
    pub message: String,
    /// What is wrong, when something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<DomainFault>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// A join works, but something should be mended.
    Warning,
    /// A join would fail.
    Failed,
    /// Not looked at, because of an earlier one or for want of a password.
    Skipped,
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_debug_shows_a_secret() {
        let credential = Credential { user: DomainUser::administrator(), password: "canary".into() };
        let secrets = KeptSecrets {
            realm: "a.b".parse().unwrap(),
            account: "x".into(),
            domain_sid: "S-1-5-21-1-2-3".parse().unwrap(),
            dump: "canary".into(),
        };
        for with in [
            JoinWith::Credential(credential.clone()),
            JoinWith::Blob("canary".into()),
            JoinWith::Secrets(secrets),
        ] {
            assert!(!format!("{:?}", JoinRequest { with }).contains("canary"));
        }
        let leave = LeaveRequest { credential: Some(credential) };
        assert!(!format!("{leave:?}").contains("canary"));
    }

    #[test]
    fn a_request_is_read_strictly() {
        let text = r#"{"with":{"credential":{"user":"joiner","password":"x"}}}"#;
        assert!(serde_json::from_str::<JoinRequest>(text).is_ok());
        for bad in [
            r#"{"with":{"credential":{"user":"LAB\\joiner","password":"x"}}}"#,
            r#"{"with":{"credential":{"user":"joiner","password":"x","ou":"y"}}}"#,
            r#"{"with":{"other":"x"}}"#,
        ] {
            assert!(serde_json::from_str::<JoinRequest>(bad).is_err(), "{bad}");
        }
    }
}
