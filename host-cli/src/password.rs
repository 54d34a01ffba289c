//! Where passwords come from: a prompt, a file, a descriptor, a systemd credential. Never an argument.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use smbgw_api::{GatewayName, UserName};

use crate::cli::args::PasswordArgs;
use crate::{Error, Result};

/// Shortest password, in characters.
pub const MIN_LENGTH: usize = 8;
/// Longest password, in bytes; what smbpasswd(8) reads of one.
const MAX_LENGTH: usize = 127;
/// Largest file that is read for passwords.
const MAX_FILE: u64 = 1 << 20;

/// Passwords of these users. One user: the first line is the password. Several: lines `NAME:PASSWORD`.
///
/// # Errors
/// When there is no source, it cannot be read, or a password is none.
pub fn read(
    args: &PasswordArgs,
    gateway: &GatewayName,
    users: &[UserName],
) -> Result<BTreeMap<UserName, SecretString>> {
    if users.is_empty() {
        return Ok(BTreeMap::new());
    }
    let source = source(args)?;
    match source {
        Some((source, reader)) => {
            let lines = lines(reader, &source)?;
            match users {
                [user] => {
                    let line = lines.into_iter().next().unwrap_or_default();
                    Ok(BTreeMap::from([(user.clone(), check(line.into(), user.as_str())?)]))
                }
                users => users
                    .iter()
                    .map(|user| {
                        let password = lines
                            .iter()
                            .find_map(|line| line.strip_prefix(user.as_str())?.strip_prefix(':'))
                            .ok_or_else(|| {
                                Error::usage("no-password", format!("{source} has no line {user}:PASSWORD"))
                                    .hint("for several users, one line NAME:PASSWORD for each")
                            })?;
                        Ok((user.clone(), check(password.to_owned().into(), user.as_str())?))
                    })
                    .collect(),
            }
        }
        None => users.iter().map(|user| Ok((user.clone(), prompt(gateway, user)?))).collect(),
    }
}

/// The first line of a source; none when none is given. Whether it is a password is for the caller to say.
///
/// # Errors
/// When it cannot be read.
pub fn first_line(args: &PasswordArgs) -> Result<Option<SecretString>> {
    let Some((source, reader)) = source(args)? else { return Ok(None) };
    Ok(Some(lines(reader, &source)?.into_iter().next().unwrap_or_default().into()))
}

/// The source that is given, with its name.
fn source(args: &PasswordArgs) -> Result<Option<(String, Box<dyn Read>)>> {
    Ok(if let Some(path) = &args.password_file {
        Some((path.display().to_string(), open(path)?))
    } else if let Some(fd) = args.password_fd {
        Some((format!("descriptor {fd}"), descriptor(fd)?))
    } else if let Some(name) = &args.password_credential {
        let path = credential(name)?;
        Some((format!("credential {name}"), open(&path)?))
    } else {
        None
    })
}

/// Lines `GATEWAY/USER:PASSWORD` of a file, for `apply`.
///
/// # Errors
/// When the file cannot be read, or a line is none.
pub fn read_many(path: &Path) -> Result<BTreeMap<(GatewayName, UserName), SecretString>> {
    let source = path.display().to_string();
    let mut secrets = BTreeMap::new();
    for (number, line) in lines(open(path)?, &source)?.into_iter().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // the line itself is secret and appears in no error
        let form = || {
            Error::usage(
                "bad-passwords-file",
                format!("line {} of {source} is not GATEWAY/USER:PASSWORD", number + 1),
            )
        };
        let (who, password) = line.split_once(':').ok_or_else(form)?;
        let (gateway, user) = who.split_once('/').ok_or_else(form)?;
        let key =
            (GatewayName::parse(gateway).map_err(|_| form())?, UserName::parse(user).map_err(|_| form())?);
        secrets.insert(key, check(password.to_owned().into(), user)?);
    }
    Ok(secrets)
}

fn prompt(gateway: &GatewayName, user: &UserName) -> Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("no-password", format!("no password is given for user {user}"))
            .hint("use --password-file, --password-fd or --password-credential; a terminal would be asked"));
    }
    let ask = |text: String| {
        rpassword::prompt_password(text)
            .map(SecretString::from)
            .map_err(|source| Error::io("asking for a password", source))
    };
    let first = check(ask(format!("Password for {user} on {gateway}: "))?, user.as_str())?;
    let second = ask("The same again: ".to_owned())?;
    if first.expose_secret() != second.expose_secret() {
        return Err(Error::usage("passwords-differ", "the two passwords differ"));
    }
    Ok(first)
}

fn check(password: SecretString, user: &str) -> Result<SecretString> {
    let text = password.expose_secret();
    if text.is_empty() || text.len() > MAX_LENGTH || text.chars().any(char::is_control) {
        return Err(Error::usage(
            "bad-password",
            format!("the password of {user} must have 1 to {MAX_LENGTH} bytes and no control characters"),
        ));
    }
    if text.chars().count() < MIN_LENGTH {
        return Err(Error::usage(
            "password-too-short",
            format!("the password of {user} has fewer than {MIN_LENGTH} characters"),
        )
        .hint(format!("choose one of at least {MIN_LENGTH} characters, or have one made: --generate")));
    }
    Ok(password)
}

/// Letters and digits that nobody mistakes for each other on paper.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A password from 128 random bits: 16 characters in groups of four, of which each is worth 5.8 bits.
pub fn generate(mut random: u128) -> SecretString {
    let mut text = String::new();
    for index in 0..16 {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        let count = ALPHABET.len() as u128;
        text.push(char::from(ALPHABET[(random % count) as usize]));
        random /= count;
    }
    text.into()
}

fn lines(reader: Box<dyn Read>, source: &str) -> Result<Vec<String>> {
    BufReader::new(reader.take(MAX_FILE)).lines().collect::<std::io::Result<_>>().map_err(|e| {
        Error::usage("no-password", format!("the password cannot be read from {source}")).source(e)
    })
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    let file = std::fs::File::open(path).map_err(|source| {
        Error::usage("no-password", format!("the password file {} cannot be read", path.display()))
            .source(source)
    })?;
    Ok(Box::new(file))
}

fn descriptor(fd: i32) -> Result<Box<dyn Read>> {
    let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
    if fd < 0 || !path.exists() {
        return Err(Error::usage("no-password", format!("descriptor {fd} is not open")));
    }
    #[expect(
        unsafe_code,
        reason = "the person names a descriptor that the shell opened for us; it exists, see above"
    )]
    // SAFETY: the descriptor is open, was inherited for this purpose, and nothing else in this process owns it.
    let file = unsafe { std::fs::File::from_raw_fd(fd) };
    Ok(Box::new(file))
}

/// systemd.exec(5), "Credentials".
fn credential(name: &str) -> Result<PathBuf> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Error::usage("no-password", "there are no systemd credentials")
            .hint("run it in a unit with LoadCredential=, or use --password-file")
    })?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(Error::usage("no-password", format!("{name:?} is not the name of a credential")));
    }
    Ok(PathBuf::from(directory).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::NamedTempFile, PasswordArgs) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let args = PasswordArgs { password_file: Some(file.path().to_owned()), ..PasswordArgs::default() };
        (file, args)
    }

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn gateway() -> GatewayName {
        GatewayName::parse("team").unwrap()
    }

    #[test]
    fn one_user_takes_the_first_line() {
        let (_file, args) = file("pass word:1\nrest\n");
        let got = read(&args, &gateway(), &[user("alice")]).unwrap();
        assert_eq!(got[&user("alice")].expose_secret(), "pass word:1");
    }

    #[test]
    fn several_users_have_a_line_each() {
        let (_file, args) = file("bob:b2345678\nalice:a:a45678\n");
        let got = read(&args, &gateway(), &[user("alice"), user("bob")]).unwrap();
        assert_eq!(got[&user("alice")].expose_secret(), "a:a45678");
        assert!(read(&args, &gateway(), &[user("alice"), user("eve")]).unwrap_err().message.contains("eve:"));
    }

    #[test]
    fn short_ones_are_refused() {
        for (text, code) in
            [("short67\n", "password-too-short"), ("äöüßäöü\n", "password-too-short"), ("\n", "bad-password")]
        {
            let (_file, args) = file(text);
            let error = read(&args, &gateway(), &[user("alice")]).unwrap_err();
            assert_eq!((error.code, error.category.exit_code()), (code, 2), "{text}");
            assert!(!error.message.contains(text.trim()) || text.trim().is_empty());
        }
        let (_file, args) = file("eight678\n");
        read(&args, &gateway(), &[user("alice")]).unwrap();
    }

    #[test]
    fn made_ones_are_strong_and_differ() {
        let made: Vec<String> = [0, 1, u128::MAX, 1 << 127, 12_345_678_901_234_567_890_123_456_789]
            .map(|random| generate(random).expose_secret().to_owned())
            .to_vec();
        for (index, password) in made.iter().enumerate() {
            assert_eq!((password.len(), password.matches('-').count()), (19, 3), "{password}");
            check(password.clone().into(), "alice").unwrap();
            assert!(!made[..index].contains(password));
        }
        // 16 characters use up 92 bits of the 128: the remainder makes none likelier than another
        assert!((ALPHABET.len() as f64).log2() * 16.0 < 93.0);
    }

    #[test]
    fn errors_do_not_show_the_password() {
        let (_file, args) = file("hunter2\u{1}\n");
        let error = read(&args, &gateway(), &[user("alice")]).unwrap_err();
        assert!(!format!("{error:?}{}", error.chain()).contains("hunter2"));
        let (file, _) = file("team:hunter2\n");
        let error = read_many(file.path()).unwrap_err();
        assert!(!format!("{error:?}{}", error.chain()).contains("hunter2"));
    }
}
