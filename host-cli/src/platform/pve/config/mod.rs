//! What a gateway's guest is in Proxmox VE's own terms.
//!
//! * [`guest`]: reading a guest's configuration file, and the lines of it that we write ourselves (pure)
//! * [`mod@file`]: finding that file, and editing it under the guest's lock
//! * [`container`], [`machine`]: a plan as options of `pct` and `qm` (pure)
//! * [`marker`]: what tells a guest of ours from others (pure)

pub mod container;
pub mod file;
pub mod guest;
pub mod machine;
pub mod marker;
