//! Faults on (simulated) Proxmox VE nodes, with containers. Ours: every step fails, is killed before and after it acts, is done
//! and undone twice, its undo fails or is killed. Proxmox VE's own: each call meets a held lock, a full storage, a lost quorum, a
//! task that warns or fails or is killed. Then all is as before, or as it was to become.

use anyhow::{Context, Result, ensure};
use smbgw_lab::pve::journal::{PROXMOX_FAULTS, words};
use smbgw_lab::{FaultCase, NodeLab};

fn create_survives(release: &str) -> Result<()> {
    let lab = NodeLab::enter(release)?;
    let case = FaultCase::new(&lab, lab.create_arguments("team", "10.10.10.11/24")?, None)?;
    case.survives(&case.labels()?)?;
    lab.leave()
}

fn undos_of_create_survive(release: &str) -> Result<()> {
    let lab = NodeLab::enter(release)?;
    let case = FaultCase::new(&lab, lab.create_arguments("team", "10.10.10.11/24")?, None)?;
    case.undos_survive(&case.labels()?)?;
    lab.leave()
}

#[test]
fn create_survives_on_9_2() -> Result<()> {
    create_survives("9.2")
}

#[test]
#[ignore = "the runner of steps is tried so on plain Debian in every run: cargo xtask test --thorough"]
fn undos_of_create_survive_on_9_2() -> Result<()> {
    undos_of_create_survive("9.2")
}

#[test]
#[ignore = "the runner of steps is tried so on plain Debian in every run: cargo xtask test --thorough"]
fn undos_of_create_survive_on_8_4() -> Result<()> {
    undos_of_create_survive("8.4")
}

#[test]
#[ignore = "the same as on 9.2 with the other id map: cargo xtask test --thorough"]
fn create_survives_on_8_4() -> Result<()> {
    create_survives("8.4")
}

#[test]
#[ignore = "what the steps of create and delete show, over again: cargo xtask test --thorough"]
fn changes_survive() -> Result<()> {
    let lab = NodeLab::enter("9.2")?;
    let gateway = lab.create("team", "10.10.10.11/24", &[])?;
    let more = lab.data("more")?.display().to_string();
    for line in
        ["set team --memory 256M --cores 1".to_owned(), format!("share add team more --path {more} --grant")]
    {
        let case = FaultCase::new(&lab, words(&line), Some(gateway.clone()))?;
        case.survives(&case.labels()?)?;
        case.undos_survive(&case.labels()?)?;
    }
    lab.leave()
}

fn delete_survives(release: &str) -> Result<()> {
    let lab = NodeLab::enter(release)?;
    let empty = lab.snapshot()?;
    let gateway = lab.create("team", "10.10.10.11/24", &[])?;
    let case = FaultCase::new(&lab, words("delete team"), Some(gateway))?;
    let labels = case.labels()?;
    // past the last one there is no return
    let (last, others) = labels.split_last().context("no steps")?;
    case.survives(others)?;
    case.undos_survive(others)?;
    case.goes_on_after(last, &empty)?;
    lab.leave()
}

#[test]
fn delete_survives_on_9_2() -> Result<()> {
    delete_survives("9.2")
}

#[test]
#[ignore = "the same as on 9.2 with the other id map: cargo xtask test --thorough"]
fn delete_survives_on_8_4() -> Result<()> {
    delete_survives("8.4")
}

fn create_meets_what_proxmox_can_show(release: &str) -> Result<()> {
    let lab = NodeLab::enter(release)?;
    let case = FaultCase::new(&lab, lab.create_arguments("team", "10.10.10.11/24")?, None)?;
    let making =
        ["pct create", "pct start"].iter().flat_map(|call| PROXMOX_FAULTS.iter().map(move |f| (*call, *f)));
    let asking =
        ["kill", "quorum-after", "fail=got_timeout"].map(|fault| ("pvesh get /cluster/nextid", fault));
    for (call, fault) in making.chain(asking) {
        let answer = case.met(fault, call, None)?;
        let what = format!("create with {fault} at {call}");
        ensure!(fault != "warning" || answer.code == 0, "{what}: a warning is no failure: {answer}");
        if answer.code == 0 {
            // it went through in spite of it: then it is wholly there
            let gateway = lab.gateway("team")?;
            lab.round_trip(&gateway, "team").with_context(|| format!("{what}: {answer}"))?;
            lab.host(["delete", "team"])?.ok()?;
        } else {
            let error = &answer.json()?["error"];
            ensure!(error["hint"].is_string() && error["code"] != "internal", "{what}: {error}");
        }
        case.expect_before(&what, &answer)?;
    }
    lab.leave()
}

#[test]
fn create_meets_what_proxmox_can_show_on_9_2() -> Result<()> {
    create_meets_what_proxmox_can_show("9.2")
}

#[test]
#[ignore = "the same as on 9.2 with the other id map: cargo xtask test --thorough"]
fn create_meets_what_proxmox_can_show_on_8_4() -> Result<()> {
    create_meets_what_proxmox_can_show("8.4")
}

/// A gateway that is there meets them in a change, in being stopped, and in its deletion.
#[test]
fn the_rest_meets_what_proxmox_can_show() -> Result<()> {
    let lab = NodeLab::enter("9.2")?;
    let gateway = lab.create("team", "10.10.10.11/24", &["--memory", "128M"])?;
    let faults =
        ["lock-timeout", "quorum-before", "quorum-after", "warning", "task-error", "kill", "kill-after"];
    for (line, back, call) in [
        ("set team --memory 256M", "set team --memory 128M", "pct set"),
        ("stop team", "start team", "pct shutdown"),
    ] {
        let case = FaultCase::new(&lab, words(line), Some(gateway.clone()))?;
        for fault in faults {
            let answer = case.met(fault, call, None)?;
            if answer.code == 0 {
                lab.host(back.split(' '))?.ok()?;
            }
            case.expect_before(&format!("{line} with {fault} at {call}"), &answer)?;
        }
    }
    let case = FaultCase::new(&lab, words("delete team"), None)?;
    for fault in faults {
        let answer = case.met(fault, "pct destroy", None)?;
        // past its point of no return: it is gone, at the latest by the recovery
        ensure!(lab.gateways(0)?.is_empty(), "delete with {fault}: it is still there: {answer}");
        lab.create("team", "10.10.10.11/24", &[])?;
    }
    lab.leave()
}
