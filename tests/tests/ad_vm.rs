//! A gateway in a virtual machine, in a domain.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_lab::DomainLab;
use smbgw_lab::domain::GATEWAYS_OU;
use smbgw_lab::domain::lab::{holds, words};

/// For one verb, which may boot an emulated machine.
const VERB: Duration = Duration::from_secs(590);

fn joins_and_serves(template: &str) -> Result<()> {
    let lab = DomainLab::enter_vm(template)?;
    let mut args = lab.create_args("team")?;
    args.extend(words(&["--mode", "vm", "--template", template]));
    let start = Instant::now();
    lab.host_within(VERB, &args)?.ok()?;
    println!("created and joined after {:.0} s", start.elapsed().as_secs_f64());
    let status = lab.wait_healthy("team")?;
    println!("{status}");
    let computer = lab.domain.computer("team")?.context("no computer account")?;
    ensure!(computer.dn.ends_with(GATEWAYS_OU) && !computer.disabled, "{computer:?}");
    ensure!(holds(&status, "dn", &computer.dn.clone().into()), "another account: {status}");

    let (gateway, id) = (lab.gateway("team")?, lab.domain.id_of("alice")?);
    for client in [lab.by_ticket(&gateway, "alice")?, lab.by_password(&gateway, "alice")?] {
        let owner = client.owner_of_new(&gateway, lab.lab.directory(), "file.bin")?;
        ensure!(owner == id, "a file of alice, who is {id}, belongs to {owner}");
    }
    lab.by_ticket(&gateway, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.by_password(&gateway, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.host_within(VERB, &words(&["ad", "test", "team"]))?.ok()?;

    let mut args = words(&["delete", "team"]);
    args.extend(lab.leaver()?);
    lab.host_within(VERB, &args)?.ok()?;
    lab.expect_no_accounts()?;
    lab.leave()
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn joins_and_serves_on_debian_13() -> Result<()> {
    joins_and_serves("debian-13")
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn joins_and_serves_on_debian_12() -> Result<()> {
    joins_and_serves("debian-12")
}

/// Folders on a disk of the gateway's own: there the agent lets the domain's group in.
#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_disk_of_its_own() -> Result<()> {
    let lab = DomainLab::enter_vm("debian-13")?;
    let disk = lab.lab.directory().join("disk.raw");
    std::fs::File::create(&disk)?.set_len(1 << 30)?;
    let disk = disk.display().to_string();
    let args =
        ["create", "team", "--mode", "vm", "--disk", &disk, "--format", "--grant", "--allow", "LAB\\Team"];
    lab.host_within(VERB, &[words(&args), lab.of_domain(), lab.joiner()?].concat())?.ok()?;
    lab.wait_healthy("team")?;
    let gateway = lab.gateway("team")?;
    let put = "put /etc/hostname name; mkdir folder; cd folder; put /etc/hostname name; ls";
    for client in [lab.by_ticket(&gateway, "alice")?, lab.by_password(&gateway, "alice")?] {
        let answer = client.run(put)?.ok()?;
        ensure!(!answer.all().contains("NT_STATUS"), "{answer}");
        client.run("deltree folder; del name")?.ok()?;
    }
    lab.by_ticket(&gateway, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    let mut args = words(&["delete", "team"]);
    args.extend(lab.leaver()?);
    lab.host_within(VERB, &args)?.ok()?;
    lab.leave()
}
