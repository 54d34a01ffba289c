//! A Debian 13 root with mkosi and the tools for disk images: Debian 12's mkosi (14) is of another age. It is made once with mmdebstrap, kept in
//! `target/bench-mkosi`, and used on a Debian 13 machine, too, so that what is compared is the same everywhere.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use smbgw_command::Interrupt;

use super::contained::Contained;
use crate::programs::target;
use crate::say;

/// Where packages come from, as `images/debian-13.yaml` has it: path below the mirror, suite.
const ARCHIVES: [(&str, &str); 3] =
    [("debian", "trixie"), ("debian", "trixie-updates"), ("debian-security", "trixie-security")];
const MIRROR: &str = "http://deb.debian.org";
/// Its place here and in the root.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What the root has.
const PACKAGES: &[&str] = &[
    "mkosi",
    // what it calls for tars, disks and kernels (it recommends these)
    "apt",
    "bubblewrap",
    "cpio",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "kmod",
    "mtools",
    "python3-pefile",
    "systemd",
    "systemd-boot",
    "systemd-container",
    "systemd-repart",
    "systemd-ukify",
    "tar",
    "uidmap",
    "util-linux",
    "zstd",
    // mke2fs reads a tar with it
    "libarchive13t64",
    // what it does not make any more
    "qemu-utils",
];

/// Lines for apt's `sources.list`.
pub(super) fn one_line_sources() -> String {
    ARCHIVES.iter().map(|(path, suite)| format!("deb {MIRROR}/{path} {suite} main\n")).collect()
}

/// The same in deb822 format.
pub(super) fn deb822_sources() -> String {
    ARCHIVES
        .iter()
        .map(|(path, suite)| {
            format!(
                "Types: deb\nURIs: {MIRROR}/{path}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n\n"
            )
        })
        .collect()
}

/// Makes the root aside and puts it in place: one that is there is whole.
const MAKE: &str = r#"
out=$1 packages=$2 sources=$3 keyring=$4
mmdebstrap --mode=root --variant=apt --format=directory --include="$packages" --keyring="$keyring" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    trixie "$out" "$sources"
"#;

/// Goes in: `$2` is `/work` there. It is entered by pivot_root and not by chroot, in which the kernel lets nobody make the user namespaces
/// that mkosi works in. What programs write besides `/work` is in memory, and gone with the namespace.
const ENTER: &str = r#"
root=$1 share=$2; shift 2
mount --bind "$root" "$root"
cd "$root"
mkdir -p work
rm -f etc/resolv.conf
cat /etc/resolv.conf >etc/resolv.conf || true
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
for directory in tmp run var/tmp root; do mount -t tmpfs -o mode=1777 tmpfs "$directory"; done
mount --bind "$share" work
pivot_root . .
umount --lazy .
cd /work
export TMPDIR=/var/tmp HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec "$@"
"#;

/// The root.
#[derive(Debug)]
pub(super) struct Debian {
    root: PathBuf,
}

impl Debian {
    /// Makes it if it is not there, or was made with other packages.
    pub(super) fn prepare(interrupt: &Interrupt) -> Result<Self> {
        let directory = target().join("bench-mkosi");
        let (root, list) = (directory.join("root"), directory.join("packages"));
        let packages = PACKAGES.join(",");
        if root.exists() && fs::read_to_string(&list).is_ok_and(|made_with| made_with == packages) {
            return Ok(Self { root });
        }
        say::step("template", "a Debian 13 root with mkosi and its tools, kept in target/bench-mkosi");
        let aside = target().join(format!(".bench-mkosi.{}", std::process::id()));
        fs::create_dir_all(&aside)?;
        let sources = aside.join("sources");
        fs::write(&sources, one_line_sources())?;
        let args: Vec<OsString> =
            vec![aside.join("root").into(), packages.clone().into(), sources.into(), KEYRING.into()];
        let log = aside.join("log");
        let made = Contained { script: MAKE, args, network: true, log: &log, interrupt }
            .run()
            .context("making a Debian 13 root");
        let made = made.and_then(|()| {
            fs::write(aside.join("packages"), &packages)?;
            if directory.exists() {
                fs::remove_dir_all(&directory)?;
            }
            fs::rename(&aside, &directory).with_context(|| format!("making {}", directory.display()))
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&aside);
        }
        made.map(|()| Self { root })
    }

    /// Where it lies.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Runs a script for bash in it, in `/work`, which is this directory.
    pub(super) fn run(
        &self,
        share: &Path,
        script: &str,
        network: bool,
        log: &Path,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let args: Vec<OsString> = vec![
            (&self.root).into(),
            share.into(),
            "bash".into(),
            "-eu".into(),
            "-o".into(),
            "pipefail".into(),
            "-c".into(),
            script.into(),
        ];
        Contained { script: ENTER, args, network, log, interrupt }.run()
    }
}
