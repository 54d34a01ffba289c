//! What the machine looks like, and what differs later: processes, mounts, network interfaces, sockets, cgroups and
//! files. Made for the lab's environment, where nobody else changes anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

/// Files of the state directory that stay, or change without a gateway: what templates hold, the journals of finished
/// operations, lock files, ids of users and groups that are gone, and what was found out about the node.
const NOT_OURS: &[&str] = &["/templates/", "/operations/", "/locks/", "/ids/", "/accelerator/"];
/// What a guest writes into its own root file system while it runs.
const INSIDE: &[&str] = &["/rootfs/", "/upper/", "/work/", "/delta/", "/overlay/", "/root.qcow2/"];
/// State directory of a simulated node, as it is seen from outside.
const NODE_STATE: &str = "/state/";
/// Where simulated nodes have the volumes of guests, whose content changes while those run.
const VOLUMES: &[&str] = &["/vz/images/", "/pools/", "/shared/"];
/// Ends of the names of containers' volumes: what is below belongs to a guest.
const VOLUME_ENDS: &[&str] = &[".raw", ".subvol", "-disk-0", "-disk-1"];
/// Where simulated nodes, and the standalone platform, have what belongs to a virtual machine that runs.
const MACHINES: &[&str] = &["/run/qemu-server/", "/pve-smbgateway/guests/"];
/// What is there once somebody has talked to a machine's guest agent.
const TALKED: &[&str] = &["/qga.lock", "/qga.seen"];
/// How long processes and mounts may take to go after a command has ended.
const GRACE: Duration = Duration::from_secs(10);

/// What the machine looks like: one line for each thing, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    things: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Snapshot {
    /// Takes one. `directory` is the environment's run directory.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn take(directory: &Path) -> Result<Self> {
        Self::with(directory, &[])
    }

    /// As [`Self::take`], with the files below more directories.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn with(directory: &Path, more: &[PathBuf]) -> Result<Self> {
        let mut things = BTreeMap::new();
        things.insert("process", processes()?);
        things.insert("mount", mounts()?);
        things.insert("network interface", interfaces()?);
        things.insert("socket", sockets()?);
        things.insert("cgroup", cgroups()?);
        let mut files = BTreeSet::new();
        for root in ["/var/lib/pve-smbgateway", "/run", "/dev/shm"] {
            walk(Path::new(root), &mut files);
        }
        // what changed in /etc and /var lies here
        walk(&directory.join("upper"), &mut files);
        for root in more {
            walk(root, &mut files);
        }
        files.retain(|line| !samba_client(line) && !lxc_own(line) && !frame(line));
        things.insert("file", files);
        Ok(Self { things })
    }

    /// What is there now and was not then, and the other way round.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, then) in &self.things {
            let Some(now) = now.things.get(kind) else { continue };
            lines.extend(now.difference(then).map(|thing| format!("{kind} more: {thing}")));
            lines.extend(then.difference(now).map(|thing| format!("{kind} less: {thing}")));
        }
        lines
    }

    /// Expects that the machine looks as it did; waits a little for what goes by itself.
    ///
    /// # Errors
    /// With each thing that differs.
    pub fn expect_same(&self, directory: &Path) -> Result<()> {
        self.expect_same_with(directory, &[])
    }

    /// As [`Self::expect_same`], with the files below more directories.
    ///
    /// # Errors
    /// As [`Self::expect_same`].
    pub fn expect_same_with(&self, directory: &Path, more: &[PathBuf]) -> Result<()> {
        let start = Instant::now();
        loop {
            let mut differences = self.differences(&Self::with(directory, more)?);
            differences.extend(unfinished());
            if differences.is_empty() {
                return Ok(());
            }
            if start.elapsed() > GRACE {
                bail!("the machine is not as it was:\n  {}", differences.join("\n  "));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many things of each kind were looked at, for a summary.
    pub fn summary(&self) -> String {
        let counts = self.things.iter().map(|(kind, things)| format!("{} {kind}", things.len()));
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// Operations that are not over: their journal does not end with `finished`.
fn unfinished() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/var/lib/pve-smbgateway/operations") else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for entry in entries.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default();
        if !last.contains("\"finished\"") || last.contains("\"incomplete\"") {
            lines.push(format!("operation not over: {} ({last})", entry.path().display()));
        }
    }
    lines
}

/// LXC's lock files: empty, on a tmpfs, one for each name that was ever used; LXC removes none. Proxmox VE's are the same.
fn lxc_own(line: &str) -> bool {
    let node = ["/run/lxc", "/run/lock/lxc", "/run/lock/qemu-server"].iter().any(|part| line.contains(part));
    line.starts_with("/run/lxc") || (line.contains("/pve/") && node)
}

/// The directories right below the state directory: made once, not for one gateway.
fn frame(line: &str) -> bool {
    let path = line.split(": ").next().unwrap_or_default();
    line.contains(": directory ") && Path::new(path).parent() == Some(Path::new("/var/lib/pve-smbgateway"))
}

/// What smbclient and other tools of the test itself leave; not the product's.
fn samba_client(line: &str) -> bool {
    // util-linux's mount and umount keep a directory for themselves
    ["/run/mount", "/run/samba", "/var/lib/samba", "/var/cache/samba", "/var/log/samba", "/upper/.work"]
        .iter()
        .any(|part| line.contains(part))
}

/// Processes but this one and the first one. Those of a container come and go while it runs, so they count as one
/// thing; any other process is its id and start time.
fn processes() -> Result<BTreeSet<String>> {
    let own = std::process::id();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == own || pid == 1 {
            continue;
        }
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let Some((head, tail)) = stat.rsplit_once(')') else {
            continue;
        };
        let name = head.split_once('(').map(|(_, name)| name).unwrap_or_default();
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let guest = |part: &&str| {
            part.starts_with("lxc.")
                || part.starts_with("smbgw.machine.")
                || (part.ends_with(".scope") && *part != "init.scope")
        };
        let container = cgroup.split(['/', '\n']).find(guest);
        let started = tail.split_whitespace().nth(19).unwrap_or_default();
        found.insert(match container {
            Some(container) => format!("those in {container}"),
            None => format!("{name} ({pid}, started {started})"),
        });
    }
    Ok(found)
}

/// Mount points with their kind and source. Source: proc_pid_mountinfo(5).
fn mounts() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?;
            let mut right = right.split(' ');
            Some(format!("{point} ({} of {})", right.next()?, right.next()?))
        })
        .collect())
}

/// Unix sockets that have a name. Source: proc_net(5).
fn sockets() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string("/proc/net/unix")?;
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(7));
    // an agent's end of a connection from here: the kernel lists it with the client, by the name that the agent gave its
    // socket inside the container, until the agent has closed it; the socket file itself is among the files
    Ok(names.filter(|name| *name != smbgw_api::v1::SOCKET_PATH).map(str::to_owned).collect())
}

fn cgroups() -> Result<BTreeSet<String>> {
    fn below(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            // where LXC's monitors go to die, shared by all containers; LXC keeps it
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != "lxc.pivot" {
                found.insert(entry.path().display().to_string());
                // what a running container makes in its own is its affair
                if !entry.file_name().to_string_lossy().starts_with("lxc.payload") {
                    below(&entry.path(), found);
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    below(Path::new("/sys/fs/cgroup"), &mut found);
    Ok(found)
}

/// Interfaces. The kernel numbers those of containers as it likes, so they are counted for each bridge.
fn interfaces() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let bridge = fs::read_link(format!("/sys/class/net/{name}/master")).ok();
        let bridge =
            bridge.as_deref().and_then(Path::file_name).map(|bridge| bridge.to_string_lossy().into_owned());
        match bridge {
            Some(bridge) => {
                let number =
                    (1..).find(|number| !found.contains(&format!("port {number} of {bridge}"))).unwrap_or(0);
                found.insert(format!("port {number} of {bridge}"));
            }
            None => {
                found.insert(name);
            }
        }
    }
    Ok(found)
}

/// Every file below, with its kind, owner, mode and (for small ones) content.
fn walk(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        let text = path.display().to_string();
        let skipped = |parts: &[&str]| parts.iter().any(|part| format!("{text}/").contains(part));
        let state = text.starts_with("/var/lib/pve-smbgateway") || text.contains(NODE_STATE);
        if state && (skipped(NOT_OURS) || skipped(INSIDE) || text.ends_with(".log")) {
            continue;
        }
        if state && TALKED.iter().any(|end| text.ends_with(end)) {
            continue;
        }
        // what LXC has said of a node's container
        if text.contains("/pve/") && text.contains("/lxc/") && text.ends_with("/log") {
            continue;
        }
        let volume = VOLUMES.iter().any(|part| text.contains(part));
        if volume
            && path
                .parent()
                .is_some_and(|parent| VOLUME_ENDS.iter().any(|end| parent.to_string_lossy().ends_with(end)))
        {
            continue;
        }
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap_or_default().display())
        } else if kind.is_socket() {
            "socket".to_owned()
        } else if kind.is_file() && volume {
            "volume".to_owned()
        } else if MACHINES.iter().any(|part| text.contains(part)) && text.ends_with(".pid") {
            // another number each time it is started
            "process id".to_owned()
        } else if text.ends_with("/smbgateway.cfg") {
            without_ids(&path)
        } else if kind.is_file() {
            format!("{} bytes {}", metadata.len(), short_hash(&path, metadata.len()))
        } else {
            "special".to_owned()
        };
        found.insert(format!(
            "{text}: {what} {}:{} {:o}",
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777
        ));
        if kind.is_dir() {
            walk(&path, found);
        }
    }
}

fn short_hash(path: &Path, size: u64) -> String {
    if size > 1 << 20 {
        return String::new();
    }
    let digest = Sha256::digest(fs::read(path).unwrap_or_default());
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The cluster's file of gateways, but for the ids of users and groups that are gone.
fn without_ids(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let kept: Vec<&str> = text.split("\n\n").filter(|section| !section.starts_with("ids: ")).collect();
    let digest = Sha256::digest(kept.join("\n\n").trim());
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}
