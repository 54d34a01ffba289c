//! A runner for tests: keeps what was asked, answers from a script.

use std::sync::Mutex;

use crate::{Command, CommandError, Output, Runner};

type Answer = Box<dyn Fn(&Command) -> Option<Result<Output, CommandError>> + Send + Sync>;

/// Records every command and answers with the first rule that matches; exit code 0 and no output otherwise.
#[derive(Default)]
pub struct Recorder {
    seen: Mutex<Vec<String>>,
    rules: Vec<Answer>,
}

impl Recorder {
    /// A recorder without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every command whose display starts with `prefix` with this stdout.
    #[must_use]
    pub fn answer(mut self, prefix: &str, stdout: &str) -> Self {
        let (prefix, stdout) = (prefix.to_owned(), stdout.as_bytes().to_vec());
        self.rules.push(Box::new(move |command| {
            command
                .display()
                .starts_with(&prefix)
                .then(|| Ok(Output { stdout: stdout.clone(), ..Output::default() }))
        }));
        self
    }

    /// Fails every command whose display starts with `prefix` with this code and stderr.
    #[must_use]
    pub fn fail(mut self, prefix: &str, code: i32, stderr: &str) -> Self {
        let (prefix, stderr) = (prefix.to_owned(), stderr.to_owned());
        self.rules.push(Box::new(move |command| {
            command.display().starts_with(&prefix).then(|| {
                Err(CommandError::Failed {
                    command: command.display(),
                    code: Some(code),
                    status: format!("exit code {code}"),
                    stderr: stderr.clone(),
                    stdout: String::new(),
                })
            })
        }));
        self
    }

    /// What was run so far, one display line a command.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Runner for Recorder {
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(command.display());
        self.rules.iter().find_map(|rule| rule(command)).unwrap_or_else(|| Ok(Output::default()))
    }
}
