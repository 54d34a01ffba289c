//! Looking at the directories that are shared.
//!
//! * [`mod@inspect`]: facts of a directory; changes nothing
//! * [`acl`]: POSIX ACLs as the kernel stores them
//! * [`access`]: who may write (pure)

pub mod access;
pub mod acl;
pub mod inspect;

pub use access::may_write;
pub use acl::{Acl, Named};
pub use inspect::{CEPH_FUSE, StorageFacts, expect, filesystem_of, inspect, open_directory};
