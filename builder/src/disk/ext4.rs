//! The root file system: a tree as ext4, and back to the paths in it.

mod attributes;
mod read;
mod write;

pub use read::{Reader, files_in, open, paths};
pub use write::{Place, write};

/// The file system's label.
pub(super) const LABEL: &str = "smbgw-root";
