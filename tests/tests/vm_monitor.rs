//! A known load of a gateway in a virtual machine is what `serve` says.

#![allow(clippy::print_stdout, reason = "a test: it tells what it does")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smbgw_lab::monitor::{get, get_json, sample};
use smbgw_lab::{Lab, Monitor, files};

const SIZE: u64 = 4 << 20;

#[test]
#[ignore = "boots an emulated machine: cargo xtask test --thorough"]
fn a_known_load_in_a_virtual_machine() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let path = lab.data("team")?.display().to_string();
    let gateway = lab.create_vm("team", &["--path", &path, "--grant"])?;
    let mut monitor = Monitor::start(&lab.product, lab.directory(), "interval: 1\n")?;
    let up = r#"smbgw_up{gateway="team",mode="vm"}"#;
    let long = Duration::from_secs(180);
    monitor.daemon()?.wait_for("the machine to be seen", long, || {
        get("/metrics").ok().filter(|text| sample(text, up) == Some(1.0))
    })?;
    let (sent, got) = (lab.directory().join("sent"), lab.directory().join("got"));
    files::random_file(&sent, SIZE >> 20)?;
    let _ = std::fs::remove_file(&got);
    lab.client(&gateway, "team", "alice")?.put(&sent, "load.bin")?;
    lab.client(&gateway, "team", "alice")?.get("load.bin", &got)?;
    let figure = |text: &str, what: &str| {
        sample(text, &format!(r#"smbgw_share_{what}_bytes_total{{gateway="team",mode="vm",share="team"}}"#))
    };
    let text = monitor.daemon()?.wait_for("the load", long, || {
        get("/metrics")
            .ok()
            .filter(|text| figure(text, "read").is_some_and(|bytes| bytes >= SIZE as f64 * 0.99))
    })?;
    for what in ["read", "written"] {
        let seen = figure(&text, what).with_context(|| format!("{what}: {text}"))?;
        ensure!((seen - SIZE as f64).abs() <= SIZE as f64 / 100.0, "{what}: {seen} of {SIZE}");
    }
    let overview = get_json("/api/v1/gateways/team")?;
    ensure!(overview["state"] == "up" && overview["mode"] == "vm", "{overview}");
    println!("a look takes {} ms", overview["took_ms"]);
    drop(monitor);
    lab.leave()
}
