//! A node: what keeps it alive. It mounts its directories over the system's in a mount namespace of its own, and serves /etc/pve.
//!
//! `pve-sim node WORLD NAME RELEASE MEMBERS`, started by `unshare --mount --uts`; it ends when its stdin does.

use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount, mount_bind};

use crate::cfs::fuse::ClusterFs;
use crate::notify;
use crate::world::{NODE_FILE, Node};

/// Programs, and where Proxmox VE has them.
const PROGRAMS: &[(&str, &str)] = &[
    ("pct", "/usr/sbin"),
    ("qm", "/usr/sbin"),
    ("pvesm", "/usr/sbin"),
    ("ha-manager", "/usr/sbin"),
    ("pvesh", "/usr/bin"),
    ("pveversion", "/usr/bin"),
    // before the real one, which stays
    ("dpkg-query", "/usr/local/sbin"),
    ("zfs", "/usr/local/sbin"),
    ("ssh", "/usr/local/sbin"),
];
/// Directories whose changes are the node's own.
const OVERLAYS: &[&str] =
    &["/etc", "/usr/libexec", "/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/share", "/var/lib"];
/// Directories that are the node's own: its name for each, and the place.
const OWN: &[(&str, &str)] = &[
    ("run", "/run"),
    ("vz", "/var/lib/vz"),
    ("lxc", "/var/lib/lxc"),
    ("pools", "/var/lib/pve-sim"),
    ("state", "/var/lib/pve-smbgateway"),
    ("log", "/var/log"),
    ("mnt", "/mnt"),
];

/// Furnishes the namespace and serves until stdin ends.
///
/// # Errors
/// When something cannot be mounted.
pub fn serve(node: &Node) -> Result<()> {
    rustix::system::sethostname(node.name.as_bytes())?;
    cluster(node)?;
    mounts(node)?;
    fs::write(NODE_FILE, serde_json::to_string(node)?)?;
    fs::write("/etc/hostname", format!("{}\n", node.name))?;
    programs()?;
    notify::furnish()?;
    system(node)?;
    let target = Path::new("/etc/pve");
    fs::create_dir_all(target)?;
    let session = ClusterFs::mount(node.clone(), target).context("mounting /etc/pve")?;
    fs::write(node.own("ready"), std::process::id().to_string())?;
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    session.umount_and_join().context("unmounting /etc/pve")
}

/// What a new cluster has.
fn cluster(node: &Node) -> Result<()> {
    let etc = node.world.join("etc");
    fs::create_dir_all(node.world.join("control"))?;
    for member in &node.members {
        for directory in ["lxc", "qemu-server", "priv"] {
            fs::create_dir_all(etc.join("nodes").join(member).join(directory))?;
        }
        // pve-cluster 8.1: the keys of the node's ssh, under the name that HostKeyAlias gives
        fs::write(
            etc.join("nodes").join(member).join("ssh_known_hosts"),
            format!("{member} ssh-rsa AAAA\n"),
        )?;
    }
    for directory in ["priv/lock", "mapping", "ha", "firewall", "sdn", "virtual-guest"] {
        fs::create_dir_all(etc.join(directory))?;
    }
    let local = "dir: local\n\tpath /var/lib/vz\n\tcontent vztmpl,iso,backup\n\n";
    for (name, text) in [
        ("storage.cfg", local),
        ("datacenter.cfg", "keyboard: en-us\n"),
        ("user.cfg", "user:root@pam:1:0:::::\n"),
    ] {
        let path = etc.join(name);
        if !path.exists() {
            fs::write(path, text)?;
        }
    }
    Ok(())
}

fn mounts(node: &Node) -> Result<()> {
    // a file system in memory, as an overlay needs one that is none itself
    let memory = node.own("overlays");
    fs::create_dir_all(&memory)?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", &memory, "tmpfs", quiet, Some(CString::new("mode=755")?.as_c_str()))
        .context("mounting a tmpfs")?;
    for target in OVERLAYS {
        let (top, work) = (memory.join(&target[1..]), memory.join(".work").join(&target[1..]));
        fs::create_dir_all(&top)?;
        fs::create_dir_all(&work)?;
        let options = format!("lowerdir={target},upperdir={},workdir={}", top.display(), work.display());
        mount(
            "overlay",
            Path::new(target),
            "overlay",
            MountFlags::empty(),
            Some(CString::new(options)?.as_c_str()),
        )
        .with_context(|| format!("mounting an overlay on {target}"))?;
    }
    for (name, target) in OWN {
        let own = node.own(name);
        fs::create_dir_all(&own)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755))?;
        fs::create_dir_all(target)?;
        mount_bind(&own, *target).with_context(|| format!("mounting {target}"))?;
    }
    // storages that all nodes share
    let shared = node.world.join("shared");
    fs::create_dir_all(&shared)?;
    fs::create_dir_all("/mnt/pve")?;
    mount_bind(&shared, "/mnt/pve").context("mounting /mnt/pve")?;
    Ok(())
}

fn programs() -> Result<()> {
    let own = std::env::current_exe()?;
    for (name, directory) in PROGRAMS {
        let path = Path::new(directory).join(name);
        if *name == "zfs" && Path::new("/usr/sbin/zfs").exists() {
            continue;
        }
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(&own, &path).with_context(|| format!("making {}", path.display()))?;
    }
    Ok(())
}

/// What packages of Proxmox VE bring.
fn system(node: &Node) -> Result<()> {
    for directory in [
        "/run/lock/lxc",
        "/run/lxc",
        "/run/qemu-server",
        "/run/lock/qemu-server",
        "/var/log/pve/tasks",
        "/var/log/pve-smbgateway",
    ] {
        fs::create_dir_all(directory)?;
    }
    // lxc-pve
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !text.lines().any(|line| line == "root:100000:65536") {
            let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("root:")).collect();
            fs::write(file, format!("{}\nroot:100000:65536\n", others.join("\n")).trim_start())?;
        }
    }
    let release = if node.release.major() == 8 { "12 (bookworm)" } else { "13 (trixie)" };
    let text =
        format!("PRETTY_NAME=\"Debian GNU/Linux {release}\"\nID=debian\nVERSION_ID=\"{}\"\n", &release[..2]);
    // pve-qemu-kvm only recommends virtiofsd; where the lab built its own, it is elsewhere
    let (packaged, built) = (Path::new("/usr/libexec/virtiofsd"), Path::new("/usr/local/libexec/virtiofsd"));
    if !packaged.exists() && built.exists() {
        std::os::unix::fs::symlink(built, packaged)?;
    }
    let _ = fs::remove_file("/etc/os-release");
    fs::write("/etc/os-release", text)?;
    Ok(())
}

/// Reads the arguments of `pve-sim node`.
///
/// # Errors
/// When they are not those.
pub fn parse(arguments: &[String]) -> Result<Node> {
    let [world, name, release, members] = arguments else { bail!("pve-sim node WORLD NAME RELEASE MEMBERS") };
    Ok(Node {
        world: PathBuf::from(world),
        name: name.clone(),
        release: release.parse()?,
        members: members.split(',').map(str::to_owned).collect(),
    })
}
