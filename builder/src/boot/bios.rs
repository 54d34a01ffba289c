//! GRUB for BIOS: its first sector, and the image that follows in the BIOS boot partition.
//!
//! `grub-mkimage` makes the image. It is run out of its package, by the template's own dynamic loader and libraries, so
//! that the building machine needs no GRUB and its version has no say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use smbgw_command::{Command, Runner, System};

use super::{DIRECTORY, Packages};
use crate::error::Error;
use crate::tree::Tree;
use crate::workdir::WorkDir;

/// Bytes of a sector, and of the boot sector's image.
const SECTOR: usize = 512;
/// Where the boot sector's image says at which sector the rest begins. Source: GRUB, `include/grub/i386/pc/boot.h`.
const KERNEL_SECTOR: usize = 0x5c;
/// A jump that trusts the drive number of the BIOS; not on hard disks (`grub-bios-setup` does the same).
const DRIVE_CHECK: usize = 0x66;
/// From here to the end the sector belongs to the partition table.
const TABLE: usize = 0x1b8;
/// The last block list in the first sector of the image: start (8 bytes), sectors (2), segment (2).
const BLOCK_LIST: usize = SECTOR - 12;
/// Where the block list is loaded to. Source: GRUB, `include/grub/offsets.h`.
const SEGMENT: u16 = 0x820;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// What `grub-mkimage` is linked with, directly or not, in Debian 12 and 13; `libdevmapper` is in no template.
const LINKED: &[&str] = &[
    "libc.so.6",
    "libcap.so.2",
    "liblzma.so.5",
    "libm.so.6",
    "libpcre2-8.so.0",
    "libselinux.so.1",
    "libudev.so.1",
];
/// What it takes to read the configuration from the ESP and a kernel from ext4.
const MODULES: &[&str] = &[
    "biosdisk",
    "part_gpt",
    "fat",
    "ext2",
    "normal",
    "configfile",
    "linux",
    "search",
    "search_fs_uuid",
    "test",
    "echo",
    "serial",
    "terminal",
    "minicmd",
    "all_video",
];

/// Both parts, for a disk whose BIOS boot partition begins at a sector that is known later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiosImage {
    boot: Vec<u8>,
    core: Vec<u8>,
}

/// Makes the image. Its configuration is in the second partition of the disk that it starts from.
///
/// # Errors
/// [`Error::Tree`] when a package or the tree lacks something, [`Error::Program`], [`Error::Io`].
pub fn make(
    packages: &Packages<'_>,
    tree: &Tree,
    work: &WorkDir,
    system: &System,
) -> Result<BiosImage, Error> {
    let directory = work.join("grub");
    for part in ["lib", "i386-pc"] {
        let path = directory.join(part);
        fs::create_dir_all(&path).map_err(Error::io("making", path))?;
    }
    let image = "/usr/lib/grub/i386-pc/";
    for (path, content) in packages.files("grub-pc-bin", &|path| path.starts_with(image))? {
        write(&directory.join("i386-pc").join(file_name(&path)), &content)?;
    }
    for (path, content) in packages.files("libdevmapper1.02.1", &|path| path.contains("/libdevmapper.so."))? {
        write(&directory.join("lib").join(file_name(&path)), &content)?;
    }
    for name in LINKED {
        if let Some(content) = through_links(tree, &format!("{LIBRARIES}/{name}")) {
            write(&directory.join("lib").join(name), content)?;
        }
    }
    let loader = through_links(tree, LOADER).ok_or_else(|| Error::Tree(format!("there is no {LOADER}")))?;
    write(&directory.join("ld.so"), loader)?;
    write(&directory.join("mkimage"), &packages.file("grub-common", "/usr/bin/grub-mkimage")?)?;

    let place = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let command = Command::new(place("ld.so"))
        .args(["--inhibit-cache", "--library-path", &place("lib"), &place("mkimage")])
        .args(["--format=i386-pc", "--directory", &place("i386-pc"), "--output", &place("core.img")])
        .arg(format!("--prefix=(,gpt2)/{DIRECTORY}"))
        .args(MODULES.iter().copied())
        .deadline(Duration::from_secs(60));
    system.run(&command).map_err(Error::program("making GRUB's image for BIOS"))?;
    let read = |path: &Path| fs::read(path).map_err(Error::io("reading", path));
    let image = BiosImage {
        boot: read(&directory.join("i386-pc/boot.img"))?,
        core: read(&directory.join("core.img"))?,
    };
    let _ = fs::remove_dir_all(&directory);
    if image.boot.len() != SECTOR || image.core.len() < 2 * SECTOR {
        return Err(Error::Tree("GRUB's images for BIOS have an odd size".into()));
    }
    Ok(image)
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(Error::io("writing", path))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn through_links<'a>(tree: &'a Tree, path: &str) -> Option<&'a [u8]> {
    tree.file(&tree.resolve(path)?)
}

impl BiosImage {
    /// The first sector of the disk, up to where the partition table begins.
    pub fn boot_sector(&self, first: u64) -> Vec<u8> {
        let mut sector = self.boot[..TABLE].to_vec();
        sector[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&first.to_le_bytes());
        sector[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90);
        sector
    }

    /// What goes into the partition that begins at this sector: whole sectors.
    ///
    /// # Errors
    /// [`Error::Tree`] when it is larger than one block list may be.
    pub fn core(&self, first: u64) -> Result<Vec<u8>, Error> {
        let mut core = self.core.clone();
        core.resize(core.len().next_multiple_of(SECTOR), 0);
        let rest = u16::try_from(core.len() / SECTOR - 1)
            .map_err(|_| Error::Tree("GRUB's image for BIOS is larger than it can load".into()))?;
        let list = &mut core[BLOCK_LIST..SECTOR];
        list[..8].copy_from_slice(&(first + 1).to_le_bytes());
        list[8..10].copy_from_slice(&rest.to_le_bytes());
        list[10..].copy_from_slice(&SEGMENT.to_le_bytes());
        Ok(core)
    }
}

#[cfg(test)]
impl BiosImage {
    /// One that starts nothing.
    pub(crate) fn for_test() -> Self {
        Self { boot: vec![0xaa; SECTOR], core: vec![0xbb; 3 * SECTOR + 5] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_patched_and_nothing_else() {
        let image = BiosImage::for_test();
        let sector = image.boot_sector(2048);
        assert_eq!(sector.len(), TABLE);
        assert_eq!(
            sector[KERNEL_SECTOR..KERNEL_SECTOR + 12],
            [0, 8, 0, 0, 0, 0, 0, 0, 0xaa, 0xaa, 0x90, 0x90]
        );
        let core = image.core(2048).unwrap();
        assert_eq!((core.len(), core[3 * SECTOR + 5]), (4 * SECTOR, 0));
        assert_eq!(core[BLOCK_LIST..SECTOR], [1, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0x20, 0x08]);
        assert!(core[..BLOCK_LIST].iter().chain(&core[SECTOR..3 * SECTOR]).all(|byte| *byte == 0xbb));
    }

    #[test]
    fn too_large_an_image_is_refused() {
        let image = BiosImage { boot: vec![0; SECTOR], core: vec![0; SECTOR << 17] };
        assert!(image.core(2048).is_err());
    }
}
