//! Small things that tests need: files with given content, hashes, directories with an owner.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Makes a directory that `owner` owns, 0770 when it is not root.
///
/// # Errors
/// When it cannot be made.
pub fn directory(path: &Path, owner: u32) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    std::os::unix::fs::chown(path, Some(owner), Some(owner))?;
    fs::set_permissions(path, fs::Permissions::from_mode(if owner == 0 { 0o755 } else { 0o770 }))?;
    Ok(())
}

/// Writes a file of `megabytes` MiB of random bytes.
///
/// # Errors
/// When it cannot be written.
pub fn random_file(path: &Path, megabytes: u64) -> Result<()> {
    let mut random = fs::File::open("/dev/urandom")?;
    let mut file = fs::File::create(path).with_context(|| format!("making {}", path.display()))?;
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..megabytes {
        random.read_exact(&mut buffer)?;
        file.write_all(&buffer)?;
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only root can read.
///
/// # Errors
/// When it cannot be written.
pub fn secret_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, "").with_context(|| format!("making {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    fs::write(path, text)?;
    Ok(())
}
