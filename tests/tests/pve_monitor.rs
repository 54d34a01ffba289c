//! `serve` on simulated Proxmox VE nodes: a gateway that is silent, and one that is back, is told to its notifications once each; one
//! that was stopped is nothing to tell; and what its module refuses.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it waits, and tells what it does"
)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smbgw_lab::monitor::sample;
use smbgw_lab::pve::cases;
use smbgw_lab::pve::monitor::{get, get_json};
use smbgw_lab::{Answer, NodeLab, NodeMonitor, PveNode};

/// For what takes some looks.
const SOON: Duration = Duration::from_secs(60);
/// So many looks that nothing more is to come.
const LOOKS: Duration = Duration::from_secs(6);

fn state() -> Option<String> {
    let gateways = get_json("/api/v1/gateways").ok()?;
    let all = gateways.as_array().or_else(|| gateways["gateways"].as_array())?;
    let team = all.iter().find(|gateway| gateway["name"] == "team")?;
    team["state"].as_str().map(str::to_owned)
}

fn wait_for_state(monitor: &mut NodeMonitor, wanted: &str) -> Result<()> {
    monitor.wait_for(&format!("team to be {wanted}"), SOON, || state().filter(|state| state == wanted))?;
    Ok(())
}

/// All notifications, once so many are there, and some looks later.
fn told(lab: &NodeLab, monitor: &mut NodeMonitor, count: usize) -> Result<Vec<Value>> {
    let told = || lab.node().notifications().ok().filter(|told| told.len() >= count);
    monitor.wait_for(&format!("notification {count}"), SOON, told)?;
    std::thread::sleep(LOOKS);
    let told = lab.node().notifications()?;
    ensure!(told.len() == count, "{count} notifications were expected: {told:#?}");
    Ok(told)
}

fn serve(release: &str) -> Result<()> {
    let lab = NodeLab::enter(release)?;
    lab.create("team", "10.10.10.11/24", &[])?;
    let id = lab.guest_id("team")?;
    let agent =
        |verb: &str| lab.node().line(&format!("pct exec {id} -- systemctl {verb} smbgw-agent.service"));
    // while it is stopped, its agent is gone before the container is
    let mut monitor = NodeMonitor::start(&lab, "interval: 1\nalerts:\n  missed-looks: 5\n")?;
    let up = r#"smbgw_up{gateway="team",mode="lxc"}"#;
    wait_for_state(&mut monitor, "up")?;
    let text = get("/metrics")?;
    ensure!(sample(&text, up) == Some(1.0), "{text}");
    ensure!(text.contains(r#"gateway="team",mode="lxc",share="team""#), "{text}");
    ensure!(lab.node().notifications()?.is_empty(), "{:#?}", lab.node().notifications()?);

    agent("stop")?.ok()?;
    wait_for_state(&mut monitor, "silent")?;
    let silent = &told(&lab, &mut monitor, 1)?[0];
    println!("{silent:#}");
    ensure!(silent["severity"] == "error" && silent["template"] == "smbgateway", "{silent}");
    let fields =
        json!({ "type": "smbgateway", "hostname": "pve1", "gateway": "team", "kind": "unreachable" });
    ensure!(silent["fields"] == fields, "{silent}");
    let subject = "SMB gateway alert (pve1): unreachable raised of gateway team";
    ensure!(silent["subject"].as_str().map(str::trim) == Some(subject), "{silent}");
    for body in ["body", "html"] {
        let text = silent[body].as_str().context("no text")?;
        ensure!(text.contains("critical") && !text.contains("{{") && !text.contains("ERROR"), "{text}");
    }
    ensure!(sample(&get("/metrics")?, up) == Some(0.0), "{}", get("/metrics")?);

    agent("start")?.ok()?;
    wait_for_state(&mut monitor, "up")?;
    let back = &told(&lab, &mut monitor, 2)?[1];
    ensure!(back["severity"] == "info" && back["data"]["change"] == "cleared", "{back}");
    ensure!(back["data"]["since"] == silent["data"]["since"] && back["fields"] == fields, "{back}");

    // one that was stopped is off, which is as it should be
    lab.host(["stop", "team"])?.ok()?;
    wait_for_state(&mut monitor, "off")?;
    told(&lab, &mut monitor, 2)?;
    lab.host(["start", "team"])?.ok()?;
    wait_for_state(&mut monitor, "up")?;
    told(&lab, &mut monitor, 2)?;
    let said = monitor.said();
    ensure!(!said.contains("took no notification"), "{said}");
    monitor.stop()?;
    lab.leave()
}

#[test]
fn alerts_reach_the_notifications_of_9_2() -> Result<()> {
    serve("9.2")
}

#[test]
#[ignore = "the same module as on 9.2: cargo xtask test --thorough"]
fn alerts_reach_the_notifications_of_8_4() -> Result<()> {
    serve("8.4")
}

/// What a call of `PVE::Notify` on a node comes to.
fn notify(node: &PveNode, call: &str) -> Result<Answer> {
    node.run("perl", ["-e", &format!("use PVE::Notify; PVE::Notify::{call};")])
}

#[test]
fn the_simulated_module_refuses_what_the_real_one_does() -> Result<()> {
    let node = cases::node("9.2")?;
    let templates = node.path("/usr/share/pve-manager/templates/default");
    std::fs::write(templates.join("lab-subject.txt.hbs"), "{{kind}}\nof {{of}}\n")?;
    std::fs::write(templates.join("lab-body.txt.hbs"), "{{of}} {{timestamp since}}")?;
    std::fs::write(templates.join("lab-body.html.hbs"), "<p>{{of}}</p>")?;
    for (call, words) in [
        ("notify('critical', 'lab', {}, {})", "unknown variant `critical`"),
        ("notify('error', undef, {}, {})", "invalid type"),
        ("notify('error', 'lab', 'text', {})", "invalid type"),
        ("notify('error', 'lab', {}, [])", "invalid type"),
        ("notify('error', 'lab', {}, { number => 1 })", "invalid type"),
        ("notify('error', 'lab', {}, { nested => {} })", "invalid type"),
    ] {
        let answer = notify(&node, call)?;
        ensure!(answer.code != 0 && answer.all().contains(words), "{call}: {answer}");
    }
    // as the real one: it says so in the log, and succeeds
    let missing = notify(&node, "notify('error', 'other', {}, {})")?;
    ensure!(missing.code == 0 && missing.all().contains("could not load template 'other'"), "{missing}");
    ensure!(node.notifications()?.is_empty(), "{:?}", node.notifications()?);
    notify(&node, "warning('lab', { kind => 'full', of => 'a < b', since => 0 }, { type => 'lab' })")?
        .ok()?;
    let told = node.notifications()?;
    ensure!(told.len() == 1 && told[0]["severity"] == "warning" && told[0]["node"] == "pve1", "{told:?}");
    ensure!(told[0]["subject"] == "full of a < b " && told[0]["html"] == "<p>a &lt; b</p>", "{told:?}");
    // a template of the administrator's goes first
    node.line("mkdir -p /etc/pve/notification-templates/default")?.ok()?;
    std::fs::write(node.stored("notification-templates/default/lab-subject.txt.hbs"), "mine")?;
    notify(&node, "info('lab', {}, {})")?.ok()?;
    ensure!(node.notifications()?[1]["subject"] == "mine", "{:?}", node.notifications()?);
    // and without the cluster's files there is nothing
    node.disconnect(None)?;
    let answer = notify(&node, "info('lab', {}, {})")?;
    ensure!(answer.code != 0, "{answer}");
    node.disconnect(Some(0))?;
    Ok(())
}
