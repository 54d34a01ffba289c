//! Gateways on the node itself, beside a Samba that the node has: both serve, and when the gateway goes the node is as before,
//! file by file and unit by unit.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::NativeNode;

/// Arguments that make gateway `files` at an address.
fn create(path: &str, address: &str, password: &str) -> Vec<String> {
    let line = format!(
        "create files --mode native --path {path} --user bob --listen {address} --grant --password-file {password}"
    );
    line.split(' ').map(str::to_owned).collect()
}

fn args(words: &[String]) -> impl Iterator<Item = &str> {
    words.iter().map(String::as_str)
}

fn fails(node: &NativeNode, line: &str, code: &str) -> Result<()> {
    let answer = node.host(line.split(' '))?;
    ensure!(answer.code != 0 && answer.json()?["error"]["code"] == code, "{code} was expected: {answer}");
    // what is written wrong says itself how it is right
    ensure!(code == "invalid" || answer.json()?["error"]["hint"].is_string(), "no hint: {answer}");
    Ok(())
}

fn status(node: &NativeNode) -> Result<Value> {
    node.host(["status", "files"])?.ok()?.data()
}

fn beside_a_samba(template: &str) -> Result<()> {
    let node = NativeNode::enter(template)?;
    let (address, password) = (node.address(200)?, node.password_file()?);
    let (path, more) = (node.data("files")?, node.data("more: 50% of it")?);
    node.own_serves()?;
    let before = node.look()?;

    let created = node.host(args(&create(&path, &address, &password)))?.ok()?.data()?;
    let notes = created.to_string();
    ensure!(notes.contains("reach the gateway from now on"), "nothing is said of the other Samba: {notes}");
    let gateway = node.gateway("files", &address);
    node.lab.round_trip(&gateway, "files", "bob")?;
    node.own_serves()?;
    let now = status(&node)?;
    ensure!(now["ready"] == true && now["mode"] == "native" && now["addresses"][0] == *address, "{now}");
    ensure!(now["memory_pss_bytes"].as_u64().is_some_and(|bytes| bytes < 100 << 20), "{now}");
    // neither knows the other's users
    ensure!(node.script("! id bob").is_ok(), "the node has an account for bob");
    node.client(&gateway, "files", "alice")?.refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    node.client(&node.own, "node", "bob")?.refused("ls", "NT_STATUS_LOGON_FAILURE")?;

    // of the node it sees programs, and nothing else but its shares
    node.script("mkdir -p /precious")?;
    let seen = node.script(
        "ls /proc/$(systemctl show --property=MainPID --value smbgw-files-smbd.service)/root/ /proc/$(systemctl show \
         --property=MainPID --value smbgw-files-smbd.service)/root/srv/smb",
    )?;
    for hidden in ["precious", "root", "home", "node"] {
        ensure!(!seen.lines().any(|line| line == hidden), "smbd sees {hidden}:\n{seen}");
    }
    node.script("rmdir /precious")?;

    // many shares on one gateway; any name that a directory can have
    let add = ["share", "add", "files", "Büro Team", "--path", &more, "--grant", "--recycle", "30"];
    node.host(add.into_iter().chain(["--quota", "64M", "--quota-mode", "report"]))?.ok()?;
    node.lab.round_trip(&gateway, "Büro Team", "bob")?;
    // what it deleted is in its bin, and the size of the drive is the quota
    let client = node.client(&gateway, "Büro Team", "bob")?;
    let bin = client.run("ls .recycle\\bob\\*")?.all();
    ensure!(bin.contains("round-trip.bin"), "the recycle bin is empty: {bin}");
    let size = client.run("du")?.all();
    let numbers: Vec<u64> =
        size.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    ensure!(numbers.windows(2).any(|pair| pair[0] * pair[1] == 64 << 20), "no drive of 64 MiB: {size}");
    node.lab.round_trip(&gateway, "files", "bob")?;
    node.host(["set", "files", "--memory", "512M"])?.ok()?;
    let limit = node.script("systemctl show --property=MemoryMax smbgw_files.slice")?;
    ensure!(limit.trim() == format!("MemoryMax={}", 512 << 20), "{limit}");

    // another address
    let other = node.address(201)?;
    node.host(["set", "files", "--listen", &other])?.ok()?;
    let moved = node.gateway("files", &other);
    node.lab.round_trip(&moved, "files", "bob")?;
    node.client(&gateway, "files", "bob")?.refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    node.host(["set", "files", "--listen", &address])?.ok()?;

    // its own life
    node.host(["stop", "files"])?.ok()?;
    ensure!(node.client(&gateway, "files", "bob")?.run("ls")?.code != 0, "it serves, though it was stopped");
    node.own_serves()?;
    node.host(["start", "files"])?.ok()?;
    node.lab.round_trip(&gateway, "files", "bob")?;
    // smbd and agent come back by themselves
    node.script("systemctl kill --signal=KILL smbgw-files-smbd.service smbgw-files-agent.service")?;
    let back = || status(&node).ok().filter(|now| now["ready"] == true);
    wait_until("the gateway to serve again", Duration::from_secs(30), &Interrupt::new(), back)?;
    node.lab.round_trip(&gateway, "files", "bob")?;

    node.script(&format!("echo kept > '{path}/kept'"))?;
    node.host(["delete", "files"])?.ok()?;
    node.expect_same(&before)?;
    ensure!(node.script(&format!("cat '{path}/kept'"))?.trim() == "kept", "data is gone");
    node.own_serves()?;
    node.leave()
}

#[test]
fn beside_a_samba_on_debian_13() -> Result<()> {
    beside_a_samba("debian-13")
}

#[test]
fn beside_a_samba_on_debian_12() -> Result<()> {
    beside_a_samba("debian-12")
}

#[test]
fn what_cannot_be_is_said_before_anything_changes() -> Result<()> {
    let node = NativeNode::enter("debian-13")?;
    let path = node.data("files")?;
    let before = node.look()?;
    let at = |more: &str| format!("create files --mode native --path {path} {more}");
    fails(&node, at("").trim(), "port-taken")?;
    fails(&node, &at("--listen 10.99.99.99"), "address-missing")?;
    fails(&node, &at("--listen :4450 --template debian-13"), "invalid")?;
    fails(&node, &at("--listen :4450 --ip dhcp"), "invalid")?;
    fails(&node, "create files --mode lxc --path /srv --listen :4450", "invalid")?;
    let answer = node.host(at("--listen 0.0.0.0").split(' '))?;
    ensure!(answer.code == 2, "{answer}");
    let quoted = node.data("bob's")?;
    let answer =
        node.host(["create", "files", "--mode", "native", "--listen", ":4450", "--path", &quoted])?;
    ensure!(answer.json()?["error"]["code"] == "path-unsuitable", "{answer}");
    node.script("mv /usr/bin/pdbedit /usr/bin/pdbedit.away")?;
    let missing = fails(&node, &at("--listen :4450"), "samba-missing");
    node.script("mv /usr/bin/pdbedit.away /usr/bin/pdbedit")?;
    missing?;
    node.expect_same(&before)?;
    node.leave()
}

/// Labels of the steps that would run.
fn labels(node: &NativeNode, words: &[String]) -> Result<Vec<String>> {
    let plan = node.host(args(words).chain(["--dry-run"]))?.ok()?.data()?;
    let mut labels = Vec::new();
    collect(&plan, &mut labels);
    ensure!(!labels.is_empty(), "the plan names no steps: {plan}");
    Ok(labels)
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("label").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// Fails at each step, is killed before and after each, and does and undoes each twice; `same` must hold after each.
fn survives(node: &NativeNode, words: &[String], same: &dyn Fn() -> Result<()>) -> Result<()> {
    let labels = labels(node, words)?;
    println!("{}: {}", words[0], labels.join(", "));
    for label in &labels {
        let failed = node.host_with_fault(&format!("fail@{label}"), args(words))?;
        ensure!(failed.code != 0, "failing at {label}: {failed}");
        same().map_err(|error| error.context(format!("failing at {label}: {failed}")))?;
        for point in ["kill-before", "kill-after"] {
            let killed = node.host_with_fault(&format!("{point}@{label}"), args(words))?;
            ensure!(killed.code == 137 || killed.code == -9, "{point} at {label}: {killed}");
            let recovered = node.host(["ops", "recover"])?.ok()?;
            same().map_err(|error| error.context(format!("{point} at {label}: {recovered}")))?;
        }
    }
    let last = labels.last().map_or("", String::as_str);
    let failed = node.host_with_fault(&format!("double,fail@{last}"), args(words))?;
    ensure!(failed.code != 0, "double: {failed}");
    same().map_err(|error| error.context(format!("every do and undo twice: {failed}")))
}

#[test]
fn every_step_survives() -> Result<()> {
    let node = NativeNode::enter("debian-13")?;
    let (address, password, path) = (node.address(200)?, node.password_file()?, node.data("files")?);
    let before = node.look()?;
    let words = create(&path, &address, &password);
    survives(&node, &words, &|| node.expect_same(&before))?;
    node.host(args(&words))?.ok()?;

    let gateway = node.gateway("files", &address);
    let there = node.look()?;
    let delete: Vec<String> = ["delete", "files"].map(str::to_owned).to_vec();
    let labels = labels(&node, &delete)?;
    for label in &labels {
        let last = labels.last() == Some(label);
        for point in ["fail", "kill-before", "kill-after"] {
            // the last step is the point of no return
            if last && point != "kill-before" {
                continue;
            }
            let fault = format!("{point}@{label}");
            let answer = node.host_with_fault(&fault, args(&delete))?;
            ensure!(answer.code != 0, "{fault}: {answer}");
            node.host(["ops", "recover"])?.ok()?;
            if last {
                continue;
            }
            let back = || status(&node).ok().filter(|now| now["ready"] == true);
            wait_until("the gateway to serve again", Duration::from_secs(30), &Interrupt::new(), back)?;
            node.expect_same(&there).map_err(|error| error.context(fault.clone()))?;
            node.lab.round_trip(&gateway, "files", "bob")?;
        }
    }
    // what was cut off past that point is finished
    node.expect_same(&before)?;
    node.leave()
}
