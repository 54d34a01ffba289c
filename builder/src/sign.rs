//! Detached signatures over manifests and `SHA256SUMS`, in minisign's format, so that `minisign -V` checks them too.
//!
//! * [`key`]: secret keys, public keys, and the files they are kept in
//! * [`signature`]: what is beside a signed file, as `FILE.minisig`
//! * [`fault`]: what can be wrong with either
//!
//! Only prehashed signatures (`ED`) are made and taken: Ed25519 over the BLAKE2b-512 of the file. Nothing in one depends on the time or on
//! chance: the same key and the same file give the same bytes. Source of all formats: <https://jedisct1.github.io/minisign/>, minisign(1).

pub mod fault;
pub mod key;
pub mod signature;
#[cfg(test)]
mod tests;

pub use fault::{KeyFault, SignatureFault};
pub use key::{KeyFile, KeyId, PublicKey, SecretKey};
pub use signature::Signature;

/// What is added to a file's name for the name of its signature.
pub const SUFFIX: &str = ".minisig";

/// The name of a file's signature.
pub fn name_of(file: &str) -> String {
    format!("{file}{SUFFIX}")
}
