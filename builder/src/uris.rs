//! What `apt-get --print-uris` prints: `'ADDRESS' FILE SIZE SHA256:HASH`, among talk.

use crate::hash;

/// One file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// Where it is.
    pub address: String,
    /// What apt would call it.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// All downloads in the text, in order. Lines that do not start with a quote are talk.
///
/// # Errors
/// A sentence for people when a line starts as a download and is none.
pub fn parse(text: &str) -> Result<Vec<Uri>, String> {
    text.lines().filter(|line| line.starts_with('\'')).map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<Uri, String> {
    let read = || {
        let (address, rest) = line.strip_prefix('\'')?.split_once('\'')?;
        let mut words = rest.split_whitespace();
        let (file, size, hash) = (words.next()?, words.next()?, words.next()?);
        let sha256 = hash.strip_prefix("SHA256:").filter(|hash| hash::is_sha256(hash))?;
        Some(Uri {
            address: address.to_owned(),
            file: file.to_owned(),
            size: size.parse().ok()?,
            sha256: sha256.to_owned(),
        })
    };
    read().ok_or_else(|| format!("apt printed a download that cannot be read: {line}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn downloads_among_talk() {
        let hash = hash::of_bytes(b"");
        let text = format!(
            "Reading package lists...\n'http://m/a%2b1.deb' a_1_amd64.deb 42 SHA256:{hash}\n0 upgraded\n"
        );
        let found = parse(&text).unwrap();
        assert_eq!((found.len(), found[0].size, found[0].address.as_str()), (1, 42, "http://m/a%2b1.deb"));
    }

    #[test]
    fn weak_hashes_are_refused() {
        assert!(parse("'http://m/a.deb' a.deb 42 MD5Sum:1eb3b66ba20ac25d373b24c650883e64\n").is_err());
        assert!(parse("'http://m/a.deb' a.deb 42 \n").is_err());
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(text in "('|\\PC|\n){0,120}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_apt_prints_is_read(file in "[a-z0-9+.~_-]{1,20}", size in any::<u64>()) {
            let sha256 = hash::of_bytes(file.as_bytes());
            let text = format!("'http://m/{file}' {file} {size} SHA256:{sha256}\n");
            let address = format!("http://m/{file}");
            prop_assert_eq!(parse(&text), Ok(vec![Uri { address, file, size, sha256 }]));
        }
    }
}
