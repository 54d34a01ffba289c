//! Images against QEMU's own tools, and against our reader.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use mkext4::reader::ReadAt;
use proptest::prelude::*;
use smbgw_command::{Command, Interrupt, Runner, System};

use super::*;
use crate::hash;
use crate::tarball::Level;

const CLUSTER: usize = 1 << CLUSTER_BITS;

/// What a cluster of a test's disk holds.
#[derive(Debug, Clone, Copy)]
enum Fill {
    Zeros,
    Text,
    Noise,
}

fn disk(fills: &[Fill], rest: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let mut bytes = Vec::new();
    for (number, fill) in fills.iter().enumerate() {
        match fill {
            Fill::Zeros => bytes.resize(bytes.len() + CLUSTER, 0),
            Fill::Text => bytes.extend(format!("cluster {number:08}\n").bytes().cycle().take(CLUSTER)),
            Fill::Noise => bytes.extend(std::iter::repeat_with(&mut noise).take(CLUSTER)),
        }
    }
    bytes.extend(std::iter::repeat_with(&mut noise).take(rest));
    bytes
}

fn image_of(directory: &Path, bytes: &[u8], threads: usize) -> (PathBuf, Written) {
    let (raw, image) = (directory.join("raw"), directory.join(format!("image-{threads}.qcow2")));
    fs::write(&raw, bytes).unwrap();
    let written = write(&raw, &image, Level::Quick, threads, &Interrupt::new()).unwrap();
    (image, written)
}

fn qemu_img(arguments: &[&str]) {
    System::new().run(&Command::new("qemu-img").args(arguments.iter().copied())).unwrap();
}

#[test]
fn qemu_finds_nothing_wrong_and_the_same_disk() {
    let directory = tempfile::tempdir().unwrap();
    let fills: Vec<Fill> = (0..300)
        .map(|number| [Fill::Text, Fill::Noise, Fill::Zeros, Fill::Noise, Fill::Text][number % 5])
        .collect();
    for (fills, rest) in
        [(&fills[..], 512), (&[][..], 512), (&[Fill::Zeros; 20][..], 0), (&[Fill::Noise; 3][..], 0)]
    {
        let bytes = disk(fills, rest);
        let (image, written) = image_of(directory.path(), &bytes, 2);
        let image = image.to_string_lossy().into_owned();
        qemu_img(&["check", "-q", &image]);
        let raw = directory.path().join("raw").to_string_lossy().into_owned();
        qemu_img(&["compare", "-q", "-f", "raw", "-F", "qcow2", &raw, &image]);
        assert_eq!(written.disk_sha256, hash::of_bytes(&bytes));
        assert_eq!((written.sha256, written.size), hash::of_file(Path::new(&image)).unwrap());
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let fills: Vec<Fill> =
        (0..150).map(|number| [Fill::Text, Fill::Noise, Fill::Zeros][number % 3]).collect();
    let bytes = disk(&fills, 4096);
    let all: Vec<Written> = [1, 2, 3, 8].map(|threads| image_of(directory.path(), &bytes, threads).1).into();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
}

#[test]
fn an_interrupt_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw");
    fs::write(&raw, disk(&[Fill::Noise; 200], 0)).unwrap();
    let interrupt = Interrupt::new();
    interrupt.set();
    let ended = write(&raw, &directory.path().join("image"), Level::Quick, 2, &interrupt);
    assert!(matches!(ended, Err(crate::Error::Interrupted)));
}

#[test]
fn images_of_another_kind_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (image, _) = image_of(directory.path(), &disk(&[Fill::Text], 0), 1);
    let good = fs::read(&image).unwrap();
    // a backing file, encryption, another compression, an absurd size, other magic
    for (at, value) in [(15, 1), (35, 1), (104, 0), (24, 0xff), (0, 0)] {
        let mut bad = good.clone();
        bad[at] = value;
        fs::write(&image, bad).unwrap();
        assert!(Image::open(&image).is_err(), "byte {at}");
    }
}

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![Just(Fill::Zeros), Just(Fill::Text), Just(Fill::Noise)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read(
        fills in proptest::collection::vec(fill(), 0..40),
        rest in 0usize..CLUSTER,
        threads in 1usize..5,
        at in 0usize..40 * CLUSTER,
        length in 0usize..3 * CLUSTER,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let bytes = disk(&fills, rest / 512 * 512);
        let (image, _) = image_of(directory.path(), &bytes, threads);
        let image = Image::open(&image).unwrap();
        let mut whole = Vec::new();
        image.reader().read_to_end(&mut whole).unwrap();
        prop_assert!(whole == bytes && image.size() == bytes.len() as u64);
        let mut part = vec![0; length];
        let read = image.read_exact_at(at as u64, &mut part);
        match bytes.get(at..at + length) {
            Some(expected) => prop_assert!(read.is_ok() && part == expected),
            None => prop_assert!(read.is_err()),
        }
    }

    #[test]
    fn damaged_images_never_panic(at in 0usize..4096, value: u8, table in any::<bool>()) {
        let directory = tempfile::tempdir().unwrap();
        let (path, _) = image_of(directory.path(), &disk(&[Fill::Text, Fill::Zeros, Fill::Noise], 0), 1);
        let mut bytes = fs::read(&path).unwrap();
        // in the header and the first data, or in the tables at the end
        let at = if table { bytes.len() - 4 * CLUSTER + at % 64 } else { at % 200 };
        bytes[at] = value;
        fs::write(&path, bytes).unwrap();
        if let Ok(image) = Image::open(&path)
            && image.size() < 1 << 24
        {
            let _ = image.reader().read_to_end(&mut Vec::new());
        }
    }
}
