//! Sparse files: where there is data, and what is but zeros. Source: lseek(2), `SEEK_DATA`.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Stretches of a file that are not holes, in order. Only a file system in memory is asked; of any other that is all of the file:
/// ZFS has told of holes where data had just been written (openzfs/zfs issue 15526), and nobody would see what is missing.
///
/// # Errors
/// Those of the file.
pub fn data(file: &File) -> io::Result<Vec<Range<u64>>> {
    let size = file.metadata()?.len();
    if !is_in_memory(&rustix::fs::fstatfs(file)?) {
        return Ok((size > 0).then_some(0..size).into_iter().collect());
    }
    let (mut found, mut at) = (Vec::new(), 0);
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // nothing but a hole up to the end
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        found.push(start..end);
        at = end;
    }
    Ok(found)
}

/// Whether this is a tmpfs.
pub fn is_in_memory(found: &rustix::fs::StatFs) -> bool {
    /// Source: statfs(2).
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    #[expect(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    let kind = found.f_type as i64;
    kind == TMPFS_MAGIC
}

/// Whether there is nothing but zeros.
pub fn is_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    // compared in large pieces, which takes a tenth of the time of looking at each byte
    bytes.chunks(ZEROS.len()).all(|piece| *piece == ZEROS[..piece.len()])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_are_left_out_and_data_is_not() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        assert_eq!(data(&file).unwrap(), []);
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"x", (1 << 20) + 5).unwrap();
        file.write_all_at(b"y", (4 << 20) - 1).unwrap();
        let found = data(&file).unwrap();
        let has = |at: u64| found.iter().any(|range| range.contains(&at));
        assert!(has((1 << 20) + 5) && has((4 << 20) - 1), "{found:?}");
        assert!(found.iter().map(|range| range.end - range.start).sum::<u64>() < 1 << 20, "{found:?}");
        assert!(found.windows(2).all(|two| two[0].end <= two[1].start), "{found:?}");
        assert!(found.iter().all(|range| range.start < range.end && range.end <= 8 << 20), "{found:?}");
    }

    #[test]
    fn only_memory_is_asked() {
        let memory = |path: &str| is_in_memory(&rustix::fs::statfs(path).unwrap());
        assert!(memory("/dev/shm") && !memory("/proc"));
        let this = File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(data(&this).unwrap().first(), Some(&(0..this.metadata().unwrap().len())));
    }

    #[test]
    fn zeros_are_told_from_what_is_almost_zeros() {
        let mut bytes = vec![0; 10_000];
        assert!(is_zeros(&bytes) && is_zeros(&[]));
        for at in [0, 4095, 4096, 9_999] {
            bytes[at] = 1;
            assert!(!is_zeros(&bytes), "{at}");
            bytes[at] = 0;
        }
    }
}
