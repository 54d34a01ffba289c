//! What can go wrong with a command.

use std::time::Duration;

/// A command that did not do its work. Carries program, arguments, status and the end of stderr; never stdin.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program does not exist.
    #[error("program `{program}` is not installed")]
    NotInstalled {
        /// Name or path as it was asked for.
        program: String,
    },
    /// The kernel refused to start it.
    #[error("starting `{command}`")]
    Start {
        /// Program and arguments.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended with a status that is not accepted.
    #[error("`{command}` ended with {status}{}", tail(stderr))]
    Failed {
        /// Program and arguments.
        command: String,
        /// Exit code, or `None` when a signal ended it.
        code: Option<i32>,
        /// "exit code 1" or "signal 9".
        status: String,
        /// End of stderr.
        stderr: String,
        /// End of stdout, for tools that complain there.
        stdout: String,
    },
    /// It did not end in time and was killed.
    #[error("`{command}` did not end within {} s and was stopped{}", deadline.as_secs_f32(), tail(stderr))]
    TimedOut {
        /// Program and arguments.
        command: String,
        /// The deadline that passed.
        deadline: Duration,
        /// End of stderr.
        stderr: String,
    },
    /// The person pressed Ctrl-C, or the service is stopping.
    #[error("`{command}` was interrupted")]
    Interrupted {
        /// Program and arguments.
        command: String,
    },
    /// It printed more than the command allows.
    #[error("`{command}` printed more than {limit} bytes")]
    OutputTooLarge {
        /// Program and arguments.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Its output is not text.
    #[error("`{command}` printed something that is not UTF-8")]
    NotUtf8 {
        /// Program and arguments.
        command: String,
    },
    /// Talking to it failed.
    #[error("talking to `{command}`")]
    Io {
        /// Program and arguments.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl CommandError {
    /// The end of what the program said on stderr, or an empty string.
    pub fn stderr(&self) -> &str {
        match self {
            Self::Failed { stderr, .. } | Self::TimedOut { stderr, .. } => stderr,
            _ => "",
        }
    }
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}
