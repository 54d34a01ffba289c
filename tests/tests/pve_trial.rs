//! The product on simulated nodes.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use smbgw_lab::{Answer, Client, Product, PveNode, environment};

fn node(release: &str) -> Result<(Product, PathBuf, PveNode)> {
    let (product, directory) = (Product::from_environment()?, environment::require()?);
    let node = PveNode::start(&product, &directory, release, "pve1")?;
    node.storage(
        "dir",
        "local",
        &["path /var/lib/vz", "content vztmpl,iso,backup,rootdir,images,import,snippets"],
    )?;
    node.install(Path::new(&product.program("pve-smbgateway")), "/usr/bin/pve-smbgateway")?;
    Ok((product, directory, node))
}

fn say(node: &PveNode, line: &str) -> Result<Answer> {
    let start = std::time::Instant::now();
    let before = node.calls()?.len();
    let answer = node.line(line)?;
    println!("$ {line}\n{answer:?}\n  {:?}", start.elapsed());
    for call in &node.calls()?[before..] {
        println!("    {:?} {}", call.code, call.argv.join(" "));
    }
    Ok(answer)
}

fn lxc(release: &str) -> Result<()> {
    let (product, directory, node) = node(release)?;
    let archive = fs::read_dir(product.templates.join("debian-13"))?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.to_string_lossy().ends_with(".tar.zst"))
        .unwrap();
    say(&node, "pve-smbgateway doctor")?;
    say(&node, &format!("pve-smbgateway template install {}", archive.display()))?.ok()?;
    say(&node, "pve-smbgateway template list")?.ok()?;
    say(&node, "pve-smbgateway template verify debian-13")?.ok()?;
    let data = directory.join("data/team");
    fs::create_dir_all(&data)?;
    let other = directory.join("data/other");
    fs::create_dir_all(&other)?;
    let password = directory.join("password");
    fs::write(&password, "correct horse\n")?;
    let before = node.snapshot(&directory)?;
    let (p, o, w) = (data.display(), other.display(), password.display());
    say(
        &node,
        &format!("pve-smbgateway create team --path {p} --dry-run --user alice --grant --ip 10.10.10.20/24"),
    )?
    .ok()?;
    node.expect_same(&before, &directory)?;
    let made = say(
        &node,
        &format!(
            "pve-smbgateway create team --path {p} --user alice --grant --ip 10.10.10.20/24 --password-file {w}"
        ),
    )?;
    if made.clone().ok().is_err() {
        println!("{:?}", node.container(100));
        println!("{}", fs::read_to_string(node.stored("smbgateway.cfg"))?);
        for line in ["pct config 100", "journalctl -n 20"] {
            say(&node, line)?;
        }
    }
    made.ok()?;
    println!("{}", node.container(100)?);
    let client = Client::new(&directory, "10.10.10.20", "team", "alice", "correct horse")?;
    let file = directory.join("file");
    fs::write(&file, "hello")?;
    client.put(&file, "hello.txt")?;
    ensure!(fs::read_to_string(data.join("hello.txt"))? == "hello");
    say(&node, "pve-smbgateway list")?.ok()?;
    say(&node, "pve-smbgateway status team")?.ok()?;
    say(&node, "pve-smbgateway set team --memory 256M")?.ok()?;
    say(&node, &format!("pve-smbgateway share add team other --path {o} --grant"))?.ok()?;
    println!("{}", node.container(100)?);
    client.put(&file, "again.txt")?;
    say(&node, "pve-smbgateway stop team")?.ok()?;
    say(&node, "pve-smbgateway start team")?.ok()?;
    say(&node, "pve-smbgateway show team")?.ok()?;
    say(&node, "pve-smbgateway share remove team other")?.ok()?;
    say(&node, "pve-smbgateway set team --onboot false")?.ok()?;
    say(&node, "pve-smbgateway delete team")?.ok()?;
    fs::remove_file(data.join("hello.txt"))?;
    fs::remove_file(data.join("again.txt"))?;
    fs::remove_file(&file)?;
    println!("{}", fs::read_to_string(node.stored("smbgateway.cfg"))?);
    if let Err(error) = node.expect_same(&before, &directory) {
        println!("LEFT: {error:#}");
    }
    Ok(())
}

#[test]
fn lxc_on_9() -> Result<()> {
    lxc("9.2")
}

#[test]
fn lxc_on_8() -> Result<()> {
    lxc("8.4")
}

#[test]
fn vm_on_9() -> Result<()> {
    vm("9.2")
}

fn vm(release: &str) -> Result<()> {
    let (product, directory, node) = node(release)?;
    let image = fs::read_dir(product.templates.join("debian-13-vm"))?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.to_string_lossy().ends_with(".qcow2"))
        .unwrap();
    say(&node, &format!("pve-smbgateway template install {}", image.display()))?.ok()?;
    say(&node, "pve-smbgateway template list")?.ok()?;
    println!("{}", node.machine(100)?);
    let data = directory.join("data/team");
    fs::create_dir_all(&data)?;
    let password = directory.join("password");
    fs::write(&password, "correct horse\n")?;
    let (p, w) = (data.display(), password.display());
    say(&node, &format!("pve-smbgateway create vteam --mode vm --path {p} --user alice --grant --ip 10.10.10.21/24 --nameserver 10.10.10.254 --searchdomain example.com --password-file {w}"))?.ok()?;
    println!("{}", node.machine(101)?);
    for shell in [
        "ip -br a; cat /etc/network/interfaces /etc/network/interfaces.d/*; hostname",
        "ls -la /dev/sr* /dev/disk/by-label /var/lib/cloud/seed /var/lib/cloud/instance; lsmod | grep -E 'ahci|iso|sr_mod|ata'; blkid",
        "tail -c 3000 /var/log/cloud-init.log; cat /run/cloud-init/ds-identify.log | tail -30; systemctl --failed",
    ] {
        let answer = node.run("qm", ["guest", "exec", "101", "--", "/bin/sh", "-c", shell])?;
        println!("{}", answer.all().replace("\\n", "\n"));
    }
    let client = Client::new(&directory, "10.10.10.21", "vteam", "alice", "correct horse")?;
    let file = directory.join("file");
    fs::write(&file, "hello")?;
    client.put(&file, "hello.txt")?;
    ensure!(fs::read_to_string(data.join("hello.txt"))? == "hello");
    say(&node, "pve-smbgateway list")?.ok()?;
    say(&node, "pve-smbgateway status vteam")?.ok()?;
    say(&node, "pve-smbgateway delete vteam")?.ok()?;
    println!("{}", fs::read_to_string(node.stored("smbgateway.cfg"))?);
    println!("{:?}", fs::read_to_string(node.stored("mapping/directory.cfg")));
    say(&node, "pve-smbgateway template prune --all")?.ok()?;
    println!("{}", fs::read_to_string(node.stored("smbgateway.cfg"))?);
    Ok(())
}

#[test]
fn quorum_and_faults() -> Result<()> {
    let (product, directory, node) = node("9.2")?;
    let archive = fs::read_dir(product.templates.join("debian-13"))?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.to_string_lossy().ends_with(".tar.zst"))
        .unwrap();
    say(&node, &format!("pve-smbgateway template install {}", archive.display()))?.ok()?;
    let data = directory.join("data/team");
    fs::create_dir_all(&data)?;
    let password = directory.join("password");
    fs::write(&password, "correct horse\n")?;
    let (p, w) = (data.display(), password.display());
    let create = format!(
        "pve-smbgateway create team --path {p} --user alice --grant --ip 10.10.10.20/24 --password-file {w}"
    );
    let delete = "pve-smbgateway delete team";
    say(&node, &create)?.ok()?;
    say(&node, delete)?.ok()?;
    let before = node.snapshot(&directory)?;
    node.quorum(false)?;
    for line in [
        create.as_str(),
        "pve-smbgateway list",
        "pve-smbgateway template prune --all",
        "pve-smbgateway doctor",
    ] {
        say(&node, line)?;
    }
    node.quorum(true)?;
    node.expect_same(&before, &directory)?;
    for fault in [
        "1 kill pct create",
        "1 kill-after pct create",
        "1 quorum-middle pct create",
        "1 task-error pvesh get",
        "1 kill pvesh get",
        "1 kill pct start",
    ] {
        println!("======== {fault}");
        node.fault(fault)?;
        let made = say(&node, &create)?;
        node.quorum(true)?;
        node.no_faults()?;
        if made.code == 6 {
            say(&node, "pve-smbgateway ops recover")?;
        }
        if made.code == 0 {
            say(&node, delete)?;
        }
        if let Err(error) = node.expect_same(&before, &directory) {
            println!("LEFT: {error:#}");
            println!("{}", fs::read_to_string(node.stored("smbgateway.cfg"))?);
        }
    }
    say(&node, &create)?.ok()?;
    for fault in [
        "1 task-error pct destroy",
        "1 kill pct destroy",
        "1 kill-after pct destroy",
        "1 task-error pct shutdown",
        "1 quorum-before pct destroy",
    ] {
        println!("======== {fault}");
        node.fault(fault)?;
        let gone = say(&node, delete)?;
        node.quorum(true)?;
        node.no_faults()?;
        if gone.code == 6 {
            say(&node, "pve-smbgateway ops recover")?;
        }
        if say(&node, "pve-smbgateway --output json list")?.all().contains("team") {
            say(&node, delete)?;
        }
        if let Err(error) = node.expect_same(&before, &directory) {
            println!("LEFT: {error:#}");
            println!("{}", fs::read_to_string(node.stored("smbgateway.cfg"))?);
        }
        say(&node, &create)?.ok()?;
    }
    Ok(())
}

#[test]
fn two_nodes() -> Result<()> {
    let (product, directory) = (Product::from_environment()?, environment::require()?);
    let nodes = PveNode::cluster(&product, &directory, "9.2", &["pve1", "pve2"])?;
    let archive = fs::read_dir(product.templates.join("debian-13"))?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.to_string_lossy().ends_with(".tar.zst"))
        .unwrap();
    nodes[0].storage(
        "dir",
        "local",
        &["path /var/lib/vz", "content vztmpl,iso,backup,rootdir,images,import,snippets"],
    )?;
    for node in &nodes {
        node.install(Path::new(&product.program("pve-smbgateway")), "/usr/bin/pve-smbgateway")?;
        say(node, &format!("pve-smbgateway template install {}", archive.display()))?.ok()?;
    }
    let data = directory.join("data/team");
    fs::create_dir_all(&data)?;
    let p = data.display().to_string();
    std::thread::scope(|scope| {
        for (number, node) in nodes.iter().enumerate() {
            for more in 0..2 {
                let line = format!(
                    "pve-smbgateway create g{number}{more} --path {p} --read-only --ip 10.10.10.{}/24",
                    30 + 10 * number + more
                );
                scope.spawn(move || say(node, &line).unwrap().ok().unwrap());
            }
        }
    });
    for node in &nodes {
        say(node, "pve-smbgateway list")?.ok()?;
        say(node, "pve-smbgateway status g00")?.ok()?;
        say(node, "pve-smbgateway set g00 --memory 256M")?;
        say(node, "pve-smbgateway stop --all")?.ok()?;
    }
    println!("{}", fs::read_to_string(nodes[0].stored("smbgateway.cfg"))?);
    for (number, node) in nodes.iter().enumerate() {
        for more in 0..2 {
            say(node, &format!("pve-smbgateway delete g{number}{more}"))?.ok()?;
        }
    }
    Ok(())
}
