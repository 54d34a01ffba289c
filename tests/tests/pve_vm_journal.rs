//! Faults on (simulated) Proxmox VE nodes, with virtual machines: as `pve_journal.rs` has them for containers. What comes before
//! the boot is tried in every way; what comes after it costs minutes of emulation each time, so every step is killed once.

use anyhow::{Context, Result, ensure};
use smbgw_lab::pve::journal::{PROXMOX_FAULTS, words};
use smbgw_lab::{FaultCase, NodeLab, lab};

fn create(node: &NodeLab) -> Result<FaultCase<'_>> {
    let mut args = node.create_arguments("team", "10.10.10.11/24")?;
    args.extend(lab::SMALL_MACHINE.map(str::to_owned));
    FaultCase::new(node, args, None)
}

/// How many of the steps come before the guest's boot has to be waited for.
fn before_boot(labels: &[String]) -> Result<usize> {
    labels.iter().position(|label| label == "agent").context("no step that waits for the agent")
}

fn create_survives_until_it_boots(release: &str) -> Result<()> {
    let lab = NodeLab::enter_vm(release)?;
    let case = create(&lab)?;
    let labels = case.labels()?;
    let labels = &labels[..before_boot(&labels)?];
    case.survives(labels)?;
    case.undos_survive(labels)?;
    lab.leave()
}

#[test]
fn create_survives_until_it_boots_on_9_2() -> Result<()> {
    create_survives_until_it_boots("9.2")
}

#[test]
#[ignore = "the same as on 9.2: cargo xtask test --thorough"]
fn create_survives_until_it_boots_on_8_4() -> Result<()> {
    create_survives_until_it_boots("8.4")
}

fn create_meets_what_proxmox_can_show(release: &str) -> Result<()> {
    let lab = NodeLab::enter_vm(release)?;
    let case = create(&lab)?;
    for call in ["qm clone", "pvesh create /cluster/mapping/dir", "qm set", "qm start"] {
        for fault in PROXMOX_FAULTS {
            let what = format!("create with {fault} at {call}");
            // where Proxmox VE's fault is none, ours is: nobody waits for a boot
            let answer = case.met(fault, call, Some("fail@start"))?;
            let error = &answer.json()?["error"];
            ensure!(answer.code != 0, "{what}: it went through: {answer}");
            let ours = error.to_string().contains("fault");
            ensure!(*fault != "warning" || ours, "{what}: a warning is no failure: {answer}");
            ensure!(ours || (error["hint"].is_string() && error["code"] != "internal"), "{what}: {error}");
            case.expect_before(&what, &answer)?;
        }
    }
    lab.leave()
}

#[test]
fn create_meets_what_proxmox_can_show_on_9_2() -> Result<()> {
    create_meets_what_proxmox_can_show("9.2")
}

#[test]
#[ignore = "the same as on 9.2: cargo xtask test --thorough"]
fn create_meets_what_proxmox_can_show_on_8_4() -> Result<()> {
    create_meets_what_proxmox_can_show("8.4")
}

/// Expects that `create` fails with one of these codes, and leaves nothing.
fn create_fails(case: &FaultCase<'_>, lab: &NodeLab, what: &str, codes: &[&str]) -> Result<()> {
    let answer = lab.host(case.args())?;
    lab.node().no_faults()?;
    let error = &answer.json()?["error"];
    let code = error["code"].as_str().unwrap_or_default();
    ensure!(answer.code != 0 && codes.contains(&code), "{what}: {answer}");
    ensure!(error["hint"].is_string(), "{what}: no hint: {error}");
    case.expect_before(what, &answer)
}

/// The guest agent never comes, or is there and `qm` gets no answer from it, or what it runs never ends.
#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn an_agent_that_is_never_up() -> Result<()> {
    let lab = NodeLab::enter_vm("9.2")?;
    let case = create(&lab)?;
    lab.node().fault("1 no-agent qm start")?;
    create_fails(&case, &lab, "no guest agent in the guest", &["agent-absent"])?;
    lab.node().fault("* no-agent qm guest exec")?;
    let silent = ["guest-agent-starting", "guest-agent-absent"];
    create_fails(&case, &lab, "qm gets no answer", &silent)?;
    lab.node().fault("* agent-timeout qm guest exec")?;
    create_fails(&case, &lab, "what it runs never ends", &["guest-agent-hung"])?;
    lab.leave()
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn create_survives_once_it_boots() -> Result<()> {
    let lab = NodeLab::enter_vm("9.2")?;
    let case = create(&lab)?;
    let labels = case.labels()?;
    // each costs a boot: a kill after one step is a kill before the next
    for label in &labels[before_boot(&labels)?..] {
        case.faulted(&format!("kill-after@{label}"))?;
    }
    case.faulted(&format!("double,fail@{}", labels.last().context("no steps")?))?;
    lab.leave()
}

/// Each costs a restart of the machine: a kill after one step is a kill before the next.
fn change_survives(line: impl FnOnce(&NodeLab) -> Result<String>) -> Result<()> {
    let lab = NodeLab::enter_vm("9.2")?;
    let gateway = lab.create("team", "10.10.10.11/24", &lab::SMALL_MACHINE)?;
    let line = line(&lab)?;
    let case = FaultCase::new(&lab, words(&line), Some(gateway))?;
    let labels = case.labels()?;
    for label in &labels {
        case.faulted(&format!("kill-after@{label}"))?;
    }
    case.faulted(&format!("double,fail@{}", labels.last().context("no steps")?))?;
    lab.leave()
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn set_survives() -> Result<()> {
    change_survives(|_| Ok("set team --vm-memory 768M".to_owned()))
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn share_add_survives() -> Result<()> {
    change_survives(|lab| Ok(format!("share add team more --path {} --grant", lab.data("more")?.display())))
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn delete_survives() -> Result<()> {
    let lab = NodeLab::enter_vm("9.2")?;
    let empty = lab.snapshot()?;
    let gateway = lab.create("team", "10.10.10.11/24", &lab::SMALL_MACHINE)?;
    let case = FaultCase::new(&lab, words("delete team"), Some(gateway))?;
    let labels = case.labels()?;
    let (last, others) = labels.split_last().context("no steps")?;
    for label in others {
        case.faulted(&format!("kill-after@{label}"))?;
    }
    case.goes_on_after(last, &empty)?;
    lab.leave()
}

/// Proxmox VE's own faults at the calls of a change, of a stop, and of a deletion, which meets them past its point of no return.
#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn the_rest_meets_what_proxmox_can_show() -> Result<()> {
    let lab = NodeLab::enter_vm("9.2")?;
    let gateway = lab.create("team", "10.10.10.11/24", &lab::SMALL_MACHINE)?;
    let case = FaultCase::new(&lab, words("set team --vm-memory 768M"), Some(gateway.clone()))?;
    for (fault, call) in [
        ("lock-timeout", "qm shutdown"),
        ("quorum-middle", "qm set"),
        ("task-error", "qm start"),
        ("kill", "qm set"),
    ] {
        let answer = case.met(fault, call, Some("fail@start"))?;
        ensure!(answer.code != 0, "{fault} at {call}: {answer}");
        case.expect_before(&format!("set with {fault} at {call}"), &answer)?;
    }
    for (fault, call) in
        [("quorum-before", "qm destroy"), ("kill", "qm destroy"), ("kill-after", "pvesh delete")]
    {
        let case = FaultCase::new(&lab, words("delete team"), None)?;
        let answer = case.met(fault, call, None)?;
        ensure!(lab.gateways(0)?.is_empty(), "delete with {fault} at {call}: it is still there: {answer}");
        lab.create("team", "10.10.10.11/24", &lab::SMALL_MACHINE)?;
    }
    lab.leave()
}
