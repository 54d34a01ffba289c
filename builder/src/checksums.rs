//! `SHA256SUMS`, in the format of sha256sum(1), one file for all templates of a directory.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;
use crate::hash;

/// The file's name.
pub const NAME: &str = "SHA256SUMS";

/// Hashes by file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums(BTreeMap<String, String>);

impl Checksums {
    /// Parses the format; lines that are not in it are left out.
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (sha256, name) = line.split_once(' ')?;
            let name = name.strip_prefix([' ', '*'])?;
            (hash::is_sha256(sha256) && !name.contains(['/', '\r']))
                .then(|| (name.to_owned(), sha256.to_owned()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Reads the directory's file; none is an empty one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn load(directory: &Path) -> Result<Self, Error> {
        Ok(Self::read(directory)?.map(|text| Self::parse(&text)).unwrap_or_default())
    }

    /// The text of the directory's file, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(directory: &Path) -> Result<Option<String>, Error> {
        let path = directory.join(NAME);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(Error::io("reading", &path)),
        }
    }

    /// Sets the hash of a file.
    pub fn set(&mut self, name: &str, sha256: &str) {
        self.0.insert(name.to_owned(), sha256.to_owned());
    }

    /// The hash of a file.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The files it lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Keeps only files that are in the directory, or are about to be.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_sha256sum() {
        let sha256 = hash::of_bytes(b"");
        let text = format!("{sha256}  a.tar.zst\n{sha256} *b\n# comment\n{sha256}  ../../etc/passwd\n");
        let sums = Checksums::parse(&text);
        assert_eq!((sums.get("a.tar.zst"), sums.get("b")), (Some(sha256.as_str()), Some(sha256.as_str())));
        assert_eq!(sums.to_text().lines().count(), 2);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in proptest::collection::btree_set("[a-zA-Z0-9_.+-]{1,30}", 0..5)) {
            let mut sums = Checksums::default();
            names.iter().for_each(|name| sums.set(name, &hash::of_bytes(name.as_bytes())));
            prop_assert_eq!(Checksums::parse(&sums.to_text()), sums);
        }
    }
}
