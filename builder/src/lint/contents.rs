//! What must be in a template, and what must not.

use super::{Check, Subject};
use crate::agent;
use crate::deb822;
use crate::tree::{Entry, Kind};

pub(super) const SECRETS: Check = Check {
    name: "secrets",
    why: "a template is public: what is secret in it is secret no more, and the same everywhere",
    run: |subject| {
        const NAMES: &[&str] = &[
            "krb5.keytab",
            "secrets.tdb",
            "passdb.tdb",
            "authorized_keys",
            "id_rsa",
            "id_ed25519",
            "credential.secret",
        ];
        let by_name = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            NAMES.contains(&name) || path.ends_with(".keytab") || path.starts_with("/etc/ssh/ssh_host_")
        };
        files(subject)
            .filter_map(|path| match subject.tree.file(path) {
                _ if by_name(path) => Some(format!("{path} is a secret by its name")),
                Some(bytes) if is_private_key(bytes) => Some(format!("{path} holds a private key")),
                _ => None,
            })
            .collect()
    },
};

pub(super) const MACHINE_ID: Check = Check {
    name: "machine-id",
    why: "two gateways with one id take each other's addresses; a missing id makes systemd run a first boot",
    run: |subject| match subject.tree.file("/etc/machine-id") {
        Some([]) if subject.tree.get("/var/lib/dbus/machine-id").is_none_or(is_link) => vec![],
        Some([]) => vec!["/var/lib/dbus/machine-id is a file of its own".into()],
        Some(_) => vec!["/etc/machine-id is not empty".into()],
        None => vec!["/etc/machine-id does not exist".into()],
    },
};

pub(super) const LEFTOVERS: Check = Check {
    name: "leftovers",
    why: "logs, indexes and temporary files of the build are of no use and differ from build to build",
    run: |subject| {
        const EMPTY: &[&str] = &[
            "/dev",
            "/proc",
            "/run",
            "/sys",
            "/tmp",
            "/var/tmp",
            "/var/log",
            "/var/lib/apt/lists",
            "/var/cache/apt",
        ];
        let mut found: Vec<String> = EMPTY
            .iter()
            .flat_map(|directory| subject.tree.under(directory))
            .filter(|path| subject.tree.get(path).is_some_and(|entry| !entry.is_directory()))
            .map(|path| format!("{path} is left from the build"))
            .collect();
        if subject.tree.file("/etc/resolv.conf").is_some_and(|content| !content.is_empty()) {
            found.push("/etc/resolv.conf is the building machine's".into());
        }
        found
    },
};

pub(super) const FORBIDDEN: Check = Check {
    name: "forbidden",
    why: "the recipe says that this template does without",
    run: |subject| {
        let forbidden = |path: &str| subject.recipe.forbid.iter().any(|glob| glob.matches(path));
        subject
            .tree
            .entries()
            .map(|(path, _)| path)
            .filter(|path| forbidden(path))
            .map(str::to_owned)
            .collect()
    },
};

pub(super) const PACKAGES: Check = Check {
    name: "packages",
    why: "what is installed must be what the lock says, completely",
    run: |subject| {
        let mut found = Vec::new();
        let mut installed = std::collections::BTreeMap::new();
        for package in deb822::paragraphs(subject.tree.text("/var/lib/dpkg/status").unwrap_or_default()) {
            let field = |name| package.get(name).unwrap_or_default();
            if field("Status") != "install ok installed" {
                found.push(format!("{} is `{}`", field("Package"), field("Status")));
            }
            installed.insert(field("Package"), field("Version"));
        }
        for package in &subject.lock.packages {
            match installed.remove(package.name.as_str()) {
                Some(version) if version == package.version => {}
                Some(version) => {
                    found.push(format!("{} is {version}, locked {}", package.name, package.version));
                }
                None => found.push(format!("{} is locked and not installed", package.name)),
            }
        }
        found.extend(installed.keys().map(|name| format!("{name} is installed and not locked")));
        found
    },
};

pub(super) const AGENT: Check = Check {
    name: "agent",
    why: "without the agent nothing can be configured",
    run: |subject| {
        let place = &subject.recipe.agent;
        let mut found = Vec::new();
        match (subject.tree.get(&place.path), subject.tree.file(&place.path)) {
            (Some(entry), Some(bytes)) if bytes.starts_with(b"\x7fELF") => {
                if (entry.mode, entry.uid, entry.gid) != (0o755, 0, 0) {
                    found.push(format!("{} is {:04o} {}:{}", place.path, entry.mode, entry.uid, entry.gid));
                }
            }
            (Some(_), _) => found.push(format!("{} is no program", place.path)),
            (None, _) => found.push(format!("{} does not exist", place.path)),
        }
        let unit = subject.tree.text(&format!("/usr/lib/systemd/system/{}", agent::UNIT)).unwrap_or_default();
        let started =
            unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")?.split_whitespace().next());
        for path in place.links.iter().map(String::as_str).chain(started) {
            if subject.tree.resolve(path).as_deref() != Some(place.path.as_str()) {
                found.push(format!("{path} does not lead to it"));
            }
        }
        found
    },
};

pub(super) const UPDATED: Check = Check {
    name: "updated-stamps",
    why: "without them the first boot rebuilds caches for seconds",
    run: |subject| {
        let usr = subject.tree.get("/usr").map_or(i64::MAX, |entry| entry.mtime);
        ["/etc/.updated", "/var/.updated"]
            .iter()
            .filter(|path| subject.tree.get(path).is_none_or(|entry| entry.mtime < usr))
            .map(|path| format!("{path} is missing or older than /usr"))
            .collect()
    },
};

pub(super) const NETBIOS: Check = Check {
    name: "netbios-off",
    why: "smbd waits for nmbd, and nmbd for an interface, for ever where there is none",
    run: |subject| {
        let config = subject.tree.text("/etc/samba/smb.conf").unwrap_or_default();
        let off = config.lines().any(|line| line.split_whitespace().eq(["disable", "netbios", "=", "yes"]));
        if off { vec![] } else { vec!["/etc/samba/smb.conf does not say `disable netbios = yes`".into()] }
    },
};

pub(super) const IMPORTANT_LINKS: Check = Check {
    name: "important-paths",
    why: "Proxmox refuses a template without them, or the system does not start",
    run: |subject| {
        const NEEDED: &[&str] = &[
            "/sbin/init",
            "/bin/sh",
            "/etc/os-release",
            "/etc/debian_version",
            "/etc/network/interfaces",
            "/usr/sbin/smbd",
            "/usr/bin/dpkg",
            "/dev",
            "/proc",
            "/sys",
            "/run",
            "/tmp",
        ];
        NEEDED
            .iter()
            .filter(|path| subject.tree.resolve(path).is_none())
            .map(|path| format!("{path} leads nowhere"))
            .collect()
    },
};

fn files<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    subject.tree.entries().filter(|(_, entry)| matches!(entry.kind, Kind::File(_))).map(|(path, _)| path)
}

fn is_link(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Symlink(_))
}

/// A PEM or OpenSSH private key starts its file; programs that merely know the words have them elsewhere.
fn is_private_key(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    head.starts_with(b"-----BEGIN ") && head.windows(11).any(|window| window == b"PRIVATE KEY")
}
