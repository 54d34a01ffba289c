//! The seed disk: a FAT file system labelled CIDATA with four files (cloud-init, NoCloud data source).

use std::io::{Cursor, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

use crate::cloud_init::Seed;
use crate::{Error, Result};

/// Size of the disk in bytes: the files are a few hundred.
const SIZE: usize = 1 << 20;

/// The bytes of the disk.
///
/// # Errors
/// Never in practice: it is written into memory.
pub(super) fn image(seed: &Seed) -> Result<Vec<u8>> {
    write(seed).map_err(|source| Error::io("making the cloud-init disk", source))
}

fn write(seed: &Seed) -> std::io::Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0u8; SIZE]);
    let options = FormatVolumeOptions::new().volume_label(*b"CIDATA     ").volume_id(0x5347_5744);
    fatfs::format_volume(&mut disk, options)?;
    disk.set_position(0);
    {
        let filesystem = FileSystem::new(&mut disk, FsOptions::new())?;
        for (name, text) in [
            ("user-data", &seed.user_data),
            ("vendor-data", &seed.vendor_data),
            ("network-config", &seed.network_config),
            ("meta-data", &seed.meta_data),
        ] {
            filesystem.root_dir().create_file(name)?.write_all(text.as_bytes())?;
        }
        filesystem.unmount()?;
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::machine;
    use std::io::Read;

    #[test]
    fn the_files_are_on_a_disk_of_that_label() {
        let seed = Seed::of(&machine()).unwrap();
        let disk = FileSystem::new(Cursor::new(image(&seed).unwrap()), FsOptions::new()).unwrap();
        assert_eq!(disk.volume_label_as_bytes(), b"CIDATA");
        let mut text = String::new();
        disk.root_dir().open_file("network-config").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, seed.network_config);
        assert_eq!(disk.root_dir().iter().count(), 4);
    }
}
