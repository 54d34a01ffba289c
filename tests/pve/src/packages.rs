//! `pveversion`, and `dpkg-query` for packages of Proxmox VE.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::refusal::{Refusal, Result};
use crate::sim::Sim;

/// The real one.
const DPKG_QUERY: &str = "/usr/bin/dpkg-query";

/// Runs `pveversion`.
pub fn version(sim: &Sim, arguments: &[String]) -> i32 {
    let manager = sim.node.release.manager();
    println!(
        "pve-manager/{manager}/0123456789abcdef (running kernel: {})",
        rustix::system::uname().release().to_string_lossy()
    );
    if arguments.iter().any(|argument| argument == "-v" || argument == "--verbose") {
        for (name, version) in sim.node.release.packages() {
            println!("{name}: {version}");
        }
    }
    0
}

/// Runs `dpkg-query`. What asks for other packages too is answered by the real one, but for those.
///
/// # Errors
/// When the real one cannot be started.
pub fn dpkg_query(sim: &Sim, arguments: &[String]) -> Result<i32> {
    let known = sim.node.release.packages();
    let shows = arguments.iter().any(|argument| {
        argument == "-W" || argument == "--show" || argument == "--status" || argument == "-s"
    });
    let asked: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let version = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, version)| *version);
    if !shows || !asked.iter().any(|name| version(name).is_some()) {
        let error = Command::new(DPKG_QUERY).args(arguments).exec();
        return Err(Refusal::new(error.to_string()));
    }
    let format = arguments.iter().find_map(|argument| {
        argument
            .strip_prefix("-f=")
            .or_else(|| argument.strip_prefix("--showformat="))
            .or_else(|| argument.strip_prefix("-f"))
    });
    let format = format.unwrap_or("${binary:Package}\\t${Version}\\n");
    let mut code = 0;
    for name in asked {
        let line = match version(name) {
            Some(version) => fill(format, name, version, "install ok installed"),
            None => {
                let output = Command::new(DPKG_QUERY).args(["-W", &format!("-f={format}"), name]).output()?;
                if !output.status.success() {
                    eprintln!("dpkg-query: no packages found matching {name}");
                    code = 1;
                }
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
        };
        print!("{line}");
    }
    Ok(code)
}

fn fill(format: &str, name: &str, version: &str, status: &str) -> String {
    format
        .replace("${binary:Package}", name)
        .replace("${Package}", name)
        .replace("${Version}", version)
        .replace("${db:Status-Abbrev}", "ii ")
        .replace("${Status}", status)
        .replace("${db:Status-Status}", "installed")
        .replace("${Architecture}", "amd64")
        .replace("\\n", "\n")
        .replace("\\t", "\t")
}
