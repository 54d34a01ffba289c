//! Keys: a secret key that signs, the public key that checks, and their files, which are minisign's own.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b256, Digest};
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::KeyFault;
use crate::error::Error;

/// Ed25519, as keys name it; signatures of prehashed files say `ED`.
const ALGORITHM: &[u8; 2] = b"Ed";
/// Where the parts of a secret key are, decrypted: 2 bytes each of signature, key derivation and checksum algorithm, 32 of salt, twice 8 of
/// limits, then the identifier, seed and public key, and a checksum.
const SECRET_SIZE: usize = 158;
const SECRET_ID: usize = 54;
const SECRET_PAIR: usize = SECRET_ID + 8;
const SECRET_CHECKSUM: usize = SECRET_PAIR + 64;

/// What tells keys apart: 8 random bytes. Nobody is kept from giving a key the identifier of another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub(super) [u8; 8]);

/// A key that signs. It has no `Debug`, so that it is never logged.
pub struct SecretKey {
    pub(super) id: KeyId,
    pub(super) key: SigningKey,
}

/// A key that checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) id: KeyId,
    pub(super) key: VerifyingKey,
}

/// Where a secret key is, and the file with its password if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The secret key.
    pub key: PathBuf,
    /// Its first line is the password.
    pub password: Option<PathBuf>,
}

/// A new pair of keys, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The public key's file.
    pub public_file: PathBuf,
    /// The public key.
    pub public: PublicKey,
}

impl KeyFile {
    /// Reads, decrypts and checks the key. With a password of `minisign -G` that takes a gigabyte of memory and a few seconds.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Key`].
    pub fn load(&self) -> Result<SecretKey, Error> {
        let text = read(&self.key, "the secret key", "make one with `smbgw-builder key new FILE`")?;
        let password = self.password.as_deref().map(read_password).transpose()?;
        SecretKey::parse(&text, password).map_err(|fault| Error::Key { path: self.key.clone(), fault })
    }

    /// Makes a key, and its public key in a file of the same name with `.pub` added. The secret key's file is for its owner alone.
    ///
    /// # Errors
    /// [`Error::Key`] when either file exists or the password is unusable, [`Error::Missing`], [`Error::Io`].
    pub fn create(&self) -> Result<NewKey, Error> {
        let mut public_file = self.key.clone().into_os_string();
        public_file.push(".pub");
        let public_file = PathBuf::from(public_file);
        for path in [&self.key, &public_file] {
            if path.symlink_metadata().is_ok() {
                return Err(Error::Key { path: path.clone(), fault: KeyFault::Exists });
            }
        }
        let password = self.password.as_deref().map(read_password).transpose()?;
        let failed = |error: minisign::PError| Error::io("making", &self.key)(io::Error::other(error));
        let pair = match password {
            Some(password) => minisign::KeyPair::generate_encrypted_keypair(Some(password)),
            None => minisign::KeyPair::generate_unencrypted_keypair(),
        };
        let pair = pair.map_err(failed)?;
        let text = pair.sk.to_box(Some("smbgw-builder secret key")).map_err(failed)?.into_string();
        let public = PublicKey::parse(&pair.pk.to_base64())
            .map_err(|fault| Error::Key { path: self.key.clone(), fault })?;
        write_new(&self.key, &text, 0o600)?;
        // a secret key without its public key is of no use
        write_new(&public_file, &public.to_text(), 0o644).inspect_err(|_| {
            let _ = fs::remove_file(&self.key);
        })?;
        Ok(NewKey { public_file, public })
    }
}

impl SecretKey {
    /// Parses the text of a secret key's file, with its password if it has one.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn parse(text: &str, password: Option<String>) -> Result<Self, KeyFault> {
        let odd = |what: &str| KeyFault::NotSecret(what.to_owned());
        let bytes = decode(text.lines().nth(1).unwrap_or_default())
            .ok_or_else(|| odd("its second line is not base64"))?;
        if bytes.len() != SECRET_SIZE || !bytes.starts_with(ALGORITHM) {
            return Err(odd("it does not have the size or the algorithm of one"));
        }
        let opened = match (&bytes[2..4], password) {
            ([0, 0], Some(_)) => return Err(KeyFault::NotEncrypted),
            // the crate wants a checksum here, which Debian's minisign leaves out
            ([0, 0], None) if is_intact(&bytes) => bytes,
            ([0, 0], None) => return Err(odd("its checksum does not fit")),
            (_, None) => return Err(KeyFault::Encrypted),
            (_, Some(password)) => decrypt(text, password)?,
        };
        let part = |from, to| opened.get(from..to).unwrap_or_default();
        let id = part(SECRET_ID, SECRET_PAIR).try_into().map_err(|_| odd("it has no identifier"))?;
        let pair = part(SECRET_PAIR, SECRET_CHECKSUM).try_into().map_err(|_| odd("it has no key"))?;
        let key = SigningKey::from_keypair_bytes(&pair)
            .map_err(|_| odd("its two halves do not belong together"))?;
        Ok(Self { id: KeyId(id), key })
    }

    /// The key's identifier.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey { id: self.id, key: self.key.verifying_key() }
    }
}

impl PublicKey {
    /// The key itself as base64, or the path of a file with it.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Key`].
    pub fn load(key: &str) -> Result<Self, Error> {
        if let Ok(found) = Self::parse(key) {
            return Ok(found);
        }
        let path = Path::new(key);
        let hint = "give the path of FILE.pub, or the key itself: 56 characters that begin with RW";
        let text = read(path, "the public key", hint)?;
        Self::parse(&text).map_err(|fault| Error::Key { path: path.to_owned(), fault })
    }

    /// Parses a public key: base64 alone, or a file's text, which has it after a comment.
    ///
    /// # Errors
    /// [`KeyFault::NotPublic`].
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let odd = |what: &str| KeyFault::NotPublic(what.to_owned());
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
        let bytes = decode(line.unwrap_or_default()).ok_or_else(|| odd("it is not base64"))?;
        let bytes: [u8; 42] = bytes.try_into().map_err(|_| odd("it does not have the size of one"))?;
        let (algorithm, rest) = bytes.split_at(ALGORITHM.len());
        let (id, key) = rest.split_at(8);
        if algorithm != ALGORITHM {
            return Err(odd("it is for another algorithm than Ed25519"));
        }
        let id = id.try_into().map_err(|_| odd("it has no identifier"))?;
        let key = VerifyingKey::try_from(key).map_err(|_| odd("it is no point of Ed25519"))?;
        // anything can be signed for such a key
        if key.is_weak() {
            return Err(odd("it is a weak key of Ed25519"));
        }
        Ok(Self { id: KeyId(id), key })
    }

    /// The key's identifier.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key as base64: 56 characters that begin with `RW`.
    pub fn to_base64(&self) -> String {
        STANDARD.encode([&ALGORITHM[..], &self.id.0, self.key.as_bytes()].concat())
    }

    /// The text of the key's file.
    pub fn to_text(&self) -> String {
        format!("untrusted comment: minisign public key {}\n{}\n", self.id, self.to_base64())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // as minisign does: without zeros in front
        write!(f, "{:X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether the checksum of a key that is not encrypted is right, or missing, which is written as zeros.
fn is_intact(bytes: &[u8]) -> bool {
    let (key, checksum) = bytes.split_at_checked(SECRET_CHECKSUM).unwrap_or_default();
    let covered = [&key[..ALGORITHM.len()], &key[SECRET_ID..]].concat();
    checksum.iter().all(|byte| *byte == 0) || Blake2b256::digest(covered)[..] == *checksum
}

/// The bytes of an encrypted key, decrypted.
fn decrypt(text: &str, password: String) -> Result<Vec<u8>, KeyFault> {
    let opened = minisign::SecretKeyBox::from(text.to_owned()).into_secret_key(Some(password));
    opened.map(|key| key.to_bytes()).map_err(|error| match error.kind() {
        minisign::ErrorKind::Verify => KeyFault::WrongPassword,
        _ => KeyFault::NotSecret(error.to_string()),
    })
}

/// Bytes of a line of base64.
pub(super) fn decode(line: &str) -> Option<Vec<u8>> {
    STANDARD.decode(line.trim()).ok()
}

fn read(path: &Path, what: &'static str, hint: &str) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::Missing { what, path: path.to_owned(), hint: hint.to_owned() })
        }
        other => other.map_err(Error::io("reading", path)),
    }
}

fn read_password(path: &Path) -> Result<String, Error> {
    /// As minisign has it.
    const LONGEST: usize = 1024;
    let text = read(path, "the password file", "write the password into it as one line")?;
    let fault = |what| Error::Key { path: path.to_owned(), fault: KeyFault::Password(what) };
    let mut lines = text.lines();
    match (lines.next().unwrap_or_default(), lines.next()) {
        ("", _) => Err(fault("is empty")),
        (_, Some(_)) => Err(fault("has more than one line")),
        (password, None) if password.len() > LONGEST => Err(fault("has more than 1024 bytes")),
        (password, None) => Ok(password.to_owned()),
    }
}

/// Writes a file that must not exist.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let write = |mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    match File::options().write(true).create_new(true).mode(mode).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::Key { path: path.to_owned(), fault: KeyFault::Exists })
        }
        opened => {
            let file = opened.map_err(Error::io("making", path))?;
            write(file).map_err(|error| {
                let _ = fs::remove_file(path);
                Error::io("writing", path)(error)
            })
        }
    }
}
