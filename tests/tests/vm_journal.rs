//! Every step of a virtual machine's plans: made to fail, killed before and after it acts, done and undone twice; no QEMU,
//! virtiofsd, disk, socket or network card is left.
//!
//! A boot takes half a minute under emulation, so what comes after it is tried once for each step and fault, while the
//! container's tests (`journal.rs`) try every combination of the same steps.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_lab::{Gateway, Lab, Snapshot};

/// Labels of the steps that a command would run.
fn labels(lab: &Lab, args: &[String]) -> Result<Vec<String>> {
    let plan = lab.host(args.iter().map(String::as_str).chain(["--dry-run"]))?.ok()?.data()?;
    let steps = plan["steps"].as_array().context("no steps")?;
    Ok(steps.iter().filter_map(|step| step["label"].as_str()).map(str::to_owned).collect())
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// Runs with one fault, recovers from a kill, and expects the world of before.
fn faulted(lab: &Lab, args: &[String], fault: &str, before: &Snapshot) -> Result<()> {
    let start = Instant::now();
    let answer = lab.host_with_fault(fault, args.iter().map(String::as_str))?;
    let what = || format!("{} with {fault}: {answer}", args[0]);
    ensure!(answer.code != 0, "{}: it went through", what());
    if fault.contains("kill") {
        ensure!(answer.code == -9, "{}: it was not killed", what());
        lab.host(["ops", "recover"])?.ok().with_context(what)?;
    }
    before.expect_same(lab.directory()).with_context(what)?;
    println!("{} with {fault}: {:.1} s", args[0], start.elapsed().as_secs_f64());
    Ok(())
}

/// A gateway with a directory and a disk.
fn create(lab: &Lab) -> Result<Vec<String>> {
    let path = lab.data("team")?.display().to_string();
    let disk = lab.data("disks")?.join("team.img");
    std::fs::File::create(&disk)?.set_len(128 << 20)?;
    let (disk, password) = (disk.display().to_string(), lab.password_file()?);
    Ok(strings(&[
        "create",
        "team",
        "--mode",
        "vm",
        "--vm-memory",
        "640M",
        "--vm-cores",
        "1",
        "--path",
        &path,
        "--grant",
        "--disk",
        &disk,
        "--format",
        "--user",
        "alice",
        "--password-file",
        &password,
    ]))
}

/// The step from which on the guest must have booted.
fn booted(labels: &[String]) -> Result<usize> {
    labels.iter().position(|label| label == "agent").context("no step that waits for the agent")
}

#[test]
fn create_survives_until_it_boots() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let args = create(&lab)?;
    let before = lab.snapshot()?;
    let labels = labels(&lab, &args)?;
    println!("steps: {}", labels.join(", "));
    let booted = booted(&labels)?;
    for label in &labels[..booted] {
        for fault in ["fail", "kill-before", "kill-after"] {
            faulted(&lab, &args, &format!("{fault}@{label}"), &before)?;
        }
    }
    let last = &labels[booted - 1];
    faulted(&lab, &args, &format!("double,fail@{last}"), &before)?;
    for label in &labels[..booted] {
        faulted(&lab, &args, &format!("fail@{last},undo-kill@{label}"), &before)?;
    }
    lab.leave()
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn create_survives_once_it_boots() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let args = create(&lab)?;
    let before = lab.snapshot()?;
    let labels = labels(&lab, &args)?;
    // each costs a boot: a kill after one step is a kill before the next
    for label in &labels[booted(&labels)?..] {
        faulted(&lab, &args, &format!("kill-after@{label}"), &before)?;
    }
    let last = labels.last().context("no steps")?;
    faulted(&lab, &args, &format!("double,fail@{last}"), &before)?;
    lab.leave()
}

fn inside(lab: &Lab) -> Result<String> {
    let show = lab.host_plain(["show", "team"])?.ok()?.stdout;
    Ok(show + &lab.in_guest("team", "cat /etc/samba/smb.conf /etc/passwd; nproc")?.ok()?.stdout)
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn set_and_delete_survive() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let path = lab.data("team")?.display().to_string();
    let gateway = lab.create_vm("team", &["--path", &path, "--grant"])?;
    lab.round_trip(&gateway, "team", "alice")?;
    let (before, was) = (lab.snapshot()?, inside(&lab)?);
    let again = |gateway: &Gateway| -> Result<()> {
        lab.wait_serving(gateway, "team", "alice")?;
        ensure!(inside(&lab)? == was, "the gateway is not what it was");
        lab.round_trip(gateway, "team", "alice")
    };

    let args = strings(&["set", "team", "--vm-cores", "2"]);
    let labels_of_set = labels(&lab, &args)?;
    println!("steps of set: {}", labels_of_set.join(", "));
    for label in &labels_of_set {
        faulted(&lab, &args, &format!("kill-after@{label}"), &before)?;
        again(&gateway)?;
    }
    let last = labels_of_set.last().context("no steps")?;
    faulted(&lab, &args, &format!("double,fail@{last}"), &before)?;
    again(&gateway)?;

    let args = strings(&["delete", "team"]);
    let labels_of_delete = labels(&lab, &args)?;
    println!("steps of delete: {}", labels_of_delete.join(", "));
    let (last, others) = labels_of_delete.split_last().context("no steps")?;
    for label in others {
        faulted(&lab, &args, &format!("kill-after@{label}"), &before)?;
        again(&gateway)?;
    }
    // the last step is the point of no return: killed in it, a recovery goes on to the end
    let killed = lab.host_with_fault(&format!("kill-after@{last}"), args.iter().map(String::as_str))?;
    ensure!(killed.code == -9, "{killed}");
    lab.host(["ops", "recover"])?.ok()?;
    ensure!(lab.host(["list"])?.ok()?.data()?["gateways"] == Value::Array(Vec::new()), "it is still there");
    lab.leave()
}
