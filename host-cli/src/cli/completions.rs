//! `completions`

use std::process::ExitCode;

use clap::CommandFactory;

use super::args::Cli;

pub(super) fn run(shell: clap_complete::Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Cli::command(), "pve-smbgateway", &mut std::io::stdout());
    ExitCode::SUCCESS
}
