//! Taking out of a tree what differs between two builds, or must not be shared by two gateways.

use crate::error::Error;
use crate::glob::Glob;
use crate::tree::{Entry, Tree};

mod ids;
mod order;

/// Made while packages were installed, or made anew where they are missed.
const VOLATILE: &[&str] = &[
    // identities: each gateway has its own; without a name in a file systemd keeps the one the platform gave
    "/etc/hostname",
    "/etc/fstab",
    "/etc/ssh/ssh_host_*",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    // logs and caches
    "/var/cache/apt/*",
    "/var/cache/debconf/*-old",
    "/var/cache/ldconfig/*",
    "/var/cache/man/*",
    "/var/cache/samba/*",
    "/var/lib/apt/lists/*",
    "/var/lib/systemd/catalog/*",
    "/var/lib/ucf/cache/*",
    "/var/backups/*",
    // copies that the package system keeps of its last state
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
    "/var/lib/dpkg/*-old",
    "/var/lib/dpkg/lock*",
    "/var/lib/dpkg/triggers/Lock",
    // dpkg does without: the one says what is plain, the other is what dselect knew
    "/var/lib/dpkg/arch",
    "/var/lib/dpkg/available",
    "/var/lib/dpkg/tmp.ci*",
    "/var/cache/debconf/tmp.ci*",
    // the engine's
    "/etc/apt/apt.conf.d/99mmdebstrap",
    "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    // where other file systems are mounted
    "/dev/*",
    "/proc/*",
    "/run/*",
    "/sys/*",
    "/tmp/*",
    "/var/tmp/*",
    "/root/.*history",
];

/// Takes out what installing packages left behind.
///
/// # Errors
/// [`Error::Tree`].
pub fn clean(tree: &mut Tree) -> Result<(), Error> {
    let globs: Vec<Glob> = VOLATILE.iter().filter_map(|pattern| Glob::parse(pattern).ok()).collect();
    let is_log = |path: &str, entry: &Entry| path.starts_with("/var/log/") && !entry.is_directory();
    let doomed: Vec<String> = tree
        .entries()
        .filter(|(path, entry)| is_log(path, entry) || globs.iter().any(|glob| glob.matches(path)))
        .map(|(path, _)| path.to_owned())
        .collect();
    tree.remove_all(&doomed);
    // a place to mount on; the engine leaves it out with the devices in it
    tree.put("/dev", Entry::directory())?;
    // apt insists on these
    tree.put("/var/cache/apt/archives/partial", Entry::directory().with_mode(0o700))?;
    tree.put("/var/lib/apt/lists/partial", Entry::directory().with_mode(0o700))?;
    // empty, not missing: systemd then makes an id without taking this for a first boot. Source: machine-id(5)
    tree.put("/etc/machine-id", Entry::file("").with_mode(0o444))?;
    // the building machine's, copied in by the engine; the platform writes the real one
    tree.put("/etc/resolv.conf", Entry::file(""))?;
    ids::renumber(tree)?;
    order::sort(tree)
}

/// No time is later than the epoch of the lock; directories, and what was made by us, have exactly that.
pub fn clamp_times(tree: &mut Tree, epoch: i64) {
    for (_, entry) in tree.entries_mut() {
        entry.mtime = match entry.mtime {
            0 => epoch,
            // whatever came into a directory last
            _ if entry.is_directory() => epoch,
            time => time.min(epoch),
        };
    }
}

/// Says that `/etc` and `/var` are up to date with `/usr`; otherwise the first boot rebuilds the linker cache, the journal
/// catalogue and more. Source: systemd-update-done.service(8).
///
/// # Errors
/// [`Error::Tree`].
pub fn mark_updated(tree: &mut Tree, epoch: i64) -> Result<(), Error> {
    let text = format!("# Written when the template was built.\nTIMESTAMP_NSEC={epoch}000000000\n");
    tree.put("/etc/.updated", Entry::file(text.clone()))?;
    tree.put("/var/.updated", Entry::file(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_logs_and_leftovers_go() {
        let mut tree = Tree::default();
        for path in [
            "/etc/ssh/ssh_host_ed25519_key",
            "/var/log/apt/history.log",
            "/var/lib/dbus/machine-id",
            "/etc/shadow-",
            "/var/lib/apt/lists/x_Packages",
            "/tmp/x",
            "/etc/shadow",
            "/var/cache/debconf/templates.dat",
        ] {
            tree.put(path, Entry::file("x")).unwrap();
        }
        tree.put("/etc/machine-id", Entry::file("0123456789abcdef0123456789abcdef\n")).unwrap();
        clean(&mut tree).unwrap();
        let files: Vec<_> = tree.entries().filter(|(_, e)| !e.is_directory()).map(|(path, _)| path).collect();
        assert_eq!(
            files,
            ["/etc/machine-id", "/etc/resolv.conf", "/etc/shadow", "/var/cache/debconf/templates.dat"]
        );
        assert_eq!(tree.file("/etc/machine-id"), Some(&b""[..]));
        assert!(tree.get("/var/log/apt").is_some(), "directories of logs stay");
    }

    #[test]
    fn times_never_pass_the_epoch() {
        let mut tree = Tree::default();
        tree.put("/old", Entry { mtime: 5, ..Entry::file("") }).unwrap();
        tree.put("/new", Entry { mtime: 5000, ..Entry::file("") }).unwrap();
        tree.put("/ours", Entry::file("")).unwrap();
        clamp_times(&mut tree, 100);
        let times: Vec<_> = tree.under("/").map(|path| tree.get(path).map(|entry| entry.mtime)).collect();
        assert_eq!(times, [Some(100), Some(5), Some(100)]);
    }
}
