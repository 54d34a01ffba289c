//! A Debian 13 that boots as a node of its own, for what the kernel of this machine need not have: quotas of ext4 and xfs. It stays in
//! the cache until its recipe changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use smbgw_lab::qemu::NodeImage;

use crate::programs::succeed;
use crate::{say, templates};

/// What a node of Debian needs, and who asks it over SMB.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "xz-utils",
    "qemu-guest-agent",
    "e2fsprogs",
    "xfsprogs",
    "quota",
    "lxc",
    "uidmap",
    "iproute2",
    "acl",
    "attr",
    "procps",
    "smbclient",
];
/// Modules that stay, as the kernel's directories and names begin: they are unpacked, because an emulated processor takes half a minute
/// for what a real one unpacks in a moment.
const MODULES: &str = "fs/(ext4|jbd2|mbcache|xfs|quota|overlayfs|fuse|autofs|configfs|nls)|drivers/(virtio|block/(loop|virtio_blk)|net/(veth|virtio_net|net_failover)|char/(virtio|hw_random))|net/(core|bridge|802|llc|unix|ipv6)|lib|crypto|arch";
/// Units that a node of the lab is not in need of, and that take an emulated machine minutes.
const MASKED: &str = "lxc-net lxc lxc-monitord systemd-logind systemd-networkd systemd-udev-settle e2scrub_reap systemd-binfmt \
    systemd-journal-flush systemd-timesyncd modprobe@drm modprobe@efi_pstore quota quotarpc getty-static";
/// The same, with their own suffix.
const MASKED_WHOLE: &str = "getty.target e2scrub_all.timer xfs_scrub_all.timer apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer fstrim.timer systemd-tmpfiles-clean.timer proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount";

/// Builds it if it is not there yet.
pub(crate) fn build() -> Result<()> {
    let image = NodeImage::in_cache(&templates::cache());
    let (prepare, finish) = (prepare(), finish());
    let recipe = format!("{}\n{prepare}\n{finish}\n", PACKAGES.join(","));
    say::step("node", "a Debian 13 that boots by itself, for file systems that this kernel does not know");
    let stamp = image.directory.join("recipe");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == recipe) {
        say::line("there already");
        return Ok(());
    }
    let _ = fs::remove_dir_all(&image.directory);
    fs::create_dir_all(&image.directory)?;
    let tree = image.directory.join("tree");
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--mode=root", "--variant=minbase", "--quiet", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(format!("--essential-hook={prepare}"))
        .arg(format!("--customize-hook={finish}"))
        .args(["trixie".as_ref(), tree.as_os_str(), "http://deb.debian.org/debian".as_ref()]);
    let ((), took) = say::timed(|| succeed(&mut command))?;
    fs::copy(only(&tree.join("boot"), "vmlinuz-")?, &image.kernel)?;
    fs::copy(only(&tree.join("boot"), "initrd.img-")?, &image.initrd)?;
    fs::File::create(&image.root)?.set_len(3 << 30)?;
    succeed(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&image.root))?;
    fs::remove_dir_all(&tree)?;
    fs::write(&stamp, recipe)?;
    say::line(&format!("{} in {}", image.root.display(), say::seconds(took)));
    Ok(())
}

/// Before the kernel is installed: its ram disk has what finds the root, and nothing else.
fn prepare() -> String {
    "mkdir -p \"$1/etc/initramfs-tools/conf.d\"; echo MODULES=list >\"$1/etc/initramfs-tools/conf.d/lab\"; \
     printf 'virtio_pci\\nvirtio_blk\\next4\\n' >\"$1/etc/initramfs-tools/modules\""
        .to_owned()
}

/// After all packages: what makes an emulated boot slow goes.
fn finish() -> String {
    format!(
        "set -e; cd \"$1\"/usr/lib/modules/*; find . -name '*.ko.xz' | grep -vE '/({MODULES})' | xargs rm -f; \
         find . -name '*.ko.xz' | xargs xz -d; kernel=$(basename \"$PWD\"); chroot \"$1\" depmod \"$kernel\"; \
         for unit in {MASKED}; do ln -sf /dev/null \"$1/etc/systemd/system/$unit.service\"; done; \
         for unit in {MASKED_WHOLE}; do ln -sf /dev/null \"$1/etc/systemd/system/$unit\"; done; \
         chroot \"$1\" update-initramfs -u; echo node >\"$1/etc/hostname\""
    )
}

/// The only file of a directory whose name starts so.
fn only(directory: &Path, start: &str) -> Result<PathBuf> {
    let files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    let starts =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    files.into_iter().find(starts).with_context(|| format!("no {start} in {}", directory.display()))
}
