//! Virtual machines on simulated Proxmox VE nodes, without the product.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;

use anyhow::{Result, ensure};
use smbgw_command::Command;
use smbgw_lab::pve::cases::{BOTH, lab, node, refused};
use smbgw_lab::{Answer, PveNode};

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

/// A system in a machine, with what Proxmox VE gave it by cloud-init, and its agent.
#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn the_agent_of_a_machine() -> Result<()> {
    let (product, _) = lab()?;
    let image = product.image("debian-13")?;
    let node = node("9.2")?;
    let share = node.path("/mnt/share");
    fs::create_dir(&share)?;
    fs::write(share.join("file"), "root's")?;
    node.line("pvesh create /cluster/mapping/dir --id team-share --map node=pve1,path=/mnt/share")?.ok()?;
    node.line(&format!(
        "qm create 101 --name team --memory 640 --scsihw virtio-scsi-single --scsi0 local:0,import-from={} --scsi1 local:1,serial=data \
         --ide2 local:cloudinit --boot order=scsi0 --serial0 socket --net0 virtio,bridge=vmbr0 --agent enabled=1 --ipconfig0 ip=10.10.10.6/24 \
         --nameserver 10.10.10.1 --searchdomain lab.example --ciupgrade 0 --virtiofs0 team-share,expose-acl=1",
        image.display()
    ))?
    .ok()?;
    node.line("qm start 101")?.ok()?;
    let long = std::time::Duration::from_secs(600);
    let answers = || {
        node.line("qm guest cmd 101 ping").ok().filter(|answer| answer.code == 0).map(|answer| answer.stdout)
    };
    let answer = smbgw_command::wait_until("the agent", long, &smbgw_command::Interrupt::new(), answers);
    let console = fs::read_to_string(node.path("/var/log/pve/console-101.log")).unwrap_or_default();
    ensure!(answer.is_ok_and(|answer| answer == "{}\n"), "the console: {console}");

    let exec = |options: &[&str], words: &[&str], stdin: &str| {
        let args = ["guest", "exec", "101"].iter().chain(options).chain(&["--"]).chain(words).copied();
        let answer = Answer::of(&node.command("qm").args(args).stdin(stdin.as_bytes().to_vec()))?;
        anyhow::Ok((answer.code, answer.json()?, answer.stdout))
    };
    let (code, told, text) = exec(&["--pass-stdin", "1"], &["/bin/cat"], "Bü")?;
    // bytes as characters, and those as UTF-8
    ensure!(code == 0 && told["out-data"] == "BÃ¼" && told["exitcode"] == 0 && told["exited"] == 1, "{told}");
    ensure!(text.starts_with("{\n   \"exitcode\" : 0,\n   \"exited\" : 1,\n"), "{text}");
    let (code, told, _) = exec(&[], &["/bin/sh", "-c", "echo no >&2; exit 3"], "")?;
    ensure!(
        code == 0 && told["exitcode"] == 3 && told["err-data"] == "no\n" && told.get("out-data").is_none(),
        "{told}"
    );
    let (code, told, _) = exec(&["--timeout", "1"], &["/bin/sleep", "8"], "")?;
    ensure!(
        code == 0 && told.as_object().is_some_and(|fields| fields.len() == 1 && told["pid"].is_number()),
        "{told}"
    );
    // the agent is there before cloud-init is through
    let (_, told, _) = exec(&["--timeout", "240"], &["/usr/bin/cloud-init", "status", "--wait"], "")?;
    ensure!(told["exitcode"] == 0, "{told}");
    let script = "hostname -f; ip -4 -o address show; cat /etc/resolv.conf; mkdir -p /t && mount -t virtiofs team-share /t && cat /t/file; ls /dev/disk/by-id";
    let (_, told, _) = exec(&[], &["/bin/sh", "-c", script], "")?;
    let said = told["out-data"].as_str().unwrap_or_default();
    ensure!(
        said.contains("team.lab.example") && said.contains("10.10.10.6/24") && said.contains("root's"),
        "{told}"
    );

    node.line("qm guest cmd 101 fsfreeze-freeze")?.ok()?;
    ensure!(node.line("qm guest cmd 101 fsfreeze-status")?.ok()?.stdout == "\"frozen\"\n");
    refused(&node, "qm guest exec 101 -- /bin/true", 255, "Agent error: ")?;
    node.line("qm guest cmd 101 fsfreeze-thaw")?.ok()?;
    ensure!(node.line("qm guest cmd 101 fsfreeze-status")?.ok()?.stdout == "\"thawed\"\n");
    node.fault("1 no-agent qm guest exec")?;
    refused(&node, "qm guest exec 101 -- /bin/true", 255, "QEMU guest agent is not running")?;
    node.line("qm shutdown 101 --timeout 280")?.ok()?;
    ensure!(node.line("qm status 101")?.stdout == "status: stopped\n");
    Ok(())
}

/// The file of mappings is there once there was one.
fn ignore_empty_mapping(node: &PveNode) -> Result<()> {
    let path = node.stored("mapping/directory.cfg");
    ensure!(fs::read_to_string(&path)?.is_empty());
    Ok(fs::remove_file(path)?)
}
