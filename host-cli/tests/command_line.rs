//! The program itself, as far as it goes without a node.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: it starts the program")]

use std::process::Command;

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pve-smbgateway")).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn it_says_its_version() {
    let (code, said) = run(&["--version"]);
    assert_eq!((code, said.trim()), (Some(0), concat!("pve-smbgateway ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn what_it_does_not_know_is_a_usage_error() {
    let (code, said) = run(&["create", "team", "--mode", "floppy"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("floppy") && said.contains("native"), "{said}");
}
