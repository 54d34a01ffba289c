//! Quotas that hold, on a real btrfs: written past over SMB, seen by clients, changed, lowered, removed, gone with the gateway;
//! faults at every step that sets one; what cannot be a quota.

#![allow(clippy::disallowed_methods, reason = "a test: it starts programs")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::{Gateway, Lab, files};

const MIB: u64 = 1 << 20;

/// A btrfs in a file, with quotas on; gone when it is dropped.
struct Btrfs {
    mount: PathBuf,
}

impl Btrfs {
    fn new(lab: &Lab) -> Result<Self> {
        let directory = lab.data("btrfs")?;
        let (image, mount) = (directory.join("disk.img"), directory.join("mount"));
        std::fs::File::create(&image)?.set_len(600 * MIB)?;
        files::directory(&mount, 0)?;
        lab.tool("mkfs.btrfs", ["-q", &image.display().to_string()])?;
        lab.tool("mount", ["-o", "loop", &image.display().to_string(), &mount.display().to_string()])?;
        let btrfs = Self { mount };
        lab.tool("btrfs", ["quota", "enable", &btrfs.mount.display().to_string()])?;
        Ok(btrfs)
    }

    fn subvolume(&self, lab: &Lab, name: &str) -> Result<PathBuf> {
        let path = self.mount.join(name);
        lab.tool("btrfs", ["subvolume", "create", &path.display().to_string()])?;
        Ok(path)
    }

    /// The limit in force, past the product: the fourth column of its line.
    fn limit(&self, lab: &Lab, path: &Path) -> Result<Option<u64>> {
        let text = path.display().to_string();
        let id = lab.tool("btrfs", ["inspect-internal", "rootid", &text])?.stdout.trim().to_owned();
        let shown = lab.tool("btrfs", ["qgroup", "show", "-r", "--raw", "-F", &text])?.stdout;
        let line = shown.lines().find(|line| line.starts_with(&format!("0/{id} ")));
        let column = line.and_then(|line| line.split_whitespace().nth(3)).context("no line of the group")?;
        Ok(column.parse().ok())
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

fn create(lab: &Lab, path: &Path, more: &[&str]) -> Result<Gateway> {
    let (text, password) = (path.display().to_string(), lab.password_file()?);
    let args =
        ["create", "team", "--path", &text, "--user", "alice", "--password-file", &password, "--grant"];
    lab.host(args.into_iter().chain(more.iter().copied()))?.ok()?;
    lab.gateway("team", path.to_owned())
}

fn seen(lab: &Lab, gateway: &Gateway) -> Result<(u64, u64)> {
    lab.client(gateway, "team", "alice")?.size()
}

fn shown(lab: &Lab) -> Result<serde_json::Value> {
    Ok(lab.host(["quota", "show", "team"])?.ok()?.data()?["quotas"][0].clone())
}

fn fails(lab: &Lab, line: &str, code: &str) -> Result<()> {
    lab.host(line.split(' '))?.fails(code).map(drop)
}

#[test]
fn a_quota_holds_and_clients_see_it() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let btrfs = Btrfs::new(&lab)?;
    let path = btrfs.subvolume(&lab, "team")?;
    let gateway = create(&lab, &path, &["--quota", "64M"])?;
    ensure!(btrfs.limit(&lab, &path)? == Some(64 * MIB), "the limit is not in force");
    let (total, free) = seen(&lab, &gateway)?;
    ensure!(total == 64 && free >= 60, "a client sees {free} of {total} MiB");

    // past it, over SMB
    let big = lab.directory().join("big");
    files::random_file(&big, 100)?;
    let put = format!("put {} big.bin", big.display());
    lab.client(&gateway, "team", "alice")?.refused(&put, "NT_STATUS_DISK_FULL")?;
    let row = shown(&lab)?;
    ensure!(row["used_bytes"].as_u64() > Some(30 * MIB) && row["enforced_bytes"] == 64 * MIB, "{row}");

    // the gateway is told, and its clients see what is left
    std::fs::remove_file(path.join("big.bin"))?;
    let some = lab.directory().join("some");
    files::random_file(&some, 40)?;
    lab.client(&gateway, "team", "alice")?.put(&some, "some.bin")?;
    lab.tool("sync", ["-f", &path.display().to_string()])?;
    lab.host(["quota", "refresh"])?.ok()?;
    // Samba asks again when its own memory of it has gone
    let told = || seen(&lab, &gateway).ok().filter(|(total, free)| *total == 64 && (15..=24).contains(free));
    wait_until("a client to see what is left", Duration::from_secs(30), &Interrupt::new(), told)?;

    // changed
    lab.host(["quota", "set", "team", "200M"])?.ok()?;
    ensure!(btrfs.limit(&lab, &path)? == Some(200 * MIB), "the new limit is not in force");
    lab.client(&gateway, "team", "alice")?.put(&big, "big.bin")?;
    lab.tool("sync", ["-f", &path.display().to_string()])?;
    let new = || seen(&lab, &gateway).ok().filter(|(total, _)| *total == 200);
    wait_until("a client to see the new size", Duration::from_secs(30), &Interrupt::new(), new)?;

    // below what is there
    fails(&lab, "quota set team 50M", "quota-below-usage")?;
    ensure!(btrfs.limit(&lab, &path)? == Some(200 * MIB), "a refused change has changed something");
    lab.host(["quota", "set", "team", "50M", "--force"])?.ok()?;
    ensure!(btrfs.limit(&lab, &path)? == Some(50 * MIB), "the forced limit is not in force");
    lab.client(&gateway, "team", "alice")?
        .refused(&format!("put {} more.bin", some.display()), "NT_STATUS_DISK_FULL")?;

    // none
    lab.host(["quota", "set", "team", "none"])?.ok()?;
    ensure!(btrfs.limit(&lab, &path)?.is_none(), "the limit is still there");
    lab.client(&gateway, "team", "alice")?.put(&some, "more.bin")?;
    let whole = || seen(&lab, &gateway).ok().filter(|(total, _)| *total > 500);
    wait_until("a client to see the file system's size", Duration::from_secs(30), &Interrupt::new(), whole)?;

    // gone with the gateway, and the data not
    lab.host(["quota", "set", "team", "300M"])?.ok()?;
    lab.host(["delete", "team"])?.ok()?;
    ensure!(btrfs.limit(&lab, &path)?.is_none(), "the limit of a gateway that is gone is still there");
    ensure!(files::sha256(&path.join("big.bin"))? == files::sha256(&big)?, "the data is not what it was");
    drop(btrfs);
    lab.leave()
}

#[test]
fn every_step_that_sets_one_can_fail() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let btrfs = Btrfs::new(&lab)?;
    let path = btrfs.subvolume(&lab, "team")?;
    let before = lab.snapshot()?;
    let (text, password) = (path.display().to_string(), lab.password_file()?);
    let args = [
        "create",
        "team",
        "--path",
        &text,
        "--quota",
        "64M",
        "--user",
        "alice",
        "--password-file",
        &password,
    ];
    let args: Vec<&str> = args.into_iter().chain(["--grant"]).collect();
    let expect = |limit: Option<u64>, what: &str| -> Result<()> {
        ensure!(btrfs.limit(&lab, &path)? == limit, "{what}: the limit is {:?}", btrfs.limit(&lab, &path)?);
        Ok(())
    };
    for fault in ["fail", "kill-before", "kill-after", "double,fail"] {
        for step in ["quota:team", "configure"] {
            let what = format!("create with {fault}@{step}");
            let answer = lab.host_with_fault(&format!("{fault}@{step}"), args.iter().copied())?;
            ensure!(answer.code != 0, "{what}: it went through");
            lab.host(["ops", "recover"])?.ok().context(what.clone())?;
            expect(None, &what)?;
            before.expect_same(lab.directory()).context(what)?;
        }
    }
    lab.host(args.iter().copied())?.ok()?;
    for (line, after) in [
        ("quota set team 128M", Some(128 * MIB)),
        ("quota set team none", None),
        ("quota set team 64M", Some(64 * MIB)),
        ("delete team", None),
    ] {
        let limit = btrfs.limit(&lab, &path)?;
        for fault in ["fail", "kill-before", "kill-after", "double,fail"] {
            let what = format!("{line} with {fault}");
            let answer = lab.host_with_fault(&format!("{fault}@quota:team"), line.split(' '))?;
            ensure!(answer.code != 0, "{what}: it went through: {answer}");
            lab.host(["ops", "recover"])?.ok().context(what.clone())?;
            expect(limit, &what)?;
        }
        lab.host(line.split(' '))?.ok()?;
        expect(after, line)?;
    }
    drop(btrfs);
    lab.leave()
}

#[test]
fn what_cannot_be_a_quota_is_said_before_anything_changes() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let btrfs = Btrfs::new(&lab)?;
    let path = btrfs.subvolume(&lab, "team")?;
    let text = path.display().to_string();
    let before = lab.snapshot()?;
    for bad in ["10X", "0", "-5G", "many", "1e9"] {
        let answer = lab.host(["create", "team", "--path", &text, &format!("--quota={bad}")])?;
        ensure!(answer.code == 2, "{bad}: {answer}");
    }
    fails(&lab, &format!("create team --path {text} --quota 2T"), "quota-too-large")?;
    // a directory inside the subvolume, and one on another file system
    let inside = path.join("inside");
    files::directory(&inside, 0)?;
    fails(&lab, &format!("create team --path {} --quota 64M", inside.display()), "quota-unavailable")?;
    std::fs::remove_dir(&inside)?;
    let memory = lab.data("memory")?;
    lab.tool("mount", ["-t", "tmpfs", "none", &memory.display().to_string()])?;
    let refused =
        fails(&lab, &format!("create team --path {} --quota 64M", memory.display()), "quota-unavailable");
    lab.tool("umount", [memory.display().to_string().as_str()])?;
    refused?;
    // somebody else's limit
    let id = lab.tool("btrfs", ["inspect-internal", "rootid", &text])?.stdout.trim().to_owned();
    lab.tool("btrfs", ["qgroup", "limit", "32M", &format!("0/{id}"), &text])?;
    fails(&lab, &format!("create team --path {text} --quota 64M"), "quota-foreign")?;
    ensure!(btrfs.limit(&lab, &path)? == Some(32 * MIB), "somebody else's limit has changed");
    before.expect_same(lab.directory())?;
    drop(btrfs);
    lab.leave()
}

/// On a file system without quotas: reported, with a warning at each level, in syslog's words and by the hook.
#[test]
fn one_that_is_only_reported_warns() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &["--quota", "10M", "--quota-mode", "report"])?;
    let told = lab.directory().join("told");
    std::fs::create_dir_all("/etc/pve-smbgateway")?;
    let hook = Path::new("/etc/pve-smbgateway/quota-hook");
    std::fs::write(hook, format!("#!/bin/sh\necho \"$@\" >>{}\n", told.display()))?;
    lab.tool("chmod", ["755", "/etc/pve-smbgateway/quota-hook"])?;
    let data = lab.directory().join("data-of-quota");
    let mut sizes = Vec::new();
    for mib in [1, 8, 9, 12] {
        files::random_file(&data, mib)?;
        lab.client(&gateway, "team", "alice")?.put(&data, "data.bin")?;
        lab.tool("sync", ["-f", &gateway.path.display().to_string()])?;
        let refreshed = lab.host(["quota", "refresh"])?.ok()?;
        sizes.push(refreshed.stderr.contains("warning"));
    }
    ensure!(sizes == [false, true, true, true], "it warned so: {sizes:?}");
    let told = std::fs::read_to_string(&told)?;
    let levels: Vec<_> = told.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    ensure!(levels == ["75", "85", "95"], "the hook was told: {told}");
    let row = shown(&lab)?;
    ensure!(row["percent"].as_f64() > Some(100.0) && row["mode"] == "report", "{row}");
    let full = || seen(&lab, &gateway).ok().filter(|seen| *seen == (10, 0));
    wait_until("a client to see that it is full", Duration::from_secs(30), &Interrupt::new(), full)?;
    std::fs::remove_dir_all("/etc/pve-smbgateway")?;
    lab.leave()
}
