//! `man`: a page for each verb, for packaging.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use super::args::Cli;
use crate::output::Output;
use crate::{Error, Result, durable};

pub(super) fn run(directory: &Path, output: Output) -> Result<ExitCode> {
    durable::make_directory(directory, 0o755)?;
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|source| Error::io(format!("writing man pages to {}", directory.display()), source))?;
    output.talk(&format!("man pages are in {}", directory.display()));
    Ok(ExitCode::SUCCESS)
}
