//! The agent: the one file in a template that does not come from Debian.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::hash;
use crate::recipe::Agent;
use crate::tree::{Entry, Tree};

/// The unit's name.
pub const UNIT: &str = "smbgw-agent.service";
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// The agent's binary and unit.
#[derive(Debug, Clone)]
pub struct AgentFiles {
    binary: Vec<u8>,
    unit: Vec<u8>,
    /// SHA-256 of the binary.
    pub sha256: String,
    /// Its version, if it says one.
    pub version: Option<String>,
}

/// The agent beside the running builder: how both lie in `target/release` and in a package.
pub fn beside_builder() -> PathBuf {
    let builder = std::env::current_exe().unwrap_or_default();
    builder.with_file_name("smbgw-agent")
}

impl AgentFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// [`Error::Missing`] with how to get them, [`Error::Io`], or [`Error::NotIntact`] when the binary is no program.
    pub fn read(binary: &Path, unit: &Path, version: Option<String>) -> Result<Self, Error> {
        let missing = |what, path: &Path, hint: &str| Error::Missing {
            what,
            path: path.to_owned(),
            hint: hint.to_owned(),
        };
        if !binary.is_file() {
            return Err(missing(
                "the agent",
                binary,
                "build it with `cargo build --release -p smbgw-agent`, or name it with --agent",
            ));
        }
        if !unit.is_file() {
            return Err(missing(
                "the agent's unit",
                unit,
                "`agent.unit` in the recipe is relative to the recipe",
            ));
        }
        let content = fs::read(binary).map_err(Error::io("reading", binary))?;
        if !content.starts_with(ELF_MAGIC) {
            return Err(Error::NotIntact {
                path: binary.to_owned(),
                detail: "it is not a program (no ELF header)".into(),
            });
        }
        let unit = fs::read(unit).map_err(Error::io("reading", unit))?;
        Ok(Self { sha256: hash::of_bytes(&content), binary: content, unit, version })
    }

    /// Puts them into the tree.
    pub(crate) fn install(&self, tree: &mut Tree, place: &Agent) -> Result<(), Error> {
        tree.put(&place.path, Entry::file(self.binary.clone()).with_mode(0o755))?;
        for link in &place.links {
            tree.put(link, Entry::symlink(place.path.clone()))?;
        }
        tree.put(&format!("/usr/lib/systemd/system/{UNIT}"), Entry::file(self.unit.clone()))
    }
}
