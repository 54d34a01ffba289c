//! What shares are for: each purpose and each extra on real Samba of both releases, with what it promises; and what cannot go
//! together, before anything changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::{Client, Gateway, Lab, files};

/// Waits for something to become true.
fn until(what: &str, seconds: u64, mut is: impl FnMut() -> bool) -> Result<()> {
    wait_until(what, Duration::from_secs(seconds), &Interrupt::new(), || is().then_some(()))?;
    Ok(())
}

/// Expects that smbclient's commands all succeed.
fn works(client: &Client, commands: &str) -> Result<String> {
    let answer = client.run(commands)?.ok()?;
    ensure!(!answer.all().contains("NT_STATUS"), "{answer}");
    Ok(answer.all())
}

fn small_file(lab: &Lab, text: &str) -> Result<String> {
    let path = lab.directory().join("sent");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// testparm has nothing to say, and the share has these modules in this order.
fn expect_modules(lab: &Lab, gateway: &Gateway, share: &str, modules: &str) -> Result<()> {
    let said = lab.attach(&gateway.name, ["testparm", "-s", "--suppress-prompt"])?.ok()?;
    for word in ["Unknown parameter", "ERROR", "WARNING: ", "Global parameter"] {
        ensure!(!said.stderr.contains(word), "{said}");
    }
    let args =
        ["testparm", "-s", "--suppress-prompt", "--section-name", share, "--parameter-name", "vfs objects"];
    let seen = lab.attach(&gateway.name, args)?.ok()?;
    ensure!(seen.stdout.trim() == modules, "{modules} was expected: {seen}");
    Ok(())
}

/// Written, read, renamed, given an ACL, deleted.
fn serves(lab: &Lab, gateway: &Gateway, share: &str) -> Result<()> {
    lab.round_trip(gateway, share, "alice")?;
    let client = lab.client(gateway, share, "alice")?;
    let sent = small_file(lab, "x")?;
    works(&client, &format!("mkdir d; put {sent} d/one.txt; rename d/one.txt d/two.txt"))?;
    let set = client.acl("d/two.txt", &["--add", "ACL:S-1-1-0:ALLOWED/0x0/READ"])?;
    ensure!(set.code == 0 && !set.all().contains("ERROR"), "{set}");
    let shown = client.acl("d/two.txt", &["--numeric"])?.ok()?.stdout;
    ensure!(shown.contains("S-1-1-0"), "{shown}");
    works(&client, "del d/two.txt; rmdir d")?;
    Ok(())
}

fn every_purpose(template: &str) -> Result<()> {
    let lab = Lab::enter(template)?;
    for (purpose, more, modules) in [
        ("default", vec![], "acl_xattr streams_xattr"),
        ("macos", vec![], "fruit streams_xattr acl_xattr"),
        ("timemachine", vec!["--max-size", "1G"], "fruit streams_xattr acl_xattr"),
        ("archive", vec!["--grace", "10m"], "worm acl_xattr streams_xattr"),
        ("scratch", vec![], "acl_xattr streams_xattr"),
    ] {
        let args: Vec<&str> =
            ["--purpose", purpose, "--template", template].into_iter().chain(more).collect();
        let gateway = lab.create("team", &args)?;
        expect_modules(&lab, &gateway, "team", modules)?;
        serves(&lab, &gateway, "team").context(purpose)?;
        // as a manifest, it is the same
        let manifest = lab.host_plain(["show", "team"])?.ok()?.stdout;
        ensure!(purpose == "default" || manifest.contains(&format!("purpose: {purpose}")), "{manifest}");
        let file = lab.directory().join("manifest.yaml");
        fs::write(&file, &manifest)?;
        let again = lab.host(["apply", "-f", &file.display().to_string()])?.ok()?.data()?;
        ensure!(again["changed"] == false, "applied again, it changes something: {again}");
        lab.host(["delete", "team"])?.ok()?;
    }
    let extras = [
        "--recycle",
        "30",
        "--recycle-max-size",
        "1M",
        "--hide-unreadable",
        "--encrypt",
        "--audit",
        "--allow-raw-options",
        "--raw-option",
        "strict rename = yes",
        "--purpose",
        "macos",
        "--template",
        template,
    ];
    let gateway = lab.create("team", &extras)?;
    expect_modules(&lab, &gateway, "team", "full_audit recycle fruit streams_xattr acl_xattr")?;
    let client = lab.client(&gateway, "team", "alice")?.option("--client-protection=encrypt");
    let sent = small_file(&lab, "x")?;
    works(
        &client,
        &format!(
            "mkdir d; put {sent} d/one.txt; rename d/one.txt d/two.txt; get d/two.txt {sent}; del d/two.txt"
        ),
    )?;
    lab.leave()
}

#[test]
fn every_purpose_serves_on_debian_13() -> Result<()> {
    every_purpose("debian-13")
}

#[test]
fn every_purpose_serves_on_debian_12() -> Result<()> {
    every_purpose("debian-12")
}

fn archive(template: &str) -> Result<()> {
    let lab = Lab::enter(template)?;
    let gateway = lab.create("team", &["--purpose", "archive", "--grace", "4s", "--template", template])?;
    let client = lab.client(&gateway, "team", "alice")?;
    let sent = small_file(&lab, "precious")?;
    works(&client, &format!("mkdir year; put {sent} year/kept.txt; put {sent} year/typo.txt"))?;
    // within the grace period, a mistake can be put right
    works(&client, "del year/typo.txt")?;
    let file = gateway.path.join("year/kept.txt");
    // the grace period counts from the last change, of the directory as of the file
    let aged = |path: &std::path::Path| {
        let changed = fs::metadata(path).ok()?.modified().ok()?;
        (changed.elapsed().ok()? > Duration::from_secs(5)).then_some(())
    };
    let over = || aged(&file).and(aged(&gateway.path.join("year")));
    wait_until("the grace period to end", Duration::from_secs(30), &Interrupt::new(), over)?;
    let other = lab.directory().join("other");
    fs::write(&other, "changed")?;
    let put = format!("put {} year/kept.txt", other.display());
    for change in [
        put.as_str(),
        "del year/kept.txt",
        "rename year/kept.txt year/x.txt",
        "rename year other",
        "deltree year",
    ] {
        let answer = client.run(change)?;
        ensure!(answer.all().contains("NT_STATUS_ACCESS_DENIED"), "{change}: {answer}");
        ensure!(fs::read_to_string(&file)? == "precious", "{change} has changed what is archived");
    }
    let acl = client.acl("year/kept.txt", &["--add", "ACL:S-1-1-0:ALLOWED/0x0/FULL"])?;
    ensure!(acl.all().contains("ACCESS_DENIED"), "the ACL of what is archived can be changed: {acl}");
    // it is still read, and more is still added
    client.get("year/kept.txt", &lab.directory().join("got"))?;
    works(&client, &format!("put {sent} new.txt"))?;
    lab.leave()
}

#[test]
fn an_archive_keeps_what_was_written() -> Result<()> {
    archive("debian-13")
}

#[test]
fn an_archive_keeps_what_was_written_on_debian_12() -> Result<()> {
    archive("debian-12")
}

#[test]
fn time_machine_sees_its_limit() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway =
        lab.create("team", &["--purpose", "timemachine", "--quota", "64M", "--quota-mode", "report"])?;
    let value = |name: &str| -> Result<String> {
        let args =
            ["testparm", "-s", "--suppress-prompt", "--section-name", "team", "--parameter-name", name];
        Ok(lab.attach("team", args)?.ok()?.stdout.trim().to_owned())
    };
    ensure!(value("fruit:time machine")? == "yes", "it is not for Time Machine");
    ensure!(value("fruit:time machine max size")? == "64M", "the limit is not the quota");
    let size = || -> Option<u64> {
        let said = lab.client(&gateway, "team", "alice").ok()?.run("du").ok()?.all();
        let line = said.lines().find(|line| line.contains("blocks of size"))?.to_owned();
        let numbers: Vec<u64> =
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        Some((numbers.first()? * numbers.get(1)?) >> 20)
    };
    ensure!(size() == Some(64), "a client sees {:?} MiB", size());
    // a limit of its own
    lab.host(["share", "set", "team", "team", "--max-size", "32M"])?.ok()?;
    ensure!(value("fruit:time machine max size")? == "32M", "its own limit does not count");
    until("a client to see the new limit", 30, || size() == Some(32))?;
    lab.leave()
}

#[test]
fn all_shares_are_ready_for_macs_or_none() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    let plain = "acl_xattr streams_xattr";
    expect_modules(&lab, &gateway, "team", plain)?;
    // a session that is open gets the new modules, and its data stays
    let sent = small_file(&lab, "before")?;
    works(
        &lab.client(&gateway, "team", "alice")?,
        &format!("put {sent} kept.txt; put {sent} kept.txt:stream"),
    )?;
    let path = lab.data("mac")?.display().to_string();
    lab.host(["share", "add", "team", "mac", "--path", &path, "--purpose", "macos", "--grant"])?.ok()?;
    for share in ["team", "mac"] {
        expect_modules(&lab, &gateway, share, "fruit streams_xattr acl_xattr")?;
        serves(&lab, &gateway, share)?;
    }
    let got = lab.directory().join("got");
    for name in ["kept.txt", "kept.txt:stream"] {
        lab.client(&gateway, "team", "alice")?.get(name, &got)?;
        ensure!(fs::read_to_string(&got)? == "before", "{name} is not what it was");
    }
    lab.host(["share", "remove", "team", "mac"])?.ok()?;
    expect_modules(&lab, &gateway, "team", plain)?;
    lab.leave()
}

/// The bin of a user, on the node.
fn bin(gateway: &Gateway, user: &str) -> PathBuf {
    gateway.path.join(".recycle").join(user)
}

fn set_age(lab: &Lab, path: &Path, days: u32) -> Result<()> {
    lab.tool("touch", ["--no-dereference", "-d", &format!("{days} days ago"), &path.display().to_string()])?;
    Ok(())
}

fn recycle(template: &str) -> Result<()> {
    let lab = Lab::enter(template)?;
    let args = ["--user", "bob", "--recycle", "7", "--recycle-max-size", "1M", "--template", template];
    let gateway = lab.create("team", &args)?;
    let (alice, bob) = (lab.client(&gateway, "team", "alice")?, lab.client(&gateway, "team", "bob")?);
    let sent = small_file(&lab, "precious")?;
    // kept, with its directory, each version, and apart for each user
    for _ in 0..2 {
        works(&alice, &format!("mkdir plans; put {sent} plans/a.txt; del plans/a.txt; rmdir plans"))?;
    }
    works(&bob, &format!("put {sent} b.txt; del b.txt"))?;
    let kept = bin(&gateway, "alice").join("plans/a.txt");
    ensure!(fs::read_to_string(&kept)? == "precious", "what was deleted is not what is kept");
    let versions = fs::read_dir(bin(&gateway, "alice").join("plans"))?.count();
    ensure!(versions == 2, "{versions} versions are kept, not 2");
    ensure!(bin(&gateway, "bob").join("b.txt").exists(), "nothing is kept for bob");
    // to each their own
    works(&alice, "ls .recycle/alice/plans/*")?;
    ensure!(
        bob.run("ls .recycle/alice/*")?.all().contains("NT_STATUS_ACCESS_DENIED"),
        "bob sees what alice deleted"
    );
    // taken back
    works(&alice, "rename .recycle/alice/plans/a.txt back.txt")?;
    ensure!(fs::read_to_string(gateway.path.join("back.txt"))? == "precious", "it did not come back");
    // larger ones go at once
    let big = lab.directory().join("big");
    files::random_file(&big, 2)?;
    works(&alice, &format!("put {} big.bin; del big.bin", big.display()))?;
    ensure!(!bin(&gateway, "alice").join("big.bin").exists(), "a file beyond the maximum is kept");

    // age: counted from the deletion, not from when the file was last written
    let old = gateway.path.join("old.txt");
    works(&alice, &format!("put {sent} old.txt"))?;
    set_age(&lab, &old, 100)?;
    works(&alice, "del old.txt")?;
    for name in ["young.txt", "aged.txt"] {
        works(&alice, &format!("put {sent} {name}; del {name}"))?;
    }
    works(&bob, &format!("mkdir deep; put {sent} deep/aged.txt; del deep/aged.txt; rmdir deep"))?;
    set_age(&lab, &bin(&gateway, "alice").join("aged.txt"), 8)?;
    set_age(&lab, &bin(&gateway, "alice").join("young.txt"), 6)?;
    set_age(&lab, &bin(&gateway, "bob").join("deep/aged.txt"), 8)?;
    // what links lead to is outside, and so is what lies beside the bin
    let outside = lab.data("outside")?;
    fs::write(outside.join("theirs.txt"), "x")?;
    set_age(&lab, &outside.join("theirs.txt"), 100)?;
    fs::write(gateway.path.join("beside.txt"), "x")?;
    set_age(&lab, &gateway.path.join("beside.txt"), 100)?;
    std::os::unix::fs::symlink(&outside, bin(&gateway, "alice").join("link"))?;
    std::os::unix::fs::symlink("/var/lib/smbgw", bin(&gateway, "alice").join("inside"))?;
    std::os::unix::fs::symlink(&gateway.path, gateway.path.join(".recycle/carol"))?;
    // what this user could not delete does not go with the user's bin either
    let foreign = bin(&gateway, "alice").join("foreign");
    fs::create_dir(&foreign)?;
    lab.tool("setfacl", ["--remove-all", "--remove-default", &foreign.display().to_string()])?;
    lab.tool("chmod", ["755", &foreign.display().to_string()])?;
    fs::write(foreign.join("theirs.txt"), "x")?;
    set_age(&lab, &foreign.join("theirs.txt"), 100)?;
    // the agent looks when it starts, and once a day
    lab.attach("team", ["systemctl", "restart", "smbgw-agent"])?.ok()?;
    until("what is old to go", 30, || !bin(&gateway, "alice").join("aged.txt").exists())?;
    until("what is old to go from the other bin", 30, || {
        !bin(&gateway, "bob").join("deep/aged.txt").exists()
    })?;
    for stays in [
        bin(&gateway, "alice").join("young.txt"),
        bin(&gateway, "alice").join("old.txt"),
        bin(&gateway, "bob").join("b.txt"),
        outside.join("theirs.txt"),
        gateway.path.join("beside.txt"),
        foreign.join("theirs.txt"),
    ] {
        ensure!(stays.exists(), "{} has gone", stays.display());
    }
    let agent = lab.attach("team", ["cat", "/var/lib/smbgw/state.json"])?;
    ensure!(agent.code == 0, "a link in a bin was followed: {agent}");
    lab.leave()
}

#[test]
fn a_recycle_bin_keeps_and_forgets() -> Result<()> {
    recycle("debian-13")
}

#[test]
fn a_recycle_bin_keeps_and_forgets_on_debian_12() -> Result<()> {
    recycle("debian-12")
}

/// Lines of the audit in a gateway's journal.
fn audited(lab: &Lab, gateway: &str) -> Result<Vec<String>> {
    let said = lab.attach(gateway, ["journalctl", "--no-pager", "-o", "cat", "-t", "smbd_audit"])?.ok()?;
    Ok(said.stdout.lines().map(str::to_owned).collect())
}

fn audit(template: &str) -> Result<()> {
    let lab = Lab::enter(template)?;
    let gateway = lab.create("team", &["--audit", "--template", template])?;
    let client = lab.client(&gateway, "team", "alice")?;
    let sent = small_file(&lab, "x")?;
    works(
        &client,
        &format!(
            "mkdir d; put {sent} d/a.txt; get d/a.txt {sent}; rename d/a.txt d/b.txt; del d/b.txt; rmdir d"
        ),
    )?;
    until("the audit of what was done", 30, || {
        let lines = audited(&lab, "team").unwrap_or_default();
        let has = |operation: &str, name: &str| {
            lines.iter().any(|line| {
                line.starts_with("alice|")
                    && line.contains(&format!("|{operation}|ok|"))
                    && line.contains(name)
            })
        };
        has("mkdirat", "d")
            && has("create_file", "a.txt")
            && has("renameat", "b.txt")
            && has("unlinkat", "b.txt")
    })
    .with_context(|| format!("{:?}", audited(&lab, "team")))?;

    // a flood is cut off, and it is said by how much
    let before = audited(&lab, "team")?.len();
    let commands: String = (0..1500).map(|number| format!("mkdir n{number};rmdir n{number};")).collect();
    for part in commands.as_bytes().chunks(24_000).map(String::from_utf8_lossy) {
        client.run(&part)?;
    }
    let dropped = || -> Result<String> {
        Ok(lab.attach("team", ["journalctl", "--no-pager", "-o", "cat", "-u", "systemd-journald"])?.stdout)
    };
    until("journald to say what it dropped", 60, || {
        // it says so when the next line comes after the interval
        let _ = client.run("ls");
        dropped().is_ok_and(|said| said.contains("Suppressed") && said.contains("smbd.service"))
    })
    .with_context(|| format!("{} lines", audited(&lab, "team").map_or(0, |lines| lines.len())))?;
    let lines = audited(&lab, "team")?.len() - before;
    // 1500 directories are made and removed, with 6000 lines at the least
    ensure!((500..4000).contains(&lines), "{lines} lines of a flood were kept");
    lab.leave()
}

#[test]
fn file_operations_are_audited_at_a_limited_rate() -> Result<()> {
    audit("debian-13")
}

#[test]
fn file_operations_are_audited_at_a_limited_rate_on_debian_12() -> Result<()> {
    audit("debian-12")
}

#[test]
fn a_share_that_encrypts_refuses_who_does_not() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    lab.round_trip(&gateway, "team", "alice")?;
    lab.host(["share", "set", "team", "team", "--encrypt"])?.ok()?;
    // SMB 2.1 cannot encrypt
    let old = lab.client(&gateway, "team", "alice")?.option("--max-protocol=SMB2_10");
    old.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    let encrypted = lab.client(&gateway, "team", "alice")?.option("--client-protection=encrypt");
    works(&encrypted, "ls")?;
    let plain = lab.data("plain")?.display().to_string();
    lab.host(["share", "add", "team", "plain", "--path", &plain, "--grant"])?.ok()?;
    // the others of the gateway do as before
    works(&lab.client(&gateway, "plain", "alice")?.option("--max-protocol=SMB2_10"), "ls")?;
    lab.host(["share", "set", "team", "team", "--encrypt=false"])?.ok()?;
    works(&lab.client(&gateway, "team", "alice")?.option("--max-protocol=SMB2_10"), "ls")?;
    lab.leave()
}

#[test]
fn what_cannot_be_read_is_hidden() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &["--user", "bob"])?;
    let alice = lab.client(&gateway, "team", "alice")?;
    let sent = small_file(&lab, "x")?;
    works(
        &alice,
        &format!("mkdir secret; put {sent} secret/a.txt; put {sent} private.txt; put {sent} open.txt"),
    )?;
    for name in ["secret", "private.txt"] {
        let set = alice.acl(name, &["--set", "REVISION:1,ACL:TEAM\\alice:ALLOWED/0x0/FULL"])?;
        ensure!(set.code == 0 && !set.all().contains("ERROR"), "{set}");
    }
    let seen = |user: &str| -> Result<[bool; 3]> {
        let said = works(&lab.client(&gateway, "team", user)?, "ls")?;
        Ok(["secret", "private.txt", "open.txt"].map(|name| said.contains(name)))
    };
    ensure!(seen("bob")? == [true; 3], "hidden without being asked to");
    lab.host(["share", "set", "team", "team", "--hide-unreadable"])?.ok()?;
    ensure!(seen("bob")? == [false, false, true], "bob sees what he may not read");
    ensure!(seen("alice")? == [true; 3], "alice does not see what is hers");
    lab.leave()
}

#[test]
fn what_cannot_go_together_is_said_before_anything_changes() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let path = lab.data("team")?.display().to_string();
    let before = lab.snapshot()?;
    for (bad, word) in [
        ("--purpose mac", "purpose"),
        ("--purpose timemachine", "quota or a max-size"),
        ("--purpose timemachine --max-size 1G --read-only", "read-only"),
        ("--purpose timemachine --max-size 1G --recycle 7", "make room"),
        ("--purpose timemachine --max-size 2G --quota 1G --quota-mode report", "more than its quota"),
        ("--purpose timemachine --purpose archive", "cannot be used multiple times"),
        ("--purpose archive --recycle 7", "archive"),
        ("--purpose scratch --recycle 7", "scratch"),
        ("--read-only --recycle 7", "read-only"),
        ("--recycle 0", "days"),
        ("--recycle-max-size 1G", "no recycle bin"),
        ("--max-size 1G", "timemachine"),
        ("--grace 5m", "archive"),
        ("--grace soon --purpose archive", "grace"),
        ("--raw-option strict\u{a0}sync=no", "nobody has tested"),
        ("--allow-raw-options --raw-option include=/etc/passwd", "runs a command"),
        ("--allow-raw-options --raw-option root\u{a0}preexec=/bin/sh", "runs a command"),
        ("--allow-raw-options --raw-option magic\u{a0}script=x", "runs a command"),
        ("--allow-raw-options --raw-option server\u{a0}signing=disabled", "not among"),
        ("--allow-raw-options --raw-option [global]", "section"),
        ("--allow-raw-options --raw-option colour=red", "not among"),
    ] {
        let args = ["create", "team", "--path", &path].into_iter().chain(bad.split(' '));
        let answer = lab.host(args)?.exits(2)?;
        ensure!(answer.all().contains(word), "{bad}: {answer}");
    }
    before.expect_same(lab.directory())?;

    // and of a gateway that is there: a value that only testparm knows to be wrong
    let gateway = lab.create("team", &["--allow-raw-options", "--raw-option", "veto files = /*.tmp/"])?;
    let conf = lab.attach("team", ["cat", "/etc/samba/smb.conf"])?.ok()?.stdout;
    let sent = small_file(&lab, "x")?;
    let tmp = lab.client(&gateway, "team", "alice")?.run(&format!("put {sent} x.tmp"))?;
    ensure!(tmp.all().contains("NT_STATUS"), "the raw option does nothing: {tmp}");
    let answer = lab.host([
        "share",
        "set",
        "team",
        "team",
        "--allow-raw-options",
        "--raw-option",
        "strict sync = perhaps",
    ])?;
    ensure!(answer.code == 5, "a value that means nothing: {answer}");
    for bad in ["--purpose archive --recycle 7", "--purpose timemachine", "--grace 5m"] {
        lab.host(["share", "set", "team", "team"].into_iter().chain(bad.split(' ')))?.exits(2)?;
    }
    ensure!(
        conf == lab.attach("team", ["cat", "/etc/samba/smb.conf"])?.ok()?.stdout,
        "what was refused has changed something"
    );
    lab.host(["share", "set", "team", "team", "--no-raw-options"])?.ok()?;
    works(&lab.client(&gateway, "team", "alice")?, &format!("put {sent} x.tmp"))?;
    lab.leave()
}
