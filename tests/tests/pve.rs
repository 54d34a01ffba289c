//! Gateways in containers of (simulated) Proxmox VE nodes, down to a file over SMB: all verbs, what the guest's configuration
//! says, several at once, several nodes, no quorum.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_lab::{Client, NodeLab, files};

/// Both versions whose facts are known from the real programs.
const BOTH: &[&str] = &["8.4", "9.2"];

/// Calls of one verb, told and counted.
fn counted(lab: &NodeLab, what: &str, at_most: usize) -> Result<()> {
    let calls = lab.calls()?;
    println!("{what}: {} calls: {}", calls.len(), calls.join(", "));
    ensure!(calls.len() <= at_most, "{what} made {} calls: {}", calls.len(), calls.join(", "));
    lab.node().forget_calls()
}

fn every_verb(release: &str) -> Result<()> {
    println!("-- Proxmox VE {release}");
    let lab = NodeLab::enter(release)?;
    let gateway = lab.create("team", "10.10.10.11/24", &[])?;
    lab.node().forget_calls()?;
    lab.round_trip(&gateway, "team")?;

    let id = lab.guest_id("team")?;
    let config = lab.node().container(id)?;
    println!("{config}");
    for line in [
        "unprivileged: 1",
        "features: nesting=1",
        "tags: smbgateway",
        "hostname: team",
        "onboot: 1",
        "memory: 128",
        "lxc.hook.pre-start: /usr/bin/pve-smbgateway guest-hook",
    ] {
        ensure!(config.lines().any(|found| found == line), "no `{line}` in:\n{config}");
    }
    let by_mount_point = config.contains("idmap=passthrough");
    ensure!(by_mount_point == (release == "9.2"), "the wrong id map for {release}:\n{config}");

    let status = lab.status("team")?;
    counted(&lab, "status", 1)?;
    ensure!(status["ready"] == true && status["state"] == "running", "{status}");
    lab.host(["list"])?.ok()?;
    counted(&lab, "list", 1)?;

    // live: limits, users, options of a share
    lab.host(["set", "team", "--memory", "256M", "--cores", "1"])?.ok()?;
    counted(&lab, "set", 4)?;
    let config = lab.node().container(id)?;
    ensure!(config.contains("memory: 256") && config.contains("cores: 1"), "{config}");
    lab.host(["share", "set", "team", "team", "--comment", "for all"])?.ok()?;
    counted(&lab, "share set", 4)?;

    // another directory: a new mount
    let more = lab.data("more")?.display().to_string();
    lab.host(["share", "add", "team", "more", "--path", &more, "--grant"])?.ok()?;
    counted(&lab, "share add", 6)?;
    lab.round_trip(&gateway, "more")?;
    lab.round_trip(&gateway, "team")?;
    lab.host(["share", "remove", "team", "more"])?.ok()?;
    ensure!(!lab.node().container(id)?.contains("/more"), "the mount is still there");
    lab.round_trip(&gateway, "team")?;

    // what it is can be applied again
    let show = lab.node().command("/usr/bin/pve-smbgateway").args(["show", "team"]);
    let manifest = lab.directory().join("team.yaml");
    std::fs::write(&manifest, smbgw_lab::Answer::of(&show)?.ok()?.stdout)?;
    lab.node().forget_calls()?;
    let again = lab.host(["apply", "-f", &manifest.display().to_string()])?.ok()?.data()?;
    ensure!(again["changed"] == false, "{again}");
    counted(&lab, "apply of what is there", 3)?;

    lab.host(["stop", "team"])?.ok()?;
    counted(&lab, "stop", 2)?;
    ensure!(lab.status("team")?["state"] == "stopped", "it does not say that it is stopped");
    // as after a move to this node: the hook makes the directory of the socket
    std::fs::remove_dir_all(lab.node().path("/var/lib/pve-smbgateway/links/team"))?;
    lab.node().forget_calls()?;
    lab.host(["start", "team"])?.ok()?;
    counted(&lab, "start", 3)?;
    lab.round_trip(&gateway, "team")?;

    std::fs::write(gateway.path.join("kept.txt"), "kept")?;
    lab.node().forget_calls()?;
    lab.host(["delete", "team"])?.ok()?;
    counted(&lab, "delete", 5)?;
    ensure!(std::fs::read_to_string(gateway.path.join("kept.txt"))? == "kept", "the data is not as it was");
    ensure!(lab.node().container(id).is_err(), "the container is still there");
    lab.leave()
}

#[test]
fn every_verb_on_8_4() -> Result<()> {
    every_verb("8.4")
}

#[test]
fn every_verb_on_9_2() -> Result<()> {
    every_verb("9.2")
}

#[test]
fn a_create_makes_few_calls() -> Result<()> {
    for release in BOTH {
        let lab = NodeLab::enter(release)?;
        lab.create("team", "10.10.10.11/24", &[])?;
        let calls = lab.calls()?;
        // the status that the test asks for is not part of it
        let create: Vec<_> = calls.iter().take(calls.len() - 1).cloned().collect();
        println!("create on {release}: {} calls: {}", create.len(), create.join(", "));
        ensure!(create.len() <= 6, "create made {} calls: {}", create.len(), create.join(", "));
        lab.leave()?;
    }
    Ok(())
}

#[test]
fn versions_between_have_the_raw_mount() -> Result<()> {
    for release in ["9.0", "9.1"] {
        let lab = NodeLab::enter(release)?;
        let gateway = lab.create("team", "10.10.10.11/24", &[])?;
        let config = lab.node().container(lab.guest_id("team")?)?;
        ensure!(
            config.contains("idmap=container") && !config.contains("idmap=passthrough"),
            "{release}: {config}"
        );
        lab.round_trip(&gateway, "team")?;
        lab.leave()?;
    }
    Ok(())
}

#[test]
fn many_by_one_manifest() -> Result<()> {
    let lab = NodeLab::enter("9.2")?;
    let mut text = String::from("gateways:\n");
    let mut passwords = String::new();
    for number in 1..=4 {
        let path = lab.data(&format!("g{number}"))?;
        text.push_str(&format!(
            "  - name: g{number}\n    mode: lxc\n    network: {{ip: 10.10.10.{}/24}}\n    users: [{{name: alice}}]\n    shares: [{{name: g{number}, path: {}, grant: true}}]\n",
            20 + number,
            path.display()
        ));
        passwords.push_str(&format!("g{number}/alice:{}\n", smbgw_lab::lab::PASSWORD));
    }
    let (manifest, secrets) = (lab.directory().join("many.yaml"), lab.directory().join("many.passwords"));
    std::fs::write(&manifest, text)?;
    files::secret_file(&secrets, &passwords)?;
    let (manifest, secrets) = (manifest.display().to_string(), secrets.display().to_string());
    let args = ["apply", "-f", &manifest, "--parallel", "4", "--passwords-file", &secrets];
    lab.host(args)?.ok()?;
    let mut ids = Vec::new();
    for number in 1..=4 {
        let gateway = lab.gateway(&format!("g{number}"))?;
        lab.round_trip(&gateway, &gateway.name)?;
        ids.push(lab.guest_id(&gateway.name)?);
    }
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == 4, "two gateways have one id: {ids:?}");
    let again = lab.host(args)?.ok()?.data()?;
    ensure!(again["changed"] == false, "{again}");
    lab.leave()
}

/// Two at the same moment, each on the node of its index.
fn at_once(lab: &NodeLab, nodes: [usize; 2]) -> Result<()> {
    let mut commands = Vec::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let args = lab.create_arguments(&format!("twin{index}"), &format!("10.10.10.{}/24", 31 + index))?;
        commands.push(lab.command(node).args(args));
    }
    let answers: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> =
            commands.iter().map(|command| scope.spawn(|| smbgw_lab::Answer::of(command))).collect();
        running.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for answer in answers {
        answer.map_err(|_| anyhow::anyhow!("a create panicked"))??.ok()?;
    }
    let (one, two) = (lab.guest_id("twin0")?, lab.guest_id("twin1")?);
    ensure!(one != two, "both have id {one}");
    for name in ["twin0", "twin1"] {
        for node in 0..lab.nodes.len() {
            ensure!(lab.gateways(node)?.contains(&name.to_owned()), "{name} is not known on node {node}");
        }
        let gateway = lab.gateway(name)?;
        lab.round_trip(&gateway, name)?;
    }
    Ok(())
}

#[test]
fn two_creates_at_once_on_one_node() -> Result<()> {
    let lab = NodeLab::enter("9.2")?;
    at_once(&lab, [0, 0])?;
    lab.leave()
}

#[test]
fn two_creates_at_once_on_two_nodes() -> Result<()> {
    for release in BOTH {
        let lab = NodeLab::cluster(release, &["pve1", "pve2"])?;
        at_once(&lab, [0, 1])?;
        // from the other node it can be looked at, and not changed
        let far = lab.host(["status", "twin1"])?.ok()?.data()?;
        ensure!(far["state"] == "running" && far["ready"] == true, "{far}");
        let refused = lab.host(["set", "twin1", "--memory", "256M"])?.exits(3)?;
        ensure!(refused.json()?["error"]["code"] == "gateway-elsewhere", "{refused}");
        lab.leave()?;
    }
    Ok(())
}

#[test]
fn an_id_that_somebody_else_takes() -> Result<()> {
    let lab = NodeLab::enter("9.2")?;
    lab.node().fault("2 taken pct create")?;
    let gateway = lab.create("team", "10.10.10.11/24", &[])?;
    ensure!(lab.node().faults().is_empty(), "nobody took an id: {:?}", lab.node().faults());
    lab.round_trip(&gateway, "team")?;
    let id = lab.guest_id("team")?;
    lab.host(["delete", "team"])?.ok()?;
    ensure!(lab.node().container(id).is_err(), "the container is still there");
    // those of the others are theirs
    let list = lab.node().get("/nodes/pve1/lxc")?;
    let others = list.as_array().context("no list")?;
    ensure!(others.len() == 2, "{list}");
    Ok(())
}

#[test]
fn without_quorum_nothing_is_touched() -> Result<()> {
    for release in BOTH {
        let lab = NodeLab::enter(release)?;
        let gateway = lab.create("team", "10.10.10.11/24", &[])?;
        let more = lab.data("more")?.display().to_string();
        let password = lab.password_file()?;
        lab.node().quorum(false)?;
        let before = lab.snapshot()?;
        // reads go on
        ensure!(lab.gateways(0)? == ["team"]);
        ensure!(lab.status("team")?["ready"] == true);
        lab.host(["show", "team"])?.ok()?;
        lab.host(["doctor"])?;
        let changes: &[&[&str]] = &[
            &[
                "create",
                "other",
                "--path",
                &more,
                "--ip",
                "10.10.10.12/24",
                "--user",
                "alice",
                "--password-file",
                &password,
                "--grant",
            ],
            &["set", "team", "--memory", "256M"],
            &["share", "add", "team", "more", "--path", &more, "--grant"],
            &["share", "remove", "team", "team"],
            &["user", "passwd", "team", "alice", "--password-file", &password],
            &["stop", "team"],
            &["delete", "team"],
        ];
        for change in changes {
            let refused = lab.host(change.iter().copied())?.exits(3)?;
            let error = &refused.json()?["error"];
            ensure!(error["code"] == "no-quorum" && error["hint"].is_string(), "{}: {error}", change[0]);
        }
        lab.expect_same(&before)?;
        lab.node().quorum(true)?;
        lab.round_trip(&gateway, "team")?;
        lab.leave()?;
    }
    Ok(())
}

#[test]
fn what_proxmox_forbids_is_said_before() -> Result<()> {
    let lab = NodeLab::enter("9.2")?;
    let path = lab.data("team")?.display().to_string();
    let before = lab.snapshot()?;
    let refused = |args: &[&str], exit: i32, code: &str| -> Result<()> {
        let answer = lab.host(args.iter().copied())?.exits(exit)?;
        let error: Value = answer.json()?["error"].clone();
        ensure!(error["code"] == code && error["hint"].is_string(), "{code} was expected: {error}");
        lab.expect_same(&before)
    };
    let base = ["create", "team", "--path", &path, "--grant"];
    refused(&[&base[..], &["--bridge", "vmbr9"]].concat(), 4, "bridge-missing")?;
    refused(&[&base[..], &["--guest-storage", "nothing"]].concat(), 4, "storage-missing")?;
    let plan = lab.host([&base[..], &["--ip", "10.10.10.11/24", "--dry-run"]].concat())?.ok()?.data()?;
    ensure!(plan["notes"].to_string().contains("bind mounts"), "{plan}");
    lab.node().storage("dir", "bare", &["path /var/lib/vz", "content iso"])?;
    let refused = lab.host([&base[..], &["--guest-storage", "bare"]].concat())?.exits(2)?;
    ensure!(refused.json()?["error"]["code"] == "storage-content", "{refused}");
    lab.node().storage("dir", "bare", &["path /var/lib/vz", "content iso", "disable 1"])?;
    Ok(())
}

/// Prints the transcript that docs/proxmox.md shows, so that it can be brought up to date.
#[test]
#[ignore = "it shows nothing that the others do not: cargo xtask test --lab a_transcript_for_the_guide"]
fn a_transcript_for_the_guide() -> Result<()> {
    let lab = NodeLab::enter("9.2")?;
    let node = lab.node();
    node.run("mkdir", ["-p", "/mnt/team"])?.ok()?;
    let password = lab.password_file()?;
    let create =
        "create team --path /mnt/team --user alice --grant --ip 192.168.1.20/24 --gateway 192.168.1.1";
    for line in [create, "list", "status team", "", "delete team"] {
        let said = if line.is_empty() {
            println!("# pct config 100");
            node.line("pct config 100")?.ok()?
        } else {
            println!("# pve-smbgateway {line}");
            let more: &[&str] = if line == create { &["--password-file", &password] } else { &[] };
            let command =
                node.command("/usr/bin/pve-smbgateway").args(line.split(' ')).args(more.iter().copied());
            smbgw_lab::Answer::of(&command)?.ok()?
        };
        println!("{}{}", said.stderr, said.stdout);
    }
    node.run("rmdir", ["/mnt/team"])?.ok()?;
    lab.leave()
}

/// Groups, readers and users of a file on a cluster; ids come back on another node.
#[test]
fn groups_and_ids_of_a_cluster() -> Result<()> {
    let lab = NodeLab::cluster("9.2", &["pve1", "pve2"])?;
    let gateway = lab.create("team", "10.10.10.12/24", &["--group", "staff=alice", "--group", "guests"])?;
    let file = lab.directory().join("people.csv");
    std::fs::write(&file, "name,groups\nbob,guests\ncarol,\n")?;
    let file = file.display().to_string();
    let made = lab.host(["user", "import", "team", &file])?.ok()?.data()?["users"].clone();
    let (uid, password) = (made[0]["uid"].clone(), made[0]["password"].as_str().context("no password")?);
    lab.host(["share", "set", "team", "team", "--group", "staff", "--reader", "@guests"])?.ok()?;
    lab.round_trip(&gateway, "team")?;
    let bob = Client::new(lab.directory(), &gateway.address, "team", "bob", password)?;
    lab.client(&gateway, "team")?.put(std::path::Path::new(&file), "people.csv")?;
    bob.get("people.csv", &lab.directory().join("got"))?;
    let answer = bob.run(&format!("put {file} new.csv"))?;
    ensure!(answer.all().contains("NT_STATUS_"), "a reader wrote: {answer}");
    ensure!(!gateway.path.join("new.csv").exists());
    lab.host(["delete", "team"])?.ok()?;
    ensure!(std::fs::read_to_string(lab.node().stored("smbgateway.cfg"))?.contains("ids: team"));
    // from the other node, by the file that the cluster has
    let path = gateway.path.display().to_string();
    let args = [
        "create",
        "team",
        "--path",
        &path,
        "--ip",
        "10.10.10.12/24",
        "--user",
        "bob",
        "--grant",
        "--dry-run",
    ];
    let plan = lab.host_on(1, args)?.ok()?.data()?;
    let line = format!("files of bob belong to uid {uid} on the node");
    ensure!(plan.to_string().contains(&line), "no `{line}` in {plan}");
    lab.leave()
}
