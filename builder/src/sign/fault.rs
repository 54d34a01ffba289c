//! What can be wrong with a key or a signature: each is a different thing to do for a person.

use super::KeyId;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The file is something else, or damaged.
    #[error("it is not a secret key of minisign: {0}")]
    NotSecret(String),
    /// The file or the text is something else, or damaged.
    #[error("it is not a public key of minisign: {0}")]
    NotPublic(String),
    /// A password is needed.
    #[error("it is encrypted, and no password is given")]
    Encrypted,
    /// A password is given where there is none.
    #[error("it is not encrypted, but a password is given")]
    NotEncrypted,
    /// The password does not open it.
    #[error("the password does not fit, or the key is damaged")]
    WrongPassword,
    /// The password file is unusable.
    #[error("the password in it {0}")]
    Password(&'static str),
    /// A new key would take the place of something.
    #[error("it exists, and a key is never overwritten")]
    Exists,
}

/// Why a signature does not vouch for its file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// There is none.
    #[error("it is not signed: there is no {0} beside it")]
    Missing(String),
    /// It cannot be read as one.
    #[error("its signature is damaged: {0}")]
    Damaged(String),
    /// It is as the key made it, only not of this content.
    #[error("it was changed after it was signed with key {0}")]
    Changed(KeyId),
    /// Somebody else made it.
    #[error("it was signed with key {signed}, not with {wanted}")]
    WrongKey {
        /// Whose it says it is.
        signed: KeyId,
        /// Whose it should be.
        wanted: KeyId,
    },
    /// A file that belongs to the template is in no signed list.
    #[error("it does not list {0}, so the signature does not vouch for that file")]
    NotListed(String),
}

impl KeyFault {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotSecret(_) => "make one with `smbgw-builder key new FILE`, or with `minisign -G`",
            Self::NotPublic(_) => {
                "give the FILE.pub that `smbgw-builder key new FILE` wrote, or its second line"
            }
            Self::Encrypted => "name a file with the password by --password-file",
            Self::NotEncrypted => "leave out --password-file",
            Self::WrongPassword => "the password is the file's first line, without what ends that line",
            Self::Password(_) => "write the password into it as one line",
            Self::Exists => "choose another name, or move the old key away",
        }
    }
}

impl SignatureFault {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing(_) => {
                "copy it from where the template came; without --key nothing but checksums is checked"
            }
            Self::Damaged(_) => "copy the .minisig again from where the template came",
            Self::Changed(_) => {
                "do not use it: copy manifest, SHA256SUMS and signatures again from where the template came"
            }
            Self::WrongKey { .. } => {
                "take the public key from whoever built the template, not from beside it"
            }
            Self::NotListed(_) => "copy SHA256SUMS and its signature again from where the template came",
        }
    }
}
