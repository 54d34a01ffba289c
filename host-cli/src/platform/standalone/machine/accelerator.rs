//! Whether KVM works here: asked by a small program that runs on the bare virtual processor. A device file says little:
//! there are kernels whose KVM emulates every instruction of an ordinary guest, and is slower than QEMU's own emulation.

use std::path::Path;
use std::time::Duration;

use smbgw_command::{Command, CommandError, Runner};

use super::config::Accelerator;
use crate::{Error, Result, durable};

/// A boot ROM: reset vector, protected mode, long mode with paging, 20 million rounds of a loop that touches memory, then
/// `out 0xf4, 0x2a`. Working KVM takes a tenth of a second for it, one that emulates more than a minute.
const CODE: [u8; 202] = [
    0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0xc0, 0x00, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0x66,
    0xea, 0x18, 0x00, 0xff, 0xff, 0x08, 0x00, 0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e,
    0xd0, 0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00, 0xc7, 0x05, 0x00, 0x20, 0x00, 0x00,
    0x03, 0x30, 0x00, 0x00, 0xc7, 0x05, 0x18, 0x20, 0x00, 0x00, 0x03, 0x40, 0x00, 0x00, 0xc7, 0x05, 0x00,
    0x30, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00, 0xc7, 0x05, 0xf8, 0x4f, 0x00, 0x00, 0x83, 0x00, 0xe0, 0xff,
    0x0f, 0x20, 0xe0, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8,
    0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0f, 0xba, 0xe8, 0x08, 0x0f, 0x30, 0x0f, 0x20, 0xc0, 0x0f,
    0xba, 0xe8, 0x1f, 0x0f, 0x22, 0xc0, 0xea, 0x84, 0x00, 0xff, 0xff, 0x18, 0x00, 0xb9, 0x00, 0x2d, 0x31,
    0x01, 0xbb, 0x00, 0x50, 0x00, 0x00, 0xff, 0x03, 0xff, 0xc9, 0x75, 0xfa, 0xb0, 0x2a, 0xe6, 0xf4, 0xf4,
    0xeb, 0xfd, 0x8d, 0xb4, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
    0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00, 0xff, 0xff, 0x00,
    0x00, 0x00, 0x9b, 0xaf, 0x00, 0x1f, 0x00, 0xa0, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
];
/// Size of the ROM; it ends where the processor begins.
const ROM: usize = 64 << 10;
/// Where the processor begins, and the jump that is there.
const RESET: (usize, [u8; 3]) = (0xfff0, [0xe9, 0x0d, 0x00]);
/// What QEMU exits with when the ROM says 0x2a (QEMU's isa-debug-exit: value << 1 | 1).
const DONE: i32 = 85;
const DEADLINE: Duration = Duration::from_secs(2);

/// The accelerator that works here; found out once for each boot of the node, with the answer kept in `directory`.
///
/// # Errors
/// When QEMU is not installed, or the answer cannot be kept.
pub(super) fn best(runner: &dyn Runner, directory: &Path) -> Result<Accelerator> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Tcg);
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let kept = directory.join("accelerator");
    let text = std::fs::read_to_string(&kept).unwrap_or_default();
    match text.strip_prefix(&boot).map(str::trim) {
        Some("kvm") if !boot.is_empty() => return Ok(Accelerator::Kvm),
        Some("tcg") if !boot.is_empty() => return Ok(Accelerator::Tcg),
        _ => {}
    }
    let accelerator = probe(runner, directory)?;
    let word = if accelerator == Accelerator::Kvm { "kvm" } else { "tcg" };
    durable::replace(&kept, 0o644, format!("{boot}{word}\n").as_bytes())?;
    Ok(accelerator)
}

fn probe(runner: &dyn Runner, directory: &Path) -> Result<Accelerator> {
    let mut rom = vec![0u8; ROM];
    rom[..CODE.len()].copy_from_slice(&CODE);
    rom[RESET.0..RESET.0 + RESET.1.len()].copy_from_slice(&RESET.1);
    let file = directory.join(format!("kvm-probe.{}", std::process::id()));
    std::fs::write(&file, &rom).map_err(|source| Error::io("writing a program for the KVM probe", source))?;
    let command = Command::new(super::QEMU)
        .args(["-M", "q35", "-accel", "kvm", "-cpu", "max", "-m", "16", "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-bios"])
        .arg(file.display().to_string())
        .accept(&[0, 1, DONE])
        .deadline(DEADLINE);
    let answer = runner.run(&command);
    durable::remove_file(&file)?;
    match answer {
        Ok(output) if output.code == DONE => Ok(Accelerator::Kvm),
        // could not be opened; the guest reset; it emulates; it crashed
        Ok(_) | Err(CommandError::TimedOut { .. } | CommandError::Failed { .. }) => Ok(Accelerator::Tcg),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// The program is one whose end was seen, with `-accel tcg`.
    #[test]
    fn the_program_is_the_one_that_was_tried() {
        let hash = Sha256::digest(CODE);
        assert_eq!(hash[..4], TRIED, "{hash:02x?}");
    }
    const TRIED: [u8; 4] = [0x05, 0xd6, 0xe6, 0x77];
}
