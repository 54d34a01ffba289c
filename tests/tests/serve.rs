//! A gateway serves files: to those who may, as they are, and to nobody else.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::{Context, Result, ensure};
use smbgw_lab::lab::PASSWORD;
use smbgw_lab::{Client, Lab, files, product, smb};

/// The mount of a share as the container sees it: `(mount options, super options)`.
fn share_mount(lab: &Lab, gateway: &str, share: &str) -> Result<String> {
    let mountinfo = lab.attach(gateway, ["cat", "/proc/self/mountinfo"])?.ok()?.stdout;
    let point = format!("/srv/smb/{share}");
    let line = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some(&point));
    Ok(line.with_context(|| format!("{point} is not mounted: {mountinfo}"))?.to_owned())
}

fn serves(template: &str) -> Result<()> {
    let lab = Lab::enter(template)?;
    let gateway = lab.create("team", &["--template", template])?;
    lab.round_trip(&gateway, "team", "alice")?;

    // a file of a size that is no multiple of anything, put, and its owner on the node is the user's uid
    let sent = lab.directory().join("sent");
    fs::write(&sent, vec![7; 1_234_567])?;
    let client = lab.client(&gateway, "team", "alice")?;
    client.put(&sent, "a file.bin")?;
    let metadata = fs::metadata(gateway.path.join("a file.bin"))?;
    ensure!(metadata.uid() == 10_000, "the owner on the node is {}", metadata.uid());
    ensure!(metadata.len() == 1_234_567, "{} bytes on the node", metadata.len());

    // directories, renames, deletion, and names that are not ASCII
    client.run("mkdir d; cd d; mkdir Büro; cd ..; rename \"a file.bin\" d/b.bin; ls d\\*")?.ok()?;
    ensure!(gateway.path.join("d/Büro").is_dir() && gateway.path.join("d/b.bin").is_file());
    client.run("del d\\b.bin; rmdir d\\Büro; rmdir d")?.ok()?;
    ensure!(!gateway.path.join("d").exists());

    let mount = share_mount(&lab, "team", "team")?;
    for option in ["nosuid", "nodev", "noexec", "idmapped"] {
        ensure!(mount.contains(option), "the share is not mounted {option}: {mount}");
    }
    lab.leave()
}

#[test]
fn debian_13_serves() -> Result<()> {
    serves("debian-13")
}

#[test]
fn debian_12_serves() -> Result<()> {
    serves("debian-12")
}

#[test]
fn a_lost_gateway_cannot_plant_a_set_uid_program() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    lab.create("team", &[])?;
    // its root may make such a file; it gives nobody anything inside, and the flag on the node is what nosuid is for
    lab.attach("team", ["sh", "-c", "cp /usr/bin/id /srv/smb/team/id && chmod 6755 /srv/smb/team/id"])?;
    let run = lab.attach("team", ["/srv/smb/team/id"])?;
    ensure!(run.code == 126, "a program on the share ran: {run}");
    let device = lab.attach("team", ["mknod", "/srv/smb/team/null", "c", "1", "3"])?;
    ensure!(device.code != 0, "the container made a device: {device}");
    lab.leave()
}

#[test]
fn only_those_who_may() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &["--user", "bob"])?;
    let password = lab.password_file()?;
    let private = lab.data("private")?;
    let add = [
        "share",
        "add",
        "team",
        "private",
        "--path",
        &private.display().to_string(),
        "--user",
        "bob",
        "--grant",
    ];
    lab.host(add)?.ok()?;
    let read_only = lab.data("archive")?;
    fs::write(read_only.join("old.txt"), "old")?;
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o755))?;
    let add = ["share", "add", "team", "archive", "--path", &read_only.display().to_string(), "--read-only"];
    lab.host(add)?.ok()?;

    // both users write to the shared one, as themselves
    lab.round_trip(&gateway, "team", "alice")?;
    lab.round_trip(&gateway, "team", "bob")?;
    lab.round_trip(&gateway, "private", "bob")?;
    lab.client(&gateway, "private", "alice")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;

    // a read-only share is read and not written
    let sent = lab.directory().join("sent");
    fs::write(&sent, "new")?;
    let reader = lab.client(&gateway, "archive", "alice")?;
    reader.get("old.txt", &lab.directory().join("got"))?;
    let refused = format!("put {} new.txt", sent.display());
    let answer = reader.run(&refused)?;
    ensure!(answer.all().contains("NT_STATUS_"), "a read-only share was written: {answer}");
    ensure!(!read_only.join("new.txt").exists());

    // a wrong password, an unknown user, nobody at all, and a name that would be mapped to a guest
    let wrong = Client::new(lab.directory(), &gateway.address, "team", "alice", "wrong")?;
    wrong.refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    let unknown = Client::new(lab.directory(), &gateway.address, "team", "mallory", PASSWORD)?;
    unknown.refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    Client::guest(&gateway.address, "team").refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    let root = Client::new(lab.directory(), &gateway.address, "team", "root", "")?;
    root.refused("ls", "NT_STATUS_LOGON_FAILURE")?;

    // a user who is removed is out; the others stay, and so do the files
    let kept = lab.directory().join("kept");
    fs::write(&kept, "bob's")?;
    lab.client(&gateway, "team", "bob")?.put(&kept, "bobs.txt")?;
    lab.host(["share", "remove", "team", "private"])?.ok()?;
    lab.host(["user", "remove", "team", "bob"])?.ok()?;
    lab.client(&gateway, "team", "bob")?.refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    lab.round_trip(&gateway, "team", "alice")?;
    ensure!(fs::read(gateway.path.join("bobs.txt"))? == b"bob's");

    // back again under the same name, then with another password
    lab.host(["user", "add", "team", "bob", "--password-file", &password])?.ok()?;
    lab.round_trip(&gateway, "team", "bob")?;
    let second = lab.directory().join("second");
    files::secret_file(&second, "Another-one-9\n")?;
    lab.host(["user", "passwd", "team", "bob", "--password-file", &second.display().to_string()])?.ok()?;
    lab.client(&gateway, "team", "bob")?.refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    Client::new(lab.directory(), &gateway.address, "team", "bob", "Another-one-9")?.run("ls")?.ok()?;
    lab.leave()
}

#[test]
fn old_and_weak_protocols_are_refused() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    let smb1 = lab
        .client(&gateway, "team", "alice")?
        .option("--option=client min protocol=NT1")
        .option("--max-protocol=NT1");
    let answer = smb1.run("ls")?;
    ensure!(answer.code != 0, "SMB1 was accepted: {answer}");
    // a client that asks for no protection gets a signed session all the same: smbstatus says so while it is open
    let look = format!("ls\n!{} smbstatus --processes\n", product::attach("team").display());
    let unsigned =
        lab.client(&gateway, "team", "alice")?.option("--client-protection=off").run_lines(&look)?.ok()?;
    let line =
        unsigned.stdout.lines().find(|line| line.contains("alice")).with_context(|| unsigned.to_string())?;
    ensure!(line.contains("AES-128"), "the session is not signed: {unsigned}");

    // profile high: nothing below SMB 3.1.1, nothing unencrypted
    lab.host(["set", "team", "--security", "high"])?.ok()?;
    lab.wait_serving(&gateway, "team", "alice")?;
    let old = lab.client(&gateway, "team", "alice")?.option("--max-protocol=SMB3_02");
    ensure!(old.run("ls")?.code != 0, "SMB 3.0.2 was accepted by profile high");
    let encrypted = lab.client(&gateway, "team", "alice")?.option("--client-protection=encrypt");
    encrypted.run("ls")?.ok()?;
    lab.leave()
}

#[test]
fn windows_acls_are_kept() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &["--user", "bob"])?;
    let sent = lab.directory().join("sent");
    fs::write(&sent, "x")?;
    let alice = lab.client(&gateway, "team", "alice")?;
    alice.put(&sent, "mine.txt")?;
    let set = alice.acl(
        "mine.txt",
        &["--set", "REVISION:1,ACL:TEAM\\alice:ALLOWED/0x0/FULL,ACL:TEAM\\bob:ALLOWED/0x0/READ"],
    )?;
    ensure!(set.code == 0 && !set.all().contains("ERROR"), "{set}");
    let shown = alice.acl("mine.txt", &[])?.ok()?.stdout;
    ensure!(shown.contains("bob:ALLOWED/0x0/READ"), "{shown}");
    lab.client(&gateway, "team", "bob")?.get("mine.txt", &lab.directory().join("got"))?;
    let write = lab.client(&gateway, "team", "bob")?.run(&format!("put {} mine.txt", sent.display()))?;
    ensure!(write.all().contains("NT_STATUS_ACCESS_DENIED"), "bob, who may read, wrote: {write}");
    let xattrs =
        lab.tool("getfattr", ["-d", "-m", "-", &gateway.path.join("mine.txt").display().to_string()])?;
    ensure!(xattrs.stdout.contains("user.NTACL"), "{xattrs}");
    lab.leave()
}

#[test]
fn shares_are_listed_hidden_and_renamed() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &["--comment", "All of us"])?;
    let listed = smb::list(&lab.client(&gateway, "team", "alice")?)?.stdout;
    ensure!(listed.contains("Disk|team|All of us"), "{listed}");
    lab.host(["share", "set", "team", "team", "--hidden", "true", "--comment", ""])?.ok()?;
    let listed = smb::list(&lab.client(&gateway, "team", "alice")?)?.stdout;
    ensure!(!listed.contains("Disk|team"), "a hidden share is listed: {listed}");
    lab.round_trip(&gateway, "team", "alice")?;
    lab.host(["share", "set", "team", "team", "--read-only", "true"])?.ok()?;
    let sent = lab.directory().join("sent");
    fs::write(&sent, "x")?;
    let answer = lab.client(&gateway, "team", "alice")?.run(&format!("put {} x", sent.display()))?;
    ensure!(answer.all().contains("NT_STATUS_"), "{answer}");
    lab.leave()
}
