//! Gateways in virtual machines of (simulated) Proxmox VE nodes, down to a file over SMB: a directory by virtio-fs, and a volume
//! of a storage as a disk.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use anyhow::{Context, Result, ensure};
use smbgw_lab::{NodeLab, lab};

/// Lines that the guest's configuration must have.
fn expects(config: &str, lines: &[&str]) -> Result<()> {
    for line in lines {
        ensure!(config.lines().any(|found| found.starts_with(line)), "no `{line}` in:\n{config}");
    }
    Ok(())
}

/// Calls of one verb, told and counted.
fn counted(node: &NodeLab, what: &str, at_most: usize) -> Result<()> {
    let calls = node.calls()?;
    println!("{what}: {} calls: {}", calls.len(), calls.join(", "));
    ensure!(calls.len() <= at_most, "{what} made {} calls: {}", calls.len(), calls.join(", "));
    node.node().forget_calls()
}

fn every_verb(release: &str) -> Result<()> {
    let node = NodeLab::enter_vm(release)?;
    let mut args = node.create_arguments("team", "10.10.10.11/24")?;
    args.extend(lab::SMALL_MACHINE.map(str::to_owned));
    node.host(args.iter().map(String::as_str))?.ok()?;
    counted(&node, &format!("create on {release}"), 8)?;
    let gateway = node.gateway("team")?;
    node.round_trip(&gateway, "team")?;

    let id = node.guest_id("team")?;
    let config = node.node().machine(id)?;
    println!("{config}");
    expects(
        &config,
        &["agent: enabled=1", "ciupgrade: 0", "tags: smbgateway", "virtiofs0: ", "memory: 640", "name: team"],
    )?;
    let mapping = std::fs::read_to_string(node.node().stored("mapping/directory.cfg"))?;
    ensure!(mapping.contains(&gateway.path.display().to_string()), "no mapping: {mapping}");
    let status = node.status("team")?;
    ensure!(status["ready"] == true && status["mode"] == "vm" && status["state"] == "running", "{status}");

    // what it is can be applied again
    let show = node.node().command("/usr/bin/pve-smbgateway").args(["show", "team"]);
    let manifest = node.directory().join("team.yaml");
    let spec = smbgw_lab::Answer::of(&show)?.ok()?.stdout;
    std::fs::write(&manifest, &spec)?;
    let again = node.host(["apply", "-f", &manifest.display().to_string()])?.ok()?.data()?;
    ensure!(again["changed"] == false, "{again}");

    // another memory, by `set` and back by `apply`: each a restart
    node.node().forget_calls()?;
    node.host(["set", "team", "--vm-memory", "768M"])?.ok()?;
    counted(&node, "set", 7)?;
    expects(&node.node().machine(id)?, &["memory: 768"])?;
    node.round_trip(&gateway, "team")?;
    let again = node.host(["apply", "-f", &manifest.display().to_string()])?.ok()?.data()?;
    ensure!(again["changed"] == true, "{again}");
    expects(&node.node().machine(id)?, &["memory: 640"])?;

    let more = node.data("more")?.display().to_string();
    node.host(["share", "add", "team", "more", "--path", &more, "--grant"])?.ok()?;
    node.round_trip(&gateway, "more")?;

    let template = node.node().get("/nodes/pve1/qemu")?;
    node.host(["delete", "team"])?.ok()?;
    ensure!(node.node().machine(id).is_err(), "the machine is still there");
    let left = std::fs::read_to_string(node.node().stored("mapping/directory.cfg")).unwrap_or_default();
    ensure!(!left.contains("team"), "the mapping is still there: {left}");
    let before = template.as_array().context("no list")?.len();
    let after = node.node().get("/nodes/pve1/qemu")?.as_array().context("no list")?.len();
    ensure!(after + 1 == before, "the template is not what it was");
    node.leave()
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_directory_on_9_2() -> Result<()> {
    every_verb("9.2")
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_directory_on_8_4() -> Result<()> {
    every_verb("8.4")
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_volume_as_the_disk() -> Result<()> {
    let node = NodeLab::enter_vm("9.2")?;
    // a volume that belongs to no guest of ours, so that it outlives the gateway
    node.node().line("pvesm alloc local 9999 vm-9999-disk-0.raw 1G --format raw")?.ok()?;
    let password = node.password_file()?;
    let args =
        ["create", "team", "--volume", "local:9999/vm-9999-disk-0.raw", "--format", "--ip", "10.10.10.11/24"];
    let args =
        args.into_iter().chain(lab::SMALL_MACHINE).chain(["--user", "alice", "--password-file", &password]);
    node.host(args)?.ok()?;
    let gateway = node.gateway("team")?;
    let client = node.client(&gateway, "team")?;
    let sent = node.directory().join("sent");
    smbgw_lab::files::random_file(&sent, 2)?;
    client.put(&sent, "kept.bin")?;
    let config = node.node().machine(node.guest_id("team")?)?;
    expects(&config, &["scsi1: local:9999/vm-9999-disk-0.raw"])?;
    node.host(["delete", "team"])?.ok()?;
    let volumes = node.node().get("/nodes/pve1/storage/local/content")?;
    ensure!(volumes.to_string().contains("vm-9999-disk-0.raw"), "the data is gone: {volumes}");
    node.node().line("pvesm free local:9999/vm-9999-disk-0.raw")?.ok()?;
    node.leave()
}
