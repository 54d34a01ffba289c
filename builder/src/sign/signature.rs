//! One signature: made, written, read, checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest};
use ed25519_dalek::Signer;

use super::key::decode;
use super::{KeyId, PublicKey, SecretKey, SignatureFault};

/// Ed25519 over the BLAKE2b-512 of the file.
const PREHASHED: &[u8; 2] = b"ED";
/// Ed25519 over the file itself: `minisign -S -l`.
const LEGACY: &[u8; 2] = b"Ed";
const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// A detached signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key_id: KeyId,
    /// Of the file's hash.
    of_content: [u8; 64],
    /// Of the above and the comment, which so cannot be changed either.
    of_comment: [u8; 64],
    comment: String,
}

impl Signature {
    /// Signs a file's content. The comment is one line and signed, too.
    pub fn make(key: &SecretKey, content: &[u8], comment: &str) -> Self {
        // a second line would be taken for a signature
        let comment = comment.replace(['\n', '\r'], " ").trim().to_owned();
        let of_content = key.key.sign(&prehash(content)).to_bytes();
        let of_comment = key.key.sign(&with_comment(&of_content, &comment)).to_bytes();
        Self { key_id: key.id, of_content, of_comment, comment }
    }

    /// Parses a `.minisig`.
    ///
    /// # Errors
    /// [`SignatureFault::Damaged`].
    pub fn parse(text: &str) -> Result<Self, SignatureFault> {
        let odd = |what: &str| SignatureFault::Damaged(what.to_owned());
        let mut lines = text.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (untrusted, of_content, comment, of_comment) = (line(), line(), line(), line());
        if !untrusted.starts_with(UNTRUSTED) {
            return Err(odd("its first line is not an untrusted comment"));
        }
        let comment =
            comment.strip_prefix(TRUSTED).ok_or_else(|| odd("its third line is not a trusted comment"))?;
        let of_content: [u8; 74] = decode(of_content)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| odd("its second line is not 74 bytes in base64"))?;
        let of_comment: [u8; 64] = decode(of_comment)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| odd("its fourth line is not 64 bytes in base64"))?;
        if lines.any(|line| !line.trim().is_empty()) {
            return Err(odd("it has more than four lines"));
        }
        let (algorithm, rest) = of_content.split_at(2);
        let (key_id, of_content) = rest.split_at(8);
        match algorithm.try_into() {
            Ok(PREHASHED) => {}
            Ok(LEGACY) => return Err(odd("it is in minisign's legacy format, which is not taken")),
            _ => return Err(odd("it is of an unknown algorithm")),
        }
        let key_id = key_id.try_into().map_err(|_| odd("it names no key"))?;
        let of_content = of_content.try_into().map_err(|_| odd("it is too short"))?;
        Ok(Self { key_id: KeyId(key_id), of_content, of_comment, comment: comment.to_owned() })
    }

    /// Checks that this key signed this content, and the comment.
    ///
    /// # Errors
    /// [`SignatureFault`]: another key, a damaged signature, or another content.
    pub fn check(&self, key: &PublicKey, content: &[u8]) -> Result<(), SignatureFault> {
        if self.key_id != key.id {
            return Err(SignatureFault::WrongKey { signed: self.key_id, wanted: key.id });
        }
        let made =
            |message: &[u8], signature: &[u8; 64]| key.key.verify_strict(message, &signature.into()).is_ok();
        // first what does not depend on the content, to tell the two apart
        if !made(&with_comment(&self.of_content, &self.comment), &self.of_comment) {
            let detail = format!("key {} did not make it as it is, with this trusted comment", key.id);
            return Err(SignatureFault::Damaged(detail));
        }
        if made(&prehash(content), &self.of_content) { Ok(()) } else { Err(SignatureFault::Changed(key.id)) }
    }

    /// Which key it says made it; true only after [`Signature::check`].
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The signed comment; true only after [`Signature::check`].
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The text of the `.minisig`.
    pub fn to_text(&self) -> String {
        let of_content = STANDARD.encode([&PREHASHED[..], &self.key_id.0, &self.of_content].concat());
        let (key_id, comment, of_comment) = (self.key_id, &self.comment, STANDARD.encode(self.of_comment));
        format!(
            "{UNTRUSTED}signature of smbgw-builder, key {key_id}\n{of_content}\n{TRUSTED}{comment}\n{of_comment}\n"
        )
    }
}

fn prehash(content: &[u8]) -> [u8; 64] {
    Blake2b512::digest(content).into()
}

fn with_comment(signature: &[u8; 64], comment: &str) -> Vec<u8> {
    [&signature[..], comment.as_bytes()].concat()
}
