//! The cluster file system, /etc/pve. It behaves as pmxcfs of pve-cluster 8 and 9: src/pmxcfs/{pmxcfs,memdb,dcdb,status}.c.
//!
//! What is stored lies in a plain directory that all nodes of a cluster share; modes, owners and refusals are made up here.
//!
//! * [`tree`]: paths, modes and the rules of changes
//! * [`generated`]: `.members`, `.vmlist`, `.version`
//! * [`fuse`]: the kernel's side

pub mod fuse;
pub mod generated;
pub mod tree;
