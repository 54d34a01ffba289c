//! The command line.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use hyper::Method;
use smbgw_api::Listen;
use smbgw_api::v1::{MAX_BODY, SOCKET_PATH};

use crate::instance::Instance;
use crate::paths::Paths;
use crate::stash::{self, Ticket};
use crate::traffic::tally;
use crate::{call, probe, quota, serve};

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
        /// On a node: unit of the gateway's own smbd, one of possibly many
        #[arg(long, value_name = "UNIT", requires_all = ["listen", "dfree"])]
        smbd: Option<String>,
        /// On a node: where its smbd takes connections
        #[arg(long, value_name = "ADDRESS:PORT", requires = "smbd")]
        listen: Option<Listen>,
        /// On a node: where its smbd finds this program as `dfree`
        #[arg(long, value_name = "PATH", requires = "smbd")]
        dfree: Option<String>,
    },
    /// Send one request to the agent: body from stdin, answer as ASCII JSON to stdout
    ///
    /// Exit codes: 0 success, 1 refused by the agent (its error is on stdout), 2 usage, 3 nobody listens, 4 no answer.
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
        /// Send what was stashed under this ticket, and remove it
        #[arg(long, value_name = "TICKET")]
        stash: Option<Ticket>,
    },
    /// Keep a part of a body, from stdin, for `call --stash`; prints how many bytes it has so far
    Stash {
        /// 1 to 40 characters of a-z and 0-9
        ticket: Ticket,
        /// Remove the body instead
        #[arg(long)]
        drop: bool,
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
    if std::env::args().next().is_some_and(|program| quota::is_dfree(&program)) {
        return match quota::dfree() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "dfree: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if std::env::args().next().is_some_and(|program| tally::is_tally(&program)) {
        tally::tally(std::env::args());
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // help and version go to stdout with 0, usage errors to stderr with 2
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let failure = match cli.verb {
        // 1 says that the agent spoke
        Verb::Call { .. } | Verb::Stash { .. } => 2,
        Verb::Serve { .. } | Verb::ProbeWrite { .. } => 1,
    };
    match dispatch(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "smbgw-agent: {error:#}");
            ExitCode::from(error.downcast_ref().map_or(failure, call::Silence::exit_code))
        }
    }
}

fn dispatch(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Serve { socket, smbd, listen, dfree } => {
            need_root()?;
            let instance = match (smbd, listen, dfree) {
                (Some(unit), Some(listen), Some(dfree)) => {
                    let winbind = unit.replace("smbd", "winbind");
                    // the same program beside it
                    let tally = Path::new(&dfree).with_file_name(tally::NAME).display().to_string();
                    Instance { unit, winbind, listen, dfree, tally, shared: true }
                }
                _ => Instance::default(),
            };
            serve::serve(&socket, instance).map(|()| ExitCode::SUCCESS)
        }
        Verb::Call { method, path, socket, deadline, stash } => {
            need_root()?;
            let body = match stash {
                Some(ticket) => stash::take(&Paths::system(), &ticket)?,
                None if method == Method::GET => Vec::new(),
                None => read_body()?,
            };
            let (status, answer) = call::call(&socket, method, &path, body, Duration::from_secs(deadline))??;
            print(&answer)?;
            Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::Stash { ticket, drop } => {
            need_root()?;
            let bytes = if drop {
                stash::drop_body(&Paths::system(), &ticket)?;
                0
            } else {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
                stash::append(&Paths::system(), &ticket, &mut std::io::stdin().lock(), now)?
            };
            print(&format!("{{\"bytes\":{bytes}}}"))?;
            Ok(ExitCode::SUCCESS)
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

fn print(line: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).context("writing the answer")
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
        assert!(Cli::try_parse_from(["smbgw-agent", "call", "PUT", "/", "--stash", "../x"]).is_err());
        assert!(Cli::try_parse_from(["smbgw-agent", "stash", "--drop", "a1"]).is_ok());
    }
}
