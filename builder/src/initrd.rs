//! What the initial ram disk is made from: configuration that must be there when the kernel's package is installed.
//! Source: initramfs.conf(5), initramfs-tools(7).

use crate::error::Error;
use crate::recipe::Initrd;
use crate::tree::{Entry, Tree};

/// Read after `initramfs.conf`, which belongs to the package.
const CONFIGURATION: &str = "/etc/initramfs-tools/conf.d/smbgw";
/// Modules that go in besides those that packages list.
const MODULES: &str = "/usr/share/initramfs-tools/modules.d/smbgw";

/// Lays the configuration over a tree that a kernel is to be installed in.
///
/// # Errors
/// [`Error::Tree`].
pub fn prepare(tree: &mut Tree, initrd: &Initrd) -> Result<(), Error> {
    tree.put(CONFIGURATION, Entry::file(CONFIGURATION_TEXT))?;
    let modules: String = initrd.modules.iter().map(|module| format!("{module}\n")).collect();
    tree.put(MODULES, Entry::file(format!("# What a gateway's disks need.\n{modules}")))
}

/// `list`: not every driver there is. The root is ext4 for certain, and nothing is resumed from a swap partition.
const CONFIGURATION_TEXT: &str = "\
# Written when the template was built: a gateway runs on virtual hardware only.
MODULES=list
COMPRESS=zstd
COMPRESSLEVEL=19
FSTYPE=ext4
RESUME=none
KEYMAP=n
";

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
}
