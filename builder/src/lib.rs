//! Builds SMB gateway templates: a recipe and a lock in; a `.tar.zst` for containers or a `.qcow2` for virtual machines out, with
//! manifest, bill of materials and checksums.
//!
//! The way through, one module a step:
//!
//! * [`recipe`]: what a template is made of (YAML) · [`form`]: container or virtual machine
//! * [`lock`]: every package by version and hash (JSON)
//! * [`resolve`]: recipe → lock, by apt in a root of its own ([`apt`], [`uris`], [`deb822`], [`debversion`], [`essential`])
//! * [`fetch`]: lock → [`store`], files by their hash · [`repo`]: store → private archive ([`deb`])
//! * [`engine`]: packages → tar of a root file system; our own, or mmdebstrap from a private archive
//! * [`tree`]: a root file system in memory, and its deterministic tar · [`cache`]: keeps trees
//! * [`normalise`], [`slim`]: what goes · [`marks`], [`overlay`], [`agent`], [`units`]: what comes · [`lint`]: what must hold
//! * [`initrd`], [`boot`], [`disk`], [`qcow2`]: what a virtual machine has besides
//! * [`tarball`], [`manifest`], [`sbom`], [`checksums`], [`outputs`]: the files that come out · [`sign`]: their signatures
//! * [`build`](mod@build): all of it in order · [`inspect`], [`verify`], [`reproduce`], [`diff`]: finished templates · [`size`]: what makes it big, and whether it may
//! * [`acl`], [`cli`], [`progress`], [`error`], [`workdir`], [`glob`], [`guid`], [`hash`], [`parallel`]: around it

pub mod acl;
pub mod agent;
pub mod apt;
pub mod boot;
pub mod build;
pub mod cache;
pub mod checksums;
pub mod cli;
pub mod deb;
pub mod deb822;
pub mod debversion;
pub mod diff;
pub mod disk;
pub mod engine;
pub mod error;
pub mod essential;
pub mod fetch;
pub mod form;
pub mod glob;
pub mod guid;
pub mod hash;
pub mod initrd;
pub mod inspect;
pub mod lint;
pub mod lock;
pub mod manifest;
pub mod marks;
pub mod normalise;
pub mod outputs;
pub mod overlay;
pub mod parallel;
pub mod progress;
pub mod qcow2;
pub mod recipe;
pub mod repo;
pub mod reproduce;
pub mod resolve;
pub mod sbom;
pub mod sign;
pub mod size;
pub mod slim;
pub mod sparse;
pub mod store;
pub mod tarball;
pub mod tree;
pub mod units;
pub mod uris;
pub mod verify;
pub mod workdir;

pub use build::{Built, Context, Options, PackageOptions, build, make_lock};
pub use error::{Category, Error};
