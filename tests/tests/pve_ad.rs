//! Gateways of (simulated) Proxmox VE nodes in a domain: a container with a map of its own for the domain's ids, which lie beyond the
//! usual ones.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use std::time::Instant;

use anyhow::{Result, ensure};
use smbgw_lab::domain::{self, GATEWAYS_OU, JOINER};
use smbgw_lab::{Client, DomainController, NodeLab};

/// A route from the nodes' bridge to that of the domain, which are both in the lab's network.
const FORWARDS: &str = "/proc/sys/net/ipv4/ip_forward";

fn in_a_domain(release: &str) -> Result<()> {
    println!("-- Proxmox VE {release}");
    let lab = NodeLab::enter(release)?;
    let domain = DomainController::start(lab.directory())?;
    std::fs::write(FORWARDS, "1")?;
    // an account of a domain that has seen many
    domain.next_rid(70_001)?;
    domain.samba_tool(&["user", "create", "carol", smbgw_lab::lab::PASSWORD])?;
    domain.samba_tool(&["group", "addmembers", domain::GROUP, "carol"])?;
    let before = lab.snapshot()?;

    let (joiner, server) = (domain.joiner_file()?, domain.address());
    let leaver = ["--ad-user", JOINER, "--ad-password-file", &joiner];
    let mut args = lab.create_arguments("team", "10.10.10.11/24")?;
    let more = ["--gateway", "10.10.10.254", "--nameserver", &server, "--searchdomain", "lab.test"];
    let joins = ["--ad-domain", domain::REALM, "--ad-ou", GATEWAYS_OU, "--allow", "LAB\\Team"];
    args.extend([&more[..], &joins, &leaver].concat().into_iter().map(str::to_owned));
    let start = Instant::now();
    lab.host(args.iter().map(String::as_str))?.ok()?;
    println!("created and joined after {:.1} s", start.elapsed().as_secs_f64());
    let gateway = lab.gateway("team")?;
    let config = lab.node().container(lab.guest_id("team")?)?;
    for line in ["lxc.idmap: u 0 100000 65536", "lxc.idmap: g 0 100000 65536", "lxc.idmap: u 90000 "] {
        ensure!(config.lines().any(|found| found.starts_with(line)), "no `{line}` in:\n{config}");
    }
    for user in ["alice", "carol"] {
        let client = Client::kerberos(&gateway.address, "team.lab.test", "team", domain.ticket(user)?);
        let (owner, id) = (client.owner_of_new(&gateway, lab.directory(), "file.bin")?, domain.id_of(user)?);
        ensure!(owner == id, "a file of {user}, who is {id}, belongs to {owner}");
        client.run("del file.bin")?.ok()?;
    }
    Client::kerberos(&gateway.address, "team.lab.test", "team", domain.ticket("bob")?)
        .refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.host(["ad", "test", "team"])?.ok()?;

    lab.host(["delete", "team"].into_iter().chain(leaver))?.ok()?;
    ensure!(domain.computers()?.is_empty(), "a deleted gateway is still in the domain");
    // host ids for a domain stay for the next gateway in it
    lab.node().run("sed", ["-i", "/^root:7/d", "/etc/subuid", "/etc/subgid"])?.ok()?;
    lab.expect_same(&before)?;
    domain.stop()?;
    lab.leave()
}

#[test]
fn a_container_on_9_2() -> Result<()> {
    in_a_domain("9.2")
}

#[test]
#[ignore = "the other way of mounts: cargo xtask test --thorough"]
fn a_container_on_8_4() -> Result<()> {
    in_a_domain("8.4")
}
