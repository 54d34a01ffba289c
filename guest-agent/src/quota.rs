//! How large a share is that has a quota, for its clients. Where the file system counts what is in the directory, statfs(2) says
//! it; elsewhere the host does, and Samba asks this program (smb.conf(5), `dfree command`), which runs as the client's user.
//!
//! A file a share, which everybody may read, has limit and use in bytes. It is in memory: written when a state is applied and
//! when the agent starts.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::statvfs;
use smbgw_api::ByteSize;
use smbgw_api::v1::{Applied, DesiredShare, DesiredState, ShareSize, Usage};

use crate::agent::Agent;
use crate::error::{Doing, Result, internal};
use crate::paths::{self, Paths};
use crate::{files, state};

/// Name by which this program answers as `dfree command`, which has no arguments of its own.
const NAME: &str = "dfree";

/// Limit and use of a share, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    limit: u64,
    /// Nothing until the host has said it.
    used: Option<u64>,
}

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let limit = words.next()?.parse().ok()?;
        Some(Self { limit, used: words.next().and_then(|word| word.parse().ok()) })
    }

    fn render(self) -> String {
        let used = self.used.map_or_else(|| "-".to_owned(), |used| used.to_string());
        format!("{} {used}\n", self.limit)
    }

    /// Size and free space that clients see, of those that the file system has. Pure.
    fn seen(self, total: u64, available: u64) -> (u64, u64) {
        if total == 0 {
            // it cannot say: CephFS without a running manager does that
            return (self.limit, self.left());
        }
        (total.min(self.limit), available.min(self.left()))
    }

    fn left(self) -> u64 {
        self.limit.saturating_sub(self.used.unwrap_or(0))
    }
}

/// What clients of a share with a quota are told that it holds at most: for Time Machine, its own limit where that is smaller,
/// since Samba asks the `dfree command` and not `fruit`.
fn limit(share: &DesiredShare) -> Option<u64> {
    let own = share.handling.max_size.map_or(u64::MAX, ByteSize::bytes);
    share.limit.map(|limit| limit.min(own))
}

/// Writes the files of a state; what the host said of their use is kept.
pub(crate) fn write(paths: &Paths, desired: &DesiredState) -> Result<()> {
    for share in &desired.shares {
        let path = paths.share_size(&share.name);
        let doing = || format!("writing {}", path.display());
        match limit(share) {
            Some(limit) => {
                let used = read(&path)?.and_then(|size| size.used);
                put(paths, &path, Size { limit, used }).doing(doing)?;
            }
            None => files::remove(&path).doing(doing)?,
        }
    }
    Ok(())
}

/// Notes what the host says.
pub(crate) fn note(agent: &Agent, usage: &Usage) -> Result<Applied> {
    let desired = state::load(&agent.paths)?;
    let shares = desired.map(|desired| desired.shares).unwrap_or_default();
    let mut actions = Vec::new();
    for said in &usage.shares {
        // the host may not know yet that the quota is gone
        let share = shares.iter().find(|share| share.name == said.share);
        let Some(limit) = share.and_then(limit) else { continue };
        let path = agent.paths.share_size(&said.share);
        let size = Size { limit, used: Some(said.used) };
        put(&agent.paths, &path, size).doing(|| format!("writing {}", path.display()))?;
        actions.push(format!("noted the use of share {}", said.share));
    }
    Ok(Applied { changed: !actions.is_empty(), actions })
}

/// What clients see now.
pub(crate) fn show(agent: &Agent) -> Result<Vec<ShareSize>> {
    let shares = state::load(&agent.paths)?.map(|desired| desired.shares).unwrap_or_default();
    let size = |share: &DesiredShare| -> Option<Result<ShareSize>> {
        limit(share)?;
        let directory = agent.paths.share(&share.name);
        let stat = match statvfs(&directory) {
            Ok(stat) => stat,
            Err(error) => return Some(Err(internal(format!("looking at {}: {error}", directory.display())))),
        };
        let space =
            (stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize));
        seen(&agent.paths, share, space).transpose()
    };
    shares.iter().filter_map(size).collect()
}

/// What clients see of a share, in a file system with so many bytes and so many free ones; nothing without a quota.
pub(crate) fn seen(paths: &Paths, share: &DesiredShare, space: (u64, u64)) -> Result<Option<ShareSize>> {
    let Some(limit) = limit(share) else { return Ok(None) };
    let used = read(&paths.share_size(&share.name))?.and_then(|size| size.used);
    let (total, available) = Size { limit, used }.seen(space.0, space.1);
    Ok(Some(ShareSize { share: share.name.clone(), limit, total, available }))
}

fn read(path: &Path) -> Result<Option<Size>> {
    let text = files::read_optional(path).doing(|| format!("reading {}", path.display()))?;
    Ok(text.and_then(|text| Size::parse(&text)))
}

fn put(paths: &Paths, path: &Path, size: Size) -> std::io::Result<()> {
    let directory = paths::parent(path);
    std::fs::create_dir_all(directory)?;
    // our umask keeps everybody out, and the client's user has to read it
    let top = paths.sizes();
    for directory in directory.ancestors().take_while(|directory| directory.starts_with(&top)) {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
    }
    files::replace(path, size.render().as_bytes(), 0o644)
}

/// Whether the program was called by Samba.
pub(crate) fn is_dfree(program: &str) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// Answers Samba: size and free space of the share in whose directory it runs us, in KiB. Without an answer, Samba takes what the
/// file system says.
pub(crate) fn dfree() -> anyhow::Result<()> {
    let directory = std::env::current_dir()?;
    let size = read(&Paths::system().size_of(&directory))
        .map_err(|error| anyhow::anyhow!("{error}"))?
        .ok_or_else(|| anyhow::anyhow!("{} has no quota", directory.display()))?;
    let stat = statvfs(".")?;
    let (total, available) =
        size.seen(stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize));
    // Samba takes no free block for no answer, and shows clients 1 MiB (seen with 4.22)
    writeln!(std::io::stdout(), "{} {} 1024", total / 1024, (available / 1024).max(1))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_see_the_smaller_of_quota_and_file_system() {
        let size = |limit, used| Size { limit, used };
        // a file system that does not count: the host's word
        assert_eq!(size(100, Some(30)).seen(1000, 900), (100, 70));
        assert_eq!(size(100, Some(130)).seen(1000, 900), (100, 0));
        assert_eq!(size(100, Some(30)).seen(1000, 20), (100, 20));
        // nothing said yet
        assert_eq!(size(100, None).seen(1000, 900), (100, 100));
        // one that cannot say how large it is
        assert_eq!(size(100, Some(30)).seen(0, 0), (100, 70));
        // one that counts by itself
        assert_eq!(size(100, None).seen(100, 60), (100, 60));
    }

    #[test]
    fn what_is_written_reads_back_and_outlives_a_new_limit() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        let desired = |limit: &str| -> DesiredState {
            serde_json::from_str(&format!(
                r#"{{"name":"a","security":"high","users":[],"shares":[{{"name":"team","comment":null,"read_only":false,"users":[],"browseable":true{limit}}}]}}"#
            ))
            .unwrap()
        };
        let state = desired(r#","limit":1000"#);
        let path = paths.share_size(&state.shares[0].name);
        write(&paths, &state).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Size { limit: 1000, used: None }));
        put(&paths, &path, Size { limit: 1000, used: Some(5) }).unwrap();
        for directory in path.ancestors().skip(1).take_while(|directory| directory.starts_with(paths.sizes()))
        {
            assert_eq!(std::fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o755);
        }
        write(&paths, &desired(r#","limit":2000"#)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Size { limit: 2000, used: Some(5) }));
        // Time Machine is told of the smaller one
        let mac = r#","limit":2000,"handling":{"purpose":"timemachine","max-size":"1000"}"#;
        write(&paths, &desired(mac)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Size { limit: 1000, used: Some(5) }));
        write(&paths, &desired("")).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn it_answers_to_one_name_only() {
        assert!(is_dfree("/usr/lib/smbgw/dfree") && is_dfree("dfree"));
        assert!(!is_dfree("smbgw-agent") && !is_dfree("/usr/bin/smbgw-agent") && !is_dfree(""));
    }
}
