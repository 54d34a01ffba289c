//! Errors as a person meets them: what was being done, what happened, what to do next. And their exit codes.

use smbgw_command::{CommandError, WaitError};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose move it is. Decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Our fault (1).
    Internal,
    /// Usage or invalid configuration (2).
    Usage,
    /// Node, storage backend, quorum, agent unreachable (3).
    Infrastructure,
    /// Missing, exists, in use, no space (4).
    Resource,
    /// Samba, AD, CTDB (5).
    Service,
    /// Rolled back incompletely: hand work is needed (6).
    Incomplete,
    /// Interrupted by the person, after rollback (130).
    Interrupted,
}

impl Category {
    /// Exit code of the program, as documented in `docs/exit-codes.md`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Infrastructure => 3,
            Self::Resource => 4,
            Self::Service => 5,
            Self::Incomplete => 6,
            Self::Interrupted => 130,
        }
    }
}

/// An error for a person.
#[derive(Debug)]
pub struct Error {
    /// Whose move it is.
    pub category: Category,
    /// Stable short code, as `path-missing`.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Operation that it happened in.
    pub operation: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl Error {
    /// An error of this category and code.
    pub fn new(category: Category, code: &'static str, message: impl Into<String>) -> Self {
        Self { category, code, message: message.into(), hint: None, operation: None, source: None }
    }

    /// Bad usage or configuration.
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Category::Usage, code, message)
    }

    /// Something missing, existing, in use or full.
    pub fn resource(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Category::Resource, code, message)
    }

    /// The node, its storage, or an agent.
    pub fn infrastructure(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Category::Infrastructure, code, message)
    }

    /// Samba and what belongs to it.
    pub fn service(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Category::Service, code, message)
    }

    /// Our own fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Category::Internal, "internal", message)
    }

    /// An input or output error on a path; a full disk is a [`Category::Resource`].
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        let error = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::resource("no-space", doing).hint("free some space on that file system, then try again")
            }
            std::io::ErrorKind::PermissionDenied => {
                Self::infrastructure("permission-denied", doing).hint("run it as root on the node")
            }
            _ => Self::infrastructure("io", doing),
        };
        error.source(source)
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Gives it another code.
    #[must_use]
    pub fn recode(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// Says what caused it.
    #[must_use]
    pub fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Puts what we were doing before what happened.
    #[must_use]
    pub fn doing(mut self, doing: impl std::fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Message and all causes, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let part = error.to_string();
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        text
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        let base = match &error {
            CommandError::NotInstalled { program } => {
                Self::infrastructure("program-missing", format!("the program `{program}` is not installed"))
                    .hint("`pve-smbgateway doctor` says which packages are missing")
            }
            CommandError::Interrupted { .. } => {
                Self::new(Category::Interrupted, "interrupted", "interrupted")
            }
            CommandError::Failed { stderr, .. } if stderr.contains("No space left on device") => {
                Self::resource("no-space", "a command ran out of disk space")
                    .hint("free some space, then try again")
            }
            _ => Self::infrastructure("command-failed", "a command failed"),
        };
        base.source(error)
    }
}

impl From<WaitError> for Error {
    fn from(error: WaitError) -> Self {
        match &error {
            WaitError::TimedOut { .. } => Self::infrastructure("timed-out", error.to_string()),
            WaitError::Interrupted { .. } => {
                Self::new(Category::Interrupted, "interrupted", error.to_string())
            }
        }
    }
}

impl From<smbgw_api::Invalid> for Error {
    fn from(error: smbgw_api::Invalid) -> Self {
        Self::usage("invalid", error.to_string())
    }
}

impl From<smbgw_journal::JournalError> for Error {
    fn from(error: smbgw_journal::JournalError) -> Self {
        use smbgw_journal::JournalError as J;
        let full = |source: &std::io::Error| source.kind() == std::io::ErrorKind::StorageFull;
        match error {
            J::NotFound(id) => Self::resource("no-such-operation", format!("there is no operation {id}"))
                .hint("`pve-smbgateway ops list` shows those there are"),
            J::Running(id) => Self::resource("operation-running", format!("operation {id} is still running")),
            J::Io { ref source, .. } if full(source) => Self::resource("no-space", "the disk is full")
                .hint("free some space, then try again")
                .source(error),
            error => Self::infrastructure("journal", "the journal cannot be used").source(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_said_once() {
        let error = Error::io("writing /x", std::io::Error::other("broken")).doing("creating gateway team");
        assert_eq!(error.chain(), "creating gateway team: writing /x: broken");
    }

    #[test]
    fn a_full_disk_is_a_resource() {
        let error = Error::io("writing", std::io::Error::from_raw_os_error(28));
        assert_eq!((error.category, error.category.exit_code()), (Category::Resource, 4));
    }
}
