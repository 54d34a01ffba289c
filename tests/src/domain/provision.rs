//! The domain as every test finds it: provisioned once, and kept in the cache as an archive.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::DomainController;
use crate::Answer;

/// Names the directory of what is kept.
const CACHE_VARIABLE: &str = "SMBGW_CACHE";
/// What a machine of this name and address has, whatever the machine has whose files it sees.
const NAMES: &str = r#"set -e
rm -rf /etc/resolv.conf /etc/hosts /etc/samba/smb.conf /etc/krb5.conf /var/lib/samba /var/cache/samba /var/log/samba
printf 'search lab.test\nnameserver 10.86.0.250\n' >/etc/resolv.conf
printf '127.0.0.1 localhost\n10.86.0.250 dc1.lab.test dc1\n' >/etc/hosts
mkdir -p /etc/samba /var/lib/samba/private /var/cache/samba /var/log/samba
"#;
/// The domain, its accounts, and the right to make and delete computers below one unit. Passwords are the lab's own and no secrets, so they
/// may be arguments here. The schema identifier is that of the class `computer`.
const PROVISION: &str = r#"set -e
samba-tool domain provision --realm=LAB.TEST --domain=LAB --server-role=dc --dns-backend=SAMBA_INTERNAL --host-name=dc1 \
  --host-ip=10.86.0.250 --adminpass='Adm1n-Pass.w0rd' --option='dns forwarder=' --option='bind interfaces only=yes' \
  --option='interfaces=lo eth0' 2>&1
cp /var/lib/samba/private/krb5.conf /etc/krb5.conf
samba-tool domain passwordsettings set --complexity=off --min-pwd-age=0 --max-pwd-age=0 --history-length=0
samba-tool ou create OU=Gateways,DC=lab,DC=test
for user in alice bob norights disabled; do samba-tool user create $user Correct-horse-7; done
samba-tool user create joiner Joiner-horse-8
samba-tool user create expired Correct-horse-7 --must-change-at-next-login
samba-tool user disable disabled
samba-tool group add Team
samba-tool group addmembers Team alice
sam=/var/lib/samba/private/sam.ldb
sid=$(ldbsearch -H $sam '(sAMAccountName=joiner)' objectSid | sed -n 's/^objectSid: //p')
test -n "$sid"
for right in "(OA;CI;CCDC;bf967a86-0de6-11d0-a285-00aa003049e2;;$sid)" "(OA;CIIO;GA;;bf967a86-0de6-11d0-a285-00aa003049e2;$sid)"; do
  samba-tool dsacl set -H $sam --objectdn=OU=Gateways,DC=lab,DC=test --sddl="$right" >/dev/null
done
ldbmodify -H $sam <<END
dn: DC=lab,DC=test
changetype: modify
replace: ms-DS-MachineAccountQuota
ms-DS-MachineAccountQuota: 0
END
"#;

/// The lab's cache.
pub(super) fn cache() -> Result<PathBuf> {
    let cache = std::env::var_os(CACHE_VARIABLE).map(PathBuf::from);
    cache.with_context(|| format!("{CACHE_VARIABLE} is not set: run `cargo xtask test --lab`"))
}

/// Gives a controller its domain.
pub(super) fn restore(controller: &DomainController, lower: &Path) -> Result<()> {
    controller.run(["sh", "-c", NAMES])?;
    let kept = cache()?.join("domain");
    fs::create_dir_all(&kept)?;
    let version = controller.run(["samba", "--version"])?.stdout;
    let mut hash = Sha256::new();
    for part in [&version, NAMES, PROVISION, &lower.display().to_string()] {
        hash.update(part);
    }
    let hash: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let archive = kept.join(format!("{hash}.tar.zst"));
    let root = format!("/proc/{}/root", controller.pid);
    if !archive.exists() {
        controller.run(["sh", "-c", PROVISION]).context("provisioning the domain")?;
        // another test may do the same at the same time
        let new = kept.join(format!("{hash}.{}-{}", std::process::id(), controller.pid));
        let parts = ["etc/samba", "etc/krb5.conf", "var/lib/samba"];
        tar(&[&["-cSf", &new.display().to_string(), "-C", &root], &parts[..]].concat())?;
        fs::rename(&new, &archive)?;
        return Ok(());
    }
    tar(&["-xSf", &archive.display().to_string(), "-C", &root])
}

/// Runs tar(1), which keeps what Samba has in extended attributes.
fn tar(args: &[&str]) -> Result<()> {
    let command = smbgw_command::Command::new("tar")
        .args(["--zstd", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"])
        .args(args.iter().copied());
    Answer::of(&command)?.ok().map(drop)
}
