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

/// Where the package has the agent.
const PACKAGED: &str = "/usr/lib/smbgw/smbgw-agent";
/// Where a static build lies, seen from the directory of the builder in `target/release`.
const STATIC_BUILD: &str = "../x86_64-unknown-linux-gnu/release/smbgw-agent";

/// The agent that belongs to the running builder: its static build in a checkout, the package's, or one beside it.
pub fn of_builder() -> PathBuf {
    let builder = std::env::current_exe().unwrap_or_default();
    let beside = builder.with_file_name("smbgw-agent");
    let checkout = builder.with_file_name(STATIC_BUILD);
    [checkout, PathBuf::from(PACKAGED)].into_iter().find(|path| path.is_file()).unwrap_or(beside)
}

/// Whether a program asks for a dynamic loader: an ELF file with a `PT_INTERP` header (elf(5), 64 bit).
fn is_dynamic(elf: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0usize, |value, byte| value << 8 | usize::from(*byte)))
    };
    let headers =
        || {
            let (first, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
            Some((0..count).any(|n| {
                first.checked_add(n * size).and_then(|at| number(at, 4)) == Some(PT_INTERP as usize)
            }))
        };
    headers().unwrap_or(false)
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
                "build it (`cargo xtask demo` does), install the package smbgw-builder, or name it with --agent",
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
        if is_dynamic(&content) {
            return Err(Error::NotIntact {
                path: binary.to_owned(),
                detail: "it is linked dynamically and would not run in every Debian; build it with \
                         RUSTFLAGS=\"-C target-feature=+crt-static\" cargo build --release \
                         --target x86_64-unknown-linux-gnu -p smbgw-agent"
                    .into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_programs_are_told_from_static_ones() {
        // this test program is linked dynamically, as cargo does unless told otherwise
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(is_dynamic(&own));
        assert!(!is_dynamic(b"\x7fELF") && !is_dynamic(&[0xff; 200]));
    }
}
