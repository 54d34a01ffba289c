//! ext4 and xfs: a project is a number that all files of a directory carry, and that has a limit (chattr(1), setquota(8),
//! xfs_quota(8)). statfs(2) of the directory shows it to clients.

use std::time::Duration;

use rustix::fs::statvfs;
use serde::Deserialize;
use smbgw_api::HostPath;
use smbgw_command::{Command, Runner};

use super::{Mechanism, QuotaFacts, nonsense, run};
use crate::{Error, Result};

/// All files of a directory are changed once.
const WALK: Duration = Duration::from_secs(3600);
/// Numbers of projects that are given: clear of those that people choose.
const FIRST: u32 = 1 << 20;
const COUNT: u32 = 1 << 30;

/// The project of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its number: that of the directory, or the one that it will get.
    pub id: u32,
    /// Where the file system is mounted.
    pub mount: String,
    /// It is an xfs.
    pub xfs: bool,
    /// The directory carries it already.
    pub there: bool,
}

/// What findmnt(8) tells.
#[derive(Debug, Deserialize)]
struct Mounts {
    filesystems: Vec<Mount>,
}

/// A mounted file system.
#[derive(Debug, Deserialize)]
pub(super) struct Mount {
    pub target: String,
    pub source: String,
    pub fstype: String,
    pub options: String,
}

/// Where the file system of a directory is mounted, and how.
pub(super) fn mount_of(runner: &dyn Runner, path: &HostPath) -> Result<Mount> {
    let args =
        ["--json", "--first-only", "--output", "TARGET,SOURCE,FSTYPE,OPTIONS", "--target", path.as_str()];
    let text = run(runner, Command::new("findmnt").args(args))?;
    let mounts: Mounts = serde_json::from_str(&text).map_err(|_| nonsense("findmnt", &text))?;
    mounts.filesystems.into_iter().next().ok_or_else(|| nonsense("findmnt", &text))
}

pub(super) fn look(runner: &dyn Runner, path: &HostPath) -> Result<QuotaFacts> {
    let mount = mount_of(runner, path)?;
    let xfs = mount.fstype == "xfs";
    if !mount.options.split(',').any(|option| ["prjquota", "pquota"].contains(&option)) {
        let why = format!("{} is mounted without project quotas", mount.target);
        let hint = if xfs {
            format!("mount it with the option prjquota (/etc/fstab): umount {0}; mount {0}", mount.target)
        } else {
            format!(
                "umount {0}; tune2fs -O project,quota -Q prjquota {1}; then mount it with the option prjquota (/etc/fstab)",
                mount.target, mount.source
            )
        };
        return Ok(QuotaFacts::lacking(why, hint));
    }
    let carried = carried(runner, path)?;
    let project = Project {
        id: carried.unwrap_or_else(|| number(path)),
        mount: mount.target,
        xfs,
        there: carried.is_some(),
    };
    let capacity = Some(size_of(&project.mount)?);
    let (limit, used) = if project.there { usage(runner, &project)? } else { (None, 0) };
    Ok(QuotaFacts { mechanism: Ok(Mechanism::Project(project)), limit, used, capacity })
}

/// Size of a mounted file system in bytes.
pub(super) fn size_of(mount: &str) -> Result<u64> {
    let stat = statvfs(mount).map_err(|errno| Error::io(format!("looking at {mount}"), errno.into()))?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

/// The project that a directory carries (lsattr(1) -p; it works on xfs as well).
fn carried(runner: &dyn Runner, path: &HostPath) -> Result<Option<u32>> {
    let text = run(runner, Command::new("lsattr").args(["-p", "-d", "--", path.as_str()]))?;
    let id = text.split_whitespace().next().and_then(|word| word.parse::<u32>().ok());
    id.map(|id| Some(id).filter(|id| *id != 0)).ok_or_else(|| nonsense("lsattr", &text))
}

/// Limit and use. Not by statfs(2): of a project that is over its limit it says that the limit is what is used, and it says nothing of
/// a limit as large as the file system.
fn usage(runner: &dyn Runner, project: &Project) -> Result<(Option<u64>, u64)> {
    let (tool, text) = if project.xfs {
        let ask = format!("quota -p -N -b -v {}", project.id);
        ("xfs_quota", run(runner, Command::new("xfs_quota").args(["-x", "-c", &ask, &project.mount]))?)
    } else {
        ("repquota", run(runner, Command::new("repquota").args(["-P", "-n", "-O", "csv", &project.mount]))?)
    };
    let numbers = if project.xfs { xfs_line(&text) } else { csv_line(&text, project.id) };
    let [used, soft, hard] = numbers.ok_or_else(|| nonsense(tool, &text))?;
    let bytes = |kib: u64| kib.saturating_mul(1024);
    Ok(([hard, soft].into_iter().find(|limit| *limit > 0).map(bytes), bytes(used)))
}

/// Use, soft and hard limit in KiB, of `DEVICE USED SOFT HARD …`; of a project that nothing has, there is no line.
fn xfs_line(text: &str) -> Option<[u64; 3]> {
    let mut words = text.split_whitespace();
    if words.next().is_none() {
        return Some([0; 3]);
    }
    three(words)
}

/// The same of the lines `#ID,BLOCKSTATUS,FILESTATUS,USED,SOFT,HARD,…` below a heading.
fn csv_line(text: &str, id: u32) -> Option<[u64; 3]> {
    text.starts_with("Project,").then_some(())?;
    let start = format!("#{id},");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .map_or(Some([0; 3]), |rest| three(rest.split(',').skip(2)))
}

fn three<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<[u64; 3]> {
    let mut next = || words.next()?.parse().ok();
    Some([next()?, next()?, next()?])
}

/// A number for a directory: the same for the same path, so that a second try finds the first one's.
fn number(path: &HostPath) -> u32 {
    // FNV-1a, 32 bits
    let hash = path
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    FIRST + hash % COUNT
}

/// Sets it. The limit comes before the files that count against it, and goes after them. A number that somebody else has given
/// to the directory stays.
pub(super) fn set(runner: &dyn Runner, path: &HostPath, project: &Project, limit: Option<u64>) -> Result<()> {
    match limit {
        Some(bytes) => {
            limited(runner, project, bytes)?;
            if project.there { Ok(()) } else { carry(runner, path, project, true) }
        }
        None => {
            if project.there && project.id == number(path) {
                carry(runner, path, project, false)?;
            }
            limited(runner, project, 0)
        }
    }
}

/// Gives a project a limit in bytes; 0 is none.
fn limited(runner: &dyn Runner, project: &Project, bytes: u64) -> Result<()> {
    let command = if project.xfs {
        let limit = format!("limit -p bhard={bytes} {}", project.id);
        Command::new("xfs_quota").args(["-x", "-c", &limit, &project.mount])
    } else {
        // in KiB; a limit that is no whole number of them is rounded up
        let (id, kib) = (project.id.to_string(), bytes.div_ceil(1024).to_string());
        Command::new("setquota").args(["-P", &id, "0", &kib, "0", "0", &project.mount])
    };
    run(runner, command).map(drop)
}

/// Has all files of a directory, and those that will be made there, carry a project or none.
fn carry(runner: &dyn Runner, path: &HostPath, project: &Project, on: bool) -> Result<()> {
    let (id, flag) = if on { (project.id.to_string(), "+P") } else { ("0".to_owned(), "-P") };
    // -f: what is neither file nor directory cannot carry one, and is passed over
    let command = Command::new("chattr").args(["-R", "-f", "-p", &id, flag, "--", path.as_str()]);
    run(runner, command.accept(&[0, 1]).deadline(WALK))?;
    let now = carried(runner, path)?;
    if now == on.then_some(project.id) {
        return Ok(());
    }
    Err(Error::infrastructure("quota-failed", format!("{path} does not carry project {id}"))
        .hint("does the file system have the feature project? tune2fs -l says so"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_command::Recorder;

    fn path() -> HostPath {
        HostPath::parse("/srv/team").unwrap()
    }

    fn project(xfs: bool, there: bool) -> Project {
        Project { id: number(&path()), mount: "/srv".to_owned(), xfs, there }
    }

    #[test]
    fn the_limit_comes_before_the_files_and_goes_after_them() {
        let id = number(&path());
        let carried = format!("{id} ---------------------P /srv/team\n");
        let runner = Recorder::new().answer("lsattr", &carried);
        set(&runner, &path(), &project(false, false), Some(20 << 20)).unwrap();
        assert_eq!(
            runner.seen(),
            [
                format!("setquota -P {id} 0 20480 0 0 /srv"),
                format!("chattr -R -f -p {id} +P -- /srv/team"),
                "lsattr -p -d -- /srv/team".to_owned()
            ]
        );
        let runner = Recorder::new().answer("lsattr", "0 ---------------------- /srv/team\n");
        set(&runner, &path(), &project(true, true), None).unwrap();
        assert_eq!(
            runner.seen(),
            [
                "chattr -R -f -p 0 -P -- /srv/team".to_owned(),
                "lsattr -p -d -- /srv/team".to_owned(),
                format!("xfs_quota -x -c 'limit -p bhard=0 {id}' /srv")
            ]
        );
    }

    #[test]
    fn files_that_do_not_carry_the_project_are_an_error() {
        let runner = Recorder::new().answer("lsattr", "0 ---------------------- /srv/team\n");
        let error = set(&runner, &path(), &project(false, false), Some(1 << 20)).unwrap_err();
        assert_eq!(error.code, "quota-failed");
    }

    #[test]
    fn a_number_of_somebody_else_stays() {
        let runner = Recorder::new();
        set(&runner, &path(), &Project { id: 77, ..project(false, true) }, None).unwrap();
        assert_eq!(runner.seen(), ["setquota -P 77 0 0 0 0 /srv"]);
    }

    const EXT4_MOUNT: &str = r#"{
   "filesystems": [
      {
         "target": "/srv/ext4",
         "source": "/dev/vdc",
         "fstype": "ext4",
         "options": "rw,relatime,prjquota"
      }
   ]
}
"#;
    const XFS_MOUNT: &str = r#"{
   "filesystems": [
      {
         "target": "/srv/xfs",
         "source": "/dev/vdd",
         "fstype": "xfs",
         "options": "rw,relatime,attr2,inode64,logbufs=8,logbsize=32k,prjquota"
      }
   ]
}
"#;
    const EXT4_CARRIED: &str = "   77 --------------e----P-- q\n";
    const XFS_CARRIED: &str = "   77 -------------------P-- q\n";
    const EXT4_OVER: &str = "Project,BlockStatus,FileStatus,BlockUsed,BlockSoftLimit,BlockHardLimit,BlockGrace,FileUsed,FileSoftLimit,FileHardLimit,FileGrace
#0,ok,ok,24,0,0,,3,0,0,
#77,hard,ok,11268,0,5120,,3,0,0,
";
    const XFS_OVER: &str = "/dev/vdd                 10240          0       5120   00 [--none--] /srv/xfs\n";
    const XFS_WITHOUT: &str =
        "/dev/vdd                 10240          0          0   00 [--------] /srv/xfs\n";

    /// Printed by Debian 13 (Linux 6.12, quota 4.06, xfsprogs 6.13, e2fsprogs 1.47) of a project that holds more than its limit.
    #[test]
    fn what_is_over_its_limit_is_seen_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mount = directory.path().to_str().unwrap();
        let seen = |mounts: &str, target: &str, carried: &str, tool: &str, said: &str| {
            let runner = Recorder::new()
                .answer("findmnt", &mounts.replace(target, mount))
                .answer("lsattr", carried)
                .answer(tool, said);
            let facts = look(&runner, &path()).unwrap();
            let Ok(Mechanism::Project(project)) = facts.mechanism else { panic!("{:?}", facts.mechanism) };
            assert_eq!((project.id, project.mount.as_str(), project.there), (77, mount, true));
            (facts.limit, facts.used)
        };
        let ext4 = |said: &str| seen(EXT4_MOUNT, "/srv/ext4", EXT4_CARRIED, "repquota -P -n -O csv", said);
        let xfs = |said: &str| {
            seen(XFS_MOUNT, "/srv/xfs", XFS_CARRIED, "xfs_quota -x -c 'quota -p -N -b -v 77'", said)
        };
        assert_eq!(ext4(EXT4_OVER), (Some(5120 << 10), 11_268 << 10));
        assert_eq!(ext4(&EXT4_OVER.replace("0,5120", "0,0")), (None, 11_268 << 10));
        assert_eq!(ext4(&EXT4_OVER.replace("#77", "#78")), (None, 0));
        assert_eq!(xfs(XFS_OVER), (Some(5120 << 10), 10_240 << 10));
        assert_eq!(xfs(XFS_WITHOUT), (None, 10_240 << 10));
        assert_eq!(xfs(""), (None, 0));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        assert_eq!(csv_line("*** Report for project quotas", 77), None);
        assert_eq!(csv_line("Project,\n#77,ok,ok,many,0,0", 77), None);
        assert_eq!(xfs_line("/dev/vdd many"), None);
    }

    #[test]
    fn a_file_system_without_project_quotas_says_how_to_get_them() {
        let mounts = |kind: &str| {
            format!(
                r#"{{"filesystems": [{{"target":"/srv","source":"/dev/sdb1","fstype":"{kind}","options":"rw,relatime"}}]}}"#
            )
        };
        for (kind, word) in [("ext4", "tune2fs -O project,quota -Q prjquota /dev/sdb1"), ("xfs", "prjquota")]
        {
            let runner = Recorder::new().answer("findmnt", &mounts(kind));
            let lacking = look(&runner, &path()).unwrap().mechanism.unwrap_err();
            assert!(lacking.hint.contains(word), "{lacking:?}");
        }
    }
}
