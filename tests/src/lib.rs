//! The lab: the product on real LXC and real Samba, in namespaces of its own, so that the machine itself stays as
//! it is. `cargo xtask test` brings the tests into it; run anywhere else they fail and say so.
//!
//! * [`environment`]: the namespaces, made from outside ([`Environment`]) and furnished from inside
//! * [`product`]: the programs under test, each run with a deadline
//! * [`smb`]: `smbclient`, with its password in a file
//! * [`leftovers`]: what the machine looks like, and what differs later
//! * [`memory`]: memory of a gateway by process
//! * [`files`]: directories, random files, hashes
//! * [`daemon`]: programs that run beside a test
//! * [`torture`]: `smbtorture`, Samba's own tests of a server
//! * [`canary`]: a password that must be nowhere
//! * [`ceph`]: a Ceph cluster of one machine
//! * [`domain`]: an Active Directory domain controller, and what can go wrong with it
//! * [`qemu`]: a virtual machine from an image, without the product
//! * [`native`]: a node that was started by systemd, and [`NativeNode`], the product on it
//! * [`pve`]: simulated nodes of Proxmox VE, and [`NodeLab`], the product on them
//! * [`monitor`]: the service that watches gateways, and Prometheus
//! * [`lab`]: [`Lab`], what a test holds while it runs

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "this is test harness: it starts and watches processes itself"
)]

pub mod canary;
pub mod ceph;
pub mod daemon;
pub mod domain;
pub mod environment;
pub mod files;
pub mod lab;
pub mod leftovers;
pub mod memory;
pub mod monitor;
pub mod native;
pub mod product;
pub mod pve;
pub mod qemu;
pub mod smb;
pub mod torture;

pub use ceph::{Ceph, CephFs};
pub use daemon::Daemon;
pub use domain::{DomainController, DomainLab, Fault, Ticket};
pub use environment::{Environment, Inside};
pub use lab::{Gateway, Lab};
pub use leftovers::Snapshot;
pub use monitor::{Monitor, Prometheus};
pub use native::NativeNode;
pub use product::{Answer, Product};
pub use pve::{FaultCase, NodeLab, NodeMonitor, PveNode};
pub use qemu::Machine;
pub use smb::{Client, Session};
