//! Faults of creations, changes and deletions of gateways in a domain: what the domain has of them fits what there is of them.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use anyhow::{Context, Result, ensure};
use smbgw_lab::domain::lab::{holds, words};
use smbgw_lab::domain::{Computer, Fault};
use smbgw_lab::{Answer, DomainLab, product};

/// Names of a plan's steps.
fn labels(lab: &DomainLab, args: &[String]) -> Result<Vec<String>> {
    let plan = lab.host(&[args, &words(&["--dry-run"])].concat())?.ok()?.data()?;
    let mut found = Vec::new();
    collect_labels(&plan, &mut found);
    println!("{}: {}", args[0], found.join(", "));
    Ok(found)
}

fn collect_labels(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            found.extend(fields.get("label").and_then(|label| label.as_str()).map(str::to_owned));
            fields.values().for_each(|value| collect_labels(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_labels(item, found)),
        _ => {}
    }
}

/// Fails at each step, and is killed before and after each: then there is neither a gateway nor an account.
#[test]
#[ignore = "minutes: cargo xtask test --thorough"]
fn a_creation_survives_at_each_step() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    let args = lab.create_args("team")?;
    for label in labels(&lab, &args)? {
        for point in ["fail", "kill-before", "kill-after"] {
            let fault = format!("{point}@{label}");
            let answer = lab.lab.host_with_fault(&fault, args.iter().map(String::as_str))?;
            ensure!(answer.code != 0, "{fault}: {answer}");
            let recovered = lab.lab.host(["ops", "recover"])?.ok().context(fault.clone())?;
            if lab.lab.gateways()?.is_empty() {
                // who was killed has lost the password: then the account stays, and that is said
                if point != "fail" && lab.domain.computer("team")?.is_some() {
                    ensure!(
                        recovered.all().contains("stays in"),
                        "{fault}: an account is left, and nothing is said: {recovered}"
                    );
                    lab.domain.samba_tool(&["computer", "delete", "team"])?;
                    lab.forget_secrets()?;
                }
                lab.expect_nothing().with_context(|| format!("{fault}: {answer}"))?;
            } else {
                lab.wait_healthy("team").context(fault)?;
                lab.delete("team")?;
            }
        }
    }
    lab.leave()
}

/// Fails at each step, and is killed before and after each: then the gateway is gone, or it is there and can be in its domain.
#[test]
#[ignore = "minutes: cargo xtask test --thorough"]
fn a_deletion_survives_at_each_step() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    lab.create("team")?;
    let args = [words(&["delete", "team"]), lab.leaver()?].concat();
    let join = [words(&["ad", "join", "team"]), lab.leaver()?].concat();
    for label in labels(&lab, &args)? {
        for point in ["fail", "kill-before", "kill-after"] {
            let fault = format!("{point}@{label}");
            let answer = lab.lab.host_with_fault(&fault, args.iter().map(String::as_str))?;
            ensure!(answer.code != 0, "{fault}: {answer}");
            let recovered = lab.lab.host(["ops", "recover"])?.ok().context(fault.clone())?;
            if lab.lab.gateways()?.is_empty() {
                ensure!(lab.domain.computer("team")?.is_none(), "{fault}: the account is left: {recovered}");
                lab.create("team")?;
                continue;
            }
            let status = lab.status_soon("team").context(fault.clone())?;
            if !holds(&status, "membership", &"joined".into()) {
                // the password was gone with the program, and so is the account
                ensure!(point != "fail", "{fault}: it was not taken back: {answer}");
                ensure!(recovered.all().contains("ad join team"), "{fault}: nothing is said: {recovered}");
                lab.host(&join)?.ok().context(fault.clone())?;
            }
            lab.wait_healthy("team").context(fault.clone())?;
            let gateway = lab.gateway("team")?;
            lab.by_ticket(&gateway, "alice")?
                .owner_of_new(&gateway, lab.lab.directory(), "file.bin")
                .context(fault)?;
        }
    }
    lab.leave()
}

fn account(lab: &DomainLab) -> Result<Computer> {
    lab.domain.computer("team")?.context("no computer account")
}

/// A member that joins again, and does not come to its end, is the member that it was.
#[test]
fn a_join_again_that_fails_leaves_the_membership() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    lab.create("team")?;
    let before = account(&lab)?;
    let args = [words(&["ad", "join", "team"]), lab.leaver()?].concat();
    for fault in ["fail@keep-secrets", "fail@grant-domain:team", "kill-after@join"] {
        // what the domain does not accept any more makes it a whole join
        lab.domain.set_password("team$", "Another-machine-9")?;
        let answer = lab.lab.host_with_fault(fault, args.iter().map(String::as_str))?;
        ensure!(answer.code != 0, "{fault}: {answer}");
        lab.lab.host(["ops", "recover"])?.ok().context(fault)?;
        lab.wait_healthy("team").context(fault)?;
        let now = account(&lab)?;
        ensure!((&now.sid, &now.dn) == (&before.sid, &before.dn), "{fault}: {before:?}, now {now:?}");
    }
    // killed in the middle of it, too: with the old secret it is a member whose secret is not accepted, never half of one
    lab.domain.set_password("team$", "Another-machine-9")?;
    lab.lab.attach("team", ["mv", "/usr/bin/net", "/usr/bin/net.kept"])?.ok()?;
    let answer = lab.host(&args)?;
    lab.lab.attach("team", ["mv", "/usr/bin/net.kept", "/usr/bin/net"])?.ok()?;
    ensure!(answer.code != 0, "{answer}");
    ensure!(holds(&lab.status("team")?, "membership", &"joined".into()), "{answer}");
    lab.host(&args)?.ok()?;
    lab.wait_healthy("team")?;
    lab.leave()
}

/// A domain that is away keeps its gateways, until somebody says that the account may stay; a gateway that is broken can be deleted.
#[test]
fn a_deletion_that_cannot_leave_says_what_can_be_done() -> Result<()> {
    let mut lab = DomainLab::enter("debian-13")?;
    lab.create("team")?;
    lab.wait_healthy("team")?;
    let delete = [words(&["delete", "team"]), lab.leaver()?].concat();
    let says = |answer: &Answer| -> Result<()> {
        let hint = answer.json()?["error"]["hint"].to_string();
        ensure!(answer.code != 0 && hint.contains("--keep-account"), "no way out is named: {answer}");
        Ok(())
    };
    lab.domain.fail(Fault::Silent)?;
    says(&lab.host(&delete)?)?;
    lab.domain.mend()?;
    lab.wait_healthy("team")?;
    let gateway = lab.gateway("team")?;
    lab.by_ticket(&gateway, "alice")?.owner_of_new(&gateway, lab.lab.directory(), "file.bin")?;

    Answer::of(&product::attach("team").args(["systemctl", "stop", "smbgw-agent.service"]))?.ok()?;
    says(&lab.host(&delete)?)?;
    lab.host(&words(&["delete", "team", "--keep-account"]))?.ok()?;
    ensure!(lab.lab.gateways()?.is_empty(), "it is still there");
    lab.domain.samba_tool(&["computer", "delete", "team"])?;
    lab.forget_secrets()?;
    lab.leave()
}
