//! A tree as `.tar.zst`, with the hashes of both layers, in one pass.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use smbgw_command::Interrupt;

use crate::error::Error;
use crate::hash::HashWriter;
use crate::tree::{Tree, write_tar};

/// How hard to compress. Between these lies little worth its time: 9 saves 4 % for twice as long, 15 not 5 % for ten times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// zstd 6: seconds. For CI and trying things.
    Quick,
    /// zstd 19: most of a minute. For releases.
    Release,
}

impl Level {
    /// As zstd counts.
    pub fn zstd(self) -> i32 {
        match self {
            Self::Quick => 6,
            Self::Release => 19,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quick => "quick",
            Self::Release => "release",
        })
    }
}

/// A layer's size in bytes and SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Writes the tree to a file; gives the compressed and the uncompressed layer.
///
/// # Errors
/// [`Error::Io`], [`Error::Interrupted`].
pub fn write(tree: &Tree, path: &Path, level: Level, interrupt: &Interrupt) -> Result<(Layer, Layer), Error> {
    let write = || -> io::Result<(Layer, Layer)> {
        let file = HashWriter::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
        let mut encoder = zstd::Encoder::new(file, level.zstd())?;
        encoder.include_checksum(true)?;
        // the bytes are the same for any number of workers, but not for none
        encoder.multithread(std::thread::available_parallelism().map_or(1, |count| count.get() as u32))?;
        let mut writer =
            Watched { inner: HashWriter::new(BufWriter::with_capacity(1 << 20, encoder)), interrupt };
        write_tar(tree, &mut writer)?;
        writer.flush_all()?;
        let (tar_hash, tar_size, encoder) = writer.inner.finish();
        let encoder = encoder.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (hash, size, mut file) = encoder.finish()?.finish();
        file.flush()?;
        Ok((Layer { sha256: hash, size }, Layer { sha256: tar_hash, size: tar_size }))
    };
    write().map_err(
        |error| {
            if interrupt.is_set() { Error::Interrupted } else { Error::io("writing", path)(error) }
        },
    )
}

/// Stops when the person says so.
struct Watched<'a, W> {
    inner: HashWriter<W>,
    interrupt: &'a Interrupt,
}

impl<W: Write> Watched<'_, W> {
    /// Nothing to do but to keep the encoder unflushed: a flush in the middle would change the bytes.
    fn flush_all(&mut self) -> io::Result<()> {
        if self.interrupt.is_set() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush_all()?;
        // in slices, so that one big file does not hold up an interrupt
        self.inner.write(&bytes[..bytes.len().min(1 << 20)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;
    use crate::tree::Entry;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        // bigger than one job of a worker
        let noise: Vec<u8> = (0..6_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 20) as u8).collect();
        tree.put("/usr/noise", Entry::file(noise)).unwrap();
        tree
    }

    #[test]
    fn hashes_are_those_of_the_layers_and_bytes_repeat() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        let (packed, tar) = write(&tree(), &a, Level::Quick, &Interrupt::new()).unwrap();
        let again = write(&tree(), &b, Level::Quick, &Interrupt::new()).unwrap();
        assert_eq!((&packed, &tar), (&again.0, &again.1));
        let bytes = std::fs::read(&a).unwrap();
        assert_eq!((hash::of_bytes(&bytes), bytes.len() as u64), (packed.sha256, packed.size));
        let unpacked = zstd::decode_all(bytes.as_slice()).unwrap();
        assert_eq!((hash::of_bytes(&unpacked), unpacked.len() as u64), (tar.sha256, tar.size));
    }

    #[test]
    fn an_interrupt_ends_it() {
        let directory = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        interrupt.set();
        let error = write(&tree(), &directory.path().join("a"), Level::Quick, &interrupt).unwrap_err();
        assert!(matches!(error, Error::Interrupted));
    }
}
