//! SHA-256 as lower-case hex, the only hash the builder uses.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::sparse;

/// Of bytes in memory.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Of a stream, to its end; gives its length in bytes too.
///
/// # Errors
/// Those of reading.
pub fn of_reader(mut reader: impl Read) -> io::Result<(String, u64)> {
    let mut writer = HashWriter::new(io::sink());
    io::copy(&mut reader, &mut writer)?;
    let (hash, size, _) = writer.finish();
    Ok((hash, size))
}

/// Of a file; gives its length in bytes too.
///
/// # Errors
/// Those of opening and reading.
pub fn of_file(path: &Path) -> io::Result<(String, u64)> {
    of_reader(File::open(path)?)
}

/// Of a file with holes, of which nothing is read where [`sparse::data`] knows of them.
///
/// # Errors
/// Those of opening and reading.
pub fn of_sparse_file(path: &Path) -> io::Result<String> {
    const PIECE: u64 = 1 << 20;
    let file = File::open(path)?;
    let (zeros, mut buffer) = (vec![0; PIECE as usize], vec![0; PIECE as usize]);
    let (mut hash, mut at) = (Sha256::new(), 0);
    let size = file.metadata()?.len();
    // what is behind the last data is a hole, too
    for data in sparse::data(&file)?.into_iter().chain(std::iter::once(size..size)) {
        let skipped = data.start.saturating_sub(at);
        (0..skipped).step_by(PIECE as usize).for_each(|done| {
            hash.update(&zeros[..PIECE.min(skipped - done) as usize]);
        });
        for at in data.clone().step_by(PIECE as usize) {
            let piece = &mut buffer[..PIECE.min(data.end - at) as usize];
            file.read_exact_at(piece, at)?;
            hash.update(&*piece);
        }
        at = data.end;
    }
    Ok(hex(&hash.finalize()))
}

/// Hashes and counts what goes through it.
pub struct HashWriter<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> HashWriter<W> {
    /// Passes everything on to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// The hash, the number of bytes, and the inner writer.
    pub fn finish(self) -> (String, u64, W) {
        (hex(&self.hash.finalize()), self.size, self.inner)
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Whether a text is a SHA-256 in lower-case hex.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_value() {
        assert_eq!(of_bytes(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(is_sha256(&of_bytes(b"x")) && !is_sha256("E3") && !is_sha256(""));
    }

    #[test]
    fn streams_are_counted() {
        assert_eq!(of_reader(&b"abc"[..]).unwrap(), (of_bytes(b"abc"), 3));
    }

    #[test]
    fn holes_count_as_zeros() {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        for size in [0, 3 << 20, (3 << 20) + 17] {
            file.as_file().set_len(size).unwrap();
            if size > 0 {
                file.as_file().write_all_at(b"data", 1_500_000).unwrap();
            }
            assert_eq!(of_sparse_file(file.path()).unwrap(), of_file(file.path()).unwrap().0, "{size}");
        }
    }
}
