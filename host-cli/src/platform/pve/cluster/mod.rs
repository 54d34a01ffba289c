//! The cluster file system of Proxmox VE, `/etc/pve` (pmxcfs; PVE 8.4 and 9.2), and what of ours is in it.
//!
//! * [`files`]: reading, replacing, quorum · [`lock`]: one writer in the cluster
//! * [`members`]: nodes, and which guest is on which (pure) · [`section`]: section-config format (pure)
//! * [`registry`]: our own file, `smbgateway.cfg`

pub mod files;
pub mod lock;
pub mod members;
pub mod registry;
pub mod section;

pub use files::ClusterFiles;
