//! Storage inside a virtual machine, where the platform can mount nothing from outside: virtio-fs tags, and folders of
//! a disk of the gateway's own. In a container all of this is empty: `Storage::Mounted` needs nothing.
//!
//! PID 1 mounts, not the agent: it writes native `.mount` units (systemd.mount(5)), so that the same mounts come up at
//! boot without it, and a mount that hangs is systemd's to end.
//!
//! * [`mount`]: a mount as it should be; its unit, and whether it is there; [`escape`]: names of units
//! * [`mountinfo`]: what is mounted; [`units`]: unit files of ours
//! * [`device`], [`content`], [`superblock`]: the disk, what is on it, how large that is
//! * [`mod@format`], [`grow`]: what is done to it
//! * [`folder`], [`acl`]: folders on it, and who may enter them
//! * [`observe`], [`plan`] (pure), [`run`]: as in [`crate::apply`], of which they are a part
//! * [`answers`]: file systems asked with a deadline; [`check`]: what is wrong, for people

pub(crate) mod acl;
pub(crate) mod answers;
pub(crate) mod check;
pub(crate) mod content;
pub(crate) mod device;
pub(crate) mod escape;
pub(crate) mod folder;
pub(crate) mod format;
pub(crate) mod grow;
pub(crate) mod mount;
pub(crate) mod mountinfo;
pub(crate) mod observe;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod superblock;
pub(crate) mod units;
