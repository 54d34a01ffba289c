//! Sparse files: where there is data, and what is but zeros. Source: lseek(2), `SEEK_DATA`.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Stretches of a file that are not holes, in order. Where the file system does not know, that is all of it.
///
/// # Errors
/// Those of the file.
pub fn data(file: &File) -> io::Result<Vec<Range<u64>>> {
    let size = file.metadata()?.len();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // nothing but a hole up to the end
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(errno) => return Err(errno.into()),
        };
        let end = match seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => size,
            Err(errno) => return Err(errno.into()),
        };
        found.push(start..end);
        at = end;
    }
    Ok(found)
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
        let file = tempfile::tempfile().unwrap();
        assert_eq!(data(&file).unwrap(), []);
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"x", (1 << 20) + 5).unwrap();
        file.write_all_at(b"y", (4 << 20) - 1).unwrap();
        let found = data(&file).unwrap();
        let has = |at: u64| found.iter().any(|range| range.contains(&at));
        assert!(has((1 << 20) + 5) && has((4 << 20) - 1), "{found:?}");
        assert!(found.windows(2).all(|two| two[0].end <= two[1].start), "{found:?}");
        assert!(found.iter().all(|range| range.start < range.end && range.end <= 8 << 20), "{found:?}");
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
