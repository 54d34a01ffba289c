//! `apply -f`: many gateways at once, a second time changes nothing, and one that is to go goes alone.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use smbgw_lab::{Gateway, Lab, files, lab::PASSWORD};

const COUNT: usize = 10;

/// A manifest of all gateways; `removed` says which are to go.
fn manifest(lab: &Lab, paths: &[std::path::PathBuf], removed: impl Fn(usize) -> bool) -> Result<String> {
    let mut text = "gateways:\n".to_owned();
    for (index, path) in paths.iter().enumerate() {
        writeln!(text, "- name: gw{index}")?;
        if removed(index) {
            writeln!(text, "  intent: removed")?;
            continue;
        }
        writeln!(text, "  users: [{{name: alice}}]")?;
        writeln!(text, "  shares: [{{name: files, path: \"{}\", grant: true}}]", path.display())?;
    }
    let file = lab.directory().join("manifest.yaml");
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}

#[test]
fn ten_gateways_at_once_then_nothing_then_one_less() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let paths = (0..COUNT).map(|index| lab.data(&format!("gw{index}"))).collect::<Result<Vec<_>>>()?;
    for (index, path) in paths.iter().enumerate() {
        fs::write(path.join("who.txt"), format!("gateway {index}"))?;
    }
    let mut lines = String::new();
    for index in 0..COUNT {
        writeln!(lines, "gw{index}/alice:{PASSWORD}")?;
    }
    let passwords = lab.directory().join("passwords");
    files::secret_file(&passwords, &lines)?;
    let passwords = passwords.display().to_string();
    let file = manifest(&lab, &paths, |_| false)?;
    let apply = ["apply", "-f", &file, "--parallel", "4", "--passwords-file", &passwords];

    let planned = lab.snapshot()?;
    lab.host(apply.into_iter().chain(["--dry-run"]))?.ok()?;
    planned.expect_same(lab.directory()).context("a dry run changed something")?;

    lab.host(apply)?.ok()?;
    let mut names = lab.gateways()?;
    names.sort();
    ensure!(names == (0..COUNT).map(|index| format!("gw{index}")).collect::<Vec<_>>(), "{names:?}");
    let mut gateways: Vec<Gateway> = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let gateway = lab.gateway(&format!("gw{index}"), path.clone())?;
        let got = lab.directory().join("got");
        lab.client(&gateway, "files", "alice")?.get("who.txt", &got)?;
        ensure!(
            fs::read_to_string(&got)? == format!("gateway {index}"),
            "gateway {index} served another one's file"
        );
        lab.round_trip(&gateway, "files", "alice")?;
        ensure!(
            gateways.iter().all(|other| other.address != gateway.address),
            "two gateways have one address"
        );
        gateways.push(gateway);
    }

    // once more: nothing to do, and it says so
    let before = lab.snapshot()?;
    let second = lab.host_plain(apply)?.ok()?;
    before.expect_same(lab.directory()).context("a second apply changed something")?;
    let said = second.all().to_lowercase();
    ensure!(
        said.contains("unchanged") || said.contains("no change") || said.contains("nothing"),
        "it does not say so: {second}"
    );

    // one is to go
    let file = manifest(&lab, &paths, |index| index == 3)?;
    let apply = ["apply", "-f", &file, "--parallel", "4"];
    lab.host(apply)?.ok()?;
    let names = lab.gateways()?;
    ensure!(names.len() == COUNT - 1 && !names.contains(&"gw3".to_owned()), "{names:?}");
    for (index, gateway) in gateways.iter().enumerate().filter(|(index, _)| *index != 3) {
        lab.round_trip(gateway, "files", "alice").with_context(|| format!("gateway {index}"))?;
    }
    ensure!(
        fs::read_to_string(paths[3].join("who.txt"))? == "gateway 3",
        "the data of the removed one changed"
    );
    // and once more: it is gone already
    lab.host(apply)?.ok()?;
    lab.leave()
}

#[test]
fn apply_changes_what_differs_and_no_more() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    let shown = lab.host_plain(["show", "team"])?.ok()?.stdout;
    let file = lab.directory().join("shown.yaml");
    fs::write(&file, &shown)?;
    let text = file.display().to_string();
    let before = lab.snapshot()?;
    lab.host(["apply", "-f", &text])?.ok()?;
    before.expect_same(lab.directory()).context("what `show` prints is not what is there")?;

    let archive = lab.data("archive")?;
    let more = format!("- name: archive\n  path: {}\n  read-only: true\n  grant: true\n", archive.display());
    let (head, tail) = shown.split_once("shares:\n").context("no shares in what show prints")?;
    let indent: String = tail.chars().take_while(|c| *c == ' ').collect();
    let more: String = more.lines().map(|line| format!("{indent}{line}\n")).collect();
    fs::write(&file, format!("{head}shares:\n{more}{tail}"))?;
    lab.host(["apply", "-f", &text])?.ok()?;
    lab.round_trip(&gateway, "team", "alice")?;
    lab.client(&gateway, "archive", "alice")?.run("ls")?.ok()?;
    lab.leave()
}
