//! Programs that the simulated ones start.

use std::process::{Command, Stdio};

use crate::refusal::{About, Refusal, Result};

/// Runs a program to its end, without output.
///
/// # Errors
/// When it cannot be started or fails. Text: PVE::Tools, `run_command`.
pub fn run<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<()> {
    output(program, args).map(drop)
}

/// Runs a program to its end, and gives what it printed.
///
/// # Errors
/// As [`run`].
pub fn output<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let args: Vec<&str> = args.into_iter().collect();
    let output = Command::new(program).args(&args).stdin(Stdio::null()).output();
    let output = output.about(&format!("unable to start '{program}'"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let code = output.status.code().unwrap_or(255);
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Refusal::new(format!(
        "command '{program} {}' failed: exit code {code}\n{}",
        args.join(" "),
        said.trim()
    )))
}
