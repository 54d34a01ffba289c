//! Everything that is asked of Proxmox VE and the few tools beside it, one type a command line. All are plain data: a test
//! collects one of each and checks it against what Proxmox VE 8.4 and 9.2 accept.
//!
//! * [`pct`], [`qm`]: what makes a task on this node; these wait for its end, and their exit code is its result
//! * [`pvesh`]: what is read, and directory mappings, which make no task
//! * [`pvesm`]: where a volume is · [`node`]: versions of packages, ZFS, another node
//! * [`property`]: property strings, `a=b,c=d`

pub mod node;
pub mod pct;
pub mod property;
pub mod pvesh;
pub mod pvesm;
pub mod qm;
#[cfg(test)]
mod schema_tests;

use smbgw_command::{Command, CommandError, Output, Runner};

/// Id of a guest, 100 to 999999999 (PVE 8.4 and 9.2, format `pve-vmid`).
pub type GuestId = u32;

/// What every command line's type can.
pub trait External {
    /// The command, ready to be run.
    fn command(&self) -> Command;
}

macro_rules! calls {
    ($($(#[$meta:meta])* $name:ident($type:ty)),* $(,)?) => {
        /// Any command line that this platform can produce.
        #[derive(Debug, Clone)]
        pub enum Call {
            $($(#[$meta])* $name($type),)*
        }

        #[cfg(test)]
        impl Call {
            /// Names of all variants.
            pub(crate) const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Name of this variant.
            pub(crate) fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }
        }

        impl External for Call {
            fn command(&self) -> Command {
                match self { $(Self::$name(call) => call.command(),)* }
            }
        }

        $(impl From<$type> for Call {
            fn from(call: $type) -> Self {
                Self::$name(call)
            }
        })*
    };
}

calls!(
    /// Make a container.
    PctCreate(pct::Create),
    /// Change a container.
    PctSet(pct::Set),
    /// Change whether a container starts with the node.
    PctOnboot(pct::Onboot),
    /// Start a container.
    PctStart(pct::Start),
    /// Stop a container.
    PctShutdown(pct::Shutdown),
    /// Remove a container.
    PctDestroy(pct::Destroy),
    /// Free a container from the lock of a task that was killed.
    PctUnlock(pct::Unlock),
    /// Make the guest that virtual machines are cloned from.
    QmCreate(qm::Create),
    /// Turn it into a template.
    QmTemplate(qm::Template),
    /// Clone it.
    QmClone(qm::Clone),
    /// Change a virtual machine.
    QmSet(qm::Set),
    /// Start a virtual machine.
    QmStart(qm::Start),
    /// Stop a virtual machine.
    QmShutdown(qm::Shutdown),
    /// Let a virtual machine go on.
    QmResume(qm::Resume),
    /// Remove a virtual machine.
    QmDestroy(qm::Destroy),
    /// Free a virtual machine from the lock of a task that was killed.
    QmUnlock(qm::Unlock),
    /// Run a program in a virtual machine.
    QmGuestExec(qm::GuestExec),
    /// Ask the guest agent whether file systems are frozen.
    QmFreezeStatus(qm::FreezeStatus),
    /// Ask for a free id.
    PveshNextId(pvesh::NextId),
    /// List a node's storages.
    PveshStorages(pvesh::Storages),
    /// List the disks on a storage.
    PveshVolumes(pvesh::Volumes),
    /// Ask how a guest is.
    PveshStatus(pvesh::Status),
    /// List a node's guests of one kind.
    PveshGuests(pvesh::Guests),
    /// List the tasks that work on a guest.
    PveshTasks(pvesh::Tasks),
    /// Make a directory mapping.
    PveshMap(pvesh::Map),
    /// Change a directory mapping.
    PveshRemap(pvesh::Remap),
    /// Remove a directory mapping.
    PveshUnmap(pvesh::Unmap),
    /// Ask where a volume is.
    PvesmPath(pvesm::Path),
    /// Remove a template's archive.
    PvesmFree(pvesm::Free),
    /// Ask for the versions of packages.
    DpkgVersions(node::Versions),
    /// Make a dataset.
    ZfsCreate(node::ZfsCreate),
    /// Ask for a dataset's property.
    ZfsGet(node::ZfsGet),
    /// Remove a dataset.
    ZfsDestroy(node::ZfsDestroy),
    /// Ask an agent on another node.
    SshRelay(node::Relay),
);

impl Call {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run(call: impl Into<Self>, runner: &dyn Runner) -> Result<Output, CommandError> {
        runner.run(&call.into().command())
    }
}

/// `1` or `0`, as Proxmox VE writes truth values.
fn bit(value: bool) -> String {
    u8::from(value).to_string()
}
