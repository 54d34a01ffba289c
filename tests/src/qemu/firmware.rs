//! What starts a machine before its disk does.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Firmware, and the machine it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// A PC of old.
    SeaBios,
    /// UEFI with no keys: it starts anything.
    Uefi,
    /// UEFI with Microsoft's keys: it starts what they signed, and says so to the system.
    SecureBoot,
}

impl Firmware {
    /// Arguments of QEMU. Source: /usr/share/doc/ovmf/README.Debian.gz.
    pub(super) fn arguments(self, directory: &Path) -> Result<Vec<String>> {
        let (code, variables) = match self {
            Self::SeaBios => return Ok(words(&["-machine", "pc"])),
            Self::Uefi => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
            Self::SecureBoot => ("OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"),
        };
        let ovmf = Path::new("/usr/share/OVMF");
        let own = directory.join("variables.fd");
        fs::copy(ovmf.join(variables), &own)
            .with_context(|| format!("copying {variables} of package ovmf"))?;
        let mut arguments = match self {
            // the guest must not get at the variables but by the firmware
            Self::SecureBoot => words(&[
                "-machine",
                "q35,smm=on",
                "-global",
                "driver=cfi.pflash01,property=secure,value=on",
                "-global",
                "ICH9-LPC.disable_s3=1",
            ]),
            _ => words(&["-machine", "q35"]),
        };
        let code = ovmf.join(code);
        for (unit, file, more) in [(0, &code, ",readonly=on"), (1, &own, "")] {
            arguments.push("-drive".to_owned());
            arguments.push(format!("if=pflash,format=raw,unit={unit},file={}{more}", file.display()));
        }
        Ok(arguments)
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
