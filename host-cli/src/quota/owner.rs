//! What the files of a user or a group may take up: on ext4 and xfs for the whole file system (setquota(8), xfs_quota(8)), on ZFS for a
//! dataset (zfs-userspace(8)). btrfs and CephFS have no such thing.

use std::collections::BTreeMap;

use rustix::io::Errno;
use smbgw_api::{HostPath, Principal};
use smbgw_command::{Command, Runner};

use super::project::{Mount, mount_of, size_of};
use super::{Lacking, nonsense, run};
use crate::storage::{filesystem_of, open_directory};
use crate::{Error, Result};

/// Whose files: an id as the node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Uid.
    User(u32),
    /// Gid.
    Group(u32),
}

impl Owner {
    /// A user or a group with this id.
    pub fn of(principal: &Principal, id: u32) -> Self {
        match principal {
            Principal::User(_) => Self::User(id),
            Principal::Group(_) => Self::Group(id),
        }
    }

    /// The number.
    pub fn id(self) -> u32 {
        match self {
            Self::User(id) | Self::Group(id) => id,
        }
    }

    /// `user` or `group`, as ZFS and people call it.
    fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Group(_) => "group",
        }
    }

    /// `-u` or `-g`, as all tools of quotas have it.
    fn flag(self) -> &'static str {
        match self {
            Self::User(_) => "-u",
            Self::Group(_) => "-g",
        }
    }
}

/// Where such a limit holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Realm {
    /// A dataset.
    Zfs {
        /// Its name.
        dataset: String,
    },
    /// A whole file system.
    FileSystem {
        /// Where it is mounted.
        mount: String,
        /// It is an xfs, else an ext4.
        xfs: bool,
    },
}

impl std::fmt::Display for Realm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zfs { dataset } => f.pad(&format!("dataset {dataset}")),
            Self::FileSystem { mount, .. } => f.pad(&format!("the file system at {mount}")),
        }
    }
}

impl Realm {
    /// The command that gives somebody this limit.
    pub fn by_hand(&self, owner: Owner, limit: Option<u64>) -> String {
        self.command(owner, limit).display()
    }

    fn command(&self, owner: Owner, limit: Option<u64>) -> Command {
        let id = owner.id().to_string();
        match self {
            Self::Zfs { dataset } => {
                let value = limit.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
                let property = format!("{}quota@{id}={value}", owner.kind());
                Command::new("zfs").args(["set", &property, dataset])
            }
            Self::FileSystem { mount, xfs: true } => {
                let limit = format!("limit {} bhard={} {id}", owner.flag(), limit.unwrap_or(0));
                Command::new("xfs_quota").args(["-x", "-c", &limit, mount])
            }
            Self::FileSystem { mount, xfs: false } => {
                let kib = limit.unwrap_or(0).div_ceil(1024).to_string();
                Command::new("setquota").args([owner.flag(), &id, "0", &kib, "0", "0", mount])
            }
        }
    }
}

/// What somebody's files take up, and may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    /// The limit in bytes.
    pub limit: Option<u64>,
    /// Bytes that count against it.
    pub used: u64,
}

/// What is known of the users and groups of the file system below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerFacts {
    /// Where a limit would hold.
    pub realm: std::result::Result<Realm, Lacking>,
    /// By owner; who has neither files nor a limit is absent.
    pub holdings: BTreeMap<Owner, Holding>,
    /// Size of the file system in bytes, as far as a limit beyond it would make no sense.
    pub capacity: Option<u64>,
}

/// Kinds of owners that are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kinds {
    /// Users.
    pub users: bool,
    /// Groups.
    pub groups: bool,
}

impl std::ops::BitOrAssign for Kinds {
    fn bitor_assign(&mut self, other: Self) {
        self.users |= other.users;
        self.groups |= other.groups;
    }
}

impl Kinds {
    /// Those of some users and groups.
    pub fn of<'a>(principals: impl IntoIterator<Item = &'a Principal>) -> Self {
        let mut kinds = Self::default();
        for principal in principals {
            match principal {
                Principal::User(_) => kinds.users = true,
                Principal::Group(_) => kinds.groups = true,
            }
        }
        kinds
    }

    /// One of each, to stand for all.
    fn samples(self) -> impl Iterator<Item = Owner> {
        self.users.then_some(Owner::User(0)).into_iter().chain(self.groups.then_some(Owner::Group(0)))
    }
}

/// Looks at a directory's file system; changes nothing.
///
/// # Errors
/// As [`open_directory`]; when a tool is missing, or says something else than it should.
pub fn look(runner: &dyn Runner, path: &HostPath, kinds: Kinds) -> Result<OwnerFacts> {
    let realm = realm(runner, path, kinds)?;
    let (mut holdings, mut capacity) = (BTreeMap::new(), None);
    if let Ok(realm) = &realm {
        for sample in kinds.samples() {
            holdings.extend(list(runner, realm, sample)?);
        }
        if let Realm::FileSystem { mount, .. } = realm {
            capacity = Some(size_of(mount)?);
        }
    }
    Ok(OwnerFacts { realm, holdings, capacity })
}

/// Gives somebody a limit in bytes, or takes it away.
///
/// # Errors
/// Code `quota-unavailable` when the file system knows none; what the tools say.
pub fn set(runner: &dyn Runner, path: &HostPath, owner: Owner, limit: Option<u64>) -> Result<()> {
    let kinds = match owner {
        Owner::User(_) => Kinds { users: true, groups: false },
        Owner::Group(_) => Kinds { users: false, groups: true },
    };
    match realm(runner, path, kinds) {
        Ok(Ok(realm)) => run(runner, realm.command(owner, limit)).map(drop),
        Ok(Err(_)) if limit.is_none() => Ok(()),
        Ok(Err(lacking)) => Err(super::unavailable(lacking)),
        // the person has moved the data away: nothing to take back
        Err(error) if error.code == "path-missing" && limit.is_none() => Ok(()),
        Err(error) => Err(error),
    }
}

fn realm(runner: &dyn Runner, path: &HostPath, kinds: Kinds) -> Result<std::result::Result<Realm, Lacking>> {
    let directory = open_directory(path)?;
    let io = |errno: Errno| Error::io(format!("looking at {path}"), errno.into());
    Ok(match filesystem_of(&directory).map_err(io)? {
        "zfs" => {
            let text =
                run(runner, Command::new("zfs").args(["list", "-H", "-o", "name", "--", path.as_str()]))?;
            let dataset = text.lines().next().filter(|name| !name.is_empty());
            Ok(Realm::Zfs { dataset: dataset.ok_or_else(|| nonsense("zfs list", &text))?.to_owned() })
        }
        "ext4" | "xfs" => on_mount(mount_of(runner, path)?, kinds),
        other => {
            let name = if other.is_empty() { "this file system" } else { other };
            Err(Lacking {
                why: format!("{path} is on {name}, which has no quotas for users and groups"),
                hint: "use zfs, ext4 or xfs; or give the share a quota".to_owned(),
            })
        }
    })
}

/// A file system counts for owners only when it is mounted so (mount(8), xfs(5)).
fn on_mount(mount: Mount, kinds: Kinds) -> std::result::Result<Realm, Lacking> {
    let has = |names: &[&str]| {
        mount.options.split(',').any(|option| names.contains(&option.split('=').next().unwrap_or(option)))
    };
    let xfs = mount.fstype == "xfs";
    let mut missing = Vec::new();
    if kinds.users && !has(&["usrquota", "uquota", "quota", "usrjquota"]) {
        missing.push("usrquota");
    }
    if kinds.groups && !has(&["grpquota", "gquota", "grpjquota"]) {
        missing.push("grpquota");
    }
    if missing.is_empty() {
        return Ok(Realm::FileSystem { mount: mount.target, xfs });
    }
    let options = missing.join(",");
    let why = format!("{} is mounted without {}", mount.target, missing.join(" and "));
    let hint = if xfs {
        format!("mount it with the options {options} (/etc/fstab): umount {0}; mount {0}", mount.target)
    } else {
        format!(
            "umount {0}; tune2fs -O quota -Q {options} {1}; then mount it with the options {options} (/etc/fstab)",
            mount.target, mount.source
        )
    };
    Err(Lacking { why, hint })
}

/// All owners of a sample's kind.
fn list(runner: &dyn Runner, realm: &Realm, sample: Owner) -> Result<Vec<(Owner, Holding)>> {
    let (tool, command) = match realm {
        Realm::Zfs { dataset } => {
            let verb = format!("{}space", sample.kind());
            // Windows accounts that ZFS itself knows have no number
            let kind = format!("posix{}", sample.kind());
            let args = [&*verb, "-H", "-n", "-p", "-t", &kind, "-o", "name,used,quota", dataset];
            ("zfs userspace", Command::new("zfs").args(args))
        }
        Realm::FileSystem { mount, xfs: true } => {
            let ask = format!("report {} -N -n -b", sample.flag());
            ("xfs_quota", Command::new("xfs_quota").args(["-x", "-c", &ask, mount]))
        }
        Realm::FileSystem { mount, xfs: false } => {
            // -v: also who has a limit and no files
            ("repquota", Command::new("repquota").args([sample.flag(), "-v", "-n", "-O", "csv", mount]))
        }
    };
    let text = run(runner, command)?;
    let lines: Option<Vec<(u32, Holding)>> = match realm {
        Realm::Zfs { .. } => text.lines().map(zfs_line).collect(),
        Realm::FileSystem { xfs: true, .. } => {
            text.lines().filter(|line| !line.trim().is_empty()).map(xfs_line).collect()
        }
        Realm::FileSystem { .. } => csv(&text, sample),
    };
    let lines = lines.ok_or_else(|| nonsense(tool, &text))?;
    let owner = |id| match sample {
        Owner::User(_) => Owner::User(id),
        Owner::Group(_) => Owner::Group(id),
    };
    Ok(lines.into_iter().map(|(id, holding)| (owner(id), holding)).collect())
}

/// `ID<tab>USED<tab>QUOTA`
fn zfs_line(line: &str) -> Option<(u32, Holding)> {
    let mut columns = line.split('\t').map(str::trim);
    let (id, used, limit) = (columns.next()?, columns.next()?, columns.next()?);
    let limit = match limit {
        "none" | "-" => 0,
        digits => digits.parse().ok()?,
    };
    let limit = Some(limit).filter(|limit| *limit > 0);
    Some((id.parse().ok()?, Holding { limit, used: used.parse().ok()? }))
}

/// `#ID USED SOFT HARD …` in KiB.
fn xfs_line(line: &str) -> Option<(u32, Holding)> {
    let mut words = line.split_whitespace();
    let id = words.next()?.strip_prefix('#')?.parse().ok()?;
    Some((id, kib(words)?))
}

/// Lines `#ID,BLOCKSTATUS,FILESTATUS,USED,SOFT,HARD,…` below a heading; statistics may follow them.
fn csv(text: &str, sample: Owner) -> Option<Vec<(u32, Holding)>> {
    let heading = match sample {
        Owner::User(_) => "User,",
        Owner::Group(_) => "Group,",
    };
    let mut lines = text.lines();
    lines.next()?.starts_with(heading).then_some(())?;
    let line = |line: &str| {
        let mut words = line.split(',');
        let id = words.next()?.strip_prefix('#')?.parse().ok()?;
        Some((id, kib(words.skip(2))?))
    };
    lines.filter(|text| text.starts_with('#')).map(line).collect()
}

/// Use, soft and hard limit.
fn kib<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Holding> {
    let mut next = || words.next()?.parse::<u64>().ok();
    let (used, soft, hard) = (next()?, next()?, next()?);
    let limit = [hard, soft].into_iter().find(|limit| *limit > 0);
    Some(Holding { limit: limit.map(|kib| kib.saturating_mul(1024)), used: used.saturating_mul(1024) })
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
