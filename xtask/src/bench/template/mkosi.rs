//! mkosi, as Debian 13 has it, with the packages of the lock: a `.tar.zst`, or a disk that qemu-img compresses.
//!
//! What is made equal: the same archives (by a sandbox tree, for mkosi's own list has sources and debug symbols besides), no recommended packages,
//! package and index caches that are filled, no network, its workspace in memory, files left out as far as its patterns can say it, zstd -6 for
//! the container and a fixed size for the disk (it would make the file system twice to find the least).
//!
//! What is not: mkosi resolves the dependencies each time, where the builder has a lock. It starts from nothing each time (`Incremental=` would
//! keep trees, as the builder's cache does; both are left out). Its disk starts by systemd-boot and a unified kernel image, UEFI only, where the builder's has
//! shim and GRUB for UEFI, Secure Boot and BIOS. Its ram disk is a system of its own, which it installs for each disk. It adds no agent and no
//! overlay, checks no rules, and writes no bill of materials.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use smbgw_command::Interrupt;

use super::debian::{Debian, deb822_sources};
use super::lock::{Lock, versions};
use super::{DISK_MIB, Form};

/// What its boot loader comes from; the lock has none, since the builder's is not a package of the guest.
const BOOT: &str = "systemd-boot-efi";
/// Size of the partition that its kernel image is in, in MiB.
const ESP_MIB: u64 = 256;

/// `slim.drop` of `images/debian-13.yaml`. mkosi's patterns (Python's pathlib) have no exceptions: so `locale.alias` stays by the pattern's depth, and
/// of the character sets everything but what begins as the ones to keep do. Documentation goes by `WithDocs=no`, which keeps copyright files.
const REMOVE: &[&str] = &[
    "/usr/share/locale/*/*",
    "/usr/share/i18n/locales/*",
    "/usr/share/i18n/charmaps/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
    "/usr/share/bash-completion/*",
    "/usr/share/zsh/*",
    "/usr/share/fish/*",
    "/usr/share/gdb/*",
    "/usr/lib/systemd/catalog/*",
    "/usr/lib/udev/hwdb.d/*",
    "/usr/lib/x86_64-linux-gnu/gconv/[!CIU]*.so",
    "/usr/lib/x86_64-linux-gnu/gconv/C[!P]*.so",
    "/usr/lib/x86_64-linux-gnu/gconv/CP[!1]*.so",
    "/usr/lib/x86_64-linux-gnu/gconv/I[!BS]*.so",
    "/usr/lib/x86_64-linux-gnu/gconv/IBM[!48]*.so",
    "/usr/lib/x86_64-linux-gnu/gconv/ISO[!8]*.so",
    "/usr/lib/x86_64-linux-gnu/gconv/U[!TN]*.so",
    // as the builder's normalisation
    "/var/cache/apt/*",
    "/var/lib/apt/lists/*",
    "/var/log/*",
];

/// In the directory of a form; the disk goes where it is not written to a real one.
const CONTAINER: &str = r#"
mkdir -p /var/tmp/workspace packages out
cd lxc
mkosi --force --workspace-dir=/var/tmp/workspace --package-cache-dir=/work/packages --output-dir=/work/out --cache-only="$CACHE_ONLY" build
"#;

const MACHINE: &str = r#"
mkdir -p /var/tmp/workspace /var/tmp/out packages out
cd vm
mkosi --force --workspace-dir=/var/tmp/workspace --package-cache-dir=/work/packages --output-dir=/var/tmp/out --cache-only="$CACHE_ONLY" build
qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd /var/tmp/out/vm.raw /work/out/vm.qcow2
cp /var/tmp/out/vm.manifest /work/out
"#;

/// mkosi with what it has cached.
pub(super) struct Mkosi<'a> {
    work: PathBuf,
    debian: &'a Debian,
    interrupt: &'a Interrupt,
}

impl<'a> Mkosi<'a> {
    /// Writes its configuration, fills its caches, and checks that it installs what the lock says.
    pub(super) fn prepare(
        work: PathBuf,
        lock: &Lock,
        debian: &'a Debian,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let own = Self { work, debian, interrupt };
        for form in Form::ALL {
            let directory = own.work.join(form.name());
            let sources = directory.join("mkosi.sandbox/etc/apt/sources.list.d");
            fs::create_dir_all(&sources)?;
            fs::write(sources.join("mkosi.sources"), deb822_sources())?;
            let names: Vec<&str> = lock.of(form).keys().map(String::as_str).collect();
            fs::write(directory.join("mkosi.conf"), configuration(form, &names))?;
            if form == Form::Machine {
                let partitions = directory.join("mkosi.repart");
                fs::create_dir_all(&partitions)?;
                for (name, text) in partition_files() {
                    fs::write(partitions.join(name), text)?;
                }
            }
            own.run(form, true)?;
            let manifest = own.work.join("out").join(format!("{}.manifest", form.name()));
            let manifest: Value =
                serde_json::from_slice(&fs::read(&manifest).context("reading mkosi's manifest")?)?;
            lock.check(form, &versions(&manifest["packages"]), &[BOOT]).context("mkosi")?;
        }
        Ok(own)
    }

    /// Its version.
    pub(super) fn version(&self) -> Result<String> {
        let log = self.work.join("version");
        self.debian.run(&self.work, "mkosi --version", false, &log, self.interrupt)?;
        Ok(fs::read_to_string(log)?.trim().to_owned())
    }

    /// Makes the form without the network, and gives its size in bytes.
    pub(super) fn build(&self, form: Form) -> Result<u64> {
        self.run(form, false)?;
        let name = match form {
            Form::Container => "out/lxc.tar.zst",
            Form::Machine => "out/vm.qcow2",
        };
        Ok(fs::metadata(self.work.join(name))?.len())
    }

    fn run(&self, form: Form, network: bool) -> Result<()> {
        // never: indexes are fetched whatever is there; always: nothing is
        let cache_only = if network { "never" } else { "always" };
        let script = match form {
            Form::Container => CONTAINER,
            Form::Machine => MACHINE,
        };
        let script = script.replace("\"$CACHE_ONLY\"", cache_only);
        let log = self.work.join(format!("{}.log", form.name()));
        self.debian
            .run(&self.work, &script, network, &log, self.interrupt)
            .with_context(|| format!("running mkosi for {}", form.name()))
    }
}

/// `mkosi.conf` of a form.
fn configuration(form: Form, packages: &[&str]) -> String {
    let output = match form {
        Form::Container => "Format=tar\nCompressOutput=zstd\nCompressLevel=6\n",
        // kernel and ram disk need not be there as files of their own
        Form::Machine => "Format=disk\nSplitArtifacts=\n",
    };
    let (bootable, boot) = match form {
        Form::Container => ("no", None),
        Form::Machine => ("yes", Some(&BOOT)),
    };
    let list = |names: &mut dyn Iterator<Item = &&str>| -> String {
        names.map(|name| format!("    {name}\n")).collect()
    };
    format!(
        "[Distribution]\nDistribution=debian\nRelease=trixie\nArchitecture=x86-64\n\n\
         [Output]\n{output}Output={name}\nManifestFormat=json\n\n\
         [Content]\nBootable={bootable}\nWithRecommends=no\nWithDocs=no\n\
         Packages=\n{}RemoveFiles=\n{}",
        list(&mut packages.iter().chain(boot)),
        list(&mut REMOVE.iter()),
        name = form.name(),
    )
}

/// Partitions of its disk, for systemd-repart.
fn partition_files() -> [(&'static str, String); 2] {
    let size = |mib: u64| format!("SizeMinBytes={mib}M\nSizeMaxBytes={mib}M\n");
    [
        (
            "00-esp.conf",
            format!(
                "[Partition]\nType=esp\nFormat=vfat\nCopyFiles=/boot:/\nCopyFiles=/efi:/\n{}",
                size(ESP_MIB)
            ),
        ),
        (
            "10-root.conf",
            // 2 MiB for the tables
            format!("[Partition]\nType=root\nFormat=ext4\nCopyFiles=/\n{}", size(DISK_MIB - ESP_MIB - 2)),
        ),
    ]
}
