//! Gateways in virtual machines: a directory by virtio-fs, a disk of their own, and what survives a restart.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_lab::{Client, Gateway, Lab, files};

fn status(lab: &Lab, name: &str) -> Result<Value> {
    lab.host(["status", name])?.ok()?.data()
}

/// Sets all that a Windows client can set on a file.
fn adorn(client: &Client) -> Result<()> {
    client.run("mkdir kept; setmode kept/file.bin +h")?.ok()?;
    // everyone, by number: to look a name up takes an emulated machine longer than smbcacls waits
    let acl = client.acl("kept/file.bin", &["--add", "ACL:S-1-1-0:ALLOWED/0x0/READ"])?;
    ensure!(acl.code == 0, "{acl}");
    let ea = client.run("setea kept/file.bin origin lab")?;
    ensure!(!ea.all().contains("NT_STATUS"), "{ea}");
    Ok(())
}

/// What a client sees of it.
fn seen(client: &Client) -> Result<String> {
    let acl = client.acl("kept/file.bin", &["--numeric"])?.ok()?.stdout;
    ensure!(acl.contains("ACL:S-1-1-0:0/"), "the NT ACL lacks what was added: {acl}");
    let info = client.run("allinfo kept/file.bin")?.ok()?.stdout;
    let attributes =
        info.lines().find(|line| line.starts_with("attributes:")).context("no attributes")?.to_owned();
    ensure!(attributes.contains('H'), "the hidden attribute is not set: {attributes}");
    let ea = client.run("geteas kept/file.bin")?.ok()?.stdout;
    ensure!(ea.to_lowercase().contains("origin"), "the extended attribute is not there: {ea}");
    Ok(format!("{acl}{attributes}{ea}"))
}

/// Puts a file, adorns it, and has it survive a restart.
fn survives_restart(lab: &Lab, gateway: &Gateway, share: &str) -> Result<()> {
    let client = lab.client(gateway, share, "alice")?;
    let (sent, got) = (lab.directory().join("sent"), lab.directory().join("got"));
    files::random_file(&sent, 4)?;
    client.run("mkdir kept")?.ok()?;
    client.put(&sent, "kept/file.bin")?;
    adorn(&client)?;
    let before = seen(&client)?;
    let identity = "ls /var/lib/cloud/instances | wc -l; cat /etc/machine-id; hostname; stat -c %Y /var/lib/cloud/instance/sem/* | sort";
    let machine = lab.in_guest(&gateway.name, identity)?.ok()?.stdout;

    let start = Instant::now();
    lab.host(["stop", &gateway.name])?.ok()?;
    println!("stopped after {:.1} s", start.elapsed().as_secs_f64());
    ensure!(status(lab, &gateway.name)?["state"] == "stopped", "it does not say that it is stopped");
    let start = Instant::now();
    lab.host(["start", &gateway.name])?.ok()?;
    println!("started after {:.1} s", start.elapsed().as_secs_f64());

    lab.wait_serving(gateway, share, "alice")?;
    ensure!(seen(&client)? == before, "after a restart: {}\nbefore: {before}", seen(&client)?);
    let _ = std::fs::remove_file(&got);
    client.get("kept/file.bin", &got)?;
    ensure!(files::sha256(&sent)? == files::sha256(&got)?, "the file changed");
    let after = lab.in_guest(&gateway.name, identity)?.ok()?.stdout;
    ensure!(after == machine, "its first-boot work was done again: {machine} and then {after}");
    Ok(())
}

fn xattrs(path: &Path) -> Result<String> {
    let answer = smbgw_lab::Answer::of(
        &smbgw_command::Command::new("getfattr")
            .args(["-d", "-m", "-", "-e", "hex", "--absolute-names"])
            .arg(path.display().to_string()),
    )?;
    let acl = smbgw_lab::Answer::of(
        &smbgw_command::Command::new("getfacl").args(["-n", "-p"]).arg(path.display().to_string()),
    )?;
    Ok(answer.ok()?.stdout + &acl.ok()?.stdout)
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_directory_by_virtiofs() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let data = lab.data("team")?;
    std::fs::write(data.join("first.txt"), "hello")?;
    let path = data.display().to_string();
    let start = Instant::now();
    let gateway = lab.create_vm("team", &["--path", &path, "--grant"])?;
    println!("created after {:.1} s", start.elapsed().as_secs_f64());

    let said = status(&lab, "team")?;
    println!("{said:#}");
    for field in ["kernel", "accelerator", "agent", "samba", "template"] {
        ensure!(
            said[field].as_str().is_some_and(|text| !text.is_empty()),
            "status does not know {field}: {said}"
        );
    }
    ensure!(said["ready"] == true && said["problems"].as_array().is_some_and(Vec::is_empty), "{said}");
    ensure!(said["mode"] == "vm", "{said}");
    // the name and the address that cloud-init was told
    ensure!(lab.in_guest("team", "hostname")?.ok()?.stdout.trim() == "team", "another host name");
    ensure!(
        lab.in_guest("team", "ip -4 -o address show eth0")?.ok()?.stdout.contains(&gateway.address),
        "no address"
    );

    // the kernel reads the directory's access control list, which a log that is to be kept on the disk needs
    lab.in_guest("team", "mkdir /var/log/journal/lab && rmdir /var/log/journal/lab")?.ok()?;

    // cloud-init itself finds nothing to say against what it was given
    let schema = lab.in_guest("team", "cloud-init schema --system 2>&1")?.ok()?.stdout;
    println!("{schema}");
    ensure!(schema.contains("Valid schema user-data") && !schema.contains("Invalid"), "{schema}");

    lab.round_trip(&gateway, "team", "alice")?;
    survives_restart(&lab, &gateway, "team")?;
    // byte for byte and by the right owner on the node
    let file = data.join("kept/file.bin");
    ensure!(
        files::sha256(&file)? == files::sha256(&lab.directory().join("sent"))?,
        "another file on the node"
    );
    ensure!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file)?) == 10_000, "another owner");
    let on_node = xattrs(&file)?;
    for name in ["user.NTACL", "user.DOSATTRIB"] {
        ensure!(on_node.contains(name), "{name} is not on the node: {on_node}");
    }
    // what is written on the node is seen in the guest
    std::fs::write(data.join("from-node.txt"), "x")?;
    let client = lab.client(&gateway, "team", "alice")?;
    ensure!(client.run("ls from-node.txt")?.code == 0, "a file of the node is not seen");

    // a second share, and the first one gone again
    let other = lab.data("other")?.display().to_string();
    lab.host(["share", "add", "team", "other", "--path", &other, "--grant"])?.ok()?;
    lab.wait_serving(&gateway, "other", "alice")?;
    lab.round_trip(&gateway, "other", "alice")?;
    lab.round_trip(&gateway, "team", "alice")?;
    lab.host(["delete", "team"])?.ok()?;
    ensure!(file.exists() && xattrs(&file)? == on_node, "a deletion touched the data");
    lab.leave()
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_disk_of_its_own() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let disk = lab.data("disks")?.join("team, 1.img");
    std::fs::File::create(&disk)?.set_len(256 << 20)?;
    let path = disk.display().to_string();
    // an empty disk is not touched unless that is asked for
    let refused = lab.host(["create", "team", "--mode", "vm", "--disk", &path, "--vm-memory", "640M"])?;
    ensure!(refused.code != 0 && refused.all().contains("--format"), "{refused}");
    lab.expect_untouched()?;
    ensure!(std::fs::read(&disk)?.iter().all(|byte| *byte == 0), "a disk was written to that should not be");

    let gateway = lab.create_vm("team", &["--disk", &path, "--format"])?;
    lab.round_trip(&gateway, "team", "alice")?;
    survives_restart(&lab, &gateway, "team")?;
    // a disk belongs to one gateway
    let taken = lab.host(["create", "thief", "--mode", "vm", "--disk", &path])?;
    ensure!(taken.code == 4 && taken.json()?["error"]["code"] == "disk-in-use", "{taken}");

    // larger while it is in use
    std::fs::OpenOptions::new().write(true).open(&disk)?.set_len(512 << 20)?;
    lab.host(["set", "team", "--grow-disk"])?.ok()?;
    let total = status(&lab, "team")?["shares"][0]["total_bytes"].as_u64().context("no size")?;
    ensure!(total > 400 << 20, "the file system did not grow: {total}");
    lab.round_trip(&gateway, "team", "alice")?;

    // the data survives the gateway
    let sent = files::sha256(&lab.directory().join("got"))?;
    let client = lab.client(&gateway, "team", "alice")?;
    client.put(&lab.directory().join("got"), "survivor.bin")?;
    lab.host(["delete", "team"])?.ok()?;
    let gateway = lab.create_vm("team", &["--disk", &path])?;
    let got = lab.directory().join("again");
    let _ = std::fs::remove_file(&got);
    lab.client(&gateway, "team", "alice")?.get("survivor.bin", &got)?;
    ensure!(files::sha256(&got)? == sent, "the data is not what it was");
    lab.host(["delete", "team"])?.ok()?;
    lab.leave()
}

/// A share whose writers are a group: on the node it is in the ACL, its members are not, and virtiofsd knows a user's first group only.
#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_group_makes_files() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let path = lab.data("team")?.display().to_string();
    let gateway = lab.create_vm("team", &["--path", &path, "--grant", "--group", "staff=alice"])?;
    // the first share lets alice in by her name
    let gateway = Gateway { path: lab.data("work")?, ..gateway };
    let work = gateway.path.display().to_string();
    lab.host(["share", "add", "team", "work", "--path", &work, "--group", "staff", "--grant"])?.ok()?;
    let acl = lab.tool("getfacl", ["--numeric", "--absolute-names", &work])?.ok()?;
    ensure!(
        acl.stdout.lines().any(|line| line.starts_with("group:2")) && !acl.stdout.contains("\nuser:1"),
        "not what is to be tested: {acl}"
    );
    lab.wait_serving(&gateway, "work", "alice")?;
    let client = lab.client(&gateway, "work", "alice")?;
    let owner = client.owner_of_new(&gateway, lab.directory(), "file.bin")?;
    ensure!(owner == 10_000, "the file belongs to {owner}");
    let kept = client.run("mkdir folder; cd folder; put /etc/hostname name; ls")?.ok()?;
    ensure!(!kept.all().contains("NT_STATUS"), "{kept}");
    lab.host(["delete", "team"])?.ok()?;
    lab.leave()
}
