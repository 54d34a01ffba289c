//! Disk images: `smbgw_builder::qcow2`.

use std::fs;
use std::io::Read;

use arbitrary::{Result, Unstructured};
use mkext4::reader::ReadAt;
use smbgw_builder::hash;
use smbgw_builder::qcow2::{Image, write};
use smbgw_builder::tarball::Level;
use smbgw_command::Interrupt;

use super::memory_file;

const CLUSTER: usize = 64 << 10;
/// What is read of an image, whatever size it claims.
const MOST_READ: u64 = 4 << 20;

/// Reads the input as an image; what is read in order is what is read in pieces.
pub fn qcow2_read(input: &[u8]) {
    let Ok(image) = Image::new(input) else {
        return;
    };
    let mut whole = Vec::new();
    let end = image.reader().take(MOST_READ).read_to_end(&mut whole);
    if end.is_ok() {
        assert_eq!(whole.len() as u64, image.size().min(MOST_READ));
    }
    let step = 48_000;
    for (number, expected) in whole.chunks(step).enumerate().rev().take(40) {
        let mut piece = vec![0; expected.len()];
        image.read_exact_at((number * step) as u64, &mut piece).expect("it was read before");
        assert!(piece == expected, "piece {number} differs");
    }
    let mut byte = [0];
    assert!(image.read_exact_at(image.size(), &mut byte).is_err());
    assert!(image.read_exact_at(u64::MAX, &mut byte).is_err());
    // anywhere far behind, there may be damage, but no panic
    let _ = image.read_exact_at(image.size() / 2, &mut byte);
    let _ = image.read_exact_at(image.size().saturating_sub(1), &mut byte);
}

/// Makes a disk as the input says; its image reads as the disk, and is the same for any number of threads.
pub fn qcow2_write(input: &[u8]) {
    let Ok(disk) = disk(&mut Unstructured::new(input)) else {
        return;
    };
    let (_raw, raw) = memory_file();
    fs::write(&raw, &disk).expect("memory");
    let images = [1, 2].map(|threads| {
        let (_image, path) = memory_file();
        let written = write(&raw, &path, Level::Quick, threads, &Interrupt::new()).expect("memory");
        let bytes = fs::read(&path).expect("memory");
        assert_eq!((written.size, &written.sha256), (bytes.len() as u64, &hash::of_bytes(&bytes)));
        assert_eq!(written.disk_sha256, hash::of_bytes(&disk));
        bytes
    });
    assert!(images[0] == images[1], "the bytes depend on the number of threads");
    let image = Image::new(images[0].as_slice()).expect("our own image");
    assert_eq!(image.size(), disk.len() as u64);
    let mut whole = Vec::new();
    image.reader().read_to_end(&mut whole).expect("our own image");
    assert!(whole == disk, "the disk differs");
    qcow2_read(&images[0]);
}

/// A disk of up to 36 clusters, more than the 32 that one thread takes at a time, mostly zeros.
fn disk(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let sectors = input.int_in_range(0usize..=36 * CLUSTER / 512)?;
    let mut disk = vec![0; sectors * 512];
    while !input.is_empty() && !disk.is_empty() {
        let start = input.choose_index(disk.len().div_ceil(512))? * 512;
        let length = input.int_in_range(1usize..=2 * CLUSTER)?.min(disk.len() - start);
        let target = &mut disk[start..start + length];
        match input.int_in_range(0u8..=3)? {
            0 => target.fill(input.arbitrary()?),
            1 => {
                let mut state = input.arbitrary::<u64>()? | 1;
                target.fill_with(|| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 24) as u8
                });
            }
            _ => {
                let length = length.min(input.int_in_range(1usize..=64)?).min(input.len());
                target[..length].copy_from_slice(input.bytes(length)?);
            }
        }
    }
    Ok(disk)
}
