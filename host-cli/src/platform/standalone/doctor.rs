//! What the node has and lacks, and what of it we can mend.

use std::io::Write;
use std::path::Path;

use super::{Standalone, bridge, cgroup, machine};
use crate::platform::{Finding, Verdict, bridges, subid};
use crate::{Error, Result};

const SUBUID: &str = "/etc/subuid";
const SUBGID: &str = "/etc/subgid";
/// Programs that are started, and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("lxc-start", "lxc"),
    ("lxc-stop", "lxc"),
    ("lxc-info", "lxc"),
    ("lxc-usernsexec", "lxc"),
    ("newuidmap", "uidmap"),
    ("ip", "iproute2"),
    ("tar", "tar"),
    ("cp", "coreutils"),
];
/// What gateways in virtual machines need besides; a node without it runs containers.
const MACHINE_PROGRAMS: &[(&str, &str)] =
    &[("qemu-system-x86_64", "qemu-system-x86"), ("qemu-img", "qemu-utils"), ("bridge", "iproute2")];
const SEARCH: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Ranges of host ids that are given away.
///
/// # Errors
/// When the files cannot be read.
pub fn subids() -> Result<subid::SubIds> {
    Ok(subid::SubIds { uids: subid::parse(&read(SUBUID)?), gids: subid::parse(&read(SUBGID)?) })
}

/// First of root's host ids for containers, when it has enough.
///
/// # Errors
/// When the files cannot be read; a missing one is an empty one.
pub fn id_range() -> Result<Option<u32>> {
    Ok(subid::usable(&read(SUBUID)?, &read(SUBGID)?))
}

fn read(path: &str) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|source| Error::io(format!("reading {path}"), source)),
    }
}

fn finding(subject: &str, verdict: Verdict, detail: impl Into<String>, fix: Option<String>) -> Finding {
    Finding { subject: subject.to_owned(), verdict, detail: detail.into(), fix }
}

fn is_installed(program: &str) -> bool {
    SEARCH.iter().any(|directory| Path::new(directory).join(program).exists())
}

impl Standalone {
    pub(super) fn examine(&self) -> Result<Vec<Finding>> {
        Ok(vec![
            programs(),
            ids()?,
            cgroups(),
            limits(),
            inotify(),
            self.storage(),
            network()?,
            machines(),
            self.template()?,
        ])
    }

    fn storage(&self) -> Finding {
        let state = self.paths.state();
        let existing = state.ancestors().find(|path| path.exists()).unwrap_or(state);
        match rustix::fs::statvfs(existing) {
            Ok(stat) => {
                let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
                let detail = format!("{} has {free} MiB free", state.display());
                // a template takes some 250 MiB unpacked
                if free < 512 {
                    let fix = "free some space: a template takes about 250 MiB, a gateway a few".to_owned();
                    return finding("storage", Verdict::Bad, detail, Some(fix));
                }
                finding("storage", Verdict::Good, detail, None)
            }
            Err(errno) => finding("storage", Verdict::Bad, format!("{}: {errno}", state.display()), None),
        }
    }

    fn template(&self) -> Result<Finding> {
        let templates = self.list_templates()?;
        if templates.is_empty() {
            let fix = "pve-smbgateway template build debian-13".to_owned();
            return Ok(finding("template", Verdict::Bad, "none is installed", Some(fix)));
        }
        let names: Vec<_> = templates.iter().map(|t| t.name.as_str()).collect();
        Ok(finding("template", Verdict::Good, names.join(", "), None))
    }

    pub(super) fn mend_node(&self) -> Result<Vec<String>> {
        let _node = self.node_lock()?;
        let mut done = Vec::new();
        self.make_state_directories()?;
        let (uids, gids) = (read(SUBUID)?, read(SUBGID)?);
        if subid::usable(&uids, &gids).is_none() {
            let first = subid::free(&uids, &gids)
                .ok_or_else(|| Error::infrastructure("no-id-range", "no range of 65536 host ids is free"))?;
            let line = format!("root:{first}:{}", subid::MAP_SIZE);
            for (path, text) in [(SUBUID, &uids), (SUBGID, &gids)] {
                append_line(path, text, &line)?;
                done.push(format!("added {line} to {path}"));
            }
        }
        Ok(done)
    }
}

/// What the init of a container and its services take of the kernel's inotify instances, all of which count as one user's (seen
/// with Debian 13 in them; inotify(7)).
const INOTIFY_OF_A_CONTAINER: u64 = 7;
/// Fewer are too few for some dozens of containers; Proxmox VE sets 65536 (pve-container, 10-pve-ct-inotify-limits.conf).
const INOTIFY: u64 = 512;

fn inotify() -> Finding {
    let path = "/proc/sys/fs/inotify/max_user_instances";
    let instances = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let Some(instances) = instances else {
        return finding("inotify", Verdict::Limited, format!("{path} cannot be read"), None);
    };
    let containers = instances / INOTIFY_OF_A_CONTAINER;
    let detail = format!("{instances} instances: enough for about {containers} running containers");
    if instances >= INOTIFY {
        return finding("inotify", Verdict::Good, detail, None);
    }
    let fix = "for more of them: echo fs.inotify.max_user_instances=65536 > /etc/sysctl.d/60-smbgateway.conf && sysctl --system";
    finding("inotify", Verdict::Limited, detail, Some(fix.to_owned()))
}

fn programs() -> Finding {
    // LXC makes a profile for each container with it
    let apparmor = cgroup::abilities().apparmor.then_some(&("apparmor_parser", "apparmor"));
    let missing: Vec<_> =
        PROGRAMS.iter().chain(apparmor).filter(|(program, _)| !is_installed(program)).collect();
    if missing.is_empty() {
        return finding("programs", Verdict::Good, "all are installed", None);
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    let names: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let fix = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    finding("programs", Verdict::Bad, format!("missing: {}", names.join(", ")), Some(fix))
}

fn machines() -> Finding {
    let mut packages: Vec<_> = MACHINE_PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if machine::virtiofsd().is_none() {
        // Debian 12 has no package of it: docs/virtual-machines.md
        packages.push("virtiofsd");
    }
    if packages.is_empty() {
        return finding("virtual machines", Verdict::Good, "QEMU and virtiofsd are installed", None);
    }
    let fix = format!("for mode vm: apt-get install --no-install-recommends {}", packages.join(" "));
    finding("virtual machines", Verdict::Limited, format!("missing: {}", packages.join(", ")), Some(fix))
}

fn ids() -> Result<Finding> {
    Ok(match id_range()? {
        Some(first) => {
            let last = first + subid::MAP_SIZE - 1;
            finding("container ids", Verdict::Good, format!("host ids {first}-{last}"), None)
        }
        None => finding(
            "container ids",
            Verdict::Mendable,
            format!("root has no range of {} ids in {SUBUID} and {SUBGID}", subid::MAP_SIZE),
            Some("pve-smbgateway doctor --fix".to_owned()),
        ),
    })
}

fn cgroups() -> Finding {
    if cgroup::is_unified() {
        return finding("cgroups", Verdict::Good, "cgroup2", None);
    }
    let fix = "boot with systemd.unified_cgroup_hierarchy=1 (the default since Debian 11)".to_owned();
    finding("cgroups", Verdict::Bad, "/sys/fs/cgroup is not a pure cgroup2", Some(fix))
}

fn limits() -> Finding {
    let abilities = cgroup::abilities();
    if abilities.memory && abilities.cpu {
        return finding("limits", Verdict::Good, "memory and processor limits are enforced", None);
    }
    let lacking: Vec<_> = [("memory", abilities.memory), ("processor", abilities.cpu)]
        .iter()
        .filter_map(|(name, there)| (!there).then_some(*name))
        .collect();
    let detail = format!("{} limits are not enforced: cgroup2 lacks the controller", lacking.join(" and "));
    finding("limits", Verdict::Limited, detail, None)
}

fn network() -> Result<Finding> {
    let own = bridge::own()?;
    let bridges = bridges::existing()?;
    let detail = if bridges.is_empty() {
        format!("no bridge; {} ({}/{}) is made with the first gateway", own.bridge, own.node, own.prefix)
    } else {
        format!("bridges: {}", bridges.join(", "))
    };
    Ok(finding("network", Verdict::Good, detail, None))
}

/// Appends in place: the file may be a mount point, which a rename would break.
fn append_line(path: &str, text: &str, line: &str) -> Result<()> {
    let io = |source| Error::io(format!("writing {path}"), source);
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(io)?;
    file.write_all(format!("{newline}{line}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(io)
}
