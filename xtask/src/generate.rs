//! Man pages and completions, written by the program they are about.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::programs::{self, succeed, target};
use crate::say;

/// Writes both into target/.
pub(crate) fn run() -> Result<i32> {
    say::step("man", "man pages and completions of pve-smbgateway");
    succeed(&mut programs::cargo(&["build", "-p", "pve-smbgateway"]))?;
    let program = target().join("debug/pve-smbgateway");
    let man = target().join("man");
    fs::create_dir_all(&man)?;
    succeed(Command::new(&program).arg("man").arg(&man))?;
    let completions = target().join("completions");
    fs::create_dir_all(&completions)?;
    // the names under which each shell looks for them
    for (shell, file) in
        [("bash", "pve-smbgateway"), ("zsh", "_pve-smbgateway"), ("fish", "pve-smbgateway.fish")]
    {
        let output = Command::new(&program).args(["completions", shell]).output()?;
        ensure!(output.status.success() && !output.stdout.is_empty(), "no completions for {shell}");
        fs::write(completions.join(file), output.stdout)?;
    }
    say::line(&format!("{} and {}", man.display(), completions.display()));
    Ok(0)
}
