//! Tars as they come from elsewhere: `Tree::read_tar`, then the writer.

use smbgw_builder::tree::{Kind, Tree, write_tar};

use super::tree::assert_equal;

/// What ustar's fields hold: seven octal digits.
const LARGEST_ID: u32 = (1 << 21) - 1;
/// Eleven octal digits.
const LATEST: i64 = (1 << 33) - 1;

/// Reads the input as a tar; what is read can be written, is read again as the same, and is written as the same bytes.
pub fn tar(input: &[u8]) {
    let Ok(first) = Tree::read_tar(input.to_vec()) else {
        return;
    };
    for (path, entry) in first.entries() {
        assert!(
            path.starts_with('/') && !path.contains("//") && !path.split('/').any(|part| part == ".."),
            "{path:?}"
        );
        if let Kind::Hardlink(target) = &entry.kind {
            assert!(
                target.as_str() < path && first.file(path).is_some(),
                "{path:?} is another name of nothing"
            );
        }
    }
    let mut bytes = Vec::new();
    let written = write_tar(&first, &mut bytes);
    let fits = first
        .entries()
        .all(|(_, entry)| entry.uid <= LARGEST_ID && entry.gid <= LARGEST_ID && entry.mtime <= LATEST);
    assert_eq!(written.is_ok(), fits, "{written:?}");
    if !fits {
        return;
    }
    let second = Tree::read_tar(bytes.clone()).expect("our own tar");
    assert_equal(&first, &second);
    let mut again = Vec::new();
    write_tar(&second, &mut again).expect("as before");
    assert!(again == bytes, "the second tar differs from the first");
}
