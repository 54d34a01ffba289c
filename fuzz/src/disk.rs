//! Disks as they come from elsewhere: partition tables, and file systems that are damaged.

use std::io;
use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use mkext4::reader::ReadAt;
use smbgw_builder::disk::{Ext4Place, ext4_paths, open_ext4, read_gpt, write_ext4};
use smbgw_builder::guid::Guid;
use smbgw_builder::tree::{Entry, Kind, Tree};

use super::memory_file;

const SIZE: u64 = 16 << 20;
const BLOCK: usize = 4096;

/// Reads the input as a partition table; and as what is damaged in a file system, which is then read.
pub fn disk_read(input: &[u8]) {
    if let Ok(table) = read_gpt(&input, input.len() as u64) {
        assert!(table.partitions.iter().all(|one| one.first <= one.last && one.last < table.sectors));
    }
    let mut damaged = Damaged { base: base(), patches: Vec::new() };
    if damaged.add(&mut Unstructured::new(input)).is_err() {
        return;
    }
    let Ok(system) = open_ext4(&damaged, 0) else {
        return;
    };
    if let Ok(paths) = ext4_paths(&system) {
        assert!(paths.is_sorted_by(|one, other| one.path < other.path));
        let held: u64 = paths.iter().filter_map(|path| path.size).sum();
        assert!(held <= SIZE, "{held} bytes in a file system of {SIZE}");
    }
}

/// A sound file system without checksums, so that damage is not found at once; and those of its blocks that are not zeros.
struct Base {
    bytes: Vec<u8>,
    used: Vec<usize>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut tree = Tree::default();
        let mut put = |path: &str, entry: Entry| tree.put(path, entry).expect("a sound tree");
        put("/etc/short", Entry::symlink("a"));
        put("/etc/long", Entry::symlink("x".repeat(100)));
        put("/usr/file", Entry::file(vec![1; 20_000]));
        put("/usr/name", Entry { kind: Kind::Hardlink("/usr/file".into()), ..Entry::file("") });
        for number in 0..200 {
            put(&format!("/many/{number}-{}", "n".repeat(30)), Entry::file("x"));
        }
        let (file, path) = memory_file();
        file.set_len(SIZE).expect("memory");
        let place = Ext4Place { file: &file, offset: 0, size: SIZE };
        write_ext4(&tree, &place, Guid::derive("fuzz", "root"), 1_760_000_000).expect("it fits");
        let mut bytes = std::fs::read(path).expect("memory");
        // the superblock's compatible features: metadata_csum is bit 10
        bytes[1024 + 0x65] &= !4;
        let used =
            (0..bytes.len() / BLOCK).filter(|at| bytes[at * BLOCK..][..BLOCK].iter().any(|byte| *byte != 0));
        Base { used: used.collect(), bytes }
    })
}

struct Damaged {
    base: &'static Base,
    patches: Vec<(usize, Vec<u8>)>,
}

impl Damaged {
    fn add(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        while !input.is_empty() && self.patches.len() < 20 {
            let block = *input.choose(&self.base.used)?;
            let within = input.int_in_range(0..=BLOCK - 32)?;
            let length = input.int_in_range(1usize..=32)?.min(input.len());
            self.patches.push((block * BLOCK + within, input.bytes(length)?.to_vec()));
        }
        Ok(())
    }
}

impl ReadAt for Damaged {
    fn read_exact_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.base.bytes.as_slice().read_exact_at(at, buffer)?;
        let at = at as usize;
        for (patch, bytes) in &self.patches {
            for (place, byte) in (*patch..).zip(bytes) {
                if let Some(target) = place.checked_sub(at).and_then(|place| buffer.get_mut(place)) {
                    *target = *byte;
                }
            }
        }
        Ok(())
    }
}
