//! The initial ram disk: configuration that must be there when the kernel's package is installed, and how it is compressed.
//! Source: initramfs.conf(5), initramfs-tools(7).
//!
//! `mkinitramfs` compresses on one processor, for a quarter of a minute where the result is to be small. So it hardly does
//! here, and the builder does afterwards, as well as the template itself is compressed.

use std::io::Write;

use crate::error::Error;
use crate::recipe::Initrd;
use crate::tarball::Level;
use crate::tree::{Content, Entry, Kind, Tree};

/// Read after `initramfs.conf`, which belongs to the package.
const CONFIGURATION: &str = "/etc/initramfs-tools/conf.d/smbgw";
/// Modules that go in besides those that packages list.
const MODULES: &str = "/usr/share/initramfs-tools/modules.d/smbgw";

/// Lays the configuration over a tree that a kernel is to be installed in.
///
/// # Errors
/// [`Error::Tree`].
pub fn prepare(tree: &mut Tree, initrd: &Initrd) -> Result<(), Error> {
    tree.put(CONFIGURATION, Entry::file(configuration(1)))?;
    let modules: String = initrd.modules.iter().map(|module| format!("{module}\n")).collect();
    tree.put(MODULES, Entry::file(format!("# What a gateway's disks need.\n{modules}")))
}

/// Compresses every ram disk of a finished tree as this level says, and tells the guest, which makes others later, to take its time
/// within reason.
///
/// # Errors
/// [`Error::Tree`] when there is none, or it is not what was asked for.
pub fn compress(tree: &mut Tree, level: Level) -> Result<(), Error> {
    let broken =
        |path: &str, error: std::io::Error| Error::Tree(format!("{path} cannot be compressed: {error}"));
    let images: Vec<String> =
        tree.under("/boot").filter(|path| path.starts_with(IMAGES)).map(str::to_owned).collect();
    if images.is_empty() {
        return Err(Error::Tree("the kernel's package made no ram disk in /boot".into()));
    }
    for path in images {
        let image = tree.file(&path).unwrap_or_default();
        // what is compressed already, Debian 13's modules, stands before it in an archive of its own
        let (before, packed) = image.split_at(uncompressed(image));
        let content = zstd::decode_all(packed).map_err(|error| broken(&path, error))?;
        let mut compressed = before.to_vec();
        compressed.extend(pack(&content, level).map_err(|error| broken(&path, error))?);
        if let Some(entry) = tree.get_mut(&path) {
            entry.kind = Kind::File(Content::Own(compressed.into()));
        }
    }
    let text = configuration(Level::Quick.zstd());
    if let Some(entry) = tree.get_mut(CONFIGURATION) {
        entry.kind = Kind::File(Content::Own(text.into_bytes().into()));
    }
    Ok(())
}

/// Bytes of the uncompressed archives at the start of an image, with the zeros that fill up. Source: cpio(5), "New ASCII Format";
/// Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.
fn uncompressed(image: &[u8]) -> usize {
    const HEADER: usize = 110;
    let padded = |size: usize| size.next_multiple_of(4);
    let mut at = 0;
    while let Some(header) =
        image.get(at..).and_then(|rest| rest.get(..HEADER)).filter(|header| header.starts_with(b"07070"))
    {
        let field = |from: usize| {
            let text = std::str::from_utf8(&header[from..from + 8]).ok()?;
            usize::from_str_radix(text, 16).ok()
        };
        let (Some(size), Some(name)) = (field(54), field(94)) else { return at };
        let next = padded(HEADER + name) + padded(size);
        let Some(after) = image.get(at..at.saturating_add(next)).map(<[u8]>::len) else { return at };
        let is_last = image[at + HEADER..at + after].starts_with(b"TRAILER!!!");
        at += after;
        if is_last {
            at += image[at..].iter().take_while(|byte| **byte == 0).count();
        }
    }
    at
}

/// One frame, as the kernel wants it. Source: Linux, `lib/decompress_unzstd.c`.
fn pack(content: &[u8], level: Level) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level.zstd())?;
    // the bytes are the same for any number of workers, but not for none
    encoder.multithread(std::thread::available_parallelism().map_or(1, |count| count.get() as u32))?;
    encoder.write_all(content)?;
    encoder.finish()
}

/// What the images are called.
const IMAGES: &str = "/boot/initrd.img-";

/// `list`: not every driver there is. The root is ext4 for certain, and nothing is resumed from a swap partition.
fn configuration(level: i32) -> String {
    format!(
        "# Written when the template was built: a gateway runs on virtual hardware only.\n\
         MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL={level}\nFSTYPE=ext4\nRESUME=none\nKEYMAP=n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_listed_one_a_line() {
        let mut tree = Tree::default();
        let initrd = Initrd { modules: vec!["virtio_blk".into(), "sd_mod".into()], without: vec![] };
        prepare(&mut tree, &initrd).unwrap();
        assert!(tree.text(MODULES).unwrap().ends_with("virtio_blk\nsd_mod\n"));
        assert!(tree.text(CONFIGURATION).unwrap().contains("MODULES=list\n"));
    }

    /// An archive of one file, filled up to whole blocks, as cpio(1) writes it.
    fn cpio(name: &str, content: &[u8]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, content) in [(name, content), ("TRAILER!!!", &b""[..])] {
            // fields 6 and 11 of 13 are the sizes of content and name
            let field = |number| match number {
                6 => content.len(),
                11 => name.len() + 1,
                _ => 0,
            };
            archive.extend(b"070701");
            archive.extend((0..13).flat_map(|number| format!("{:08x}", field(number)).into_bytes()));
            archive.extend(name.bytes().chain([0]));
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.extend(content);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
        archive.resize(archive.len().next_multiple_of(512), 0);
        archive
    }

    #[test]
    fn images_are_compressed_anew_and_the_guest_is_told() {
        let mut tree = Tree::default();
        prepare(&mut tree, &Initrd { modules: vec![], without: vec![] }).unwrap();
        assert!(compress(&mut tree, Level::Quick).is_err(), "there is none");
        let content: Vec<u8> =
            (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 22) as u8).collect();
        let fast = zstd::encode_all(content.as_slice(), 1).unwrap();
        tree.put("/boot/initrd.img-6.12-amd64", Entry::file(fast.clone()).with_mode(0o600)).unwrap();
        compress(&mut tree, Level::Release).unwrap();
        let packed = tree.file("/boot/initrd.img-6.12-amd64").unwrap();
        assert!(packed.len() < fast.len());
        assert_eq!(zstd::decode_all(packed).unwrap(), content);
        assert_eq!(tree.get("/boot/initrd.img-6.12-amd64").unwrap().mode, 0o600);
        assert!(tree.text(CONFIGURATION).unwrap().contains("COMPRESSLEVEL=6\n"));
        tree.put(
            "/boot/initrd.img-6.12-amd64",
            Entry::file([cpio("kernel/x.ko.xz", b"module"), fast].concat()),
        )
        .unwrap();
        compress(&mut tree, Level::Quick).unwrap();
        let image = tree.file("/boot/initrd.img-6.12-amd64").unwrap();
        let at = uncompressed(image);
        assert_eq!((&image[..at], at % 512), (&cpio("kernel/x.ko.xz", b"module")[..], 0));
        assert_eq!(zstd::decode_all(&image[at..]).unwrap(), content);
        tree.put("/boot/initrd.img-odd", Entry::file("gzip")).unwrap();
        assert!(compress(&mut tree, Level::Quick).is_err());
    }
}
