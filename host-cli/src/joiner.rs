//! Who joins and leaves domains, and where the password comes from. Never an argument.

use std::io::{IsTerminal, Read};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use smbgw_api::{DomainUser, GatewayName, Realm};

use crate::cli::args::{JoinerArgs, PasswordArgs, PrecreatedArgs};
use crate::operation::Context;
use crate::world::Joiner;
use crate::{Error, Result, password};

/// Longest password of a domain, in bytes: 256 characters.
const LONGEST: usize = 512;
/// Largest blob of an offline join.
const LARGEST_BLOB: u64 = 256 << 10;

/// What a gateway joins with: what is given; else the secrets that are kept of it; else a password that is asked for.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn for_join(
    context: &Context,
    gateway: &GatewayName,
    realm: &Realm,
    args: &JoinerArgs,
    precreated: &PrecreatedArgs,
) -> Result<Option<Joiner>> {
    if let Some(path) = &precreated.blob {
        return Ok(Some(Joiner::Blob(blob(path)?)));
    }
    let kept = context.kept_secrets().get(gateway)?.is_some_and(|kept| kept.realm == *realm);
    if kept && args.user.is_none() && !args.password.is_given() {
        return Ok(None);
    }
    account(args).map(Some)
}

/// An account of the domain, with its password.
///
/// # Errors
/// When there is no password.
pub fn account(args: &JoinerArgs) -> Result<Joiner> {
    let user = args.user.clone().unwrap_or_else(DomainUser::administrator);
    let source = PasswordArgs {
        password_file: args.password.ad_password_file.clone(),
        password_fd: args.password.ad_password_fd.or(args.password.ad_password_stdin.then_some(0)),
        password_credential: args.password.ad_password_credential.clone(),
    };
    let password = match password::first_line(&source)? {
        Some(password) => password,
        None => prompt(&user)?,
    };
    Ok(Joiner::Account { user, password: check(password)? })
}

fn prompt(user: &DomainUser) -> Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("no-ad-password", format!("no password is given for {user} of the domain")).hint(
            "use --ad-password-file, --ad-password-stdin, --ad-password-fd or --ad-password-credential; a terminal would be asked",
        ));
    }
    rpassword::prompt_password(format!("Password for {user} of the domain: "))
        .map(SecretString::from)
        .map_err(|source| Error::io("asking for a password", source))
}

fn check(password: SecretString) -> Result<SecretString> {
    let text = password.expose_secret();
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        let message =
            format!("the domain account's password must have 1 to {LONGEST} bytes and no control characters");
        return Err(Error::usage("bad-ad-password", message));
    }
    Ok(password)
}

/// djoin writes UTF-16 with a byte order mark, `net offlinejoin` text.
fn blob(path: &Path) -> Result<SecretString> {
    let reading =
        |source| Error::usage("no-blob", format!("{} cannot be read", path.display())).source(source);
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(reading)?
        .take(LARGEST_BLOB)
        .read_to_end(&mut bytes)
        .map_err(reading)?;
    let text = match bytes.strip_prefix(&[0xff, 0xfe]) {
        Some(wide) => {
            let units = wide.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            String::from_utf16_lossy(&units.collect::<Vec<_>>())
        }
        None => String::from_utf8_lossy(&bytes).into_owned(),
    };
    Ok(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::JoinerPasswordArgs;

    #[test]
    fn an_account_and_its_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short\nrest\n").unwrap();
        let args = JoinerArgs {
            password: JoinerPasswordArgs {
                ad_password_file: Some(file.path().to_owned()),
                ..JoinerPasswordArgs::default()
            },
            ..JoinerArgs::default()
        };
        match account(&args).unwrap() {
            Joiner::Account { user, password } => {
                assert_eq!((user.as_str(), password.expose_secret()), ("Administrator", "short"));
            }
            _ => panic!("no account"),
        }
        std::fs::write(file.path(), "cana\u{1}ry\n").unwrap();
        let error = account(&args).unwrap_err();
        assert!(error.code == "bad-ad-password" && !format!("{error:?}").contains("cana"));
    }

    #[test]
    fn blobs_of_both_worlds() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "QUJD\n").unwrap();
        assert_eq!(blob(file.path()).unwrap().expose_secret(), "QUJD");
        let wide: Vec<u8> =
            [0xfeff].into_iter().chain("QUJD\0".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        std::fs::write(file.path(), wide).unwrap();
        assert_eq!(blob(file.path()).unwrap().expose_secret(), "QUJD");
    }
}
