//! Checking who vouches for a template: the signatures of its manifest and of `SHA256SUMS`.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::checksums::{self, Checksums};
use crate::error::Error;
use crate::outputs::Names;
use crate::sign::{self, PublicKey, Signature, SignatureFault};

/// Who vouches for a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Vouched {
    /// The key that was given signed both files, as they are.
    Verified {
        /// That key's identifier.
        key_id: String,
        /// What the manifest's signature says besides.
        comment: String,
    },
    /// There are signatures, and no key was given.
    NotChecked {
        /// Who they say made them, if they can be read.
        key_id: Option<String>,
    },
    /// There are no signatures.
    NotSigned,
}

/// The two files that are signed, as they were read: what is checked is what is used.
pub(super) struct Signed<'a> {
    pub(super) directory: &'a Path,
    pub(super) names: &'a Names,
    /// The manifest's text.
    pub(super) manifest: &'a str,
    /// The text of `SHA256SUMS`, if there is one.
    pub(super) sums: Option<&'a str>,
}

impl Signed<'_> {
    /// Checks both signatures, and that the list covers everything of the template that is there.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Io`].
    pub(super) fn check(&self, key: &PublicKey) -> Result<Vouched, Error> {
        let manifest = self.names.manifest();
        let signature = self.check_one(&manifest, Some(self.manifest), key)?;
        self.check_one(checksums::NAME, self.sums, key)?;
        // names are in the list alone: without it, a signed template could be passed off as another
        let sums = Checksums::parse(self.sums.unwrap_or_default());
        let there = |name: &String| self.directory.join(name).is_file();
        let needed = [self.names.archive(), manifest, self.names.sbom()];
        if let Some(name) = needed.into_iter().filter(there).find(|name| sums.get(name).is_none()) {
            return Err(self.fault(checksums::NAME, SignatureFault::NotListed(name)));
        }
        Ok(Vouched::Verified { key_id: key.id().to_string(), comment: signature.comment().to_owned() })
    }

    /// What to say where no key was given.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn unchecked(&self) -> Result<Vouched, Error> {
        for name in [&self.names.manifest(), checksums::NAME] {
            if let Some(text) = self.read(name)? {
                let key_id = Signature::parse(&text).ok().map(|signature| signature.key_id().to_string());
                return Ok(Vouched::NotChecked { key_id });
            }
        }
        Ok(Vouched::NotSigned)
    }

    fn check_one(&self, name: &str, content: Option<&str>, key: &PublicKey) -> Result<Signature, Error> {
        let fault = |fault| self.fault(name, fault);
        let (Some(content), Some(text)) = (content, self.read(name)?) else {
            return Err(fault(SignatureFault::Missing(sign::name_of(name))));
        };
        let signature = Signature::parse(&text).map_err(fault)?;
        signature.check(key, content.as_bytes()).map_err(fault)?;
        Ok(signature)
    }

    /// The text of a file's signature, if there is one; bytes that are no text make it a damaged one.
    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.directory.join(sign::name_of(name));
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => {
                let bytes = other.map_err(Error::io("reading", &path))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
        }
    }

    fn fault(&self, name: &str, fault: SignatureFault) -> Error {
        Error::Signature { path: self.directory.join(name), fault }
    }
}
