//! How much a directory may hold, where its file system can be told.
//!
//! * [`look`]: which mechanism a directory has, its limit, and what it holds
//! * [`set`]: gives it a limit, or takes it away; can be done twice
//! * [`zfs`], [`btrfs`], [`project`] (ext4, xfs), [`ceph`]: the mechanisms
//! * [`owner`]: the same for the files of a user or a group
//! * [`history`]: usage over time, and when a share will be full

mod btrfs;
mod ceph;
pub mod history;
pub mod owner;
mod project;
mod zfs;

use rustix::fs::fstatvfs;
use rustix::io::Errno;
use smbgw_api::HostPath;
use smbgw_command::{Command, CommandError, Runner};

use crate::storage::{CEPH_FUSE, filesystem_of, open_directory};
use crate::{Error, Result};

/// What limits a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    /// `refquota` of a ZFS dataset (zfsprops(7)).
    Zfs {
        /// Dataset.
        dataset: String,
    },
    /// Quota group of a btrfs subvolume (btrfs-qgroup(8)).
    Btrfs {
        /// Id of the subvolume.
        id: u64,
    },
    /// Project quota of ext4 or xfs (chattr(1), xfs_quota(8)).
    Project(project::Project),
    /// `ceph.quota.max_bytes` of a CephFS directory.
    Ceph,
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zfs { dataset } => f.pad(&format!("refquota of {dataset}")),
            Self::Btrfs { id } => f.pad(&format!("quota group 0/{id}")),
            Self::Project(project) => f.pad(&format!("project {}", project.id)),
            Self::Ceph => f.pad("ceph.quota.max_bytes"),
        }
    }
}

impl Mechanism {
    /// Whether statfs(2) shows the limit, inside a gateway as well: then its clients need not be told.
    pub fn shows(&self) -> bool {
        matches!(self, Self::Zfs { .. } | Self::Project(_))
    }

    /// The command that gives a directory this limit.
    pub fn by_hand(&self, path: &HostPath, limit: Option<u64>) -> String {
        let bytes = limit.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
        let number = limit.unwrap_or(0);
        match self {
            Self::Zfs { dataset } => format!("zfs set refquota={bytes} {dataset}"),
            Self::Btrfs { id } => format!("btrfs qgroup limit {bytes} 0/{id} '{path}'"),
            Self::Project(project) if project.xfs => {
                format!("xfs_quota -x -c 'limit -p bhard={number} {}' '{}'", project.id, project.mount)
            }
            Self::Project(project) => {
                format!("setquota -P {} 0 {} 0 0 '{}'", project.id, number.div_ceil(1024), project.mount)
            }
            Self::Ceph => format!("setfattr -n ceph.quota.max_bytes -v {number} '{path}'"),
        }
    }
}

/// Whether two limits are the same: ext4 and xfs keep whole blocks only.
pub fn same(one: Option<u64>, two: Option<u64>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => one.abs_diff(two) < BLOCK,
        _ => one == two,
    }
}

/// Largest block of ext4 and xfs on amd64, in bytes.
const BLOCK: u64 = 4096;

/// Why a directory cannot have a limit, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
}

/// What is known of a directory's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaFacts {
    /// What limits it.
    pub mechanism: std::result::Result<Mechanism, Lacking>,
    /// The limit in bytes.
    pub limit: Option<u64>,
    /// Bytes that count against it; 0 where nothing counts.
    pub used: u64,
    /// Size of the file system, as far as a limit beyond it would make no sense.
    pub capacity: Option<u64>,
}

impl QuotaFacts {
    fn lacking(why: impl Into<String>, hint: impl Into<String>) -> Self {
        let mechanism = Err(Lacking { why: why.into(), hint: hint.into() });
        Self { mechanism, limit: None, used: 0, capacity: None }
    }
}

/// Looks at a directory; changes nothing.
///
/// # Errors
/// As [`open_directory`]; when a tool is missing, or says something else than it should.
pub fn look(runner: &dyn Runner, path: &HostPath) -> Result<QuotaFacts> {
    let directory = open_directory(path)?;
    let io = |errno: Errno| Error::io(format!("looking at {path}"), errno.into());
    match filesystem_of(&directory).map_err(io)? {
        "zfs" => zfs::look(runner, path),
        "btrfs" => btrfs::look(runner, path, &directory),
        "ext4" | "xfs" => project::look(runner, path),
        "cephfs" | CEPH_FUSE => ceph::look(path, &directory),
        other => {
            let name = if other.is_empty() { "this file system" } else { other };
            Ok(QuotaFacts::lacking(
                format!("{path} is on {name}, which has no quotas for directories"),
                "use zfs, btrfs, ext4, xfs or cephfs; or `--quota-mode report`, which only warns",
            ))
        }
    }
}

/// Gives a directory a limit in bytes, or takes it away.
///
/// # Errors
/// Code `quota-unavailable` when it has no mechanism; what the tools say.
pub fn set(runner: &dyn Runner, path: &HostPath, limit: Option<u64>) -> Result<()> {
    let facts = match look(runner, path) {
        // the person has moved the data away: nothing to take back
        Err(error) if error.code == "path-missing" && limit.is_none() => return Ok(()),
        other => other?,
    };
    match facts.mechanism {
        Ok(Mechanism::Zfs { dataset }) => zfs::set(runner, &dataset, limit),
        Ok(Mechanism::Btrfs { id }) => btrfs::set(runner, path, id, limit),
        Ok(Mechanism::Project(project)) => project::set(runner, path, &project, limit),
        Ok(Mechanism::Ceph) => ceph::set(path, limit),
        Err(_) if limit.is_none() => Ok(()),
        Err(lacking) => Err(unavailable(lacking)),
    }
}

/// Bytes that a directory and all below it take up, by looking at all of it: for file systems that do not count.
///
/// # Errors
/// When it cannot be read.
pub fn measure(runner: &dyn Runner, path: &HostPath) -> Result<u64> {
    // one that is being written to may lose files meanwhile: du(1) then ends with 1
    let command = Command::new("du").args(["-s", "-B1", "-x", "--", path.as_str()]).accept(&[0, 1]);
    let text = run(runner, command.deadline(MEASURE))?;
    let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
    number.ok_or_else(|| nonsense("du", &text))
}

/// For a directory with millions of files.
const MEASURE: std::time::Duration = std::time::Duration::from_secs(600);

/// The error of a directory without a mechanism.
pub fn unavailable(lacking: Lacking) -> Error {
    Error::usage("quota-unavailable", lacking.why).hint(lacking.hint)
}

/// Size of a file system in bytes, by one of its directories.
fn capacity(directory: impl std::os::fd::AsFd, path: &HostPath) -> Result<u64> {
    let stat = fstatvfs(directory).map_err(|errno| Error::io(format!("looking at {path}"), errno.into()))?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

/// Runs a tool; one that is missing has its package named.
fn run(runner: &dyn Runner, command: Command) -> Result<String> {
    let package = match command.program() {
        "btrfs" => "btrfs-progs",
        "zfs" => "zfsutils-linux",
        "xfs_quota" => "xfsprogs",
        "setquota" | "repquota" => "quota",
        "findmnt" => "util-linux",
        "du" => "coreutils",
        _ => "e2fsprogs",
    };
    match runner.run(&command) {
        Ok(output) => Ok(output.text(&command)?),
        Err(CommandError::NotInstalled { .. }) => Err(Error::infrastructure(
            "tool-missing",
            format!("`{}` is not installed on this node", command.program()),
        )
        .hint(format!("apt-get install {package}"))),
        Err(error) => Err(error.into()),
    }
}

fn nonsense(tool: &str, said: &str) -> Error {
    let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    Error::infrastructure("tool-answer", format!("what `{tool}` says makes no sense: {said}"))
        .hint("is it the version that Debian has?")
}
