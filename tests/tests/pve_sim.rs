//! The simulated Proxmox VE nodes, without the product: what they accept, refuse and leave, on 8.4 and 9.2, and guests that really run.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use serde_json::json;
use smbgw_command::Command;
use smbgw_lab::{Answer, Product, PveNode, environment};

/// Both versions that the facts were seen on.
const BOTH: &[&str] = &["8.4", "9.2"];
/// A container of a template of [`busybox`].
const CREATE: &str = "pct create 101 local:vztmpl/busybox.tar.zst --rootfs local:1 --hostname team --memory 128 --unprivileged 1 --features nesting=1 --net0 name=eth0,bridge=vmbr0,ip=10.10.10.5/24";

fn lab() -> Result<(Product, PathBuf)> {
    Ok((Product::from_environment()?, environment::require()?))
}

fn node(release: &str) -> Result<PveNode> {
    let (product, directory) = lab()?;
    let node = PveNode::start(&product, &directory, release, "pve1")?;
    // as people set it up who keep guests there
    node.storage(
        "dir",
        "local",
        &["path /var/lib/vz", "content vztmpl,iso,backup,rootdir,images,import,snippets"],
    )?;
    // its directories are made when it is used first
    node.line("pvesm status")?.ok()?;
    node.forget_calls()?;
    Ok(node)
}

/// A node with a small template.
fn furnished(release: &str) -> Result<PveNode> {
    let node = node(release)?;
    busybox(&node)?;
    Ok(node)
}

/// Makes `local:vztmpl/busybox.tar.zst`.
fn busybox(node: &PveNode) -> Result<()> {
    let (_, directory) = lab()?;
    let root = directory.join("data/busybox");
    let _ = fs::remove_dir_all(&root);
    for name in ["bin", "sbin", "etc/network", "proc", "sys", "dev", "tmp", "run", "var", "root", "srv"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("package busybox-static")?;
    for name in [
        "sh", "ls", "cat", "id", "ip", "sleep", "touch", "stat", "hostname", "chmod", "chown", "mount",
        "grep", "env", "kill",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    std::os::unix::fs::symlink("../bin/busybox", root.join("sbin/init"))?;
    fs::write(root.join("etc/debian_version"), "13.1\n")?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::write(root.join("etc/inittab"), "::sysinit:/bin/touch /run/up\n::ctrlaltdel:/bin/true\n")?;
    let cache = node.path("/var/lib/vz/template/cache");
    fs::create_dir_all(&cache)?;
    let archive = cache.join("busybox.tar.zst").display().to_string();
    let tar = Command::new("tar").args([
        "--zstd",
        "--numeric-owner",
        "--owner=0",
        "--group=0",
        "-cf",
        &archive,
        "-C",
    ]);
    Answer::of(&tar.arg(root.display().to_string()).arg("."))?.ok()?;
    Ok(())
}

/// Expects a refusal: exit code, and words on stderr.
fn refused(node: &PveNode, line: &str, code: i32, words: &str) -> Result<()> {
    let answer = node.line(line)?;
    ensure!(
        answer.code == code && answer.stderr.contains(words),
        "{code} and `{words}` were expected: {answer}"
    );
    Ok(())
}

#[test]
fn versions() -> Result<()> {
    for (release, manager, container, idmap) in [
        ("8.4", "8.4.21", "5.3.5", false),
        ("9.0", "9.0.11", "6.0.13", false),
        ("9.1", "9.1.1", "6.0.18", false),
        ("9.2", "9.2.11", "6.1.10", true),
    ] {
        let node = node(release)?;
        let told = node
            .run("dpkg-query", ["-W", "-f=${Package} ${Version}\\n", "pve-container", "pve-manager"])?
            .ok()?;
        ensure!(told.stdout == format!("pve-container {container}\npve-manager {manager}\n"), "{told}");
        ensure!(
            node.run("dpkg-query", ["-W", "-f=${Status}", "tar"])?.ok()?.stdout == "install ok installed"
        );
        ensure!(node.get("/version")?["release"] == release);
        ensure!(node.line("pveversion")?.ok()?.stdout.starts_with(&format!("pve-manager/{manager}/")));
        fs::create_dir(node.path("/mnt/share"))?;
        busybox(&node)?;
        let mount = "--mp0 /mnt/share,mp=/srv/share,idmap=passthrough,replicate=0";
        let answer = node.line(&format!("{CREATE} {mount}"))?;
        ensure!((answer.code == 0) == idmap, "{answer}");
        ensure!(idmap || answer.stderr.contains("mp0.idmap: property is not defined in schema"), "{answer}");
    }
    Ok(())
}

#[test]
fn arguments_are_checked() -> Result<()> {
    for release in BOTH {
        let node = node(release)?;
        for (line, words) in [
            ("pct list --output-format json", "Unknown option: output-format\n400 unable to parse option"),
            (
                "pct create 101 local:vztmpl/a.tar.zst --memory 1",
                "400 Parameter verification failed.\nmemory: value must have a minimum value of 16",
            ),
            (
                "pct create 101 local:vztmpl/a.tar.zst --net0 name=eth0,bridg=vmbr0",
                "net0: invalid format - format error\nnet0.bridg: property is not defined",
            ),
            ("pct create 101", "400 not enough arguments"),
            ("pct start 101 102", "400 too many arguments"),
            ("pct start 99", "vmid: "),
            ("qm create 101 --name a_b", "name: invalid format - value does not look like a valid DNS name"),
            ("qm set 101 --virtiofs0 a.b", "virtiofs0"),
            ("pvesh get /cluster/nextid --nothing 1", "Unknown option: nothing"),
            ("pvesm status --output-format json", "Unknown option: output-format"),
            ("qm nothing", "unknown command 'qm nothing'"),
        ] {
            refused(&node, line, 255, words)?;
        }
        refused(&node, "pvesh get /nothing", 1, "No 'get' handler defined for '/nothing'")?;
    }
    Ok(())
}

#[test]
fn a_container_from_its_making_to_its_end() -> Result<()> {
    for release in BOTH {
        let node = furnished(release)?;
        let (_, directory) = lab()?;
        let before = node.snapshot(&directory)?;
        ensure!(node.get("/cluster/nextid")? == 100, "the first free id");
        let made = node.line(&format!("{CREATE} --tags B;a --description one:two --nameserver 10.10.10.1 --searchdomain lab.example --swap 0"))?.ok()?;
        ensure!(made.stdout.contains("extracting archive"), "task output is on stdout: {made}");
        let config = node.container(101)?;
        ensure!(
            config.starts_with("#one%3Atwo\narch: amd64\nfeatures: nesting=1\nhostname: team\nmemory: 128\n"),
            "{config}"
        );
        ensure!(config.contains("\ntags: a;b\nunprivileged: 1\n"), "{config}");
        ensure!(config.contains("rootfs: local:101/vm-101-disk-0.raw,size=1G\n"), "{config}");
        ensure!(
            config.contains("net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:")
                && config.contains(",ip=10.10.10.5/24,type=veth\n"),
            "{config}"
        );
        ensure!(config.contains("ostype: debian\n"), "{config}");
        let root = node.path("/var/lib/vz/images/101/vm-101-disk-0.raw");
        ensure!(fs::metadata(root.join("bin/busybox"))?.uid() == 100_000, "not shifted");
        refused(&node, CREATE, 255, "CT 101 already exists on node 'pve1'")?;
        ensure!(node.get("/cluster/nextid")? == 100);

        node.line("pct start 101")?.ok()?;
        refused(&node, "pct start 101", 255, "CT 101 already running")?;
        ensure!(node.line("pct status 101")?.ok()?.stdout == "status: running\n");
        let inside = node
            .line("pct exec 101 --keep-env 0 -- cat /etc/hostname /proc/self/uid_map /etc/resolv.conf")?
            .ok()?
            .stdout;
        ensure!(inside.starts_with("team\n") && inside.contains("100000      65536"), "{inside}");
        ensure!(inside.contains("search lab.example\nnameserver 10.10.10.1\n"), "{inside}");
        ensure!(
            node.run("pct", ["exec", "101", "--", "sh", "-c", "exit 7"])?.code == 7,
            "the command's exit code"
        );
        let fed = node.command("pct").args(["exec", "101", "--", "cat"]).stdin("hello".as_bytes().to_vec());
        ensure!(Answer::of(&fed)?.ok()?.stdout == "hello");
        // Proxmox VE leaves the network to the guest
        node.line("pct exec 101 -- ip address add 10.10.10.5/24 dev eth0")?.ok()?;
        let interfaces = node.get("/nodes/pve1/lxc/101/interfaces")?;
        ensure!(interfaces.to_string().contains("10.10.10.5/24"), "{interfaces}");
        let current = node.get("/nodes/localhost/lxc/101/status/current")?;
        ensure!(
            current["status"] == "running" && current["pid"].is_number() && current["tags"] == "a;b",
            "{current}"
        );
        refused(&node, "pct destroy 101", 255, "container is running")?;

        // what can be changed while it runs, and what waits
        node.line("pct set 101 --memory 256 --nameserver 10.10.10.2")?.ok()?;
        ensure!(
            node.container(101)?.contains("memory: 256\n")
                && node.container(101)?.ends_with("\n[pve:pending]\nnameserver: 10.10.10.2\n"),
            "{}",
            node.container(101)?
        );
        let pending = node.line("pct pending 101")?.ok()?.stdout;
        ensure!(pending.contains("new nameserver: 10.10.10.2"), "{pending}");
        node.line("pct stop 101")?.ok()?;
        for line in ["pct stop 101", "pct shutdown 101"] {
            refused(&node, line, 255, "not running")?;
        }
        refused(&node, "pct exec 101 -- ls", 255, "container '101' not running!")?;
        node.line("pct start 101")?.ok()?;
        ensure!(!node.container(101)?.contains("pending"), "{}", node.container(101)?);
        node.line("pct stop 101")?.ok()?;
        node.line("pct destroy 101 --purge 1")?.ok()?;
        node.expect_same(&before, &directory)?;
    }
    Ok(())
}

#[test]
fn mounts_of_a_container() -> Result<()> {
    for release in BOTH {
        let node = furnished(release)?;
        let share = node.path("/mnt/share");
        fs::create_dir(&share)?;
        fs::write(share.join("file"), "root's")?;
        let new = *release == "9.2";
        node.line(CREATE)?.ok()?;
        let link = node.path("/var/lib/link");
        // a line of our own, and a hook that makes its source at every start
        let path = node.stored("nodes/pve1/lxc/101.conf");
        let mut config = fs::read_to_string(&path)?;
        config.push_str("lxc.mount.entry: /var/lib/link var/lib/link none bind,create=dir 0 0\nlxc.hook.pre-start: /usr/bin/hook one\nlxc.nothing: 1\n");
        if !new {
            config.push_str(
                "lxc.mount.entry: /mnt/share srv/share none rbind,create=dir,idmap=container 0 0\n",
            );
        }
        fs::write(&path, config)?;
        let hook = directory_of_test()?.join("hook");
        fs::write(&hook, "#!/bin/sh\nmkdir -p /var/lib/link && echo \"$@\" >/var/lib/link/called\n")?;
        node.install(&hook, "/usr/bin/hook")?;
        let map = if new { ",idmap=passthrough" } else { "" };
        if new {
            node.line(&format!(
                "pct set 101 --mp0 /mnt/share,mp=/srv/share,replicate=0,mountoptions=nodev;noexec;nosuid{map}"
            ))?
            .ok()?;
        }
        // raw lines stay in their order; what is none is dropped, and said
        let set = node.line("pct set 101 --onboot 1")?.ok()?;
        ensure!(new || set.stderr.contains("vm 101 - unable to parse config: lxc.nothing"), "{set}");
        let config = node.container(101)?;
        ensure!(config.contains("\nlxc.mount.entry: /var/lib/link var/lib/link none bind,create=dir 0 0\nlxc.hook.pre-start: /usr/bin/hook one\n"), "{config}");
        ensure!(!config.contains("lxc.nothing") && config.contains("onboot: 1\n"), "{config}");
        let told = node.get("/nodes/pve1/lxc/101/config")?;
        ensure!(
            told["lxc"][0][0] == "lxc.mount.entry"
                && told["digest"].as_str().is_some_and(|digest| digest.len() == 40),
            "{told}"
        );

        node.line("pct start 101")?.ok()?;
        ensure!(fs::read_to_string(link.join("called"))?.trim() == "one 101 lxc pre-start");
        let owner = node.line("pct exec 101 -- stat -c %u:%g /srv/share/file")?.ok()?.stdout;
        ensure!(owner.trim() == "0:0", "not mapped: {owner}");
        node.line("pct exec 101 -- touch /srv/share/new")?.ok()?;
        ensure!(fs::metadata(share.join("new"))?.uid() == 0, "the guest's root is the node's in this mount");

        // hotplug: adding works at once, taking away waits
        fs::create_dir(node.path("/mnt/other"))?;
        node.line(&format!("pct set 101 --mp1 /mnt/other,mp=/srv/other{map}"))?.ok()?;
        node.line("pct exec 101 -- ls /srv/other")?.ok()?;
        if new {
            node.line("pct exec 101 -- touch /srv/other/x")?.ok()?;
            ensure!(fs::metadata(node.path("/mnt/other/x"))?.uid() == 0);
        } else {
            ensure!(node.line("pct exec 101 -- touch /srv/other/x")?.code != 0, "not mapped, yet writable");
        }
        refused(
            &node,
            "pct set 101 --mp2 /mnt/missing,mp=/srv/missing",
            1,
            "mp2: unable to hotplug mp2: directory '/mnt/missing' does not exist",
        )?;
        node.line("pct set 101 --delete mp1")?.ok()?;
        ensure!(node.line("pct pending 101")?.stdout.contains("del mp1"));
        node.line("pct exec 101 -- ls /srv/other")?.ok()?;
        node.line("pct stop 101")?.ok()?;

        // a source that is not there: accepted while it stands still
        node.line("pct set 101 --mp2 /mnt/missing,mp=/srv/missing")?.ok()?;
        refused(
            &node,
            "pct start 101",
            255,
            "lxc_init: 844 Failed to run lxc.hook.pre-start for container \"101\"",
        )?;
        node.line("pct set 101 --mp2 /mnt/other,mp=/srv/missing")?.ok()?;
        for line in ["pct clone 101 102", "pct clone 101 102 --full 1"] {
            refused(&node, line, 2, "unable to clone mountpoint '")?;
        }
        refused(&node, "pct snapshot 101 one", 255, "snapshot feature is not available")?;
        for (value, words) in [
            ("/a/../b,mp=/x", "mp3"),
            ("/a", "mp3.mp: property is missing"),
            ("/a,mp=/x,mountoptions=bind", "mp3"),
        ] {
            refused(&node, &format!("pct set 101 --mp3 {value}"), 255, words)?;
        }
        node.line("pct set 101 --delete nameserver")?.ok()?;
        refused(&node, "pct set 101 --delete nothing", 255, "delete")?;
        // a volume that is the guest's becomes unused, and goes with it
        node.line("pct set 101 --mp4 local:1,mp=/srv/volume")?.ok()?;
        node.line("pct set 101 --delete mp4")?.ok()?;
        ensure!(node.container(101)?.contains("unused0: local:101/vm-101-disk-1.raw\n"));
        node.line("pct destroy 101")?.ok()?;
        ensure!(share.join("file").exists() && !node.path("/var/lib/vz/images/101").exists());
    }
    Ok(())
}

fn directory_of_test() -> Result<PathBuf> {
    Ok(lab()?.1.join("data"))
}

#[test]
fn refusals_of_containers() -> Result<()> {
    for release in BOTH {
        let node = furnished(release)?;
        for (from, to, code, words) in [
            ("busybox.tar.zst", "nothing.tar.zst", 255, "does not exist"),
            ("vztmpl/busybox.tar.zst", "iso/busybox.iso", 255, "no container template"),
            ("bridge=vmbr0", "bridge=nobridge", 2, "bridge 'nobridge' does not exist"),
            ("--rootfs local:1", "--rootfs nowhere:1", 255, "storage 'nowhere' does not exist"),
        ] {
            refused(&node, &CREATE.replace(from, to), code, words)?;
        }
        node.storage("dir", "files", &["path /var/lib/vz/files", "content iso"])?;
        refused(
            &node,
            &CREATE.replace("--rootfs local:1", "--rootfs files:1"),
            255,
            "storage 'files' does not support container directories",
        )?;
        // 8 makes privileged ones when nobody says
        node.line(&CREATE.replace("--unprivileged 1", ""))?.ok()?;
        ensure!(node.container(101)?.contains("unprivileged: 1") == (*release == "9.2"));
        node.line("pct set 101 --protection 1")?.ok()?;
        refused(&node, "pct destroy 101 --purge 1", 255, "can't remove CT 101 - protection mode enabled")?;
        node.line("pct set 101 --protection 0")?.ok()?;
        let path = node.stored("nodes/pve1/lxc/101.conf");
        let config = fs::read_to_string(&path)?;
        fs::write(&path, format!("{config}lock: backup\n"))?;
        for line in ["pct start 101", "pct set 101 --onboot 1", "pct destroy 101"] {
            refused(&node, line, 255, "CT is locked (backup)")?;
        }
        fs::write(&path, config)?;
        refused(
            &node,
            "pct set 101 --onboot 1 --digest 0000000000000000000000000000000000000000",
            255,
            "detected modified configuration",
        )?;
        node.line("ha-manager add ct:101 --state stopped")?.ok()?;
        refused(&node, "ha-manager add ct:101", 255, "already defined")?;
        refused(&node, "pct destroy 101", 255, "used in HA resources and purge parameter not set")?;
        let group = node.line("ha-manager groupadd one --nodes pve1")?;
        ensure!((group.code == 0) == (*release == "8.4"), "{group}");
        let asked = node.line("pct start 101")?.ok()?;
        ensure!(asked.stdout.contains("Requesting HA start for CT 101"), "{asked}");
        let services = node.get("/cluster/ha/status/current")?;
        ensure!(services.to_string().contains("service:ct:101"), "{services}");
        node.line("ha-manager remove ct:101")?.ok()?;
        node.line("pct destroy 101 --purge 1 --force 1")?.ok()?;
    }
    Ok(())
}

#[test]
fn the_cluster_file_system() -> Result<()> {
    let (product, directory) = lab()?;
    let nodes = PveNode::cluster(&product, &directory, "9.2", &["pve1", "pve2"])?;
    let (one, two) = (&nodes[0], &nodes[1]);
    let file = one.path("/etc/pve/some.cfg");
    fs::write(&file, "text\n")?;
    ensure!(fs::read_to_string(two.path("/etc/pve/some.cfg"))? == "text\n", "not the same for both");
    let metadata = fs::metadata(&file)?;
    ensure!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777) == (0, 33, 0o640));
    ensure!(fs::metadata(one.path("/etc/pve/priv"))?.mode() & 0o777 == 0o700);
    for (node, name) in [(one, "pve1"), (two, "pve2")] {
        ensure!(fs::read_link(node.path("/etc/pve/local"))? == PathBuf::from("nodes").join(name));
        let members: serde_json::Value = serde_json::from_slice(&fs::read(node.path("/etc/pve/.members"))?)?;
        ensure!(
            members["nodename"] == name
                && members["cluster"]["quorate"] == 1
                && members["nodelist"]["pve2"]["online"] == 1
        );
    }
    // what pmxcfs does not do
    let denied = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    let permission = Some(Errno::PERM.raw_os_error());
    ensure!(denied(fs::set_permissions(&file, fs::Permissions::from_mode(0o644))) == permission);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640))?;
    ensure!(std::os::unix::fs::symlink("x", one.path("/etc/pve/link")).is_err());
    ensure!(fs::hard_link(&file, one.path("/etc/pve/hard")).is_err());
    ensure!(denied(fs::write(&file, vec![b'x'; (1 << 20) + 1])) == Some(Errno::FBIG.raw_os_error()));
    fs::write(&file, "text\n")?;
    fs::write(one.path("/etc/pve/some.cfg.tmp.1"), "new\n")?;
    fs::rename(one.path("/etc/pve/some.cfg.tmp.1"), &file)?;
    ensure!(fs::read_to_string(two.path("/etc/pve/some.cfg"))? == "new\n");

    // an id is there once in the cluster
    fs::write(one.path("/etc/pve/nodes/pve1/lxc/200.conf"), "arch: amd64\n")?;
    let other = fs::write(two.path("/etc/pve/nodes/pve2/qemu-server/200.conf"), "name: x\n");
    ensure!(denied(other) == Some(Errno::EXIST.raw_os_error()));
    let list: serde_json::Value = serde_json::from_slice(&fs::read(two.path("/etc/pve/.vmlist"))?)?;
    ensure!(list["ids"]["200"]["node"] == "pve1" && list["ids"]["200"]["type"] == "lxc", "{list}");
    refused(
        two,
        "qm create 200 --name x",
        255,
        "unable to create VM 200 - CT 200 already exists on node 'pve1'",
    )?;
    ensure!(two.get("/nodes/pve1/lxc")?[0]["vmid"] == 200, "another node's guests");
    let far = two.line("ssh -o BatchMode=yes -o HostKeyAlias=pve1 root@pve1 pct list")?.ok()?;
    ensure!(far.stdout.contains("200"), "{far}");
    ensure!(two.line("ssh root@pve1 cat /etc/hostname")?.ok()?.stdout == "pve1\n");

    // locks
    let lock = one.path("/etc/pve/priv/lock/file-some_cfg");
    let theirs = two.path("/etc/pve/priv/lock/file-some_cfg");
    fs::create_dir(&lock)?;
    ensure!(denied(fs::create_dir(&theirs)) == Some(Errno::EXIST.raw_os_error()));
    let zero =
        || rustix::fs::utimensat(rustix::fs::CWD, &theirs, &zero_times(), rustix::fs::AtFlags::empty());
    zero()?;
    ensure!(lock.exists(), "dropped a lock that is young");
    one.clock(121)?;
    zero()?;
    ensure!(!lock.exists(), "kept a lock that is old");
    one.clock(0)?;

    // without quorum
    two.quorum(false)?;
    ensure!(denied(fs::write(&file, "x")) == Some(Errno::ACCESS.raw_os_error()));
    ensure!(denied(fs::create_dir(&lock)) == Some(Errno::ACCESS.raw_os_error()));
    ensure!(fs::symlink_metadata(one.path("/etc/pve/local"))?.mode() & 0o200 == 0);
    ensure!(fs::read_to_string(&file)? == "new\n");
    refused(one, "qm create 201 --name x", 255, "cluster not ready - no quorum?")?;
    one.line("pct list")?.ok()?;
    two.quorum(true)?;

    // a restart of pmxcfs
    one.disconnect(Some(2))?;
    ensure!(denied(fs::read(&file).map(drop)) == Some(Errno::NOTCONN.raw_os_error()));
    while one.path("/etc/pve/some.cfg").symlink_metadata().is_err() {}
    ensure!(fs::read_to_string(&file)? == "new\n");
    Ok(())
}

fn zero_times() -> rustix::fs::Timestamps {
    let zero = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::fs::Timestamps { last_access: zero, last_modification: zero }
}

#[test]
fn faults() -> Result<()> {
    let node = furnished("9.2")?;
    let volumes = || node.path("/var/lib/vz/images/101").exists();
    node.fault("1 storage-full pct create")?;
    refused(&node, CREATE, 255, "No space left on device")?;
    ensure!(node.container(101).is_err() && !volumes(), "a create that fails leaves nothing");
    node.fault("1 lock-timeout pct create")?;
    refused(&node, CREATE, 255, "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout")?;
    node.fault("1 taken pct create")?;
    refused(&node, CREATE, 255, "CT 101 already exists")?;
    ensure!(node.container(101)?.contains("hostname: somebody-else"));
    fs::remove_file(node.stored("nodes/pve1/lxc/101.conf"))?;
    node.fault("1 kill pct create")?;
    ensure!(node.line(CREATE)?.code != 0);
    ensure!(node.container(101)? == "lock: create\n", "half made");
    node.line("pct destroy 101 --force 1")?.ok()?;
    node.fault("1 quorum-middle pct create")?;
    ensure!(node.line(CREATE)?.code == 255);
    node.quorum(true)?;
    ensure!(node.container(101)? == "lock: create\n", "nothing could be cleared up without quorum");
    node.line("pct destroy 101 --force 1")?.ok()?;
    node.fault("1 warning pct create")?;
    let warned = node.line(CREATE)?.ok()?;
    ensure!(warned.stderr.contains("Task finished with 1 warning(s)!"), "{warned}");
    node.fault("1 kill-after pct set")?;
    ensure!(node.line("pct set 101 --onboot 1")?.code != 0);
    ensure!(node.container(101)?.contains("onboot: 1"));
    node.fault("1 fail=something_broke pct set")?;
    refused(&node, "pct set 101 --onboot 0", 255, "something broke")?;
    // pvesh tells of no task how it ended
    node.fault("1 task-error pvesh create")?;
    let told = node.line("pvesh create /nodes/pve1/lxc/101/status/start --output-format json")?.ok()?;
    let upid = told.stdout.lines().last().unwrap_or_default().trim_matches('"').to_owned();
    ensure!(upid.starts_with("UPID:pve1:"), "{told}");
    let status = node.get(&format!("/nodes/pve1/tasks/{upid}/status"))?;
    ensure!(status["status"] == "stopped" && status["exitstatus"] != "OK", "{status}");
    node.fault("1 quorum-after pct stop")?;
    node.line("pct stop 101")?.ok()?;
    refused(&node, "pct set 101 --onboot 0", 13, "Permission denied")?;
    node.quorum(true)?;
    ensure!(node.faults().is_empty(), "{:?}", node.faults());
    node.forget_calls()?;
    node.line("pct status 101")?;
    let calls = node.calls()?;
    ensure!(calls.len() == 1 && calls[0].verb() == "pct status" && calls[0].code == Some(0), "{calls:?}");
    Ok(())
}

#[test]
fn killing_the_caller_leaves_the_guest() -> Result<()> {
    let node = furnished("9.2")?;
    node.line(CREATE)?.ok()?;
    node.fault("1 hang-after pct start")?;
    let hung =
        Answer::of(&node.command("pct").args(["start", "101"]).deadline(std::time::Duration::from_secs(5)));
    ensure!(hung.is_err(), "it was to hang");
    ensure!(node.line("pct status 101")?.stdout == "status: running\n");
    ensure!(node.calls()?.iter().any(|call| call.verb() == "pct start" && call.code.is_none()));
    Ok(())
}

#[test]
fn storages() -> Result<()> {
    for release in BOTH {
        let node = furnished(release)?;
        node.storage(
            "zfspool",
            "local-zfs",
            &["pool rpool/data", "content rootdir,images", "sparse 1", "mountpoint /mnt/data"],
        )?;
        node.storage("rbd", "ceph", &["pool rbd", "content images"])?;
        node.storage("nfs", "nas", &["export /srv", "server 192.0.2.1", "content iso"])?;
        node.storages_say(
            &json!({ "nas": { "active": 0 }, "ceph": { "total": 1000 << 20, "used": 10 << 20 } }),
        )?;
        let list = node.get("/nodes/pve1/storage")?;
        let of = |id: &str| {
            list.as_array()
                .into_iter()
                .flatten()
                .find(|storage| storage["storage"] == id)
                .cloned()
                .unwrap_or_default()
        };
        ensure!(
            of("nas")["active"] == 0
                && of("local-zfs")["type"] == "zfspool"
                && of("ceph")["avail"] == 990 << 20,
            "{list}"
        );
        let header = node.line("pvesm status")?.ok()?.stdout;
        ensure!(header.contains("Total (KiB)") == (*release == "9.2"), "{header}");
        for (volid, path) in [
            ("local:vztmpl/busybox.tar.zst", "/var/lib/vz/template/cache/busybox.tar.zst"),
            ("local-zfs:subvol-101-disk-0", "/mnt/data/subvol-101-disk-0"),
            ("local-zfs:vm-101-disk-0", "/dev/zvol/rpool/data/vm-101-disk-0"),
            ("ceph:vm-101-disk-0", "rbd:rbd/vm-101-disk-0:conf="),
        ] {
            ensure!(node.run("pvesm", ["path", volid])?.ok()?.stdout.starts_with(path), "{volid}");
        }
        let content = node.get("/nodes/pve1/storage/local/content")?;
        ensure!(
            content[0]["volid"] == "local:vztmpl/busybox.tar.zst" && content[0]["content"] == "vztmpl",
            "{content}"
        );
        // guests on a storage that is no directory
        node.line(&CREATE.replace("--rootfs local:1", "--rootfs local-zfs:1"))?.ok()?;
        ensure!(node.container(101)?.contains("rootfs: local-zfs:subvol-101-disk-0,size=1G"));
        node.line("pct template 101")?.ok()?;
        node.line("pct clone 101 102 --hostname clone")?.ok()?;
        ensure!(
            node.container(102)?.contains("rootfs: local-zfs:basevol-101-disk-0/subvol-102-disk-0"),
            "{}",
            node.container(102)?
        );
        refused(&node, "pct destroy 101", 255, "still in use by linked cloned")?;
        node.line("pct start 102")?.ok()?;
        // datasets that are no guest's
        node.line("zfs create -o acltype=posixacl -o xattr=sa rpool/data/share")?.ok()?;
        ensure!(
            node.line("zfs get -H -o value mountpoint rpool/data/share")?.ok()?.stdout == "/mnt/data/share\n"
        );
        ensure!(node.path("/mnt/data/share").is_dir());
        ensure!(node.line("zfs get -H -o value mountpoint rpool/data/none")?.code == 1);
    }
    Ok(())
}

#[test]
fn mappings() -> Result<()> {
    for release in BOTH {
        let node = node(release)?;
        fs::create_dir(node.path("/mnt/a b"))?;
        refused(
            &node,
            "pvesh create /cluster/mapping/dir --id team --map node=pve1,path=/mnt/missing",
            2,
            "Path /mnt/missing does not exist",
        )?;
        let create = |id: &str, map: &str| {
            node.run("pvesh", ["create", "/cluster/mapping/dir", "--id", id, "--map", map])
        };
        let made = create("team", "node=pve1,path=/mnt/a b")?.ok()?;
        ensure!(made.stdout.is_empty(), "{made}");
        ensure!(create("team", "node=pve1,path=/mnt/a b")?.code == 255);
        for (id, map) in [
            ("1bad", "node=pve1,path=/mnt"),
            ("a.b", "node=pve1,path=/mnt"),
            ("good", "node=pve1,path=/a(b"),
            ("good", "node=pve1"),
        ] {
            ensure!(create(id, map)?.code == 255, "{id} {map}");
        }
        node.line("pvesh set /cluster/mapping/dir/team --map node=pve1,path=/mnt --map node=other,path=/not/looked/at")?.ok()?;
        let text = fs::read_to_string(node.stored("mapping/directory.cfg"))?;
        ensure!(
            text == "team\n\tmap node=pve1,path=/mnt\n\tmap node=other,path=/not/looked/at\n\n",
            "{text}"
        );
        ensure!(node.get("/cluster/mapping/dir/team")?["map"][0] == "node=pve1,path=/mnt");
        // nobody asks whether it is there, or used
        node.line("qm create 101 --name vm --virtiofs0 team,cache=never,expose-acl=1 --virtiofs1 nothing")?
            .ok()?;
        refused(&node, "qm snapshot 101 one --vmstate 1", 255, "with: virtiofs")?;
        node.line("pvesh delete /cluster/mapping/dir/team")?.ok()?;
        refused(&node, "qm start 101", 255, "team")?;
    }
    Ok(())
}

/// QEMU without a system in it: it runs, its agent is silent.
#[test]
fn a_machine_from_its_making_to_its_end() -> Result<()> {
    for release in BOTH {
        let node = node(release)?;
        let (_, directory) = lab()?;
        let image = directory.join("data/empty.qcow2").display().to_string();
        Answer::of(&Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", &image, "64M"]))?.ok()?;
        let share = node.path("/mnt/share");
        fs::create_dir(&share)?;
        let before = node.snapshot(&directory)?;
        node.line(&format!(
            "qm create 9000 --name template --memory 128 --cores 1 --scsihw virtio-scsi-single --scsi0 local:0,import-from={image},format=qcow2 \
             --ide2 local:cloudinit --boot order=scsi0 --serial0 socket --vga serial0 --net0 virtio,bridge=vmbr0 --agent enabled=1 --ostype l26"
        ))?
        .ok()?;
        let config = node.machine(9000)?;
        ensure!(config.contains("scsi0: local:9000/vm-9000-disk-0.qcow2,size=64M\n"), "{config}");
        ensure!(config.contains("ide2: local:9000/vm-9000-cloudinit.qcow2,media=cdrom\n"), "{config}");
        for key in ["smbios1: uuid=", "vmgenid: ", "meta: creation-qemu=", "net0: virtio=BC:24:11:"] {
            ensure!(config.contains(key), "{config}");
        }
        node.line("qm template 9000")?.ok()?;
        ensure!(node.machine(9000)?.contains("scsi0: local:9000/base-9000-disk-0.qcow2,size=64M\n"));
        refused(&node, "qm start 9000", 255, "template")?;
        node.line("qm clone 9000 101 --name team")?.ok()?;
        ensure!(
            node.machine(101)?
                .contains("scsi0: local:9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2,size=64M\n"),
            "{}",
            node.machine(101)?
        );
        refused(&node, "qm destroy 9000", 255, "still in use by linked cloned")?;
        refused(
            &node,
            "qm clone 9000 101 --name team",
            255,
            "unable to create VM 101 - VM 101 already exists",
        )?;
        node.line("pvesh create /cluster/mapping/dir --id team-share --map node=pve1,path=/mnt/share")?
            .ok()?;
        let set = "qm set 101 --scsi1 local:1,discard=on,serial=data --virtiofs0 team-share,expose-acl=1 --ipconfig0 ip=10.10.10.6/24,gw=10.10.10.254 \
                   --nameserver 10.10.10.1 --searchdomain lab.example --ciupgrade 0 --tags B;a --onboot 1";
        let set = node.line(set)?.ok()?;
        ensure!(set.stdout.starts_with("update VM 101: "), "{set}");
        let config = node.machine(101)?;
        ensure!(
            config.contains("scsi1: local:101/vm-101-disk-1.raw,discard=on,serial=data,size=1G\n")
                && config.contains("tags: a;b\n"),
            "{config}"
        );
        ensure!(node.line("qm set 101 --delete nothing")?.code == 255);
        let user = node.line("qm cloudinit dump 101 user")?.ok()?.stdout;
        ensure!(
            user.contains("hostname: team\n")
                && user.contains("fqdn: team.lab.example")
                && !user.contains("package_upgrade"),
            "{user}"
        );
        ensure!(node.line("qm cloudinit dump 101 network")?.ok()?.stdout.contains("address: '10.10.10.6'"));

        refused(&node, "qm guest cmd 101 ping", 255, "VM 101 is not running")?;
        node.line("qm shutdown 101")?.ok()?;
        node.line("qm set 101 --net1 virtio,bridge=nobridge")?.ok()?;
        refused(&node, "qm start 101", 255, "bridge 'nobridge' does not exist")?;
        node.line("qm set 101 --delete net1")?.ok()?;
        node.line("qm start 101")?.ok()?;
        ensure!(node.line("qm status 101")?.ok()?.stdout == "status: running\n");
        refused(&node, "qm start 101", 255, "already running")?;
        refused(&node, "qm destroy 101", 255, "is running")?;
        refused(&node, "qm guest exec 101 -- /bin/true", 255, "QEMU guest agent is not running")?;
        ensure!(node.machine(101)?.contains("vm-101-cloudinit.qcow2,media=cdrom,size=4M\n"));
        let current = node.get("/nodes/pve1/qemu/101/status/current")?;
        ensure!(current["status"] == "running" && current["agent"] == 1, "{current}");
        node.line("qm disk resize 101 scsi1 +1G")?.ok()?;
        ensure!(node.machine(101)?.contains("size=2G\n"), "{}", node.machine(101)?);
        node.line("qm set 101 --memory 256 --scsi2 local:1")?.ok()?;
        ensure!(node.machine(101)?.contains("\n[PENDING]\nmemory: 256\n"), "{}", node.machine(101)?);
        node.line("qm stop 101")?.ok()?;
        node.line("qm stop 101")?.ok()?;
        // a disk that is taken out is unused, and goes with the machine unless it is given to another
        node.line("qm set 101 --delete scsi1")?.ok()?;
        ensure!(
            node.machine(101)?.contains("unused0: local:101/vm-101-disk-1.raw\n"),
            "{}",
            node.machine(101)?
        );
        node.line("qm create 102 --name keeper")?.ok()?;
        node.line("qm disk move 101 unused0 --target-vmid 102 --target-disk scsi0")?.ok()?;
        node.line("qm destroy 101 --purge 1")?.ok()?;
        ensure!(node.machine(102)?.contains("scsi0: local:102/vm-102-disk-0.raw"), "{}", node.machine(102)?);
        ensure!(node.path("/var/lib/vz/images/102/vm-102-disk-0.raw").exists());
        node.line("qm destroy 102")?.ok()?;
        node.line("qm destroy 9000")?.ok()?;
        node.line("pvesh delete /cluster/mapping/dir/team-share")?.ok()?;
        fs::remove_file(node.path("/run/pve-cloudinit-101")).ok();
        ignore_empty_mapping(&node)?;
        node.expect_same(&before, &directory)?;
    }
    Ok(())
}

/// The file of mappings is there once there was one.
fn ignore_empty_mapping(node: &PveNode) -> Result<()> {
    let path = node.stored("mapping/directory.cfg");
    ensure!(fs::read_to_string(&path)?.is_empty());
    Ok(fs::remove_file(path)?)
}

/// A guest's output goes through untouched.
#[test]
fn output_of_a_container_is_not_changed() -> Result<()> {
    let node = furnished("8.4")?;
    node.line(CREATE)?.ok()?;
    node.line("pct start 101")?.ok()?;
    let mut file = tempfile(&node, "file")?;
    file.write_all("Bü\n".as_bytes())?;
    node.run("pct", ["push", "101", "/mnt/file", "/root/file", "--perms", "0600"])?.ok()?;
    ensure!(node.line("pct exec 101 -- cat /root/file")?.ok()?.stdout == "Bü\n");
    ensure!(node.line("pct exec 101 -- stat -c %a:%u /root/file")?.ok()?.stdout == "600:0\n");
    node.run("pct", ["pull", "101", "/root/file", "/mnt/back"])?.ok()?;
    ensure!(fs::read_to_string(node.path("/mnt/back"))? == "Bü\n");
    Ok(())
}

fn tempfile(node: &PveNode, name: &str) -> Result<fs::File> {
    Ok(fs::File::create(node.path("/mnt").join(name))?)
}
