//! Who may ask over TCP: whoever shows the token of a file that only root can read.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};

use super::Refusal;
use crate::{Error, Result, durable, world};

/// Shortest token.
const LEAST: usize = 16;

/// A token.
#[derive(Debug)]
pub struct Token(SecretString);

impl Token {
    /// Reads it; makes a random one when there is no file.
    ///
    /// # Errors
    /// Code `monitor-token` when what is in the file is none.
    pub fn read_or_make(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| {
                Error::usage(
                    "monitor-token",
                    format!(
                        "{} must have one line of at least {LEAST} printable ASCII characters",
                        path.display()
                    ),
                )
                .hint("remove the file, and a random token is made")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let token = format!("{:032x}", world::random()?);
                if let Some(directory) = path.parent() {
                    durable::make_directory(directory, 0o755)?;
                }
                durable::create(path, 0o600, format!("{token}\n").as_bytes())?;
                Ok(Self(token.into()))
            }
            Err(source) => Err(Error::io(format!("reading {}", path.display()), source)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let token = text.strip_suffix('\n').unwrap_or(text);
        let fits = token.len() >= LEAST && token.chars().all(|c| c.is_ascii_graphic());
        fits.then(|| Self(token.to_owned().into()))
    }

    /// Whether a header shows it; takes the same time whatever is wrong with it.
    fn is_shown(&self, header: &str) -> bool {
        let Some(shown) = header.strip_prefix("Bearer ") else { return false };
        let token = self.0.expose_secret().as_bytes();
        let differences = token
            .iter()
            .zip(shown.bytes())
            .fold(token.len() ^ shown.len(), |sum, (a, b)| sum | usize::from(a ^ b));
        differences == 0
    }
}

pub(super) async fn check(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if shown.is_some_and(|shown| token.is_shown(shown)) {
        return next.run(request).await;
    }
    let error = Error::usage("no-token", "this needs the token").hint("send `Authorization: Bearer TOKEN`");
    let mut response = Refusal(error).into_response();
    let challenge = header::HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_is_made_and_read_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("etc/token");
        let made = Token::read_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Token::read_or_make(&path).unwrap();
        assert_eq!(made.0.expose_secret(), read.0.expose_secret());
        let shown = format!("Bearer {}", made.0.expose_secret());
        assert!(read.is_shown(&shown));
        for wrong in [&shown[..shown.len() - 1], &format!("{shown}0"), "Bearer ", "", "Basic x"] {
            assert!(!read.is_shown(wrong), "{wrong}");
        }
        std::fs::write(&path, "short\n").unwrap();
        assert_eq!(Token::read_or_make(&path).unwrap_err().code, "monitor-token");
        assert!(!format!("{made:?}").contains(made.0.expose_secret()));
    }
}
