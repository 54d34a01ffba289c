//! What a program says when it refuses.

/// Ends a program: its words on stderr, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Exit code.
    pub code: i32,
    /// On stderr.
    pub text: String,
}

/// Something, or a refusal.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    /// With the exit code that Perl's `die` most often has.
    pub fn new(text: impl Into<String>) -> Self {
        Self { code: 255, text: text.into() }
    }

    /// With another exit code. Perl's `die` ends with the last errno when that is not 0.
    pub fn code(code: i32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// A refusal, as a result.
///
/// # Errors
/// Always.
pub fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(Refusal::new(text))
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default().to_owned();
        Self { code: error.raw_os_error().unwrap_or(255), text }
    }
}

impl From<rustix::io::Errno> for Refusal {
    fn from(errno: rustix::io::Errno) -> Self {
        std::io::Error::from(errno).into()
    }
}

/// Says what a file operation was about.
pub trait About<T> {
    /// `unable to open file '…'` and the like before the system's words.
    ///
    /// # Errors
    /// As before.
    fn about(self, what: &str) -> Result<T>;
}

impl<T, E: Into<Refusal>> About<T> for Result<T, E> {
    fn about(self, what: &str) -> Result<T> {
        self.map_err(|error| {
            let refusal = error.into();
            Refusal { code: refusal.code, text: format!("{what} - {}", refusal.text) }
        })
    }
}
