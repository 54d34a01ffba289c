//! Local users and groups: read from passwd(5), group(5) and gshadow(5), changed by the tools of Debian's `passwd` package.
//!
//! * [`passwd`] has the parsers
//! * [`change`] adds and removes users, [`groups`] groups

pub(crate) mod change;
pub(crate) mod groups;
pub(crate) mod passwd;

use crate::error::{Doing, Result};
use crate::paths::Paths;

pub(crate) use passwd::{Account, Group};

/// Comment (GECOS) of every account that the agent makes; only accounts with it are ever changed or removed.
pub(crate) const MARK: &str = "smbgw";

/// All accounts of the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    /// Users, in the order of the file.
    pub(crate) users: Vec<Account>,
    /// Groups, in the order of the file.
    pub(crate) groups: Vec<Group>,
}

impl Accounts {
    /// Reads both files.
    pub(crate) fn read(paths: &Paths) -> Result<Self> {
        let read = |path: std::path::PathBuf| {
            std::fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))
        };
        let shadow = crate::files::read_optional(&paths.gshadow())
            .doing(|| format!("reading {}", paths.gshadow().display()))?;
        Ok(Self {
            users: passwd::parse_users(&read(paths.passwd())?),
            groups: passwd::parse_groups(&read(paths.group())?, &shadow.unwrap_or_default()),
        })
    }

    /// The user of this name.
    pub(crate) fn user(&self, name: &str) -> Option<&Account> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Groups that the agent made, but those of users.
    pub(crate) fn our_groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.ours)
    }

    /// Users that the agent made.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Account> {
        self.users.iter().filter(|user| user.is_ours())
    }
}

impl Account {
    /// Whether the agent made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.comment == MARK
    }
}
