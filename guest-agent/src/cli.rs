//! The command line.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use hyper::Method;
use smbgw_api::v1::{MAX_BODY, SOCKET_PATH};

use crate::{call, probe, serve};

/// Makes Samba in this gateway match what the host asks for.
#[derive(Debug, Parser)]
#[command(name = "smbgw-agent", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve requests on a unix socket that only root may open
    Serve {
        /// Where to listen
        #[arg(long, default_value = SOCKET_PATH)]
        socket: PathBuf,
    },
    /// Send one request to the agent: body from stdin, answer as ASCII JSON to stdout, exit code 0 for success
    Call {
        /// GET, PUT, POST or DELETE
        #[arg(value_parser = method)]
        method: Method,
        /// Resource, as /v1/health
        path: String,
        /// Where the agent listens
        #[arg(long, default_value = SOCKET_PATH)]
        socket: PathBuf,
        /// Seconds to wait for the answer
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=3600))]
        deadline: u64,
    },
    /// Write a probe file as the calling user (the agent runs this for itself)
    #[command(hide = true)]
    ProbeWrite {
        /// Directory of the share
        directory: PathBuf,
        /// Name of the file
        file: String,
    },
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "GET" => Ok(Method::GET),
        "PUT" => Ok(Method::PUT),
        "POST" => Ok(Method::POST),
        "DELETE" => Ok(Method::DELETE),
        _ => Err("must be GET, PUT, POST or DELETE".to_owned()),
    }
}

/// Runs the program.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // help and version go to stdout with 0, usage errors to stderr with 2
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "smbgw-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Serve { socket } => {
            need_root()?;
            serve::serve(&socket).map(|()| ExitCode::SUCCESS)
        }
        Verb::Call { method, path, socket, deadline } => {
            need_root()?;
            let body = if method == Method::GET { Vec::new() } else { read_body()? };
            let (status, mut answer) =
                call::call(&socket, method, &path, body, Duration::from_secs(deadline))?;
            answer.push('\n');
            std::io::stdout().write_all(answer.as_bytes()).context("writing the answer")?;
            Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::ProbeWrite { directory, file } => Ok(match probe::write_as_self(&directory, &file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                let _ = writeln!(std::io::stderr(), "{reason}");
                ExitCode::from(probe::REFUSED)
            }
        }),
    }
}

fn need_root() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may do this");
    }
    Ok(())
}

fn read_body() -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    std::io::stdin()
        .take(MAX_BODY as u64 + 1)
        .read_to_end(&mut body)
        .context("reading the body from stdin")?;
    if body.len() > MAX_BODY {
        bail!("the body has more than {MAX_BODY} bytes");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["smbgw-agent", "call", "PATCH", "/"]).is_err());
    }
}
