//! The command line as programs and people meet it: the JSON envelope and its schema, exit codes, help, completions,
//! and that nothing but data is on stdout.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use anyhow::{Context, Result, ensure};
use smbgw_lab::{Answer, Lab};

/// The envelope is as documented; `success` is what the exit code says.
fn envelope(answer: &Answer) -> Result<()> {
    let json = answer.json()?;
    let time = json["timestamp"].as_str().with_context(|| format!("no timestamp: {answer}"))?;
    ensure!(time.len() >= 20 && time.contains('T') && time.ends_with('Z'), "not RFC 3339 in UTC: {time}");
    ensure!(json["success"] == (answer.code == 0), "success and exit code differ: {answer}");
    if answer.code == 0 {
        ensure!(json.get("data").is_some() && json.get("error").is_none(), "{answer}");
    } else {
        let error = &json["error"];
        for field in ["category", "code", "message"] {
            ensure!(error[field].is_string(), "error.{field} is missing: {answer}");
        }
        ensure!(error.get("hint").is_some() || error["hint"].is_null(), "{answer}");
    }
    Ok(())
}

#[test]
fn every_verb_answers_in_the_envelope() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    for args in [
        &["list"][..],
        &["status", "team"],
        &["show", "team"],
        &["share", "list", "team"],
        &["user", "list", "team"],
        &["template", "list"],
        &["template", "prune", "--dry-run"],
        &["ops", "list"],
        &["ops", "recover"],
        &["doctor"],
        &["set", "team", "--memory", "256M", "--dry-run"],
        &["delete", "team", "--dry-run"],
    ] {
        let answer = lab.host(args.iter().copied())?;
        envelope(&answer).with_context(|| args.join(" "))?;
        ensure!(answer.code == 0, "{answer}");
    }
    for (args, code) in [(&["status", "nobody"][..], 4), (&["show", "nobody"], 4), (&["delete", "nobody"], 4)]
    {
        let answer = lab.host(args.iter().copied())?.exits(code)?;
        envelope(&answer).with_context(|| args.join(" "))?;
    }
    lab.round_trip(&gateway, "team", "alice")?;
    lab.leave()
}

#[test]
fn the_schema_is_json_schema() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let schema = lab.host_plain(["schema"])?.ok()?.json()?;
    ensure!(schema.is_object(), "{schema}");
    let text = schema.to_string();
    ensure!(text.contains("$schema") && text.contains("success") && text.contains("timestamp"), "{text}");
    lab.leave()
}

#[test]
fn people_get_text_and_programs_get_data() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    lab.create("team", &[])?;
    let list = lab.host_plain(["list"])?.ok()?;
    ensure!(
        list.stdout.contains("team") && !list.stdout.contains('\u{1b}'),
        "colours without a terminal: {list}"
    );
    let table = lab.host_plain(["--output", "table", "list"])?.ok()?;
    ensure!(table.stdout.contains("team"), "{table}");
    let status = lab.host_plain(["status", "team"])?.ok()?;
    ensure!(status.stdout.contains("team"), "{status}");
    // talk is on stderr: quiet takes it away, and stdout stays the same
    let show = lab.host_plain(["show", "team"])?.ok()?.stdout;
    ensure!(show == lab.host_plain(["--quiet", "show", "team"])?.ok()?.stdout);
    let quiet = lab.host_plain(["--quiet", "delete", "team"])?.ok()?;
    ensure!(quiet.stderr.is_empty(), "{quiet}");
    lab.leave()
}

#[test]
fn help_version_and_completions() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let help = lab.host_plain(["--help"])?.ok()?.stdout;
    for verb in [
        "create", "list", "status", "show", "set", "delete", "apply", "share", "user", "template", "ops",
        "doctor",
    ] {
        ensure!(help.contains(verb), "help does not name {verb}: {help}");
    }
    lab.host_plain(["--version"])?.ok()?;
    for shell in ["bash", "zsh", "fish"] {
        ensure!(lab.host_plain(["completions", shell])?.ok()?.stdout.contains("pve-smbgateway"), "{shell}");
    }
    let man = lab.data("man")?;
    lab.host_plain(["man", &man.display().to_string()])?.ok()?;
    ensure!(std::fs::read_dir(&man)?.count() > 5, "few man pages");
    lab.host_plain(["no-such-verb"])?.exits(2)?;
    lab.host_plain(["list", "--no-such-flag"])?.exits(2)?;
    lab.leave()
}

#[test]
fn dry_runs_change_nothing() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    lab.create("team", &[])?;
    let password = lab.password_file()?;
    let other = lab.data("other")?.display().to_string();
    let before = lab.snapshot()?;
    for args in [
        &[
            "create",
            "new",
            "--path",
            &other,
            "--user",
            "a",
            "--password-file",
            &password,
            "--grant",
            "--dry-run",
        ][..],
        &["set", "team", "--security", "high", "--dry-run"],
        &["share", "add", "team", "x", "--path", &other, "--grant", "--dry-run"],
        &["share", "set", "team", "team", "--read-only", "true", "--dry-run"],
        &["share", "remove", "team", "team", "--dry-run"],
        &["user", "add", "team", "bob", "--password-file", &password, "--dry-run"],
        &["user", "remove", "team", "alice", "--dry-run"],
        &["delete", "team", "--dry-run"],
    ] {
        lab.host_plain(args.iter().copied())?.ok()?;
        before.expect_same(lab.directory()).with_context(|| args.join(" "))?;
    }
    lab.leave()
}

#[test]
fn the_audit_trail_tells_who_did_what() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    lab.create("team", &[])?;
    lab.host(["delete", "team"])?.ok()?;
    let audit = std::fs::read_to_string("/var/log/pve-smbgateway/audit.jsonl")?;
    for verb in ["create", "delete"] {
        ensure!(
            audit.lines().any(|line| line.contains(verb) && line.contains("team")),
            "no {verb} in {audit}"
        );
    }
    for line in audit.lines() {
        serde_json::from_str::<serde_json::Value>(line).with_context(|| line.to_owned())?;
    }
    lab.leave()
}
