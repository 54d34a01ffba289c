//! Private namespaces: mount, network, process ids, IPC, host name and cgroups.
//!
//! Seen from inside it is a plain Debian machine with one pure cgroup2 hierarchy, whatever the machine outside has. What is written to
//! `/etc`, `/run` and `/var` stays inside. Its first process is [`furnish`]: when that ends, however it ends, the
//! kernel ends all others with it, containers too.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::process::{WaitOptions, wait};
use smbgw_command::Interrupt;

/// Names the run directory inside the environment.
pub const RUN_VARIABLE: &str = "SMBGW_LAB";
/// Directories that are private inside: what is there outside can be read, what is written goes to memory.
const OVERLAYS: &[&str] = &["/etc", "/var/lib", "/var/log", "/var/cache"];
/// Lock file of a run directory.
const LOCK: &str = "lock";
/// Exit code when the environment could not be made.
const NOT_MADE: i32 = 125;

/// One environment, from outside. Everything it made is gone when it is dropped.
#[derive(Debug)]
pub struct Environment {
    directory: PathBuf,
    name: String,
    keep: bool,
    /// Locked while the environment is in use: what has nobody's lock was left by a run that was killed.
    _lock: fs::File,
}

/// A program to run in an environment.
#[derive(Debug, Clone, Copy)]
pub struct Inside<'a> {
    /// A program that calls [`furnish`] for `inside STAGE DIRECTORY NAME -- PROGRAM ARGUMENTS`.
    pub runner: &'a Path,
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub args: &'a [OsString],
    /// Variables that it has besides ours.
    pub env: &'a [(&'a str, OsString)],
    /// Where what it prints goes, if not to our stdout and stderr; then it has no stdin, either.
    pub output: Option<&'a fs::File>,
    /// Time for all of it.
    pub deadline: Duration,
}

impl Environment {
    /// Makes the run directory, in `target/lab`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(target: &Path, keep: bool) -> Result<Self> {
        let lab = target.join("lab");
        fs::create_dir_all(&lab).with_context(|| format!("making {}", lab.display()))?;
        let lab = lab.canonicalize()?;
        sweep(&lab);
        let number = (0..10_000)
            .find_map(|number| {
                let name = format!("{}-{number}", std::process::id());
                fs::create_dir(lab.join(&name)).ok().map(|()| name)
            })
            .with_context(|| format!("making a directory in {}", lab.display()))?;
        let directory = lab.join(&number);
        for name in ["state", "log", "upper", "cgroup", "data"] {
            fs::create_dir(directory.join(name))?;
        }
        let lock = fs::File::create(directory.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { directory, name: format!("smbgw-lab-{number}"), keep, _lock: lock })
    }

    /// Where the environment keeps its files. The same path inside and outside.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs a program in it and gives its exit code. The thread that calls this must not end before it returns: the program is
    /// killed with it.
    ///
    /// # Errors
    /// When it cannot be started, does not end in time, or the interrupt is set.
    pub fn run(&self, inside: &Inside<'_>, interrupt: &Interrupt) -> Result<i32> {
        let Inside { runner, program, args, env, output, deadline } = *inside;
        let mut command = Command::new("setpriv");
        if let Some(file) = output {
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        }
        command
            // when we are killed, unshare is; when unshare is, the first process inside is; and with it all others
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork"])
            .args(["--kill-child=SIGKILL", "--mount-proc", "--propagation", "private", "--"])
            .arg(runner)
            .args(["inside", "1"])
            .arg(&self.directory)
            .arg(&self.name)
            .arg("--")
            .arg(program)
            .args(args)
            .env(RUN_VARIABLE, &self.directory)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMPDIR")
            .env_remove("XDG_RUNTIME_DIR");
        for (name, value) in env {
            command.env(name, value);
        }
        let mut child = command.spawn().context("starting setpriv and unshare (package util-linux)")?;
        let end = Instant::now() + deadline;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let interrupted = interrupt.is_set();
            if interrupted || Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                if interrupted {
                    bail!("interrupted");
                }
                bail!("{} did not end within {} s", program.display(), deadline.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ok(exit_code(status))
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        remove(&self.directory, &self.name, self.keep);
    }
}

/// Removes what runs that were killed could not.
fn sweep(lab: &Path) {
    for entry in fs::read_dir(lab).into_iter().flatten().flatten() {
        let directory = entry.path();
        // a kept one has no lock file, and one that is being made has none yet
        let Ok(lock) = fs::File::open(directory.join(LOCK)) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(&directory, &format!("smbgw-lab-{}", entry.file_name().to_string_lossy()), false);
        }
    }
}

/// Removes the cgroups and the files of an environment.
fn remove(directory: &Path, name: &str, keep: bool) {
    // needs a cgroup2 mount, which the machine may lack: so in a mount namespace of its own
    let script = "mount -t cgroup2 none \"$1/cgroup\" || exit 0; cd \"$1/cgroup\" || exit 1; \
        for i in $(seq 50); do [ -d \"$2\" ] || exit 0; find \"$2\" -depth -type d -exec rmdir {} + 2>/dev/null; sleep 0.1; done; exit 1";
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(directory)
        .arg(name)
        .status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("lab: cgroup {name} could not be removed");
    }
    if keep {
        let _ = fs::remove_file(directory.join(LOCK));
        eprintln!("kept: {}", directory.display());
    } else if let Err(error) = fs::remove_dir_all(directory) {
        eprintln!("lab: {} could not be removed: {error}", directory.display());
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The first process inside: furnishes the namespaces, runs the program, and reaps what loses its parent.
///
/// Stage 1 moves into a cgroup of its own and starts itself again as stage 2 in a cgroup namespace, in which that
/// cgroup is the root.
///
/// # Errors
/// When something cannot be mounted, with what it was.
pub fn furnish(stage: u8, directory: &Path, name: &str, command: &[OsString]) -> Result<i32> {
    if stage == 1 {
        let hierarchy = directory.join("cgroup");
        attach("none", &hierarchy, "cgroup2", "", MountFlags::empty())?;
        let own = hierarchy.join(name);
        fs::create_dir_all(&own).with_context(|| format!("making the cgroup {}", own.display()))?;
        fs::write(own.join("cgroup.procs"), "0").context("moving into a cgroup of our own")?;
        unmount(&hierarchy, UnmountFlags::DETACH)?;
        let error = Command::new("unshare")
            .args(["--cgroup", "--"])
            .arg(std::env::current_exe()?)
            .args(["inside", "2"])
            .arg(directory)
            .arg(name)
            .arg("--")
            .args(command)
            .exec();
        return Err(error).context("starting unshare");
    }
    if let Err(error) = mounts(directory).and_then(|()| network()).and_then(|()| cgroups()) {
        eprintln!("the lab's environment could not be made: {error:#}");
        return Ok(NOT_MADE);
    }
    let Some((program, args)) = command.split_first() else { bail!("no program to run inside") };
    let child = Command::new(program)
        .args(args)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() as u32 == child.id() => {
                let signal = status.terminating_signal().unwrap_or(0);
                return Ok(status.exit_status().unwrap_or(128 + signal));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for the program inside"),
        }
    }
}

fn mounts(directory: &Path) -> Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    // the machine may have mounted several hierarchies here, one below the other
    while unmount("/sys/fs/cgroup", UnmountFlags::DETACH).is_ok() {}
    // a sysfs of this network namespace: lxc looks for bridges in it
    attach("sysfs", Path::new("/sys"), "sysfs", "", quiet | MountFlags::NOEXEC)?;
    attach("none", Path::new("/sys/fs/cgroup"), "cgroup2", "", quiet | MountFlags::NOEXEC)?;
    attach("tmpfs", Path::new("/dev/shm"), "tmpfs", "mode=1777", quiet)?;
    attach("tmpfs", Path::new("/run"), "tmpfs", "mode=755", quiet)?;
    fs::create_dir_all("/run/lock")?;

    let upper = directory.join("upper");
    attach("tmpfs", &upper, "tmpfs", "mode=755", quiet)?;
    for target in OVERLAYS {
        let (top, work) = (upper.join(&target[1..]), upper.join(".work").join(&target[1..]));
        fs::create_dir_all(&top)?;
        fs::create_dir_all(&work)?;
        let options = format!("lowerdir={target},upperdir={},workdir={}", top.display(), work.display());
        attach("overlay", Path::new(target), "overlay", &options, MountFlags::empty())?;
    }
    for (from, to) in [("state", "/var/lib/pve-smbgateway"), ("log", "/var/log/pve-smbgateway")] {
        fs::create_dir_all(to)?;
        mount_bind(directory.join(from), to).with_context(|| format!("mounting {to}"))?;
    }
    Ok(())
}

fn attach(source: &str, target: &Path, kind: &str, options: &str, flags: MountFlags) -> Result<()> {
    let options = std::ffi::CString::new(options)?;
    mount(source, target, kind, flags, options.as_c_str())
        .with_context(|| format!("mounting {kind} on {}", target.display()))
}

fn network() -> Result<()> {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .context("starting ip (package iproute2)")?;
    if !status.success() {
        bail!("`ip link set lo up` failed");
    }
    Ok(())
}

/// Moves us out of the root cgroup, which must be empty before its children can have limits, into the leaf that lxc
/// leaves out when it looks for the place of its containers. Controllers that the machine does not give are not there.
fn cgroups() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let leaf = root.join("init.scope");
    fs::create_dir_all(&leaf).context("making a cgroup")?;
    fs::write(leaf.join("cgroup.procs"), "0").context("moving into a cgroup")?;
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    Ok(())
}

/// The run directory, when this process is inside.
///
/// # Errors
/// When it is not: with what to run instead.
pub fn require() -> Result<PathBuf> {
    let outside = "this test makes containers and works in the lab's own namespaces only: run `cargo xtask test --lab` as root";
    let directory = std::env::var_os(RUN_VARIABLE).map(PathBuf::from).context(outside)?;
    // whoever sets the variable by hand is still outside: there the first process is another one
    let first = fs::read_to_string("/proc/1/cmdline").unwrap_or_default();
    if !first.split('\0').any(|word| Path::new(word) == directory) {
        bail!(outside);
    }
    Ok(directory)
}
