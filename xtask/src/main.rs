//! `cargo xtask`: the product's main job for real, its tests and its benchmarks, on a plain Debian machine.
//!
//! * [`demo`]: a template from Debian packages, a gateway from it, a file over SMB, and nothing left
//! * [`mod@test`]: formatting, lints, dependencies, unit tests, and the lab
//! * [`mod@bench`]: what things cost, beside what they cost without us
//! * [`packages`], [`programs`], [`templates`]: what these need, brought in order
//! * [`generate`]: man pages and completions
//! * [`say`]: the steps as they are told

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a tool of the workshop, not of the product: it runs cargo and apt, and talks"
)]

mod bench;
mod demo;
mod domain;
mod generate;
mod node;
mod packages;
mod programs;
mod say;
mod templates;
mod test;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use smbgw_command::Interrupt;
use smbgw_lab::environment;

use crate::templates::Level;

/// Demo, tests and benchmarks of pve-smbgateway. demo, test and bench need root.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The main job, for real: template, gateway, a file there and back, and nothing left
    Demo {
        /// Where the gateway runs
        #[arg(long, value_enum, default_value_t)]
        mode: Mode,
        /// Keep the run directory with the data, the audit trail and the journals
        #[arg(long)]
        keep: bool,
    },
    /// Formatting, lints, dependencies, unit tests, and the lab
    Test {
        /// Only formatting, lints, dependencies and unit tests
        #[arg(long, conflicts_with = "lab")]
        unit: bool,
        /// Only the lab
        #[arg(long)]
        lab: bool,
        /// Also the tests that take minutes of emulation each
        #[arg(long)]
        thorough: bool,
        /// With templates compressed as they are published, which takes minutes more
        #[arg(long, conflicts_with = "unit")]
        release: bool,
        /// Only tests whose name contains one of these, or the lab files of these names
        filters: Vec<String>,
    },
    /// What things cost; also written to target/bench.json
    Bench {
        /// Only these parts
        #[arg(value_enum)]
        parts: Vec<bench::Part>,
    },
    /// Formatting, lints and dependencies
    Check,
    /// Run a command in the lab's environment, to look around; a shell when none is given
    Shell {
        /// Program and arguments
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Install what demo, tests and benchmarks need, as they would themselves
    Packages,
    /// Write man pages and completions to target/man and target/completions
    Man,
    /// First process of the lab's environment
    #[command(hide = true)]
    Inside {
        stage: u8,
        directory: PathBuf,
        name: String,
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// The demo, in the environment
    #[command(hide = true)]
    DemoInside { mode: Mode, template: PathBuf, build: String },
    /// The benchmarks, in the environment
    #[command(hide = true)]
    BenchInside { template: PathBuf, out: PathBuf, parts: Vec<bench::Part> },
}

/// Where the demo's gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Mode {
    /// In a container
    #[default]
    Lxc,
    /// In a virtual machine
    Vm,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<i32> {
    match verb {
        Verb::Inside { stage, directory, name, command } => {
            environment::furnish(stage, &directory, &name, &command)
        }
        Verb::DemoInside { mode, template, build } => demo::inside(mode, &template, &build).map(|()| 0),
        Verb::BenchInside { template, out, parts } => bench::inside(&template, &out, &parts).map(|()| 0),
        Verb::Demo { mode, keep } => {
            root("demo")?;
            demo::run(mode, keep, &interrupt()?)
        }
        Verb::Test { unit, lab, thorough, release, filters } => {
            if !unit {
                root("test")?;
            }
            let level = if release { Level::Release } else { Level::Quick };
            test::run(!lab, !unit, thorough, level, &filters, &interrupt()?)
        }
        Verb::Bench { parts } => {
            root("bench")?;
            bench::run(&parts, &interrupt()?)
        }
        Verb::Check => test::check(),
        Verb::Shell { command } => {
            root("shell")?;
            test::shell(&command, &interrupt()?)
        }
        Verb::Packages => {
            root("packages")?;
            packages::all()
        }
        Verb::Man => generate::run(),
    }
}

/// Containers, mounts and packages need root.
fn root(verb: &str) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "`cargo xtask {verb}` must run as root: it installs what is missing and makes containers, mounts and a bridge (in namespaces of its own)"
    );
    Ok(())
}

/// Set by Ctrl-C and by SIGTERM; whoever runs something long looks at it and cleans up.
fn interrupt() -> Result<Interrupt> {
    let interrupt = Interrupt::new();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, interrupt.flag()).context("watching for signals")?;
    }
    Ok(interrupt)
}
