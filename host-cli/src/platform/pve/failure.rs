//! What a failed call of Proxmox VE means, by its words (PVE 8.4 and 9.2). Pure.

use smbgw_command::CommandError;

use crate::{Category, Error};

/// What is told by which words, before anything else is guessed.
const WORDS: &[(&str, Category, &str, &str, &str)] = &[
    (
        "no quorum",
        Category::Infrastructure,
        "no-quorum",
        "the cluster has no quorum",
        "`pvecm status` shows which nodes are missing; try again when they are back",
    ),
    (
        "got timeout",
        Category::Infrastructure,
        "guest-locked",
        "another task of Proxmox VE is in the way",
        "wait for it (the web interface shows tasks), then try again",
    ),
    (
        "is locked (",
        Category::Resource,
        "guest-locked",
        "the guest is held by another task, or by one that was killed",
        "wait for it; if no task runs, `pct unlock` or `qm unlock` frees it",
    ),
    (
        "protection mode enabled",
        Category::Resource,
        "guest-protected",
        "the guest is protected from removal",
        "take the protection off in its options, if it is to go",
    ),
    (
        "No space left",
        Category::Resource,
        "no-space",
        "the storage is full",
        "free some space on the storage, or name another one: --guest-storage",
    ),
    (
        "out of space",
        Category::Resource,
        "no-space",
        "the storage is full",
        "free some space on the storage, or name another one: --guest-storage",
    ),
    (
        "not enough free space",
        Category::Resource,
        "no-space",
        "the storage is full",
        "free some space on the storage, or name another one: --guest-storage",
    ),
    (
        "still in use by linked clone",
        Category::Resource,
        "template-in-use",
        "guests are linked to the template's disk",
        "remove those guests first",
    ),
    (
        "used by linked clone",
        Category::Resource,
        "template-in-use",
        "guests are linked to the template's disk",
        "remove those guests first",
    ),
];

/// The error of a call that failed while this was being done.
pub(super) fn failed(doing: &str, error: CommandError) -> Error {
    let CommandError::Failed { code, .. } = &error else { return Error::from(error).doing(doing) };
    if code.is_none() {
        return Error::infrastructure("proxmox-refused", format!("{doing}: Proxmox VE's program was killed"))
            .hint("did the node run out of memory? `journalctl -k` says so; then try again")
            .source(error);
    }
    let said = said(&error);
    // what cannot be written in /etc/pve by root lacks quorum
    let refused = said.contains("/etc/pve/") && said.contains("Permission denied");
    let known = WORDS.iter().find(|(words, ..)| said.contains(words) || (refused && *words == "no quorum"));
    let base = match known {
        Some((_, category, code, message, hint)) => {
            Error::new(*category, code, format!("{doing}: {message}")).hint(*hint)
        }
        None => {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
            Error::infrastructure("proxmox-refused", format!("{doing}: Proxmox VE says: {}", clean(last)))
                .hint("the task's log in the web interface says more")
        }
    };
    base.source(error)
}

/// All that the program said: errors of tasks come on stderr, their log on stdout.
pub(super) fn said(error: &CommandError) -> String {
    match error {
        CommandError::Failed { stderr, stdout, .. } => format!("{stdout}\n{stderr}"),
        other => other.to_string(),
    }
}

fn clean(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(stderr: &str) -> Error {
        let error = CommandError::Failed {
            command: "pct create".into(),
            code: Some(255),
            status: "exit code 255".into(),
            stderr: stderr.into(),
            stdout: "extracting archive\n".into(),
        };
        failed("making the container", error)
    }

    #[test]
    fn each_cause_has_its_code() {
        for (stderr, code, exit) in [
            ("unable to create CT 101 - cluster not ready - no quorum?", "no-quorum", 3),
            ("can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout", "guest-locked", 3),
            ("CT is locked (backup)", "guest-locked", 4),
            ("can't remove CT 101 - protection mode enabled", "guest-protected", 4),
            ("TASK ERROR: zfs error: cannot create: out of space", "no-space", 4),
            ("mkfs: No space left on device", "no-space", 4),
            ("base volume 'local:base-9000-disk-0' is still in use by linked clones", "template-in-use", 4),
            ("unable to open file '/etc/pve/nodes/a/lxc/1.conf.tmp.7' - Permission denied", "no-quorum", 3),
            ("TASK ERROR: storage 'x' does not exist", "proxmox-refused", 3),
            ("", "proxmox-refused", 3),
        ] {
            let error = failure(stderr);
            assert_eq!((error.code, error.category.exit_code()), (code, exit), "{stderr}");
            assert!(error.hint.is_some());
        }
        assert!(failure("TASK ERROR: storage 'x' does not exist").message.contains("'x' does not exist"));
    }
}
