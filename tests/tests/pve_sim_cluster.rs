//! The cluster file system of simulated Proxmox VE nodes, and what goes wrong on demand.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use rustix::io::Errno;
use smbgw_lab::pve::cases::{CREATE, busybox, furnished, lab, refused};
use smbgw_lab::{Answer, PveNode};

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
    node.fault("1 kill-late pct create")?;
    ensure!(node.line(CREATE)?.code != 0);
    ensure!(node.container(101)? == "lock: create\n" && volumes(), "its volume is there");
    // which nothing names, so nothing frees
    node.line("pct destroy 101 --force 1")?.ok()?;
    ensure!(volumes());
    node.line("pvesm free local:101/vm-101-disk-0.raw")?.ok()?;
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

/// One id, two nodes, at once: one gets it, and the other is told.
#[test]
fn two_nodes_want_one_id() -> Result<()> {
    let (product, directory) = lab()?;
    let nodes = PveNode::cluster(&product, &directory, "9.2", &["pve1", "pve2"])?;
    nodes[0].storage("dir", "local", &["path /var/lib/vz", "content vztmpl,rootdir,images"])?;
    for node in &nodes {
        busybox(node)?;
    }
    for round in 0..3 {
        let answers: Vec<Result<Answer>> = std::thread::scope(|scope| {
            let threads: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.line(CREATE))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.code == 0);
        ensure!(won.len() == 1 && lost.len() == 1, "round {round}: {answers:?}");
        ensure!(lost[0].stderr.contains("unable to create CT 101 - "), "{}", lost[0]);
        let owner = usize::from(nodes[0].container(101).is_err());
        ensure!(nodes[1 - owner].line("pct status 101")?.code != 0);
        ensure!(nodes[1 - owner].get(&format!("/nodes/pve{}/lxc", owner + 1))?[0]["name"] == "team");
        nodes[owner].line("pct destroy 101")?.ok()?;
    }
    Ok(())
}
