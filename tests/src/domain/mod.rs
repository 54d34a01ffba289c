//! An Active Directory domain: Samba as domain controller, in namespaces of its own, as a machine on the bridge of the lab's gateways.
//!
//! Its root is an overlay over the machine's own file system or over a tree of another release, so the machine keeps its `/etc` and its
//! `/var`. The domain is provisioned once and kept in the cache (`provision`). What can go wrong with a controller is in
//! `fault`, its accounts in `directory`, who asks it for tickets in [`kerberos`], gateways in it in [`lab`].
//!
//! Source: Samba's wiki, "Setting up Samba as an Active Directory Domain Controller"; samba(8), samba-tool(8).

mod directory;
pub mod dns;
mod fault;
pub mod kerberos;
pub mod lab;
mod provision;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use smbgw_command::{Command, Interrupt, wait_until};

pub use self::directory::{Computer, value};
pub use self::fault::Fault;
pub use self::kerberos::Ticket;
pub use self::lab::DomainLab;
use crate::daemon::Daemon;
use crate::lab::PASSWORD;
use crate::smb::Client;
use crate::{Answer, files};

/// Kerberos realm, and in lower case the name in DNS.
pub const REALM: &str = "LAB.TEST";
/// NetBIOS name.
pub const WORKGROUP: &str = "LAB";
/// Where the account [`JOINER`] may make and delete computers, and nowhere else.
pub const GATEWAYS_OU: &str = "OU=Gateways,DC=lab,DC=test";
/// May make and delete computers in [`GATEWAYS_OU`]; nobody else may but the administrator.
pub const JOINER: &str = "joiner";
/// The password of [`JOINER`]; all others have [`PASSWORD`].
pub const JOINER_PASSWORD: &str = "Joiner-horse-8";
/// A group of the domain; `alice` is in it, `bob` is not.
pub const GROUP: &str = "Team";
/// An account without rights.
pub const NOBODY: &str = "norights";
/// An account that is disabled.
pub const DISABLED: &str = "disabled";
/// An account whose password must be changed first.
pub const EXPIRED: &str = "expired";
/// Its host name.
const HOST: &str = "dc1";
/// The bridge of gateways on a plain Debian machine, and the node on it (host-cli/src/platform/standalone/bridge.rs).
const BRIDGE: &str = "smbgw0";
const NODE: &str = "10.86.0.1";
/// Its address: gateways get theirs from the other end.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 86, 0, 250);
/// The node's end of its network cable.
const CABLE: &str = "domain0";
/// Its cgroup: what runs there counts as one thing for [`crate::Snapshot`].
const CGROUP: &str = "/sys/fs/cgroup/domain.scope";
/// For one command, and for a controller to serve on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// What serves when it is ready: DNS, Kerberos, RPC, LDAP, SMB, password changes.
const PORTS: [u16; 6] = [53, 88, 135, 389, 445, 464];

/// Makes the root file system and stays as the first process, which must reap: Samba waits for what nobody reaps.
/// The first line tells its process id as the lab sees it, while /proc is still the lab's.
const FIRST: &str = r#"set -e
read -r pid rest </proc/self/stat
mount -t tmpfs -o mode=755 domain "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" domain "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 domain dev/shm
mount -t tmpfs -o mode=755 domain run
mount -t tmpfs -o mode=1777 domain tmp
mkdir -p run/samba run/lock
hostname dc1
ip link set lo up
echo "$pid" >"$3"
exec chroot . /bin/sh -c 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done'
"#;

/// A running domain controller. When it is dropped, it is gone.
#[derive(Debug)]
pub struct DomainController {
    directory: PathBuf,
    pid: u32,
    cable: Option<String>,
    made_bridge: bool,
    wrong_dns: Option<dns::WrongServer>,
    wrong_clock: bool,
    // the order in which they end
    samba: Option<Daemon>,
    machine: Option<Daemon>,
}

impl DomainController {
    /// Starts one with the machine's own Samba, and waits until it serves.
    ///
    /// # Errors
    /// When one of its programs fails or does not answer in time.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_from(directory, Path::new("/"))
    }

    /// As [`Self::start`], with the Samba of a Debian 13, from the cache.
    ///
    /// # Errors
    /// As [`Self::start`], and when the tree is not there.
    pub fn start_debian_13(directory: &Path) -> Result<Self> {
        let tree = tree(&provision::cache()?);
        ensure!(
            tree.join("usr/sbin/samba").exists(),
            "no Samba in {}: run `cargo xtask test domain`",
            tree.display()
        );
        Self::start_from(directory, &tree)
    }

    fn start_from(directory: &Path, lower: &Path) -> Result<Self> {
        let directory = directory.join("domain");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        files::directory(&directory.join("root"), 0)?;
        fs::create_dir_all(CGROUP)?;
        let mut controller = Self {
            directory,
            pid: 0,
            cable: None,
            made_bridge: false,
            wrong_dns: None,
            wrong_clock: false,
            samba: None,
            machine: None,
        };
        controller.boot(lower)?;
        controller.attach()?;
        provision::restore(&controller, lower)?;
        controller.start_samba(None)?;
        Ok(controller)
    }

    /// Makes the namespaces.
    fn boot(&mut self, lower: &Path) -> Result<()> {
        let (root, told) = (self.directory.join("root"), self.directory.join("pid"));
        let mut command = in_cgroup();
        command
            .args(["unshare", "--mount", "--propagation", "private", "--net", "--uts", "--ipc", "--pid"])
            .args(["--fork", "--kill-child=SIGKILL", "sh", "-c", FIRST, "sh"])
            .args([&root, lower, &told]);
        let mut machine = Daemon::start(&mut command, &self.directory.join("machine.log"))?;
        let pid = machine.wait_for("the domain controller's machine", DEADLINE, || {
            fs::read_to_string(&told).ok()?.trim().parse().ok()
        })?;
        self.pid = pid;
        self.machine = Some(machine);
        Ok(())
    }

    /// Attaches it to the bridge of gateways, which is made if there is none: the product takes one that is there, and leaves one with ports.
    fn attach(&mut self) -> Result<()> {
        if !Path::new("/sys/class/net").join(BRIDGE).exists() {
            let bridge = format!(
                "link add name {BRIDGE} type bridge forward_delay 0 stp_state 0\naddress add {NODE}/24 dev {BRIDGE}\nlink set {BRIDGE} up\n"
            );
            ip(&[], &bridge)?;
            self.made_bridge = true;
        }
        let pid = self.pid;
        ip(
            &[],
            &format!(
                "link add {CABLE} type veth peer name eth0 netns {pid}\nlink set {CABLE} master {BRIDGE} up\n"
            ),
        )?;
        self.cable = Some(CABLE.to_owned());
        let inside =
            format!("address add {ADDRESS}/24 dev eth0\nlink set eth0 up\nroute add default via {NODE}\n");
        ip(&["nsenter", "--net", "-t", &pid.to_string()], &inside)
    }

    /// Starts Samba, its clock ahead by so many minutes.
    fn start_samba(&mut self, ahead: Option<i32>) -> Result<()> {
        let mut command = in_cgroup();
        command.args(self.inside());
        if let Some(minutes) = ahead {
            // its directory takes modules whose calls go past what is preloaded, unless it is told not to (ldb_modules.c)
            command.args(["env", "LDB_MODULES_DISABLE_DEEPBIND=1"]);
            command.args(["faketime", "-f", &format!("{minutes:+}m")]);
        }
        command.args(["samba", "-F", "--model=single", "--no-process-group", "--debug-stdout"]);
        let samba = Daemon::start(&mut command, &self.directory.join("samba.log"))?;
        self.samba = Some(samba);
        self.wrong_clock = ahead.is_some();
        self.wait_serving()
    }

    /// Waits until it serves.
    fn wait_serving(&mut self) -> Result<()> {
        let Some(mut samba) = self.samba.take() else { bail!("Samba has not been started") };
        let served = samba.wait_for("the domain controller", DEADLINE, || self.serves().then_some(()));
        self.samba = Some(samba);
        served
    }

    /// Whether all its ports answer, DNS names it, and a user can log on: that comes last.
    fn serves(&self) -> bool {
        let open = |port: u16| {
            TcpStream::connect_timeout(&SocketAddr::from((ADDRESS, port)), Duration::from_secs(1)).is_ok()
        };
        let named = dns::ask(ADDRESS, &format!("_ldap._tcp.{REALM}"), dns::SRV);
        PORTS.into_iter().all(open)
            && named.is_ok_and(|answer| answer.records > 0)
            && self.logs_on().is_ok_and(|answer| answer.code == 0)
    }

    /// By password, whatever the clock is.
    fn logs_on(&self) -> Result<Answer> {
        let user = format!("{WORKGROUP}\\{JOINER}");
        let client = Client::new(&self.directory, &self.address(), "sysvol", &user, JOINER_PASSWORD)?;
        client.option("--use-kerberos=off").run("ls")
    }

    /// Ends Samba, and lets its databases be closed first.
    fn stop_samba(&mut self) -> Result<()> {
        let Some(_samba) = self.samba.take() else { return Ok(()) };
        self.signal("TERM")?;
        // not by what started it: faketime is a process of its own, and ends at once
        let ended = || (!samba_runs()).then_some(());
        if wait_until("the end of Samba", Duration::from_secs(20), &Interrupt::new(), ended).is_err() {
            self.signal("KILL")?;
            wait_until("the end of a killed Samba", DEADLINE, &Interrupt::new(), ended)?;
        }
        Ok(())
    }

    /// Sends a signal to all that runs there but the first process.
    fn signal(&self, signal: &str) -> Result<()> {
        // the shell that sends it gets it, too
        Answer::of(&self.command(["sh", "-c", &format!("kill -{signal} -1")])).map(drop)
    }

    /// The start of a command in its namespaces. Source: nsenter(1).
    fn inside(&self) -> Vec<String> {
        let pid = self.pid.to_string();
        ["nsenter", "-t", &pid, "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--"].map(str::to_owned).to_vec()
    }

    /// A command there.
    pub fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let inside = self.inside();
        Command::new("sh")
            .args(["-c", ENTER, CGROUP])
            .args(inside.iter().map(String::as_str))
            .args(words)
            .deadline(DEADLINE)
    }

    /// Runs a command there.
    ///
    /// # Errors
    /// When it fails.
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&self.command(words))?.ok()
    }

    /// Runs `samba-tool`, past any right.
    ///
    /// # Errors
    /// When it fails.
    pub fn samba_tool(&self, args: &[&str]) -> Result<Answer> {
        self.run(["samba-tool"].into_iter().chain(args.iter().copied()))
    }

    /// Its address, which is also that of the domain's name server.
    pub fn address(&self) -> String {
        ADDRESS.to_string()
    }

    /// Its name in DNS.
    pub fn name(&self) -> String {
        format!("{HOST}.{}", REALM.to_lowercase())
    }

    /// A file with the password of [`JOINER`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn joiner_file(&self) -> Result<String> {
        let path = self.directory.join("joiner");
        files::secret_file(&path, &format!("{JOINER_PASSWORD}\n"))?;
        Ok(path.display().to_string())
    }

    /// A ticket of a user of the domain, who has [`PASSWORD`].
    ///
    /// # Errors
    /// When the domain refuses.
    pub fn ticket(&self, user: &str) -> Result<Ticket> {
        Ticket::get(&self.directory, user, PASSWORD)
    }

    /// Ends it and removes its files.
    ///
    /// # Errors
    /// When something does not end or cannot be removed.
    pub fn stop(mut self) -> Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        drop(self.wrong_dns.take());
        // the first process goes, and with it all others
        drop(self.machine.take());
        drop(self.samba.take());
        if let Some(cable) = self.cable.take() {
            // the kernel may have been quicker
            let _ = ip(&[], &format!("link delete {cable}\n"));
        }
        let ports = Path::new("/sys/class/net").join(BRIDGE).join("brif");
        // with gateways on it, it is the product's
        if self.made_bridge && fs::read_dir(ports).is_ok_and(|mut ports| ports.next().is_none()) {
            ip(&[], &format!("link delete {BRIDGE}\n"))?;
        }
        self.made_bridge = false;
        let gone = || (!Path::new(CGROUP).exists() || fs::remove_dir(CGROUP).is_ok()).then_some(());
        wait_until("the end of the domain controller", Duration::from_secs(20), &Interrupt::new(), gone)?;
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        Ok(())
    }
}

impl Drop for DomainController {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("lab: the domain controller could not be removed: {error:#}");
        }
    }
}

/// Where the cache has the root file system of a Debian 13 with Samba's domain controller.
pub fn tree(cache: &Path) -> PathBuf {
    cache.join("domain/debian-13")
}

/// Whether any process of Samba is in its cgroup.
fn samba_runs() -> bool {
    let processes = fs::read_to_string(Path::new(CGROUP).join("cgroup.procs")).unwrap_or_default();
    let is_samba = |pid: &str| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        ["samba", "smbd", "winbindd", "tfork"].iter().any(|program| name.starts_with(program))
    };
    processes.lines().any(is_samba)
}

/// Moves itself into the cgroup that is its own name, and becomes its arguments.
const ENTER: &str = "echo 0 >\"$0/cgroup.procs\" && exec \"$@\"";

fn in_cgroup() -> Process {
    let mut command = Process::new("sh");
    command.args(["-c", ENTER, CGROUP]);
    command
}

/// Runs commands of ip(8).
fn ip(before: &[&str], commands: &str) -> Result<()> {
    let words = [before, &["ip", "-batch", "-"]].concat();
    let (program, args) = words.split_first().context("no program")?;
    let command = Command::new(*program).args(args.iter().copied()).stdin(commands).deadline(DEADLINE);
    Answer::of(&command)?.ok().map(drop)
}
