//! A Debian 13 with Samba's domain controller, for the lab's domain. It stays in the cache until its packages change.

use std::fs;
use std::process::Command;

use anyhow::Result;
use smbgw_lab::domain;

use crate::programs::succeed;
use crate::{say, templates};

const PACKAGES: &str =
    "samba-ad-dc,samba-ad-provision,samba-common-bin,winbind,krb5-user,ldb-tools,attr,acl,faketime";

/// Builds it if it is not there yet.
pub(crate) fn build() -> Result<()> {
    let tree = domain::tree(&templates::cache());
    say::step("domain", "a Debian 13 with Samba's domain controller");
    let stamp = tree.with_extension("packages");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == PACKAGES) {
        say::line("there already");
        return Ok(());
    }
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(&tree)?;
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--mode=root", "--variant=minbase", "--quiet", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--include={PACKAGES}"))
        .args(["trixie".as_ref(), tree.as_os_str(), "http://deb.debian.org/debian".as_ref()]);
    let ((), took) = say::timed(|| succeed(&mut command))?;
    fs::write(&stamp, PACKAGES)?;
    say::line(&format!("{} in {}", tree.display(), say::seconds(took)));
    Ok(())
}
