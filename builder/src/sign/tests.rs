//! Keys and signatures against Debian's minisign, both ways.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use smbgw_command::{Command, Runner, System};

use super::*;
use crate::error::Error;

/// Runs minisign, with these lines as its input; a password is read from there when there is no terminal.
fn minisign(directory: &Path, input: &str, arguments: &[&str]) -> Result<String, String> {
    let command = Command::new("minisign")
        .args(["-s", "theirs.key"])
        .args(arguments.iter().copied())
        .directory(directory.to_string_lossy())
        // a key derivation of theirs takes seconds of a processor that others may want
        .deadline(Duration::from_secs(600))
        .stdin(input.as_bytes().to_vec());
    let output = System::new().run(&command).map_err(|error| error.to_string())?;
    output.text(&command).map_err(|error| error.to_string())
}

struct Pair {
    directory: tempfile::TempDir,
    secret: SecretKey,
    public: PublicKey,
}

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = KeyFile { key: directory.path().join("ours.key"), password: None };
        let public = file.create().unwrap().public;
        Self { directory, secret: file.load().unwrap(), public }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

#[test]
fn keys_are_their_owners_alone_and_never_overwritten() {
    let pair = Pair::new();
    let mode = |name: &str| fs::metadata(pair.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("ours.key"), mode("ours.key.pub") & 0o600), (0o600, 0o600));
    assert!(pair.secret.public() == pair.public);
    let again = |name: &str| KeyFile { key: pair.path(name), password: None }.create();
    let before = fs::read(pair.path("ours.key")).unwrap();
    assert!(matches!(again("ours.key"), Err(Error::Key { fault: KeyFault::Exists, .. })));
    assert_eq!(fs::read(pair.path("ours.key")).unwrap(), before);
    // nor is a public key, and then there is no half of a pair
    pair.write("other.key.pub", "mine");
    assert!(matches!(again("other.key"), Err(Error::Key { fault: KeyFault::Exists, .. })));
    assert!(!pair.path("other.key").exists());
    std::os::unix::fs::symlink("nowhere", pair.path("third.key")).unwrap();
    assert!(matches!(again("third.key"), Err(Error::Key { fault: KeyFault::Exists, .. })));
}

#[test]
fn public_keys_are_read_from_a_file_or_the_text_itself() {
    let pair = Pair::new();
    let file = pair.path("ours.key.pub").display().to_string();
    assert_eq!(PublicKey::load(&file).unwrap(), pair.public);
    let text = pair.public.to_base64();
    assert!(text.len() == 56 && text.starts_with("RW"), "{text}");
    assert_eq!(PublicKey::load(&text).unwrap(), pair.public);
    assert!(matches!(PublicKey::load("no/such.pub"), Err(Error::Missing { .. })));
    let secret = pair.path("ours.key").display().to_string();
    assert!(matches!(PublicKey::load(&secret), Err(Error::Key { fault: KeyFault::NotPublic(_), .. })));
    // a point of small order: any signature would be right for some content
    let mut weak = decoded(&text);
    weak[10..].fill(0);
    weak[10] = 1;
    assert!(matches!(PublicKey::parse(&encoded(&weak)), Err(KeyFault::NotPublic(_))));
}

fn decoded(text: &str) -> Vec<u8> {
    key::decode(text).unwrap()
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn a_password_is_needed_where_there_is_one_and_only_there() {
    let pair = Pair::new();
    let (right, wrong) = (pair.write("right", "hush\n"), pair.write("wrong", "hash\n"));
    let file = |name: &str, password: Option<&PathBuf>| KeyFile {
        key: pair.path(name),
        password: password.cloned(),
    };
    let made = file("secret.key", Some(&right)).create().unwrap();
    let fault = |file: KeyFile| match file.load() {
        Err(Error::Key { fault, .. }) => Some(fault),
        _ => None,
    };
    assert!(file("secret.key", Some(&right)).load().unwrap().public() == made.public);
    assert_eq!(fault(file("secret.key", None)), Some(KeyFault::Encrypted));
    assert_eq!(fault(file("secret.key", Some(&wrong))), Some(KeyFault::WrongPassword));
    assert_eq!(fault(file("ours.key", Some(&right))), Some(KeyFault::NotEncrypted));
    for (text, said) in [("", "is empty"), ("\n", "is empty"), ("a\nb\n", "has more than one line")] {
        let password = pair.write("odd", text);
        assert_eq!(fault(file("secret.key", Some(&password))), Some(KeyFault::Password(said)));
    }
    assert!(matches!(fault(file("ours.key.pub", None)), Some(KeyFault::NotSecret(_))));
}

#[test]
fn a_damaged_secret_key_is_refused() {
    let pair = Pair::new();
    let text = fs::read_to_string(pair.path("ours.key")).unwrap();
    let (comment, key) = text.trim_end().split_once('\n').unwrap();
    let bytes = decoded(key);
    for at in [0, 60, 70, 100, 150] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let damaged = SecretKey::parse(&format!("{comment}\n{}\n", encoded(&bytes)), None);
        assert!(matches!(damaged.err(), Some(KeyFault::NotSecret(_))), "byte {at}");
    }
}

#[test]
fn each_fault_has_its_own_words() {
    let (pair, other) = (Pair::new(), Pair::new());
    let signature = Signature::make(&pair.secret, b"content", "template:t");
    assert_eq!(signature.check(&pair.public, b"content"), Ok(()));
    assert_eq!(signature.check(&pair.public, b"Content"), Err(SignatureFault::Changed(pair.public.id())));
    let wrong = SignatureFault::WrongKey { signed: pair.public.id(), wanted: other.public.id() };
    assert_eq!(signature.check(&other.public, b"content"), Err(wrong));
    // somebody who gives a key the same identifier signs nothing in its name
    let mut posing = Signature::make(&other.secret, b"content", "template:t").to_text();
    let lines: Vec<&str> = posing.lines().collect();
    let mut bytes = decoded(lines[1]);
    bytes[2..10].copy_from_slice(&pair.public.id().0);
    posing = format!("{}\n{}\n{}\n{}\n", lines[0], encoded(&bytes), lines[2], lines[3]);
    let said = Signature::parse(&posing).unwrap().check(&pair.public, b"content");
    assert!(matches!(said, Err(SignatureFault::Damaged(_))), "{said:?}");

    let text = signature.to_text();
    for (from, to, said) in [
        ("template:t", "template:u", "did not make it as it is"),
        ("trusted comment: t", "trusted: t", "third line"),
        ("untrusted comment", "comment", "first line"),
        ("\n", "", "first line"),
    ] {
        let text = if from == "\n" { String::new() } else { text.replacen(from, to, 1) };
        let fault = Signature::parse(&text).and_then(|signature| signature.check(&pair.public, b"content"));
        assert!(fault.as_ref().is_err_and(|fault| fault.to_string().contains(said)), "{to}: {fault:?}");
    }
}

#[test]
fn the_same_key_and_content_give_the_same_bytes() {
    let pair = Pair::new();
    let make = || Signature::make(&pair.secret, b"content", "file:x version:1").to_text();
    assert_eq!(make(), make());
    // a comment cannot bring lines of its own
    let text = Signature::make(&pair.secret, b"", "a\nuntrusted comment: b\r\n").to_text();
    assert_eq!(text.lines().count(), 4);
    assert_eq!(Signature::parse(&text).unwrap().check(&pair.public, b""), Ok(()));
}

#[test]
fn minisign_takes_our_keys_and_signatures_and_makes_the_same() {
    let pair = Pair::new();
    let directory = pair.directory.path();
    fs::copy(pair.path("ours.key"), pair.path("theirs.key")).unwrap();
    // the public key from the secret one, as minisign makes it
    minisign(directory, "", &["-R", "-p", "theirs.pub", "-W", "-f"]).unwrap();
    assert_eq!(fs::read(pair.path("theirs.pub")).unwrap(), fs::read(pair.path("ours.key.pub")).unwrap());

    let comment = "file:SHA256SUMS template:debian-13";
    pair.write("SHA256SUMS", "the content\n");
    let ours = Signature::make(&pair.secret, b"the content\n", comment).to_text();
    let signature = pair.write("SHA256SUMS.minisig", &ours);
    let said = minisign(directory, "", &["-V", "-p", "theirs.pub", "-H", "-m", "SHA256SUMS"]).unwrap();
    assert!(said.contains(&format!("Trusted comment: {comment}")), "{said}");
    let by_text = pair.public.to_base64();
    minisign(directory, "", &["-V", "-P", &by_text, "-m", "SHA256SUMS"]).unwrap();

    // Ed25519 has no choice: with the same comments the files are the same
    fs::remove_file(&signature).unwrap();
    let untrusted = format!("signature of smbgw-builder, key {}", pair.public.id());
    let sign = ["-S", "-W", "-m", "SHA256SUMS", "-t", comment, "-c", &untrusted];
    minisign(directory, "", &sign).unwrap();
    assert_eq!(fs::read_to_string(&signature).unwrap(), ours);

    // and it sees what we would
    fs::write(&signature, ours.replacen("debian-13", "debian-12", 1)).unwrap();
    minisign(directory, "", &["-V", "-p", "theirs.pub", "-m", "SHA256SUMS"]).unwrap_err();
    fs::write(&signature, &ours).unwrap();
    pair.write("SHA256SUMS", "other content\n");
    minisign(directory, "", &["-V", "-p", "theirs.pub", "-m", "SHA256SUMS"]).unwrap_err();
}

#[test]
fn minisign_opens_our_encrypted_keys() {
    let pair = Pair::new();
    let password = pair.write("password", "hush");
    let made = KeyFile { key: pair.path("theirs.key"), password: Some(password) }.create().unwrap();
    let directory = pair.directory.path();
    minisign(directory, "hush\n", &["-R", "-p", "theirs.pub", "-f"]).unwrap();
    assert_eq!(PublicKey::parse(&fs::read_to_string(pair.path("theirs.pub")).unwrap()), Ok(made.public));
    minisign(directory, "hash\n", &["-R", "-p", "theirs.pub", "-f"]).unwrap_err();
}

#[test]
fn we_take_what_minisign_made_and_signed() {
    let pair = Pair::new();
    let directory = pair.directory.path();
    minisign(directory, "", &["-G", "-p", "theirs.pub", "-W", "-f"]).unwrap();
    let file = pair.write("file", "the content\n");
    minisign(directory, "", &["-S", "-W", "-m", "file", "-t", "any comment, even “this”"]).unwrap();
    let read = |name: &str| fs::read_to_string(pair.path(name)).unwrap();
    let public = PublicKey::load(&pair.path("theirs.pub").display().to_string()).unwrap();
    assert!(KeyFile { key: pair.path("theirs.key"), password: None }.load().unwrap().public() == public);
    let signature = Signature::parse(&read("file.minisig")).unwrap();
    assert_eq!(signature.comment(), "any comment, even “this”");
    assert_eq!(signature.check(&public, &fs::read(&file).unwrap()), Ok(()));
    assert_eq!(signature.check(&public, b"other content\n"), Err(SignatureFault::Changed(public.id())));
    // its own default comment has tabs
    minisign(directory, "", &["-S", "-W", "-m", "file"]).unwrap();
    let signature = Signature::parse(&read("file.minisig")).unwrap();
    assert_eq!(signature.check(&public, b"the content\n"), Ok(()));
    assert!(signature.comment().contains("\tfile:file"), "{}", signature.comment());
    // not prehashed: ours are, and one kind is enough
    minisign(directory, "", &["-S", "-W", "-l", "-m", "file"]).unwrap();
    let fault = Signature::parse(&read("file.minisig")).unwrap_err();
    assert!(fault.to_string().contains("legacy"), "{fault}");
}

/// A gigabyte of memory and seconds: what `minisign -G` takes to keep a password from being guessed.
#[test]
fn we_open_what_minisign_encrypted() {
    let pair = Pair::new();
    minisign(pair.directory.path(), "hush\nhush\n", &["-G", "-p", "theirs.pub", "-f"]).unwrap();
    let file = KeyFile { key: pair.path("theirs.key"), password: Some(pair.write("password", "hush\n")) };
    let public = PublicKey::load(&pair.path("theirs.pub").display().to_string()).unwrap();
    assert!(file.load().unwrap().public() == public);
}

proptest! {
    #[test]
    fn what_is_written_is_read(content: Vec<u8>, comment in "\\PC{0,60}") {
        let secret = SecretKey { id: KeyId([7; 8]), key: ed25519_dalek::SigningKey::from_bytes(&[9; 32]) };
        let signature = Signature::make(&secret, &content, &comment);
        let read = Signature::parse(&signature.to_text());
        prop_assert_eq!(&read, &Ok(signature));
        prop_assert_eq!(read.unwrap().check(&secret.public(), &content), Ok(()));
    }

    #[test]
    fn anything_is_read_without_panic(text in "(untrusted comment: x\n)?[A-Za-z0-9+/=]{0,110}\n(trusted comment: )?\\PC{0,20}\n[A-Za-z0-9+/=\n]{0,100}") {
        let _ = Signature::parse(&text);
        let _ = PublicKey::parse(&text);
        let _ = SecretKey::parse(&text, None);
    }
}
