//! Local groups: what differs from what is wanted, and the tools that change it.

use smbgw_api::UserName;
use smbgw_api::v1::DesiredGroup;
use smbgw_command::{Command, Runner};

use super::{Accounts, Group};
use crate::error::{Doing, Result};
use crate::paths::Paths;

/// Password of every group that the agent makes, in gshadow(5): none that can be given, and the mark by which the group is ours.
pub(crate) const MARK: &str = "!smbgw";

/// A group as it should be in group(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Name there.
    pub(crate) name: String,
    /// Gid.
    pub(crate) gid: u32,
    /// Members.
    pub(crate) members: Vec<String>,
}

impl From<&DesiredGroup> for Wanted {
    fn from(group: &DesiredGroup) -> Self {
        let members = group.members.iter().map(ToString::to_string).collect();
        Self { name: group.name.unix_name(), gid: group.gid, members }
    }
}

impl From<&Group> for Wanted {
    fn from(group: &Group) -> Self {
        Self { name: group.name.clone(), gid: group.gid, members: group.members.clone() }
    }
}

/// What is to be done to come from one set of groups to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Groups to make.
    pub(crate) add: Vec<Wanted>,
    /// Groups whose gid changes.
    pub(crate) renumber: Vec<Wanted>,
    /// Groups whose members change.
    pub(crate) members: Vec<Wanted>,
    /// Groups that are no longer wanted.
    pub(crate) remove: Vec<String>,
}

impl Changes {
    /// From the groups of ours that are there. Users in `renewed` are made anew first, and are then in no group.
    pub(crate) fn between(now: &[Group], wanted: &[Wanted], renewed: &[UserName]) -> Self {
        let mut changes = Self::default();
        for group in wanted {
            let there = now.iter().find(|there| there.name == group.name);
            if there.is_none() {
                changes.add.push(group.clone());
            }
            if there.is_some_and(|there| there.gid != group.gid) {
                changes.renumber.push(group.clone());
            }
            let sorted = |members: &[String]| {
                let mut members = members.to_vec();
                members.sort();
                members
            };
            let same = sorted(there.map_or(&[], |there| &there.members)) == sorted(&group.members);
            let lost = |member: &String| renewed.iter().any(|user| user.as_str() == member);
            if !same || group.members.iter().any(lost) {
                changes.members.push(group.clone());
            }
        }
        let gone = now.iter().filter(|there| !wanted.iter().any(|group| group.name == there.name));
        changes.remove = gone.map(|group| group.name.clone()).collect();
        changes
    }

    /// Does all but removing: what can be put back.
    pub(crate) fn make(&self, runner: &dyn Runner) -> Result<()> {
        self.renumber.iter().try_for_each(|group| {
            let command = Command::new("groupmod").args(["--gid", &group.gid.to_string(), &group.name]);
            runner.run(&command).doing(|| format!("changing the gid of group {}", group.name)).map(drop)
        })?;
        self.add.iter().try_for_each(|group| {
            let command = Command::new("groupadd")
                .args(["--gid", &group.gid.to_string(), "--password", MARK])
                .arg(&group.name);
            runner.run(&command).doing(|| format!("adding group {}", group.name)).map(drop)
        })?;
        self.members.iter().try_for_each(|group| {
            let command = Command::new("gpasswd").args(["--members", &group.members.join(","), &group.name]);
            runner.run(&command).doing(|| format!("setting the members of {}", group.name)).map(drop)
        })
    }

    /// Whether [`Self::make`] has something to do.
    pub(crate) fn makes(&self) -> bool {
        !(self.add.is_empty() && self.renumber.is_empty() && self.members.is_empty())
    }
}

/// Removes a group. The caller makes sure that it is ours.
pub(crate) fn remove(runner: &dyn Runner, name: &str) -> Result<()> {
    // 6: there is no such group (groupdel(8))
    let command = Command::new("groupdel").arg(name).accept(&[0, 6]);
    runner.run(&command).doing(|| format!("removing group {name}")).map(drop)
}

/// Makes our groups those of before again, whatever has become of them.
pub(crate) fn restore(runner: &dyn Runner, paths: &Paths, before: &[Wanted]) -> Result<()> {
    let now: Vec<Group> = Accounts::read(paths)?.our_groups().cloned().collect();
    let changes = Changes::between(&now, before, &[]);
    changes.remove.iter().try_for_each(|name| remove(runner, name))?;
    changes.make(runner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_command::Recorder;

    fn group(name: &str, gid: u32, members: &[&str]) -> Group {
        let members = members.iter().map(|name| (*name).to_owned()).collect();
        Group { name: name.into(), gid, members, ours: true }
    }

    fn wanted(name: &str, gid: u32, members: &[&str]) -> Wanted {
        Wanted::from(&group(name, gid, members))
    }

    #[test]
    fn only_what_differs() {
        let now = [group("smb-a", 20_000, &["bob", "eve"]), group("smb-b", 20_001, &[])];
        let same = [wanted("smb-a", 20_000, &["eve", "bob"]), wanted("smb-b", 20_001, &[])];
        assert_eq!(Changes::between(&now, &same, &[]), Changes::default());
        let new = [wanted("smb-a", 20_000, &["bob"]), wanted("smb-c", 20_002, &["eve"])];
        let changes = Changes::between(&now, &new, &[]);
        let runner = Recorder::new();
        changes.make(&runner).unwrap();
        assert_eq!(
            runner.seen(),
            [
                "groupadd --gid 20002 --password '!smbgw' smb-c",
                "gpasswd --members bob smb-a",
                "gpasswd --members eve smb-c"
            ]
        );
        assert_eq!(changes.remove, ["smb-b"]);
    }

    #[test]
    fn a_user_who_is_made_anew_is_put_back_into_groups() {
        let now = [group("smb-a", 20_000, &["bob"])];
        let bob = UserName::parse("bob").unwrap();
        let changes = Changes::between(&now, &[wanted("smb-a", 20_000, &["bob"])], &[bob]);
        assert_eq!((changes.members.len(), changes.add.len()), (1, 0));
    }
}
