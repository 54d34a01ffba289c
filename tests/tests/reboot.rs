//! Stopped and started, and the node itself gone and back: the same gateways, with the same addresses, users and
//! passwords.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use anyhow::{Result, ensure};
use smbgw_lab::{Gateway, Lab, memory, product};

/// What a power cut leaves: records and files, but no process, no bridge, and nothing in `/run`.
fn pull_the_plug(lab: &Lab, gateways: &[&Gateway]) -> Result<()> {
    for gateway in gateways {
        lab.tool("lxc-stop", ["-P", product::GUESTS, "-n", &product::container(&gateway.name), "-k"])?;
    }
    for entry in std::fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        if entry.path().join("bridge").is_dir() {
            lab.tool("ip", ["link", "delete", &entry.file_name().to_string_lossy()])?;
        }
    }
    for name in ["lxc", "pve-smbgateway"] {
        let path = std::path::Path::new("/run").join(name);
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

#[test]
fn stop_and_start() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    lab.round_trip(&gateway, "team", "alice")?;
    let before = lab.snapshot()?;
    lab.host(["stop", "team"])?.ok()?;
    ensure!(memory::processes("team")?.is_empty(), "it still runs");
    // stopped twice is stopped
    lab.host(["stop", "team"])?.ok()?;
    lab.host(["status", "team"])?;
    lab.host(["start", "team"])?.ok()?;
    lab.wait_serving(&gateway, "team", "alice")?;
    lab.host(["start", "team"])?.ok()?;
    before.expect_same(lab.directory())?;
    lab.round_trip(&gateway, "team", "alice")?;
    lab.leave()
}

#[test]
fn the_node_comes_back() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let one = lab.create("one", &["--user", "bob"])?;
    let two = lab.create("two", &["--security", "high"])?;
    let manual = lab.create("manual", &["--no-onboot"])?;
    let before = lab.snapshot()?;
    pull_the_plug(&lab, &[&one, &two, &manual])?;

    lab.host(["start", "--all"])?.ok()?;
    for (gateway, user) in [(&one, "alice"), (&one, "bob"), (&two, "alice")] {
        let now = lab.gateway(&gateway.name, gateway.path.clone())?;
        ensure!(
            now.address == gateway.address,
            "{} had {}, has {}",
            gateway.name,
            gateway.address,
            now.address
        );
        lab.wait_serving(gateway, &gateway.name, user)?;
        lab.round_trip(gateway, &gateway.name, user)?;
    }
    ensure!(memory::processes("manual")?.is_empty(), "one that does not start with the node was started");
    lab.host(["start", "manual"])?.ok()?;
    lab.wait_serving(&manual, "manual", "alice")?;
    before.expect_same(lab.directory())?;

    lab.host(["stop", "--all"])?.ok()?;
    for gateway in [&one, &two, &manual] {
        ensure!(memory::processes(&gateway.name)?.is_empty(), "{} still runs", gateway.name);
    }
    lab.leave()
}

/// A gateway that stands still can be changed and deleted.
#[test]
fn a_stopped_gateway_is_changed_and_deleted() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    lab.host(["stop", "team"])?.ok()?;
    let answer = lab.host(["set", "team", "--memory", "256M"])?;
    ensure!([0, 3, 4].contains(&answer.code), "{answer}");
    lab.host(["start", "team"])?.ok()?;
    lab.wait_serving(&gateway, "team", "alice")?;
    lab.host(["stop", "team"])?.ok()?;
    lab.host(["delete", "team"])?.ok()?;
    lab.leave()
}
