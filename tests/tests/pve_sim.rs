//! The simulated Proxmox VE nodes, without the product: what they accept and refuse on 8.4 and 9.2, and containers that really run.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::pve::cases::{BOTH, CREATE, busybox, furnished, lab, node, refused};
use smbgw_lab::{Answer, PveNode};

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

/// systemd boots, and has the network from the files that Proxmox VE writes.
#[test]
fn a_whole_system_in_a_container() -> Result<()> {
    let (product, _) = lab()?;
    let template = product.template("debian-13")?;
    for release in BOTH {
        let node = node(release)?;
        let more = "--memory 512 --hostname team --nameserver 10.10.10.1 --searchdomain lab.example --net0 name=eth0,bridge=vmbr0,ip=10.10.10.7/24,gw=10.10.10.254";
        let create = format!(
            "pct create 101 {} --rootfs local:4 --unprivileged 1 --features nesting=1 --start 1 {more}",
            template.display()
        );
        let made = node.line(&create)?.ok()?;
        ensure!(!made.stderr.contains("WARN"), "{made}");
        let inside =
            |script: &str| node.run("pct", ["exec", "101", "--keep-env", "0", "--", "sh", "-c", script]);
        let address = || {
            inside("ip -4 -o address show eth0").ok().filter(|answer| answer.stdout.contains("10.10.10.7/24"))
        };
        let waited = wait_until("its address", Duration::from_secs(60), &Interrupt::new(), address);
        let script = "systemctl is-system-running --wait; hostname -f; systemctl --failed; cat /etc/network/interfaces; systemctl status networking; ip address";
        let up = inside(script)?;
        ensure!(waited.is_ok() && up.stdout.contains("team.lab.example"), "{up}");
        node.line("pct reboot 101")?.ok()?;
        node.line("pct shutdown 101 --timeout 60")?.ok()?;
        ensure!(node.line("pct status 101")?.stdout == "status: stopped\n");
        // 9 says what systemd wants
        let bare = create.replace("101", "102").replace("--features nesting=1 --start 1", "");
        ensure!(
            node.line(&bare)?.ok()?.stderr.contains("You may need to enable nesting") == (*release == "9.2")
        );
    }
    Ok(())
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
