//! Local groups of a gateway, and what they make of its users.

use serde::{Deserialize, Serialize};

use crate::{DomainPrincipal, Invalid, UserName, text_newtype};

/// What stands before a group's name in `/etc/group` of a gateway: Debian has groups of its own by the names that people like
/// best (`staff`, `users`, `backup`), and every user has one of the user's name.
const UNIX_PREFIX: &str = "smb-";

/// Name of a local group of a gateway (groupadd(8): at most 32 characters, of which 4 are ours).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

impl GroupName {
    /// Checks a group name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("group name", text, rule));
        if text.starts_with('@') {
            return bad("give it without '@'");
        }
        if text.is_empty() || text.len() > 32 - UNIX_PREFIX.len() {
            return bad("must have 1 to 28 characters");
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return bad("must start with a lower-case letter");
        }
        if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c)) {
            return bad("only a-z, 0-9, '_', '-' and '.' are allowed");
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its name in group(5) inside the gateway.
    pub fn unix_name(&self) -> String {
        format!("{UNIX_PREFIX}{}", self.0)
    }
}

impl std::fmt::Display for GroupName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(GroupName);

/// A local group of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    /// Name.
    pub name: GroupName,
    /// Its id, inside and outside the gateway; given by the platform when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Users in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<UserName>,
}

/// A user, as `alice`, or a group, as `@staff`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Principal {
    /// A user.
    User(UserName),
    /// All users of a group.
    Group(GroupName),
}

impl Principal {
    /// Reads `alice` or `@staff`.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix('@') {
            Some(group) => GroupName::parse(group).map(Self::Group),
            None => UserName::parse(text).map(Self::User),
        }
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => f.pad(name.as_str()),
            Self::Group(name) => f.pad(&format!("@{name}")),
        }
    }
}
text_newtype!(Principal);

/// What a user may do in a share, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing: it cannot be opened.
    Closed,
    /// Read.
    Read,
    /// Read and write.
    Write,
}

/// Who may do what in a share, as spec and wire both say it.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// Users who may open it.
    pub users: &'a [UserName],
    /// Groups whose members may open it; with no user and no group, all may.
    pub groups: &'a [GroupName],
    /// Users and groups of the domain who may open it.
    pub allow: &'a [DomainPrincipal],
    /// Who may open it, and only read: wins over all else.
    pub readers: &'a [Principal],
    /// Nobody may write.
    pub read_only: bool,
}

impl<'a> Admission<'a> {
    /// What this user may do, who is in the groups that `is_in` says.
    pub fn access(&self, user: &UserName, is_in: impl Fn(&GroupName) -> bool) -> Access {
        let reads = self.readers.iter().any(|reader| match reader {
            Principal::User(name) => name == user,
            Principal::Group(group) => is_in(group),
        });
        let opens = self.is_open() || self.users.contains(user) || self.groups.iter().any(is_in);
        match (opens || reads, reads || self.read_only) {
            (false, _) => Access::Closed,
            (true, true) => Access::Read,
            (true, false) => Access::Write,
        }
    }

    /// Whether all users may open it.
    pub fn is_open(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.allow.is_empty()
    }

    /// Users and groups that are named.
    pub fn named(self) -> (Vec<&'a UserName>, Vec<&'a GroupName>) {
        let users = self.readers.iter().filter_map(|reader| match reader {
            Principal::User(name) => Some(name),
            Principal::Group(_) => None,
        });
        let groups = self.readers.iter().filter_map(|reader| match reader {
            Principal::Group(name) => Some(name),
            Principal::User(_) => None,
        });
        (self.users.iter().chain(users).collect(), self.groups.iter().chain(groups).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    #[test]
    fn names() {
        for good in ["staff", "users", "a.b-c_d", &"x".repeat(28)] {
            assert!(GroupName::parse(good).unwrap().unix_name().len() <= 32, "{good}");
        }
        for bad in ["", "Staff", "@staff", "-x", "a b", "a:b", "a,b", "ä", "1a", &"x".repeat(29)] {
            assert!(GroupName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Principal::parse("@staff").unwrap().to_string(), "@staff");
        assert_eq!(serde_yaml::from_str::<Principal>("bob").unwrap(), Principal::User(user("bob")));
        for bad in ["@", "@@x", "root", "+staff", "@a b"] {
            assert!(Principal::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reader_reads_whatever_else_is_said() {
        let staff = [GroupName::parse("staff").unwrap()];
        let readers = [Principal::parse("bob").unwrap(), Principal::parse("@guests").unwrap()];
        let users = [user("alice")];
        let share =
            Admission { users: &users, groups: &staff, allow: &[], readers: &readers, read_only: false };
        let access =
            |name: &str, groups: &[&str]| share.access(&user(name), |group| groups.contains(&group.as_str()));
        assert_eq!(access("alice", &[]), Access::Write);
        assert_eq!(access("alice", &["guests"]), Access::Read);
        assert_eq!(access("bob", &["staff"]), Access::Read);
        assert_eq!(access("carol", &["staff"]), Access::Write);
        assert_eq!(access("carol", &["guests"]), Access::Read);
        assert_eq!(access("carol", &["others"]), Access::Closed);
        let open = Admission { users: &[], groups: &[], ..share };
        assert_eq!(open.access(&user("carol"), |_| false), Access::Write);
        assert_eq!(open.access(&user("bob"), |_| false), Access::Read);
        assert_eq!(Admission { read_only: true, ..open }.access(&user("carol"), |_| false), Access::Read);
    }

    proptest! {
        #[test]
        fn accepted_names_are_safe_in_files(text in "\\PC{0,40}") {
            if let Ok(name) = Principal::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
                prop_assert!(!name.to_string().contains([':', ',', ' ', '%', '"', '/', '\n']));
            }
        }
    }
}
