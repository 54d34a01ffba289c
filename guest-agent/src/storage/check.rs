//! Whether every share has its storage, by what is mounted and by a question with a deadline.

use std::path::PathBuf;

use smbgw_api::ShareName;
use smbgw_api::v1::{DISK_PATH, DesiredShare, DesiredState, Storage};

use super::answers::Answer;
use super::mount::Mount;
use super::mountinfo::{self, Entry};
use crate::agent::Agent;
use crate::error::{Result, storage};

/// A share's storage.
#[derive(Debug)]
pub(crate) struct State {
    /// Share.
    pub(crate) share: ShareName,
    /// Whether it can be read.
    pub(crate) works: bool,
    /// What is wrong with it.
    pub(crate) problem: Option<String>,
    /// Total and available bytes, if it answers.
    pub(crate) space: Option<(u64, u64)>,
}

/// Looks at all shares of a state. Takes no longer than one deadline.
pub(crate) fn shares(agent: &Agent, desired: &DesiredState) -> Result<Vec<State>> {
    states(agent, &desired.shares)
}

/// Looks at one share, as a condition: what does not answer must not be touched by a request.
pub(crate) fn works(agent: &Agent, share: &ShareName) -> Result<()> {
    let desired = crate::state::load(&agent.paths)?;
    let Some(share) = desired.iter().flat_map(|state| &state.shares).find(|known| known.name == *share)
    else {
        return Ok(());
    };
    match states(agent, std::slice::from_ref(share))?.pop() {
        Some(State { works: false, problem: Some(problem), .. }) => Err(storage(problem)),
        _ => Ok(()),
    }
}

fn states(agent: &Agent, shares: &[DesiredShare]) -> Result<Vec<State>> {
    let mounts = mountinfo::read(&agent.paths)?;
    let problems: Vec<Option<String>> = shares.iter().map(|share| unmounted(share, &mounts)).collect();
    // what is not mounted would be answered by the file system beneath
    let mounted = shares.iter().zip(&problems).filter(|(_, problem)| problem.is_none());
    let paths: Vec<PathBuf> = mounted.map(|(share, _)| agent.paths.share(&share.name)).collect();
    let mut answers = agent.answers.ask(&paths).into_iter();
    let mut states = Vec::with_capacity(shares.len());
    for (share, problem) in shares.iter().zip(problems) {
        let name = &share.name;
        let answer = if problem.is_none() { answers.next() } else { None };
        let (problem, space) = match (problem, answer) {
            (Some(problem), _) => (Some(problem), None),
            (None, Some(Answer::Directory { total, available })) => (None, Some((total, available))),
            (None, Some(Answer::Missing(why))) => {
                (Some(format!("directory {} is missing: {why}", agent.paths.share(name).display())), None)
            }
            (None, Some(Answer::Silent) | None) => (Some(silent(&share.storage)), None),
        };
        let works = problem.is_none();
        let problem = problem.or_else(|| read_only(share, &mounts));
        let problem = problem.map(|problem| format!("share {name}: {problem}"));
        states.push(State { share: name.clone(), works, problem, space });
    }
    Ok(states)
}

/// What is wrong with the mount, if anything is.
fn unmounted(share: &DesiredShare, mounts: &[Entry]) -> Option<String> {
    let mount = match &share.storage {
        Storage::Mounted => return None,
        Storage::VirtioFs { tag } => Mount::tag(&share.name, tag.clone()),
        Storage::Disk { folder } => match mountinfo::at(mounts, DISK_PATH) {
            Some(disk) => Mount::folder(&share.name, folder.clone(), disk.device.clone()),
            None => return Some(format!("the gateway's disk with its folder {folder} is not mounted")),
        },
    };
    match mountinfo::at(mounts, &mount.at) {
        Some(entry) if mount.is(entry) => None,
        Some(_) => Some(format!("something else is mounted in the place of {mount}")),
        None => Some(format!("its storage is not mounted ({mount})")),
    }
}

/// A file system that takes no writes, below a share that should.
fn read_only(share: &DesiredShare, mounts: &[Entry]) -> Option<String> {
    let entry = mountinfo::at(mounts, &share.name.guest_path())?;
    let is_wrong = entry.read_only && !share.read_only && share.storage != Storage::Mounted;
    is_wrong.then(|| {
        "its file system is read-only, as ext4 becomes after an error (`dmesg` in the gateway says more)"
            .to_owned()
    })
}

fn silent(storage: &Storage) -> String {
    match storage {
        Storage::VirtioFs { tag } => format!(
            "its storage does not answer (virtio-fs {tag}): virtiofsd on the node has ended, or the storage below it \
             hangs; a gateway gets a new virtiofsd when it is stopped and started"
        ),
        Storage::Disk { folder } => {
            format!("its storage does not answer (folder {folder} of the gateway's disk)")
        }
        Storage::Mounted => "its storage does not answer (the node's file system hangs)".to_owned(),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
