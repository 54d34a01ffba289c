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
