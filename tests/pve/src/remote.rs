//! Other nodes of the cluster: `ssh`, and calls that pvesh hands on.

use std::fs;
use std::process::Command;

use crate::refusal::{Refusal, Result};
use crate::sim::Sim;

/// Set for a call that another node has counted already.
pub const HANDED_ON: &str = "PVE_SIM_HANDED_ON";

/// Runs a program on another node, with our stdin, stdout and stderr.
///
/// # Errors
/// When the node does not run.
pub fn program(sim: &Sim, node: &str, program: &str, arguments: &[String]) -> Result<i32> {
    let pid = fs::read_to_string(sim.node.world.join(node).join("ready")).ok();
    let pid = pid.filter(|pid| fs::metadata(format!("/proc/{}", pid.trim())).is_ok());
    let Some(pid) = pid else {
        return Err(Refusal::new(format!("ssh: connect to host {node} port 22: No route to host")));
    };
    let namespace = |name: &str| {
        format!("--{}=/proc/{}/ns/{name}", if name == "mnt" { "mount" } else { name }, pid.trim())
    };
    let mut command = Command::new("nsenter");
    if program == "pvesh" {
        command.env(HANDED_ON, "1");
    }
    let status =
        command.args([&namespace("mnt"), &namespace("uts"), "--", program]).args(arguments).status()?;
    Ok(status.code().unwrap_or(255))
}

/// Runs `ssh [-o NAME=VALUE]… [root@]NODE COMMAND…`. Only nodes of the cluster are known, and only root.
///
/// # Errors
/// When the node is unknown or does not run.
pub fn ssh(sim: &Sim, arguments: &[String]) -> Result<i32> {
    let mut words = arguments.iter();
    let mut target = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "-o" | "-e" | "-i" | "-l" | "-p" | "-F" => drop(words.next()),
            word if word.starts_with('-') => {}
            word => {
                target = Some(word.to_owned());
                break;
            }
        }
    }
    let target = target.unwrap_or_default();
    let (user, host) = target.split_once('@').unwrap_or(("root", &target));
    let by_address = host.strip_prefix("10.10.10.").and_then(|number| number.parse::<usize>().ok());
    let node = match by_address.and_then(|number| sim.node.members.get(number.wrapping_sub(1))) {
        Some(node) => node.clone(),
        None => host.to_owned(),
    };
    if user != "root" || !sim.node.members.contains(&node) {
        return Err(Refusal::new(format!(
            "ssh: Could not resolve hostname {host}: Name or service not known"
        )));
    }
    // what ssh sends is one line for the shell there
    let line: Vec<&str> = words.map(String::as_str).collect();
    let line = line.strip_prefix(&["--"]).unwrap_or(&line);
    program(sim, &node, "/bin/sh", &["-c".to_owned(), line.join(" ")])
}
