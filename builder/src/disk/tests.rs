//! A small disk against the tools of others: sgdisk, fsck.vfat, mtools, e2fsck, debugfs and mke2fs.

use std::fs;
use std::path::PathBuf;

use mkext4::reader::ReadAt;
use proptest::prelude::*;
use smbgw_command::{Command, Runner, System};

use super::*;
use crate::manifest::list_paths;
use crate::tree::{Entry, Kind, write_tar};

const EPOCH: i64 = 1_760_000_000;
const SIZE: u64 = 64 << 20;

/// An access control list: group 4 may read.
const LIST: [u8; 44] = [
    2, 0, 0, 0, // version
    1, 0, 7, 0, 255, 255, 255, 255, // owner
    4, 0, 5, 0, 255, 255, 255, 255, // its group
    8, 0, 5, 0, 4, 0, 0, 0, // group 4
    16, 0, 5, 0, 255, 255, 255, 255, // mask
    32, 0, 5, 0, 255, 255, 255, 255, // others
];

fn run(program: &str, arguments: &[&str]) -> String {
    let command = Command::new(program).args(arguments.iter().copied());
    System::new().run(&command).unwrap().text(&command).unwrap()
}

fn tree() -> Tree {
    let mut tree = Tree::default();
    let capability = vec![1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut ping = Entry::file("elf").with_mode(0o755);
    ping.xattrs.insert("security.capability".into(), capability);
    (ping.uid, ping.gid) = (7, 70_000);
    tree.put("/usr/bin/ping", ping.clone()).unwrap();
    tree.put("/usr/bin/zing", Entry { kind: Kind::Hardlink("/usr/bin/ping".into()), ..ping }).unwrap();
    tree.put("/usr/lib/big", Entry::file(vec![0xa5; 300_000])).unwrap();
    tree.put("/usr/lib/empty", Entry::file("")).unwrap();
    tree.put("/bin", Entry::symlink("usr/bin")).unwrap();
    tree.put("/long", Entry::symlink("x".repeat(100))).unwrap();
    tree.put("/tmp", Entry::directory().with_mode(0o1777)).unwrap();
    let mut journal = Entry::directory();
    journal.xattrs.insert("system.posix_acl_default".into(), LIST.to_vec());
    tree.put("/var/log/journal", journal).unwrap();
    for number in 0..500 {
        tree.put(&format!("/usr/share/many/{number}-{}", "n".repeat(40)), Entry::file(vec![1; number]))
            .unwrap();
    }
    crate::normalise::clamp_times(&mut tree, EPOCH);
    tree
}

/// The disk's file, what is said of it, and the directory that keeps both.
fn disk(tree: &Tree) -> (tempfile::TempDir, PathBuf, DiskRecord) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.raw");
    let bios = BiosImage::for_test();
    let uefi = UefiPrograms { shim: b"shim".to_vec(), grub: vec![7; 100_000] };
    let contents = Contents {
        tree,
        bios: &bios,
        uefi: &uefi,
        kernel_arguments: &["ro".to_owned()],
        size: SIZE,
        origin: "test",
        epoch: EPOCH,
    };
    let record = write(&contents, &path).unwrap();
    (directory, path, record)
}

/// A partition's bytes in a file of their own.
fn part(disk: &std::path::Path, record: &DiskRecord, number: usize) -> PathBuf {
    let partition = &record.partitions[number - 1];
    let mut bytes = vec![0; partition.size as usize];
    std::os::unix::fs::FileExt::read_exact_at(&fs::File::open(disk).unwrap(), &mut bytes, partition.offset)
        .unwrap();
    let path = disk.with_extension(format!("part{number}"));
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn others_find_nothing_wrong() {
    let (_directory, path, record) = disk(&tree());
    let path_text = path.to_string_lossy().into_owned();
    let said = run("sgdisk", &["--verify", &path_text]);
    assert!(said.contains("No problems found"), "{said}");
    let said = run("sgdisk", &["--print", &path_text]);
    for (code, name) in [("EF02", "bios"), ("EF00", "esp"), ("8304", "root")] {
        assert!(said.lines().any(|line| line.contains(code) && line.ends_with(name)), "{said}");
    }
    let esp = part(&path, &record, 2).to_string_lossy().into_owned();
    run("fsck.vfat", &["-n", &esp]);
    assert_eq!(run("mtype", &["-i", &esp, "::/EFI/BOOT/BOOTX64.EFI"]), "shim");
    let config = run("mtype", &["-i", &esp, "::/EFI/debian/grub.cfg"]);
    assert!(config.contains(&root_uuid("test").to_string()), "{config}");
    let root = part(&path, &record, 3).to_string_lossy().into_owned();
    run("e2fsck", &["-fn", &root]);
}

#[test]
fn the_file_system_holds_what_the_oracle_holds() {
    let (directory, path, record) = disk(&tree());
    let ours = part(&path, &record, 3).to_string_lossy().into_owned();
    // mke2fs takes owners and modes as they are in a directory, which root alone can make: compare names, sizes, links
    let (unpacked, tar) = (directory.path().join("tree"), directory.path().join("tree.tar"));
    fs::create_dir(&unpacked).unwrap();
    write_tar(&tree(), &mut fs::File::create(&tar).unwrap()).unwrap();
    run("tar", &["-C", &unpacked.to_string_lossy(), "--no-same-owner", "-xf", &tar.to_string_lossy()]);
    let theirs = directory.path().join("oracle").to_string_lossy().into_owned();
    run("mke2fs", &["-q", "-t", "ext4", "-d", &unpacked.to_string_lossy(), &theirs, "40M"]);
    let list = |image: &str, path: &str| {
        let listed = run("debugfs", &["-R", &format!("ls -p {path}"), image]);
        let mut entries: Vec<String> = listed
            .lines()
            .filter_map(|line| {
                // /inode/mode/uid/gid/name/size/
                let fields: Vec<&str> = line.split('/').collect();
                Some(format!("{} {} {}", fields.get(2)?, fields.get(5)?, fields.get(6)?))
            })
            .filter(|entry| {
                !entry.contains(" lost+found") && !entry.contains(" . ") && !entry.contains(" .. ")
            })
            .collect();
        entries.sort();
        entries
    };
    for path in ["/", "/usr/bin", "/usr/lib", "/usr/share/many"] {
        assert_eq!(list(&ours, path), list(&theirs, path), "{path}");
    }
    let stat = run("debugfs", &["-R", "stat /usr/bin/ping", &ours]);
    assert!(stat.contains("Links: 2") && stat.contains("Group: 70000"), "{stat}");
    assert!(stat.contains("security.capability (20)"), "{stat}");
    // stored as the kernel has it, which others make into what system calls give, but for the numbers of nobody
    let said = run("debugfs", &["-R", "ea_get -x /var/log/journal system.posix_acl_default", &ours]);
    let hex: String = said.rsplit(" = ").next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(hex, crate::hash::hex(&LIST.map(|byte| if byte == 255 { 0 } else { byte })), "{said}");
}

#[test]
fn what_is_on_the_disk_is_what_the_manifest_says() {
    let tree = tree();
    let (_directory, path, record) = disk(&tree);
    let file = fs::File::open(&path).unwrap();
    let table = read_gpt(&file, SIZE).unwrap();
    assert_eq!(table.guid, record.guid);
    let system = open_ext4(&file, record.root().unwrap().offset).unwrap();
    assert_eq!(ext4_paths(&system).unwrap(), list_paths(&tree));
    let files = ext4_files_in(&system, "/usr/lib", "g", 300_000).unwrap();
    assert_eq!(files, [("big".to_owned(), vec![0xa5; 300_000])]);
    assert!(ext4_files_in(&system, "/usr/lib", "g", 299_999).unwrap_err().contains("big is too large"));
    assert!(ext4_files_in(&system, "/usr/none", "", 0).unwrap_err().contains("there is no /usr/none"));
    assert_eq!(system.verify().unwrap(), []);
}

#[test]
fn the_same_contents_are_the_same_bytes() {
    let kept = |made: (tempfile::TempDir, PathBuf, DiskRecord)| fs::read(&made.1).unwrap();
    assert!(kept(disk(&tree())) == kept(disk(&tree())));
}

#[test]
fn a_tree_that_does_not_fit_is_said() {
    let mut large = Tree::default();
    large.put("/large", Entry::file(vec![1; SIZE as usize])).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let contents = Contents {
        tree: &large,
        bios: &BiosImage::for_test(),
        uefi: &UefiPrograms { shim: vec![], grub: vec![] },
        kernel_arguments: &[],
        size: SIZE,
        origin: "test",
        epoch: EPOCH,
    };
    let error = write(&contents, &directory.path().join("disk")).unwrap_err();
    assert!(matches!(error, Error::Tree(_)), "{error}");
}

/// Bytes that are read as a disk.
struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.as_slice().read_exact_at(offset, buffer)
    }
}

fn table_bytes(table: &Table) -> Bytes {
    let mut bytes = vec![0; (table.sectors * SECTOR) as usize];
    for (at, written) in table.to_bytes(b"code") {
        bytes[at as usize..at as usize + written.len()].copy_from_slice(&written);
    }
    Bytes(bytes)
}

proptest! {
    #[test]
    fn tables_are_read_as_written_and_damage_is_found(size in 40u64..64, at in 512usize..16 << 10, flip in 1u8..) {
        let table = table(size << 20, "p");
        let mut disk = table_bytes(&Table { sectors: size << 11, ..table.clone() });
        prop_assert_eq!(read_gpt(&disk, size << 20), Ok(table));
        disk.0[at] ^= flip;
        // the rest of the header's sector is not covered by a sum
        let covered = !(512 + 92..1024).contains(&at);
        prop_assert_eq!(read_gpt(&disk, size << 20).is_err(), covered);
    }
}

#[test]
fn blocks_that_lead_in_circles_are_refused() {
    use std::os::unix::fs::FileExt;
    const BLOCK: u64 = 4096;
    let file = tempfile::tempfile().unwrap();
    file.set_len(SIZE).unwrap();
    let mut tree = Tree::default();
    tree.put("/big", Entry::file(vec![0xa5; 300_000])).unwrap();
    write_ext4(&tree, &Ext4Place { file: &file, offset: 0, size: SIZE }, Guid::derive("test", "root"), EPOCH)
        .unwrap();
    let system = open_ext4(&file, 0).unwrap();
    let number = system.resolve("/big").unwrap();
    let inode = system.inode(number).unwrap();
    let first = system.extents(number, &inode).unwrap()[0].physical;
    let in_table = system.group_desc(0).unwrap().inode_table * BLOCK + u64::from(number - 1) * 256;
    // every entry of a level is the same block, which has the next level
    let node = |entries: u16, depth: u16, block: u64| {
        let header = [0xf30a, entries, entries, depth, 0, 0].map(u16::to_le_bytes).concat();
        let entry = [0_u32.to_le_bytes(), u32::try_from(block).unwrap().to_le_bytes(), [0; 4]].concat();
        [header, entry.repeat(usize::from(entries))].concat()
    };
    file.write_all_at(&node(4, 5, first), in_table + 0x28).unwrap();
    for level in 0..5 {
        let block = first + level;
        file.write_all_at(&node(340, 4 - u16::try_from(level).unwrap(), block + 1), block * BLOCK).unwrap();
    }
    // no checksums of what is forged. Source: ext4(5) of the kernel, `s_feature_ro_compat`
    let mut features = [0; 4];
    FileExt::read_exact_at(&file, &mut features, 1024 + 0x64).unwrap();
    let features = u32::from_le_bytes(features) & !0x400;
    file.write_all_at(&features.to_le_bytes(), 1024 + 0x64).unwrap();
    let forged = open_ext4(&file, 0).unwrap();
    for said in [ext4_paths(&forged).unwrap_err(), ext4_files_in(&forged, "/", "big", 1 << 20).unwrap_err()] {
        assert!(said.contains("in circles"), "{said}");
    }
}
