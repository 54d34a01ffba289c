//! `pve-smbgateway`: makes gateways, changes them, deletes them, and never leaves half of one.
//!
//! A verb goes the same way each time: parse → observe (reads only) → plan (pure) → run (journalled).
//!
//! * [`cli`]: the command line, one file a verb
//! * [`plan`]: what a verb does, as steps; pure
//! * [`step`]: the steps, one file each, with their undo
//! * [`operation`]: running a plan: locks, journal, progress, audit
//! * [`platform`]: where gateways run
//! * [`record`]: what the node remembers of a gateway
//! * [`cloud_init`]: what a virtual machine is told at boot
//! * [`link`]: how the host reaches an agent
//! * [`kept_secrets`]: secrets of computer accounts that outlive their gateways
//! * [`monitor`]: the service that watches gateways
//! * [`storage`]: looking at the directories that are shared
//! * [`quota`]: how much they may hold
//! * [`password`], [`joiner`], [`csv`]: where passwords and users come from
//! * [`output`]: what a person or a program sees
//! * [`error`]: errors with category, code and hint; exit codes

pub mod cli;
pub mod cloud_init;
pub mod csv;
pub mod durable;
pub mod error;
pub mod joiner;
pub mod kept_secrets;
pub mod link;
pub mod monitor;
pub mod operation;
pub mod output;
pub mod password;
pub mod paths;
pub mod plan;
pub mod platform;
pub mod quota;
pub mod record;
pub mod step;
pub mod storage;
pub mod world;

pub use error::{Category, Error, Result};
