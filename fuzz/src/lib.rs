//! What must hold of the builder's readers and writers for any input: one function a fuzz target, by its name.
//!
//! `fuzz_targets/NAME.rs` gives a function what libFuzzer makes up; `builder/tests/corpus.rs` includes this file and gives
//! it what is in `corpus/NAME`, with the stable toolchain. A function returns when all holds, and panics otherwise.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

mod deb;
mod deb822;
mod disk;
mod documents;
mod dpkg_status;
mod ext4;
mod glob;
mod qcow2;
mod tar;
mod tree;

pub use deb::deb;
pub use deb822::deb822;
pub use disk::disk_read;
pub use documents::documents;
pub use dpkg_status::dpkg_status;
pub use ext4::ext4;
pub use glob::glob;
pub use qcow2::{qcow2_read, qcow2_write};
pub use tar::tar;
pub use tree::tree;

/// A property.
pub type Property = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Property); 11] = [
    ("deb", deb),
    ("deb822", deb822),
    ("disk_read", disk_read),
    ("documents", documents),
    ("dpkg_status", dpkg_status),
    ("ext4", ext4),
    ("glob", glob),
    ("qcow2_read", qcow2_read),
    ("qcow2_write", qcow2_write),
    ("tar", tar),
    ("tree", tree),
];

/// A file in memory, and the path by which this process opens it.
fn memory_file() -> (File, PathBuf) {
    let descriptor = rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
    let file = File::from(descriptor);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
}
