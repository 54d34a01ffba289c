//! What to run: plain data, comparable in tests.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::CommandError;

/// Deadline of a command that does not set its own.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// Most bytes of stdout kept, unless the command sets its own limit.
const DEFAULT_STDOUT_LIMIT: usize = 8 << 20;

/// One command: no shell, arguments apart, a clean environment, a deadline.
#[derive(Clone)]
pub struct Command {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) directory: Option<String>,
    pub(crate) stdin: Stdin,
    pub(crate) deadline: Duration,
    pub(crate) stdout_limit: usize,
    pub(crate) accepted: Vec<i32>,
    pub(crate) user: Option<(u32, u32)>,
}

/// What the command reads.
#[derive(Clone, Default)]
pub enum Stdin {
    /// `/dev/null`
    #[default]
    Empty,
    /// These bytes, then end of file.
    Bytes(Vec<u8>),
    /// A secret, then end of file. Never logged, never part of an error.
    Secret(SecretString),
    /// Nothing, and no end of file either while this process lives: a program that sees one has lost its parent.
    Open,
}

impl Command {
    /// A command by program name (searched in the system directories) or absolute path.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            stdin: Stdin::Empty,
            deadline: DEFAULT_DEADLINE,
            stdout_limit: DEFAULT_STDOUT_LIMIT,
            accepted: vec![0],
            user: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable. The child sees only `PATH`, `LC_ALL=C.UTF-8`, `HOME` and what is set here.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn directory(mut self, path: impl Into<String>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Gives the command these bytes to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Gives the command a secret to read.
    #[must_use]
    pub fn stdin_secret(mut self, secret: SecretString) -> Self {
        self.stdin = Stdin::Secret(secret);
        self
    }

    /// Gives the command nothing to read, and no end of file while this process lives.
    #[must_use]
    pub fn stdin_open(mut self) -> Self {
        self.stdin = Stdin::Open;
        self
    }

    /// Ends the command after this time (SIGTERM to its process group, SIGKILL two seconds later).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Most bytes of stdout to take; more is [`CommandError::OutputTooLarge`].
    #[must_use]
    pub fn stdout_limit(mut self, bytes: usize) -> Self {
        self.stdout_limit = bytes;
        self
    }

    /// Exit codes that are an answer and not a failure (default: 0 only).
    #[must_use]
    pub fn accept(mut self, codes: &[i32]) -> Self {
        self.accepted = codes.to_vec();
        self
    }

    /// Runs as this user and group, without supplementary groups (needs root).
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// The program.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The arguments.
    pub fn arguments(&self) -> &[String] {
        &self.args
    }

    /// Program and arguments, for people: quoted where a shell would need it. Never contains a secret, since
    /// secrets travel on stdin only.
    pub fn display(&self) -> String {
        std::iter::once(&self.program).chain(&self.args).map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }

    /// The bytes for stdin, if any.
    pub(crate) fn stdin_data(&self) -> Option<Vec<u8>> {
        match &self.stdin {
            Stdin::Empty | Stdin::Open => None,
            Stdin::Bytes(bytes) => Some(bytes.clone()),
            Stdin::Secret(secret) => Some(secret.expose_secret().as_bytes().to_vec()),
        }
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.display())
    }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What a command answered.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Exit code; always one that the command accepts.
    pub code: i32,
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// The end of stderr (at most 8 KiB), trimmed.
    pub stderr: String,
}

impl Output {
    /// stdout as text.
    ///
    /// # Errors
    /// [`CommandError::NotUtf8`] if it is not UTF-8.
    pub fn text(self, command: &Command) -> Result<String, CommandError> {
        String::from_utf8(self.stdout).map_err(|_| CommandError::NotUtf8 { command: command.display() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_quotes_what_a_shell_would_split() {
        let command = Command::new("tar").args(["-C", "/srv/my files", "it's", ""]);
        assert_eq!(command.display(), r"tar -C '/srv/my files' 'it'\''s' ''");
    }

    #[test]
    fn debug_never_shows_stdin() {
        let command = Command::new("smbpasswd").stdin_secret("hunter2".into());
        assert!(!format!("{command:?}").contains("hunter2"));
    }
}
