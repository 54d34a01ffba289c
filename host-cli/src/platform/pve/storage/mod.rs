//! Storages of Proxmox VE.
//!
//! * [`settings`]: `/etc/pve/storage.cfg` (pure) · [`choose`]: where guests and templates go (pure)
//! * [`place`]: directories that storages have for shares · [`data`]: disks for virtual machines

pub mod choose;
pub mod data;
pub mod place;
pub mod settings;
