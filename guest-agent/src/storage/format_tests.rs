//! Formatting and growing for real, on files that stand for disks: mkfs.ext4, blkid and resize2fs need no root for that.

use std::os::unix::fs::FileExt;

use smbgw_api::v1::ErrorKind;
use smbgw_command::{CommandError, Output, System};

use super::*;
use crate::storage::grow::grow_device;

const UUID: &str = "11111111-2222-4333-8444-555555555555";

struct Disk {
    _directory: tempfile::TempDir,
    device: Device,
    file: File,
}

fn disk(bytes: u64) -> Disk {
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("disk");
    let file = File::options().read(true).write(true).create_new(true).open(&node).unwrap();
    file.set_len(bytes).unwrap();
    let device = Device { node, what: "/dev/x".into(), number: "1:1".into(), bytes };
    Disk { _directory: directory, device, file }
}

fn look(disk: &Disk) -> Content {
    content::look(&System::new(), &disk.device.node, disk.device.bytes).unwrap()
}

#[test]
fn an_empty_disk_becomes_a_file_system_once() {
    let disk = disk(64 << 20);
    assert_eq!(look(&disk), Content::Blank);
    format(&System::new(), &disk.device, UUID).unwrap();
    assert_eq!(look(&disk), Content::FileSystem(FileSystem::Ext4));
    let block = superblock::read(&disk.device.node, FileSystem::Ext4).unwrap();
    assert_eq!((block.bytes, block.uuid.as_str()), (63 << 20, UUID));
    let error = format(&System::new(), &disk.device, UUID).unwrap_err();
    assert!(error.kind == ErrorKind::Storage && error.message.contains("no longer empty"), "{error}");
}

#[test]
fn one_byte_anywhere_at_the_edges_is_data() {
    for at in [0, 511, (1 << 20) - 1, (63 << 20), (64 << 20) - 1] {
        let disk = disk(64 << 20);
        disk.file.write_all_at(b"x", at).unwrap();
        let Content::Other(found) = look(&disk) else { panic!("{at}") };
        assert!(found.contains(&format!("byte {at})")), "{found}");
        assert!(format(&System::new(), &disk.device, UUID).is_err());
        let mut byte = [0];
        disk.file.read_exact_at(&mut byte, at).unwrap();
        assert_eq!(&byte, b"x");
    }
}

#[test]
fn other_file_systems_and_partitions_are_told() {
    for (at, bytes, word) in [
        (4086, b"SWAPSPACE2".as_slice(), "swap"),
        (0, b"LUKS\xba\xbe\0\x01", "crypto_LUKS"),
        (0x10040, b"_BHRfS_M", "btrfs"),
    ] {
        let disk = disk(64 << 20);
        disk.file.write_all_at(bytes, at).unwrap();
        let Content::Other(found) = look(&disk) else { panic!("{word}") };
        // blkid may want more of a superblock than its magic; then it is data of some kind
        assert!(found.contains(word) || found.contains("data of some kind"), "{found}");
    }
    let disk = disk(64 << 20);
    // a partition table of one DOS partition
    disk.file.write_all_at(&[0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0], 446).unwrap();
    disk.file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    assert!(matches!(look(&disk), Content::Other(found) if found.contains("partition table (dos)")));
}

/// Ends mkfs.ext4 in the middle: lets it do its work, then takes this much of it away again.
struct Dies {
    superblock: bool,
}

impl Runner for Dies {
    fn run(&self, command: &Command) -> std::result::Result<Output, CommandError> {
        let output = System::new().run(command)?;
        if command.program() != "mkfs.ext4" {
            return Ok(output);
        }
        if !self.superblock {
            // it is written last
            let node = command.display().split(' ').rev().nth(1).unwrap().to_owned();
            File::options().write(true).open(node).unwrap().write_all_at(&[0; 1024], 1024).unwrap();
        }
        Err(CommandError::Failed {
            command: command.display(),
            code: None,
            status: "signal 9".into(),
            stderr: String::new(),
            stdout: String::new(),
        })
    }
}

#[test]
fn a_format_that_died_is_begun_again() {
    for superblock in [true, false] {
        let disk = disk(64 << 20);
        format(&Dies { superblock }, &disk.device, UUID).unwrap_err();
        assert_eq!(look(&disk), Content::HalfMade);
        let other = "99999999-2222-4333-8444-555555555555";
        format(&System::new(), &disk.device, other).unwrap();
        assert_eq!(look(&disk), Content::FileSystem(FileSystem::Ext4));
        assert_eq!(superblock::read(&disk.device.node, FileSystem::Ext4).unwrap().uuid, other);
    }
}

/// A mark speaks for the file system that it names, and for no other.
#[test]
fn a_mark_beside_another_file_system_means_nothing() {
    let disk = disk(64 << 20);
    format(&System::new(), &disk.device, UUID).unwrap();
    set_mark(&disk.file, &disk.device, Some("99999999-2222-4333-8444-555555555555")).unwrap();
    assert_eq!(look(&disk), Content::FileSystem(FileSystem::Ext4));
}

#[test]
fn a_larger_disk_grows_its_file_system_and_a_little_larger_does_not() {
    let mut disk = disk(64 << 20);
    format(&System::new(), &disk.device, UUID).unwrap();
    let state = grow_device(&System::new(), &disk.device, FileSystem::Ext4).unwrap();
    assert_eq!((state.grown, state.filesystem_bytes), (false, 63 << 20));
    disk.file.set_len(256 << 20).unwrap();
    disk.device.bytes = 256 << 20;
    let state = grow_device(&System::new(), &disk.device, FileSystem::Ext4).unwrap();
    assert!(state.grown && state.filesystem_bytes > 250 << 20, "{state:?}");
    assert!(!grow_device(&System::new(), &disk.device, FileSystem::Ext4).unwrap().grown);
}

#[test]
fn tiny_disks_are_refused() {
    let disk = disk(1 << 20);
    let error = content::look(&System::new(), &disk.device.node, disk.device.bytes).unwrap_err();
    assert!(error.message.contains("at least 16 MiB"), "{error}");
}

#[test]
fn uuids_are_random_ones() {
    let uuid = new_uuid().unwrap();
    assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'));
    assert_ne!(uuid, new_uuid().unwrap());
}
