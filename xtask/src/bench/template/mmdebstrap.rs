//! Plain mmdebstrap, as a person would use it who has no builder: a `.tar.zst` of the container's packages; of the virtual machine's, a file
//! system in a compressed qcow2. That does not start: it has no partitions and no boot loader. Nothing is left out of either.
//!
//! mmdebstrap is the machine's, as the builder's. Packages and indexes are there; it has no network. The way is that of its manual page,
//! section EXAMPLES: packages are copied into the root's cache before it starts.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use smbgw_command::Interrupt;

use super::contained::Contained;
use super::debian::{Debian, KEYRING, one_line_sources};
use super::lock::{Lock, Versions};
use super::{DISK_MIB, Form};

/// What all calls have in common. Temporary files are in memory, as the builder's. Root mode, since the namespaces are there already;
/// the builder, too, uses it where root has no subordinate ids.
const COMMON: &str = r#"
packages=$1 work=$2 debs=$3 out=$4 debian=$5 size=$6
common=(
    --quiet --mode=root --variant=essential --include="$packages" --keyring=KEYRING --dpkgopt=force-unsafe-io
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"'
)
# no index is fetched, and packages that are in the cache are not, either
warm=(
    --skip=update,download/empty --setup-hook='mkdir -p "$1/var/cache/apt/archives"'
    --setup-hook="sync-in \"$debs/archives\" /var/cache/apt/archives"
    --setup-hook="sync-in \"$debs/lists\" /var/lib/apt/lists"
)
"#;

/// With the network: keeps packages and indexes, and lists what was installed.
const FILL: &str = r#"
mmdebstrap "${common[@]}" --skip=download/empty,essential/unlink,cleanup/apt/cache,cleanup/apt/lists --format=null \
    --customize-hook="sync-out /var/cache/apt/archives \"$debs/archives\"" \
    --customize-hook="sync-out /var/lib/apt/lists \"$debs/lists\"" \
    --customize-hook="dpkg-query --admindir=\"\$1/var/lib/dpkg\" --show --showformat='\${Package} \${Version}\n' >\"$debs/installed\"" \
    trixie - "$work/sources"
rm -rf "$debs"/*/partial "$debs"/*/lock
"#;

/// The tar goes to zstd as it is written.
const CONTAINER: &str = r#"
mmdebstrap "${common[@]}" "${warm[@]}" trixie - "$work/sources" | zstd -q -6 -T0 -f -o "$out"
"#;

/// Debian 13's mke2fs reads the tar; Debian 12's reads directories only.
const MACHINE: &str = r#"
mmdebstrap "${common[@]}" "${warm[@]}" trixie /dev/shm/root.tar "$work/sources"
mount --bind /dev/shm "$debian/dev/shm"
chroot "$debian" mke2fs -q -t ext4 -E root_owner=0:0 -d /dev/shm/root.tar /dev/shm/root.raw "${size}M"
chroot "$debian" qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd /dev/shm/root.raw /dev/shm/root.qcow2
cp /dev/shm/root.qcow2 "$out"
"#;

/// mmdebstrap with what it has cached.
pub(super) struct Mmdebstrap<'a> {
    work: PathBuf,
    lock: &'a Lock,
    debian: &'a Debian,
    interrupt: &'a Interrupt,
}

impl<'a> Mmdebstrap<'a> {
    /// Fills its caches, and checks that it installs what the lock says.
    pub(super) fn prepare(
        work: PathBuf,
        lock: &'a Lock,
        debian: &'a Debian,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        fs::create_dir_all(&work)?;
        fs::write(work.join("sources"), one_line_sources())?;
        let own = Self { work, lock, debian, interrupt };
        for form in Form::ALL {
            let debs = own.debs(form);
            for name in ["archives", "lists"] {
                fs::create_dir_all(debs.join(name))?;
            }
            own.run(FILL, form, Path::new("-"), true)?;
            let installed = fs::read_to_string(debs.join("installed"))?;
            let installed: Versions = installed
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(name, version)| (name.to_owned(), version.to_owned()))
                .collect();
            lock.check(form, &installed, &[]).context("mmdebstrap")?;
        }
        Ok(own)
    }

    /// Makes the form without the network, and gives its size in bytes.
    pub(super) fn build(&self, form: Form) -> Result<u64> {
        let (script, name) = match form {
            Form::Container => (CONTAINER, "plain.tar.zst"),
            Form::Machine => (MACHINE, "plain.qcow2"),
        };
        let out = self.work.join(name);
        self.run(script, form, &out, false)?;
        Ok(fs::metadata(out)?.len())
    }

    fn run(&self, script: &str, form: Form, out: &Path, network: bool) -> Result<()> {
        let names: Vec<&str> = self.lock.of(form).keys().map(String::as_str).collect();
        let args: Vec<OsString> = vec![
            names.join(",").into(),
            (&self.work).into(),
            self.debs(form).into(),
            out.into(),
            self.debian.root().into(),
            DISK_MIB.to_string().into(),
        ];
        let script = format!("{}{script}", COMMON.replace("KEYRING", KEYRING));
        let log = self.work.join(format!("{}.log", form.name()));
        Contained { script: &script, args, network, log: &log, interrupt: self.interrupt }
            .run()
            .with_context(|| format!("running mmdebstrap for {}", form.name()))
    }

    fn debs(&self, form: Form) -> PathBuf {
        self.work.join(form.name())
    }
}
