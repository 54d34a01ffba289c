//! Errors are [`ApiError`]s from where they arise: a kind for the host, a text for people.

use smbgw_api::DomainFault;
use smbgw_api::v1::{ApiError, ErrorKind};
use smbgw_command::CommandError;

/// What a function of the agent gives.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// The request is wrong.
pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    error(ErrorKind::Invalid, message)
}

/// There is no such thing.
pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
    error(ErrorKind::NotFound, message)
}

/// A directory, file or permission is not as it must be.
pub(crate) fn storage(message: impl Into<String>) -> ApiError {
    error(ErrorKind::Storage, message)
}

/// Samba refused or failed.
pub(crate) fn samba(message: impl Into<String>) -> ApiError {
    error(ErrorKind::Samba, message)
}

/// The domain, or what is between it and us.
pub(crate) fn domain(fault: DomainFault, message: impl Into<String>) -> ApiError {
    let mut error = error(ErrorKind::Domain, message);
    error.hint = Some(fault.fix().to_owned());
    error.fault = Some(fault);
    error
}

/// Our own fault.
pub(crate) fn internal(message: impl Into<String>) -> ApiError {
    error(ErrorKind::Internal, message)
}

/// Adds what to do next.
pub(crate) fn with_hint(mut error: ApiError, hint: impl Into<String>) -> ApiError {
    error.hint = Some(hint.into());
    error
}

fn error(kind: ErrorKind, message: impl Into<String>) -> ApiError {
    ApiError { kind, message: message.into(), hint: None, fault: None }
}

/// A failed command as one line, with the cause below it if there is one.
pub(crate) fn command(doing: &str, error: &CommandError) -> String {
    let mut text = format!("{doing}: {error}");
    if let CommandError::Failed { stdout, stderr, .. } = error
        && stderr.is_empty()
        && !stdout.is_empty()
    {
        // smbpasswd and pdbedit complain on stdout at times
        text.push_str(": ");
        text.push_str(stdout);
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Says what was being done when something of ours failed.
pub(crate) trait Doing<T> {
    /// Turns the error into an internal one that starts with this text.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| internal(format!("{}: {error}", what())))
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| internal(format!("{}: {errno}", what())))
    }
}

impl<T> Doing<T> for std::result::Result<T, CommandError> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| internal(command(&what(), &error)))
    }
}
