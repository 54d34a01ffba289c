//! Local users: read from passwd(5) and group(5), changed by the tools of Debian's `passwd` package.
//!
//! * [`passwd`] has the parsers
//! * [`change`] adds and removes

pub(crate) mod change;
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
        Ok(Self {
            users: passwd::parse_users(&read(paths.passwd())?),
            groups: passwd::parse_groups(&read(paths.group())?),
        })
    }

    /// The user of this name.
    pub(crate) fn user(&self, name: &str) -> Option<&Account> {
        self.users.iter().find(|user| user.name == name)
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
