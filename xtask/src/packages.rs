//! Debian packages: what is missing is installed.
//!
//! * [`apt`]: `apt-get`, from the machine's sources or with one more
//! * [`virtiofsd`]: built from crates.io where Debian has no package of it

mod apt;
mod virtiofsd;

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use crate::say;

/// A file that must be there (a program by name, anything else by its path), and the package that brings it.
pub(crate) type Need = (&'static str, &'static str);

/// What the builder needs.
pub(crate) const BUILDER: &[Need] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("newuidmap", "uidmap"),
    ("apt-get", "apt"),
    ("unshare", "util-linux"),
    ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
];
/// What compiling needs, besides Rust: the agent is linked statically.
pub(crate) const COMPILER: &[Need] = &[("cc", "gcc"), ("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev")];
/// What a node needs.
pub(crate) const NODE: &[Need] = &[
    ("lxc-start", "lxc"),
    ("newuidmap", "uidmap"),
    ("ip", "iproute2"),
    ("setfacl", "acl"),
    ("getfattr", "attr"),
    ("setpriv", "util-linux"),
];
/// What a client of the demo and the lab needs.
pub(crate) const CLIENT: &[Need] = &[("smbclient", "smbclient")];
/// What a node with virtual machines needs: QEMU, its tools, its driver for RBD images, firmware. Both releases name the files alike.
pub(crate) const QEMU: &[Need] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("/usr/lib/x86_64-linux-gnu/qemu/block-rbd.so", "qemu-block-extra"),
    ("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "ovmf"),
];
/// What a node needs to give directories to virtual machines.
pub(crate) const VIRTIOFS: &[Need] = &[(virtiofsd::PROGRAM, virtiofsd::PACKAGE)];
/// A Ceph cluster on one machine, for the lab.
pub(crate) const CEPH: &[Need] = &[
    ("ceph-mon", "ceph-mon"),
    ("ceph-osd", "ceph-osd"),
    ("ceph-mds", "ceph-mds"),
    ("ceph-fuse", "ceph-fuse"),
    ("rbd", "ceph-common"),
];
/// A domain controller for the lab, and its clients.
pub(crate) const DOMAIN: &[Need] = &[
    ("/usr/share/doc/samba-ad-dc/copyright", "samba-ad-dc"),
    ("samba", "samba-ad-dc"),
    ("/usr/share/samba/setup/provision.ldif", "samba-ad-provision"),
    ("ldbmodify", "ldb-tools"),
    ("kinit", "krb5-user"),
    ("faketime", "faketime"),
    ("nft", "nftables"),
];
/// Prometheus, which the lab lets look at the service. Debian 12 has promtool in the same package; Debian 13 in one that it depends on.
pub(crate) const PROMETHEUS: &[Need] = &[("prometheus", "prometheus"), ("promtool", "prometheus")];
/// What single tests need.
pub(crate) const LAB: &[Need] = &[
    ("kill", "procps"),
    ("strace", "strace"),
    ("mke2fs", "e2fsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("smbtorture", "samba-testsuite"),
    ("tar", "tar"),
    ("zstd", "zstd"),
];

/// What simulated Proxmox VE nodes need beyond QEMU, and the small guests of their own tests.
pub(crate) const PVE: &[Need] = &[
    ("genisoimage", "genisoimage"),
    ("/usr/share/doc/busybox-static/copyright", "busybox-static"),
    ("perl", "perl-base"),
];

/// What unit tests ask whether we are right: the usual makers and checkers of file systems, disks and signatures.
pub(crate) const ORACLES: &[Need] = &[
    ("sgdisk", "gdisk"),
    ("fsck.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("mke2fs", "e2fsprogs"),
    ("resize2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("blkid", "util-linux"),
    ("qemu-img", "qemu-utils"),
    ("setfacl", "acl"),
    ("getfattr", "attr"),
    ("minisign", "minisign"),
];

/// Installs what demo, tests and benchmarks need, all of it.
pub(crate) fn all() -> Result<i32> {
    install(&[COMPILER, BUILDER, NODE, CLIENT, LAB, ORACLES, QEMU, VIRTIOFS, CEPH, DOMAIN, PROMETHEUS, PVE])?;
    Ok(0)
}

/// Installs what is missing of these.
pub(crate) fn install(needs: &[&[Need]]) -> Result<()> {
    say::step("packages", "what this machine lacks");
    let mut missing: Vec<&str> = needs
        .iter()
        .copied()
        .flatten()
        .filter(|(file, _)| !present(file))
        .map(|(_, package)| *package)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        say::line("nothing");
        return Ok(());
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "missing: {}. Install it with: apt-get install {0}",
        missing.join(" ")
    );
    let build = missing.contains(&virtiofsd::PACKAGE) && !virtiofsd::packaged()?;
    if build {
        missing.retain(|package| *package != virtiofsd::PACKAGE);
        missing
            .extend(virtiofsd::BUILD.iter().filter(|(file, _)| !present(file)).map(|(_, package)| *package));
    }
    if !missing.is_empty() {
        say::line(&format!("installing: {}", missing.join(", ")));
        let policy = NoServices::make()?;
        let installed = apt::install(&missing);
        drop(policy);
        installed?;
    }
    if build {
        virtiofsd::build()?;
    }
    let still: Vec<&str> =
        needs.iter().copied().flatten().filter(|(file, _)| !present(file)).map(|(file, _)| *file).collect();
    ensure!(still.is_empty(), "still missing after installing {}: {}", missing.join(" "), still.join(", "));
    Ok(())
}

fn present(file: &str) -> bool {
    if file == virtiofsd::PROGRAM {
        return virtiofsd::present();
    }
    if file.starts_with('/') {
        return Path::new(file).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(file).exists())
}

/// While it lives, packages that are installed start no services: Debian's lxc would make a bridge `lxcbr0` with a DHCP server
/// on a machine that wanted neither. Source: /usr/share/doc/init-system-helpers/README.policy-rc.d.gz.
struct NoServices(Option<&'static Path>);

impl NoServices {
    fn make() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            // somebody has decided already
            return Ok(Self(None));
        }
        say::line(
            "no service is started meanwhile (lxc would make a bridge lxcbr0; the gateways do not use it)",
        );
        fs::write(path, "#!/bin/sh\nexit 101\n").with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
