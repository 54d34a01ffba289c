//! The program itself, where there is no node.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: it starts the program")]

use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn no_program_runs_without_a_node() {
    for name in ["pct", "qm", "pvesh"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pve-sim"));
        let output = command.arg0(name).env_clear().arg("list").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.trim().is_empty(), "{name}: {said}");
    }
}
