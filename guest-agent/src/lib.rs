//! `smbgw-agent` runs in every gateway. It takes the desired state over a root-only unix socket, makes Samba match
//! it, and tells how the gateway is (docs/agent.md).
//!
//! * [`cli`]: the command line; [`serve`]: the service; [`call`], [`stash`]: one request to it, for hosts without the
//!   socket
//! * [`api`]: router and resources: one file each, no decisions
//! * [`apply`]: from desired state to a plan (pure), and from the plan to the gateway; [`state`]: what was applied
//! * [`samba`]: smb.conf, testparm, accounts, smbstatus, SMB2 negotiation
//! * [`domain`]: Active Directory
//! * [`storage`]: mounts and the disk of a gateway in a virtual machine
//! * [`quota`]: the size of shares that have one
//! * [`accounts`]: passwd and group files; [`services`]: systemd
//! * [`health`], [`metrics`], [`events`], [`probe`], [`system`]: what is seen of a running gateway
//! * [`traffic`], [`logons`], [`processes`]: what figures are made of
//! * [`agent`]: what all requests share; [`instance`]: which Samba is ours; [`paths`], [`files`], [`error`]: small common ground
//!
//! Parsers and planners take text and values; only readers and runners touch the world. No name service is ever
//! asked (the program is linked statically): accounts are read from their files, addresses are numbers.

mod accounts;
mod agent;
mod api;
mod apply;
mod call;
mod cli;
mod domain;
mod error;
mod events;
mod files;
mod health;
mod instance;
mod logons;
mod metrics;
mod paths;
mod probe;
mod processes;
mod quota;
mod recycle;
mod samba;
mod serve;
mod services;
mod stash;
mod state;
mod storage;
mod system;
mod traffic;

pub use cli::run;
