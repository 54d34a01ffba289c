//! Virtual machines by QEMU. A machine's processes are in a control group of its own, which tells whether it runs, and by
//! which all of them can be ended; no pid file can be wrong.
//!
//! * [`config`]: command lines of QEMU and virtiofsd (pure) · [`accelerator`]: whether KVM works
//! * [`make`]: disk, seed, plan on disk · [`run`]: starting and stopping · [`mod@supervise`]: the process that holds it together
//! * [`control`]: QEMU's control socket · [`guest`]: the guest agent's channel, and what its silence means
//! * [`seed`]: the disk that cloud-init reads · [`data`]: the gateway's own disk on the node · [`claim`]: whose it is

mod accelerator;
mod claim;
pub mod config;
mod control;
pub mod data;
mod guest;
mod make;
mod run;
mod seed;
mod supervise;

use std::path::{Path, PathBuf};

pub(super) use self::guest::Guest;
pub use self::supervise::supervise;

/// QEMU's program.
const QEMU: &str = "qemu-system-x86_64";
/// Where virtiofsd is: Debian 13's package, or built from source. Not `/usr/lib/qemu/virtiofsd`: in Debian 12 that is the old
/// one in C, which has other options.
const VIRTIOFSD: [&str; 3] =
    ["/usr/libexec/virtiofsd", "/usr/local/libexec/virtiofsd", "/usr/local/bin/virtiofsd"];

/// virtiofsd, if it is installed.
pub fn virtiofsd() -> Option<&'static str> {
    VIRTIOFSD.into_iter().find(|path| Path::new(path).exists())
}

/// The control group of a machine.
pub(super) fn group(container: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(format!("smbgw.machine.{container}"))
}

/// A process of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Process id.
    pub(super) pid: u32,
    /// Arguments, the program first.
    pub(super) arguments: Vec<String>,
}

impl Process {
    fn is(&self, program: &str) -> bool {
        self.arguments.first().is_some_and(|first| first.rsplit('/').next() == Some(program))
    }
}

/// The processes in a machine's group. Those that have just ended are left out.
fn processes(group: &Path) -> Vec<Process> {
    let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.lines()
        .filter_map(|pid| {
            let pid: u32 = pid.parse().ok()?;
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let arguments = line
                .split(|byte| *byte == 0)
                .filter(|argument| !argument.is_empty())
                .map(|argument| String::from_utf8_lossy(argument).into_owned())
                .collect::<Vec<_>>();
            // a zombie has none
            (!arguments.is_empty()).then_some(Process { pid, arguments })
        })
        .collect()
}
