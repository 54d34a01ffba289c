//! `pct create`. Source: PVE::API2::LXC `create_vm`, PVE::LXC::Create.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::change::apply;
use super::mount::Mount;
use super::{life, setup};
use crate::config::{Config, Kind, file};
use crate::faults::Fault;
use crate::options::Options;
use crate::refusal::{About, Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::{self, allocate, volume};
use crate::task::{self, Task};
use crate::world::pve;

/// Options that steer the call and are no part of the configuration.
const STEERING: &[&str] = &[
    "vmid",
    "node",
    "ostemplate",
    "storage",
    "start",
    "force",
    "password",
    "ssh-public-keys",
    "restore",
    "pool",
    "unique",
    "bwlimit",
    "ignore-unpack-errors",
    "ha-managed",
];

/// Makes a container.
///
/// # Errors
/// When it is refused or fails; what was made is removed again.
pub fn run(sim: &Sim, mut options: Options) -> Result<()> {
    let vmid = options.vmid();
    sim.node.check_quorum()?;
    if sim.fault == Some(Fault::Taken) {
        taken(sim, vmid)?;
    }
    let unprivileged = options.flag("unprivileged").unwrap_or(sim.node.release.major() >= 9);
    let template = template(sim, options.need("ostemplate"))?;
    if !options.all().contains_key("rootfs") {
        if options.all().keys().any(|key| key.starts_with("mp")) {
            return Err(Refusal::new(
                "400 Parameter verification failed.\nrootfs: missing parameter - mount points need a rootfs",
            ));
        }
        let storage = options.take("storage").unwrap_or_else(|| "local".to_owned());
        options.set("rootfs", format!("{storage}:4"));
    }
    let mut config = Config::default();
    for (key, default) in [("arch", "amd64"), ("memory", "512"), ("swap", "512")] {
        config.set(key, default);
    }
    if unprivileged {
        config.set("unprivileged", "1");
    }
    for (key, text) in options.all() {
        if !STEERING.contains(&key.as_str()) && key != "unprivileged" {
            apply(sim, &mut config, key, text)?;
        }
    }
    if config.get("hostname").is_none() {
        config.set("hostname", format!("CT{vmid}"));
    }
    for mount in super::mount::all(sim, &config) {
        if let Some(storage) = super::mount::check_volume(sim, &mount)? {
            let storage = storage::usable(sim, &storage.id)?;
            allocate::check_content(&storage, "rootdir")?;
        }
    }
    let lock = file::lock(sim, Kind::Ct, vmid)?;
    reserve(sim, vmid)
        .map_err(|refusal| Refusal::new(format!("unable to create CT {vmid} - {}", refusal.text)))?;
    sim.middle();
    task::run(sim, "vzcreate", &vmid.to_string(), |task| {
        let mut made = Vec::new();
        let built = build(task, vmid, config, &template, &mut made);
        if let Err(refusal) = built {
            for volid in made.iter().rev() {
                let _ = allocate::free(sim, volid);
            }
            let _ = file::remove(sim, Kind::Ct, vmid);
            return refuse(format!("unable to create CT {vmid} - {}", refusal.text));
        }
        Ok(())
    })?;
    drop(lock);
    if options.flag("start") == Some(true) {
        life::start(sim, &options)?;
    }
    Ok(())
}

/// Writes the file that reserves the id, cluster-wide.
fn reserve(sim: &Sim, vmid: u32) -> Result<()> {
    file::check_unused(sim, vmid)?;
    let path = file::path(&sim.node.name, Kind::Ct, vmid);
    let target = pve(&path);
    File::options()
        .write(true)
        .create_new(true)
        .open(&target)
        .about(&format!("unable to create config file '{path}'"))?;
    let mut config = Config::default();
    config.set("lock", "create");
    file::store(sim, Kind::Ct, vmid, &config)
}

/// Another guest takes the id first.
fn taken(sim: &Sim, vmid: u32) -> Result<()> {
    let mut other = Config::default();
    other.set("arch", "amd64");
    other.set("hostname", "somebody-else");
    other.set("memory", "512");
    file::store(sim, Kind::Ct, vmid, &other)
}

/// The file of a template. Source: PVE::API2::LXC, PVE::Storage `abs_filesystem_path`.
fn template(sim: &Sim, text: &str) -> Result<PathBuf> {
    let path = if text.starts_with('/') {
        PathBuf::from(text)
    } else {
        let (id, name) = volume::split(text)?;
        let storage = storage::usable(sim, id)?;
        let path = volume::path(&storage, name)?;
        if volume::content(&storage, name) != Some("vztmpl") {
            return refuse(format!("volume '{text}' is no container template"));
        }
        path
    };
    let file = path.display().to_string();
    let mut ends = vec![".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"];
    if sim.node.release.major() >= 9 {
        ends.push(".tar");
    }
    if !ends.iter().any(|end| file.ends_with(end)) {
        return refuse(format!("unable to detect archive type of '{file}'"));
    }
    if !path.is_file() {
        return refuse(format!("volume '{text}' does not exist"));
    }
    Ok(path)
}

fn build(
    task: &mut Task<'_>,
    vmid: u32,
    mut config: Config,
    template: &Path,
    made: &mut Vec<String>,
) -> Result<()> {
    let sim = task.sim;
    for mut mount in super::mount::all(sim, &config) {
        let Some((storage, size)) = mount.wanted() else { continue };
        let bytes = (size * f64::from(1 << 30)) as u64;
        let format = (bytes == 0).then_some("subvol");
        let request = allocate::Request { storage, vmid, content: "rootdir", size: bytes, format };
        let volid = allocate::make(sim, request)?;
        made.push(volid.clone());
        let path = volume::locate(sim, &volid)?;
        if format.is_none() {
            task.say(&format!("Formatting '{}', fmt=raw size={bytes} preallocation=off", path.display()));
        }
        rustix::fs::chown(&path, owner(&config), group(&config))?;
        mount.pairs.insert("volume".to_owned(), volid);
        if bytes > 0 {
            mount.pairs.insert("size".to_owned(), allocate::size_text(bytes));
        }
        config.set(&mount.key.clone(), mount.print(sim));
    }
    let root = super::mount::all(sim, &config).into_iter().find(|mount| mount.key == "rootfs");
    let root = volume::locate(sim, root.as_ref().map(Mount::volume).unwrap_or_default())?;
    task.say(&format!("extracting archive '{}'", template.display()));
    extract(template, &root, config.is("unprivileged"))?;
    // links to directories count: usrmerge
    if !root.join("sbin").is_symlink() && !root.join("sbin").is_dir() {
        return refuse(format!("archive '{}' does not contain a root file system", template.display()));
    }
    if config.get("ostype").is_none() {
        match setup::detect(&root) {
            Some(ostype) => config.set("ostype", ostype),
            None => {
                task.warn("unable to detect OS distribution");
                config.set("ostype", "unmanaged");
            }
        }
    }
    task.say("Detected container architecture: amd64");
    setup::once(&config, &root)?;
    setup::each_start(&config, &root)?;
    let nested = config.get("features").is_some_and(|features| features.contains("nesting=1"));
    if sim.node.release.major() >= 9
        && !nested
        && let Some(version) = setup::systemd(&root).filter(|version| *version > 241)
    {
        task.warn(&format!("Systemd {version} detected. You may need to enable nesting."));
    }
    // only now is the lock gone
    file::store(sim, Kind::Ct, vmid, &config)
}

/// Host owner of the guest's root.
pub fn owner(config: &Config) -> Option<rustix::fs::Uid> {
    Some(rustix::fs::Uid::from_raw(if config.is("unprivileged") { 100_000 } else { 0 }))
}

/// Host group of the guest's root.
pub fn group(config: &Config) -> Option<rustix::fs::Gid> {
    Some(rustix::fs::Gid::from_raw(if config.is("unprivileged") { 100_000 } else { 0 }))
}

/// Source: PVE::LXC::Create `restore_tar_archive`, PVE::Storage::Plugin `COMMON_TAR_FLAGS`.
fn extract(template: &Path, root: &Path, unprivileged: bool) -> Result<()> {
    let name = template.display().to_string();
    let filter = [(".zst", "--zstd"), (".gz", "--gzip"), (".xz", "--xz"), (".bz2", "--bzip2")];
    let filter = filter.iter().find(|(end, _)| name.ends_with(end)).map(|(_, option)| *option);
    let mut words = Vec::new();
    if unprivileged {
        words.extend(["lxc-usernsexec", "-m", "u:0:100000:65536", "-m", "g:0:100000:65536", "--"]);
    }
    words.extend(["tar", "xpf", "-"]);
    words.extend(filter);
    words.extend(["--one-file-system", "-p", "--sparse", "--numeric-owner", "--acls", "--xattrs"]);
    words.extend(["--xattrs-include=user.*", "--xattrs-include=security.capability"]);
    words.extend(["--warning=no-file-ignored", "--warning=no-xattr-write", "--skip-old-files", "--anchored"]);
    words.extend(["--exclude", "./dev/*", "-C"]);
    let root = root.display().to_string();
    words.push(&root);
    let file = File::open(template)?;
    let output = Command::new(words[0]).args(&words[1..]).stdin(file).stdout(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap_or(255);
    refuse(format!("{}\ncommand '{}' failed: exit code {code}", said.trim(), words.join(" ")))
}
