//! virtiofsd, which gives a directory of the node to a virtual machine. Debian 13 has a package of it. Debian 12 has not (what its QEMU
//! brings as `/usr/lib/qemu/virtiofsd` is the older program of that name, with another command line): there it is built from crates.io.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Need, apt};
use crate::programs::{cargo, succeed, target};
use crate::say;

/// Its package.
pub(super) const PACKAGE: &str = "virtiofsd";
/// The program; in one of [`PLACES`].
pub(super) const PROGRAM: &str = "virtiofsd";
/// Where the host command looks for it, besides what Debian 12's QEMU brings.
const PLACES: &[&str] = &["/usr/libexec/virtiofsd", INSTALLED, "/usr/local/bin/virtiofsd"];
/// Where we put a built one.
const INSTALLED: &str = "/usr/local/libexec/virtiofsd";
/// Built version.
const VERSION: &str = "1.14.0";
/// What the build needs, besides Rust.
pub(super) const BUILD: &[Need] = &[
    ("cc", "gcc"),
    ("/usr/include/cap-ng.h", "libcap-ng-dev"),
    ("/usr/include/seccomp.h", "libseccomp-dev"),
];

/// Whether it is there.
pub(super) fn present() -> bool {
    PLACES.iter().any(|place| Path::new(place).exists())
}

/// Whether this Debian has a package of it.
pub(super) fn packaged() -> Result<bool> {
    let system = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let version = apt::os_release(&system, "VERSION_ID").and_then(|version| version.parse::<u32>().ok());
    // unstable and testing have no number
    Ok(version.is_none_or(|version| version >= 13))
}

/// Builds it and puts it where the host command finds it.
pub(super) fn build() -> Result<()> {
    let root = target().join("virtiofsd");
    let built = root.join("bin/virtiofsd");
    say::line(&format!(
        "virtiofsd {VERSION} has no package here: building it with cargo, which takes one to three minutes"
    ));
    // does nothing when this version is there already
    let version = format!("={VERSION}");
    succeed(cargo(&["install", "-q", "virtiofsd", "--version", &version, "--locked", "--root"]).arg(&root))?;
    let place = Path::new(INSTALLED);
    fs::create_dir_all(place.parent().unwrap_or(place))?;
    let aside = place.with_extension(std::process::id().to_string());
    fs::copy(&built, &aside).with_context(|| format!("writing {}", aside.display()))?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755))?;
    fs::rename(&aside, place).with_context(|| format!("writing {INSTALLED}"))?;
    say::line(&format!("{INSTALLED}: virtiofsd {VERSION}"));
    Ok(())
}
