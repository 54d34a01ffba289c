//! A canary password, looked for everywhere it must not be: arguments and environment of every process that is
//! started, journals, audit trail, logs, container configuration, container files, outputs and error texts.

use std::fs;

use anyhow::{Context, Result, ensure};
use smbgw_lab::canary::{self, traced};
use smbgw_lab::{Client, Lab, files};

const CANARY: &str = "Canary-7f3a9c-Passw0rd";
const CANARY_2: &str = "Canary-51d0e2-Passw0rd";
const CANARIES: [&str; 2] = [CANARY, CANARY_2];

fn contains(bytes: &[u8]) -> bool {
    CANARIES.iter().any(|canary| canary::contains(bytes, canary))
}

/// Searches what is on the disk and what runs now.
fn nowhere(lab: &Lab, what: &str) -> Result<()> {
    canary::nowhere(lab, what, &CANARIES)
}

#[test]
fn a_password_is_nowhere() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let path = lab.data("team")?;
    let text = path.display().to_string();
    // outside of what is searched
    let (first, second) = (lab.directory().join("canary-1"), lab.directory().join("canary-2"));
    files::secret_file(&first, &format!("{CANARY}\n"))?;
    files::secret_file(&second, &format!("{CANARY_2}\n"))?;
    let (first, second) = (first.display().to_string(), second.display().to_string());
    let create = [
        "--output",
        "json",
        "create",
        "team",
        "--path",
        &text,
        "--user",
        "alice",
        "--password-file",
        &first,
        "--grant",
    ];

    // every failure on the way, with its error text
    let plan = lab.host(create[2..].iter().copied().chain(["--dry-run"]))?.ok()?;
    ensure!(!contains(plan.all().as_bytes()), "the plan shows it: {plan}");
    let labels: Vec<String> = plan
        .stdout
        .split("\"label\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1).map(str::to_owned))
        .collect();
    ensure!(!labels.is_empty(), "no labels in {plan}");
    for label in &labels {
        let failed = lab.host_with_fault(&format!("fail@{label}"), create[2..].iter().copied())?;
        ensure!(failed.code != 0 && !contains(failed.all().as_bytes()), "{failed}");
    }
    nowhere(&lab, "after failed creations")?;

    let (code, output, trace) = traced(&lab, "create", &create)?;
    ensure!(code == 0, "{output}");
    ensure!(!contains(output.as_bytes()), "create told it: {output}");
    ensure!(
        !contains(trace.as_bytes()),
        "it is in the arguments or the environment of a program that create started"
    );
    println!("create started {} programs, in the container too", trace.matches("execve").count());
    nowhere(&lab, "after create")?;
    let gateway = lab.gateway("team", path)?;
    Client::new(lab.directory(), &gateway.address, "team", "alice", CANARY)?
        .run("ls")?
        .ok()
        .context("the password does not work")?;

    for (name, args) in [
        ("passwd", &["user", "passwd", "team", "alice", "--password-file", &second][..]),
        ("add", &["user", "add", "team", "bob", "--password-file", &second]),
        ("set", &["set", "team", "--security", "high"]),
        ("status", &["--output", "json", "status", "team"]),
        ("show", &["--output", "json", "show", "team"]),
        ("ops", &["--output", "json", "ops", "list"]),
        ("missing", &["user", "passwd", "team", "mallory", "--password-file", &second]),
    ] {
        let (code, output, trace) = traced(&lab, name, args)?;
        ensure!((code == 0) == (name != "missing"), "{name}: {output}");
        ensure!(!contains(output.as_bytes()), "{name} told it: {output}");
        ensure!(
            !contains(trace.as_bytes()),
            "{name}: it is in the arguments or the environment of a program"
        );
    }
    let client = Client::new(lab.directory(), &gateway.address, "team", "bob", CANARY_2)?;
    client.run("ls")?.ok().context("the second password does not work")?;
    nowhere(&lab, "after changes")?;

    // a password with a secret in the wrong place: the message must not quote it
    let both = lab.host(["user", "add", "team", "carol", "--password-fd", CANARY])?;
    ensure!(both.code == 2, "{both}");

    // by a file of many, as apply takes it
    let many = lab.directory().join("many");
    files::secret_file(&many, &format!("two/alice:{CANARY}\n"))?;
    let manifest = lab.directory().join("two.yaml");
    let other = lab.data("two")?;
    fs::write(
        &manifest,
        format!(
            "gateways:\n- name: two\n  users: [{{name: alice}}]\n  shares: [{{name: two, path: {}, grant: true}}]\n",
            other.display()
        ),
    )?;
    let (manifest, many) = (manifest.display().to_string(), many.display().to_string());
    let (code, output, trace) =
        traced(&lab, "apply", &["apply", "-f", &manifest, "--passwords-file", &many])?;
    ensure!(code == 0, "{output}");
    ensure!(!contains(output.as_bytes()) && !contains(trace.as_bytes()), "apply told it");
    nowhere(&lab, "after apply")?;
    lab.leave()
}
