//! Simulated Proxmox VE nodes (`tests/pve`), each in a mount namespace of its own inside the lab's environment.
//!
//! * [`cases`]: what their own tests have in common
//! * [`lab`]: [`NodeLab`], the product on them
//! * [`journal`]: commands that meet faults there
//! * [`monitor`]: [`NodeMonitor`], `pve-smbgateway serve` on one of them
//!
//! All nodes share the lab's network, with the bridge `vmbr0`, and nodes of one cluster share its `/etc/pve`.

pub mod cases;
pub mod journal;
pub mod lab;
pub mod monitor;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Command, Interrupt, wait_until};

pub use self::journal::FaultCase;
pub use self::lab::NodeLab;
pub use self::monitor::NodeMonitor;
use crate::{Answer, Product, Snapshot};

/// The bridge of all nodes.
pub const BRIDGE: &str = "vmbr0";
/// Address of the node on the bridge, with the length of the network.
pub const ADDRESS: &str = "10.10.10.254/24";
/// Until a node is there.
const READY: Duration = Duration::from_secs(30);
/// For one call.
const CALL: Duration = Duration::from_secs(300);
/// What is a node's own, and can be seen from outside.
const OWN: &[&str] = &["run", "vz", "lxc", "pools", "state"];

/// A call of one of Proxmox VE's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The node it was made on.
    pub node: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Exit code; none when it was killed, or still runs.
    pub code: Option<i64>,
}

impl Call {
    /// Program and verb, as `pct create`; of pvesh the path too.
    pub fn verb(&self) -> String {
        let count = if self.argv.first().is_some_and(|program| program == "pvesh") { 3 } else { 2 };
        self.argv.iter().take(count).map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// A cluster. Its bridge and files are gone when its last node is.
#[derive(Debug)]
struct World {
    directory: PathBuf,
    own_bridge: bool,
}

/// A node. When it is dropped, its guests and mounts are gone.
#[derive(Debug)]
pub struct PveNode {
    /// Its name.
    pub name: String,
    /// Its version, as `9.2`.
    pub release: String,
    holder: Child,
    world: Arc<World>,
}

impl PveNode {
    /// Starts a node that is alone. `directory` is the lab's, `release` one of 8.4, 9.0, 9.1, 9.2.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(product: &Product, directory: &Path, release: &str, name: &str) -> Result<Self> {
        let mut nodes = Self::cluster(product, directory, release, &[name])?;
        nodes.pop().context("no node")
    }

    /// Starts the nodes of a cluster.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn cluster(product: &Product, directory: &Path, release: &str, names: &[&str]) -> Result<Vec<Self>> {
        let world = Arc::new(World::new(product, &directory.join("pve"))?);
        names.iter().map(|name| Self::join(&world, release, name, &names.join(","))).collect()
    }

    fn join(world: &Arc<World>, release: &str, name: &str, members: &str) -> Result<Self> {
        let own = world.directory.join(name);
        fs::create_dir_all(&own)?;
        let log = fs::File::create(own.join("node.log"))?;
        let holder = Process::new("unshare")
            .args(["--mount", "--uts", "--propagation", "private", "--"])
            .arg(world.program())
            .arg("node")
            .arg(&world.directory)
            .args([name, release, members])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting unshare")?;
        let mut node =
            Self { name: name.to_owned(), release: release.to_owned(), holder, world: Arc::clone(world) };
        let (ready, holder) = (own.join("ready"), &mut node.holder);
        let waited =
            wait_until(&format!("node {name}"), READY, &Interrupt::new(), || match holder.try_wait() {
                Ok(None) => ready.exists().then_some(true),
                _ => Some(false),
            });
        let said = fs::read_to_string(own.join("node.log")).unwrap_or_default();
        ensure!(matches!(waited, Ok(true)), "node {name} did not come up: {said}");
        Ok(node)
    }

    /// A program on the node.
    pub fn command(&self, program: &str) -> Command {
        let [mount, uts] = self.namespaces();
        Command::new("nsenter").args([&mount, &uts, "--", program]).deadline(CALL)
    }

    /// A program on the node that runs beside a test.
    pub fn process(&self, program: &str) -> Process {
        let mut process = Process::new("nsenter");
        process.args(self.namespaces()).args(["--", program]);
        process
    }

    fn namespaces(&self) -> [String; 2] {
        let pid = self.holder.id();
        [("mount", "mnt"), ("uts", "uts")].map(|(option, name)| format!("--{option}=/proc/{pid}/ns/{name}"))
    }

    /// Runs a program on the node; every exit code is an answer.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn run<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&self.command(program).args(args))
    }

    /// Runs a line of words, as `pct start 101`.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn line(&self, line: &str) -> Result<Answer> {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let program = words.next().context("no program")?;
        self.run(program, words)
    }

    /// What `pvesh get PATH` answers.
    ///
    /// # Errors
    /// When it fails.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.run("pvesh", ["get", path, "--output-format", "json"])?.ok()?.json()
    }

    /// Puts a program into the node, as a package would.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn install(&self, from: &Path, to: &str) -> Result<()> {
        self.run("install", ["-m", "755", &from.display().to_string(), to])?.ok().map(drop)
    }

    /// A path of the node, as it is reached from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.holder.id()))
    }

    /// A file below /etc/pve, past the cluster file system.
    pub fn stored(&self, path: &str) -> PathBuf {
        self.world.directory.join("etc").join(path)
    }

    /// The configuration file of a container.
    ///
    /// # Errors
    /// When there is none.
    pub fn container(&self, vmid: u32) -> Result<String> {
        let path = self.stored(&format!("nodes/{}/lxc/{vmid}.conf", self.name));
        fs::read_to_string(&path).with_context(|| format!("no container {vmid}"))
    }

    /// The configuration file of a virtual machine.
    ///
    /// # Errors
    /// When there is none.
    pub fn machine(&self, vmid: u32) -> Result<String> {
        let path = self.stored(&format!("nodes/{}/qemu-server/{vmid}.conf", self.name));
        fs::read_to_string(&path).with_context(|| format!("no virtual machine {vmid}"))
    }

    fn control(&self, name: &str) -> PathBuf {
        self.world.directory.join("control").join(name)
    }

    /// All calls on all nodes of the cluster so far, in the order in which they began.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn calls(&self) -> Result<Vec<Call>> {
        let text = fs::read_to_string(self.control("calls")).unwrap_or_default();
        let mut calls: Vec<Call> = Vec::new();
        for line in text.lines() {
            let entry: Value = serde_json::from_str(line)?;
            let argv = entry["argv"].as_array().into_iter().flatten();
            let argv: Vec<String> = argv.filter_map(Value::as_str).map(str::to_owned).collect();
            let node = entry["node"].as_str().unwrap_or_default().to_owned();
            match entry["code"].as_i64() {
                None => calls.push(Call { node, argv, code: None }),
                Some(code) => {
                    let open =
                        |call: &&mut Call| call.code.is_none() && call.node == node && call.argv == argv;
                    if let Some(call) = calls.iter_mut().rev().find(open) {
                        call.code = Some(code);
                    }
                }
            }
        }
        Ok(calls)
    }

    /// Forgets the calls so far.
    ///
    /// # Errors
    /// When the list cannot be removed.
    pub fn forget_calls(&self) -> Result<()> {
        let path = self.control("calls");
        if path.exists() {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// All notifications that were sent on all nodes of the cluster: severity, template, data, fields, and what the templates made.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn notifications(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.control("notifications")).unwrap_or_default();
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Lets something go wrong: `2 kill pct create` for the next two calls that have these words in this order, `*` for all.
    /// Faults: lock-timeout, storage-full, quorum-before, quorum-middle, quorum-after, warning, task-error, kill, kill-late, kill-after,
    /// hang, hang-after, taken, no-agent, agent-timeout, `fail=SOME_WORDS`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn fault(&self, line: &str) -> Result<()> {
        let mut text = fs::read_to_string(self.control("faults")).unwrap_or_default();
        text.push_str(&format!("{line}\n"));
        Ok(fs::write(self.control("faults"), text)?)
    }

    /// The faults that no call has met.
    pub fn faults(&self) -> Vec<String> {
        let text = fs::read_to_string(self.control("faults")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Forgets all faults.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn no_faults(&self) -> Result<()> {
        Ok(fs::write(self.control("faults"), "")?)
    }

    /// Whether the cluster has its quorum.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn quorum(&self, there: bool) -> Result<()> {
        Ok(fs::write(self.control("quorum"), if there { "1" } else { "0" })?)
    }

    /// How many seconds the cluster file system is ahead, by which locks grow old.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn clock(&self, ahead: u64) -> Result<()> {
        Ok(fs::write(self.control("clock"), ahead.to_string())?)
    }

    /// Lets the node's /etc/pve be without connection: for so many requests, or until `Some(0)`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn disconnect(&self, requests: Option<u32>) -> Result<()> {
        let path = self.control(&format!("down-{}", self.name));
        match requests {
            Some(0) if path.exists() => fs::remove_file(path)?,
            Some(0) => {}
            Some(count) => fs::write(path, count.to_string())?,
            None => fs::write(path, "")?,
        }
        Ok(())
    }

    /// Adds a section to storage.cfg, or replaces the one of this name. `lines` are `key value`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn storage(&self, kind: &str, id: &str, lines: &[&str]) -> Result<()> {
        let path = self.stored("storage.cfg");
        let text = fs::read_to_string(&path)?;
        let mut sections: Vec<&str> =
            text.split("\n\n").map(str::trim).filter(|section| !section.is_empty()).collect();
        sections
            .retain(|section| section.lines().next().and_then(|line| line.split(": ").nth(1)) != Some(id));
        let lines: String = lines.iter().map(|line| format!("\t{line}\n")).collect();
        let mut text: String = sections.iter().map(|section| format!("{section}\n\n")).collect();
        text.push_str(&format!("{kind}: {id}\n{lines}\n"));
        Ok(fs::write(path, text)?)
    }

    /// What storages say of themselves: `{"ID": {"active": 0, "full": 1, "total": …, "used": …, "content": [VOLID…]}}`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn storages_say(&self, said: &Value) -> Result<()> {
        Ok(fs::write(self.control("storages"), said.to_string())?)
    }

    /// What the machine and all nodes of the cluster look like.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn snapshot(&self, directory: &Path) -> Result<Snapshot> {
        Snapshot::with(directory, &self.roots())
    }

    /// Expects that nothing has changed since a snapshot.
    ///
    /// # Errors
    /// With each thing that differs.
    pub fn expect_same(&self, before: &Snapshot, directory: &Path) -> Result<()> {
        before.expect_same_with(directory, &self.roots())
    }

    /// Where the cluster's things are: its files, volumes, and what each node has of its own.
    fn roots(&self) -> Vec<PathBuf> {
        let world = &self.world.directory;
        let mut roots = vec![world.join("etc"), world.join("shared")];
        for entry in fs::read_dir(world).into_iter().flatten().flatten() {
            if entry.path().join("ready").exists() {
                roots.extend(OWN.iter().map(|name| entry.path().join(name)));
            }
        }
        roots
    }
}

impl Drop for PveNode {
    fn drop(&mut self) {
        // guests first: their root file systems are in use
        let own = self.world.program().display().to_string();
        let _ = Answer::of(&self.command(&own).args(["end"]));
        end_those_in(self.holder.id());
        // one that something just ended was about to start
        let _ = Answer::of(&self.command(&own).args(["end"]));
        // it serves until its stdin ends
        drop(self.holder.stdin.take());
        let holder = &mut self.holder;
        let ended = || holder.try_wait().ok().flatten();
        if wait_until("the end of a node", Duration::from_secs(10), &Interrupt::new(), ended).is_err() {
            let _ = self.holder.kill();
            let _ = self.holder.wait();
        }
        let _ = fs::remove_file(self.world.directory.join(&self.name).join("ready"));
    }
}

/// Ends what still runs in a node's mount namespace, but for the node itself.
fn end_those_in(holder: u32) {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = namespace(&holder.to_string());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.parse::<i32>().ok().and_then(rustix::process::Pid::from_raw) else { continue };
        if name != holder.to_string() && own.is_some() && namespace(&name) == own {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

impl World {
    fn new(product: &Product, parent: &Path) -> Result<Self> {
        fs::create_dir_all(parent)?;
        let directory = (0..1000).map(|number| parent.join(number.to_string())).find(|path| !path.exists());
        let directory = directory.context("no name for a cluster")?;
        fs::create_dir(&directory)?;
        let mut world = Self { directory, own_bridge: false };
        fs::copy(product.program("pve-sim"), world.program()).context("the simulator is not built")?;
        fs::create_dir(world.directory.join("control"))?;
        fs::write(world.directory.join("control/faults"), "")?;
        if !Path::new("/sys/class/net").join(BRIDGE).exists() {
            let ip = |line: &str| Answer::of(&Command::new("ip").args(line.split(' ')))?.ok();
            ip(&format!("link add {BRIDGE} type bridge"))?;
            world.own_bridge = true;
            ip(&format!("address add {ADDRESS} dev {BRIDGE}"))?;
            ip(&format!("link set {BRIDGE} up"))?;
        }
        Ok(world)
    }

    fn program(&self) -> PathBuf {
        self.directory.join("pve-sim")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.own_bridge {
            let _ = Answer::of(&Command::new("ip").args(["link", "delete", BRIDGE]));
        }
        for cgroup in ["lxc.pivot", "qemu.slice"] {
            let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(cgroup));
        }
        if std::env::var_os("SMBGW_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}
