//! Modes and times.

use super::{Check, Subject};

pub(super) const SET_ID: Check = Check {
    name: "set-id",
    why: "a set-user-id or set-group-id program runs with rights its caller lacks",
    run: |subject| {
        entries(subject, |path, entry| {
            // on directories the bit only says which group new files get
            let listed = subject.recipe.set_id.keep.iter().any(|keep| keep == path);
            (entry.mode & 0o6000 != 0 && !entry.is_directory() && !listed)
                .then(|| format!("{path} has mode {:04o} and is not listed", entry.mode))
        })
    },
};

pub(super) const WORLD_WRITABLE: Check = Check {
    name: "world-writable",
    why: "anyone could change it",
    run: |subject| {
        entries(subject, |path, entry| {
            let link = matches!(entry.kind, crate::tree::Kind::Symlink(_));
            let sticky = entry.is_directory() && entry.mode & 0o1000 != 0;
            (entry.mode & 0o002 != 0 && !link && !sticky)
                .then(|| format!("{path} has mode {:04o}", entry.mode))
        })
    },
};

pub(super) const TIMES: Check = Check {
    name: "times",
    why: "a time later than the lock's epoch differs from build to build",
    run: |subject| {
        entries(subject, |path, entry| {
            (entry.mtime > subject.lock.epoch).then(|| format!("{path} has time {}", entry.mtime))
        })
    },
};

fn entries(
    subject: &Subject<'_>,
    judge: impl Fn(&str, &crate::tree::Entry) -> Option<String>,
) -> Vec<String> {
    subject.tree.entries().filter_map(|(path, entry)| judge(path, entry)).collect()
}
