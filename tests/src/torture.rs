//! `smbtorture`, Samba's own tests of a server: each in a process of its own, with a deadline, since some never end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use smbgw_command::{Command, CommandError, Runner, System};

use crate::Answer;

/// What came of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// The server did not do what the test wants, or the test gave up.
    Failed,
    /// The test says that it makes no sense here.
    Skipped,
    /// It did not end in time.
    Endless,
}

/// A share that smbtorture may do anything to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address of the server.
    pub address: String,
    /// Share.
    pub share: String,
    /// File with name and password.
    pub auth: PathBuf,
    /// The share's directory on this machine, for tests that look into it.
    pub directory: Option<PathBuf>,
}

/// Names of the tests of a suite, as `smb2` or `vfs.fruit`.
///
/// # Errors
/// When smbtorture does not tell.
pub fn tests(suite: &str) -> Result<Vec<String>> {
    let list = Answer::of(&Command::new("smbtorture").arg("--list"))?.ok()?.stdout;
    let prefix = format!("{suite}.");
    let mut names: Vec<String> =
        list.lines().filter(|line| line.starts_with(&prefix)).map(once).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    ensure!(!names.is_empty(), "smbtorture has no tests {suite}");
    Ok(names)
}

/// `smb2.lock.cancel.cancel` is `smb2.lock.cancel`: the list has the test's own name once more.
fn once(line: &str) -> &str {
    let ends = line.char_indices().filter(|(_, c)| *c == '.').map(|(end, _)| end);
    ends.rev()
        .map(|end| (&line[..end], &line[end..]))
        .find(|(name, last)| name.ends_with(last))
        .map_or(line, |(name, _)| name)
}

/// Runs tests, as many at a time as there are targets; what it said of those that did not pass is in the second value.
///
/// # Errors
/// When smbtorture cannot be run at all.
pub fn run(
    targets: &[Target],
    names: &[String],
    deadline: Duration,
) -> Result<(BTreeMap<String, Outcome>, BTreeMap<String, String>)> {
    let queue = Mutex::new(names.iter().rev().collect::<Vec<_>>());
    let done = Mutex::new((BTreeMap::new(), BTreeMap::new()));
    std::thread::scope(|scope| {
        let lanes: Vec<_> = targets
            .iter()
            .map(|target| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                        let Some(name) = next else { return Ok(()) };
                        let (outcome, said) = one(target, name, deadline)?;
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.0.insert(name.clone(), outcome);
                        if outcome != Outcome::Passed {
                            done.1.insert(name.clone(), said);
                        }
                    }
                })
            })
            .collect();
        lanes.into_iter().try_for_each(|lane| match lane.join() {
            Ok(result) => result,
            Err(_) => anyhow::bail!("a lane of smbtorture panicked"),
        })
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs one test.
fn one(target: &Target, name: &str, deadline: Duration) -> Result<(Outcome, String)> {
    let mut command = Command::new("smbtorture")
        .arg(format!("//{}/{}", target.address, target.share))
        .arg("-A")
        .arg(target.auth.display().to_string())
        // it makes directories where it stands, and leaves them
        .directory(target.auth.parent().unwrap_or(Path::new("/")).display().to_string())
        .deadline(deadline);
    if let Some(directory) = &target.directory {
        command = command.arg(format!("--option=torture:localdir={}", directory.display()));
    }
    let codes: Vec<i32> = (0..=255).collect();
    // what it says of names in foreign alphabets need not be UTF-8
    let (code, stdout, stderr) = match System::new().run(&command.arg(name).accept(&codes)) {
        Ok(output) => (output.code, output.stdout, output.stderr),
        Err(CommandError::TimedOut { stderr, .. }) => return Ok((Outcome::Endless, stderr)),
        // a signal
        Err(CommandError::Failed { stdout, stderr, .. }) => (-1, stdout.into_bytes(), stderr),
        Err(error) => return Err(error.into()),
    };
    let stdout = String::from_utf8_lossy(&stdout);
    Ok((outcome(code, &stdout), format!("{stdout}{stderr}")))
}

/// Lines are `success: NAME`, `failure: NAME [`, `error: NAME [`, `skip: NAME [`.
fn outcome(code: i32, stdout: &str) -> Outcome {
    let has = |word: &str| stdout.lines().any(|line| line.starts_with(word));
    if code == 0 && has("success: ") {
        Outcome::Passed
    } else if code == 0 && has("skip: ") {
        Outcome::Skipped
    } else {
        Outcome::Failed
    }
}

/// How many of each.
pub fn figures(outcomes: &BTreeMap<String, Outcome>) -> String {
    let count = |wanted| outcomes.values().filter(|outcome| **outcome == wanted).count();
    format!(
        "{} tests: {} passed, {} failed, {} skipped, {} without end",
        outcomes.len(),
        count(Outcome::Passed),
        count(Outcome::Failed),
        count(Outcome::Skipped),
        count(Outcome::Endless)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_outcomes() {
        assert_eq!(once("smb2.lock.cancel.cancel"), "smb2.lock.cancel");
        assert_eq!(once("smb2.connect.connect"), "smb2.connect");
        assert_eq!(
            once("vfs.fruit.File without AFP_AfpInfo.File without AFP_AfpInfo"),
            "vfs.fruit.File without AFP_AfpInfo"
        );
        assert_eq!(once("smb2.a.b.c.b.c"), "smb2.a.b.c");
        assert_eq!(outcome(0, "test: x\nsuccess: x\n"), Outcome::Passed);
        assert_eq!(outcome(0, "skip: x [\nno\n]\n"), Outcome::Skipped);
        assert_eq!(outcome(1, "success: x\nfailure: y [\n"), Outcome::Failed);
        assert_eq!(outcome(0, ""), Outcome::Failed);
    }
}
