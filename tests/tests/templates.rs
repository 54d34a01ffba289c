//! Templates: fast when only the agent changed, nothing left of an interrupted build; and
//! each trap that a template can ship with, looked for in a container that has booted.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::product::template_in;
use smbgw_lab::{Answer, Lab, files};

/// A cache with the packages and locks of the real one but no finished tree, so that a build installs anew.
fn bare_cache(directory: &Path) -> Result<PathBuf> {
    let real = PathBuf::from(std::env::var_os("SMBGW_CACHE").context("SMBGW_CACHE is not set")?);
    let bare = directory.join("cache");
    fs::create_dir_all(&bare)?;
    for entry in fs::read_dir(&real)? {
        let entry = entry?;
        if entry.file_name() != "trees" {
            // hard links where the file system can: the store is large, and nothing in it changes
            let status = Command::new("cp").args(["-al"]).arg(entry.path()).arg(&bare).status()?;
            ensure!(status.success(), "copying {}", entry.path().display());
        }
    }
    Ok(bare)
}

fn build(lab: &Lab, cache: &Path, out: &Path, agent: &str, recipe: &str) -> smbgw_command::Command {
    let recipe = lab.product.source.join(format!("images/{recipe}.yaml"));
    let text = |path: &Path| path.display().to_string();
    lab.product.builder().args([
        "build",
        &text(&recipe),
        "--offline",
        "--out",
        &text(out),
        "--cache",
        &text(cache),
        "--agent",
        agent,
    ])
}

#[test]
fn a_new_agent_means_no_new_installation() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("build")?;
    let agent = data.join("smbgw-agent");
    fs::copy(lab.product.program("smbgw-agent"), &agent)?;
    // bytes after the end of a program change nothing but its hash
    fs::OpenOptions::new().append(true).open(&agent)?.write_all(b"another agent")?;
    let cache = PathBuf::from(std::env::var_os("SMBGW_CACHE").context("SMBGW_CACHE is not set")?);
    let trace = data.join("trace");
    let command = build(&lab, &cache, &data.join("out"), &agent.display().to_string(), "debian-13");
    let strace = ["-f", "-q", "-e", "trace=execve", "-o"];
    let words: Vec<String> = command.display().split(' ').map(str::to_owned).collect();
    let traced =
        smbgw_command::Command::new("strace").args(strace).arg(trace.display().to_string()).args(words);
    let start = Instant::now();
    Answer::of(&traced.deadline(Duration::from_secs(120)))?.ok()?;
    println!("agent-only rebuild under strace: {:.1} s", start.elapsed().as_secs_f64());
    let started = fs::read_to_string(&trace)?;
    for program in ["mmdebstrap", "dpkg", "apt-get"] {
        let ran =
            started.lines().any(|line| line.contains(&format!("/{program}\"")) && line.ends_with("= 0"));
        ensure!(!ran, "{program} was started");
    }
    let (new, old) = (template_in(&data.join("out"), "debian-13")?, lab.product.template("debian-13")?);
    ensure!(files::sha256(&new)? != files::sha256(&old)?, "the agent is not in the template");
    lab.leave()
}

#[test]
fn verify_sees_a_flipped_bit() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("copy")?;
    let source = lab.product.template("debian-13")?;
    for entry in fs::read_dir(source.parent().context("no directory")?)? {
        let entry = entry?;
        fs::copy(entry.path(), data.join(entry.file_name()))?;
    }
    let copy = template_in(&data, "debian-13")?;
    let verify = || Answer::of(&lab.product.builder().args(["verify", &copy.display().to_string()]));
    verify()?.ok()?;
    Answer::of(&lab.product.builder().args(["inspect", &copy.display().to_string(), "--json"]))?
        .ok()?
        .data()?;
    let good = fs::read(&copy)?;
    for place in [0, good.len() / 3, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(&copy, bad)?;
        let answer = verify()?;
        ensure!(answer.code != 0, "byte {place} was changed, and verify said: {answer}");
    }
    // installed templates, too
    let name =
        lab.templates()?.into_iter().find(|name| name.starts_with("debian-13")).context("not installed")?;
    lab.host(["template", "verify", &name])?.ok()?;
    lab.leave()
}

/// A build with more arguments.
fn build_with(lab: &Lab, images: &Path, out: &Path, more: &[&str]) -> Result<Answer> {
    let cache = std::env::var_os("SMBGW_CACHE").context("SMBGW_CACHE is not set")?;
    let text = |path: &Path| path.display().to_string();
    let recipe = text(&images.join("debian-13.yaml"));
    let (out, cache, agent) = (text(out), text(Path::new(&cache)), lab.product.program("smbgw-agent"));
    let command =
        lab.product.builder().args(["build", &recipe, "--offline", "--out", &out, "--cache", &cache]);
    Answer::of(&command.args(["--agent", &agent]).args(more.iter().copied()))
}

/// Names and hashes of a directory's files.
fn contents(directory: &Path) -> Result<BTreeMap<OsString, String>> {
    let is_file = |entry: &std::io::Result<fs::DirEntry>| {
        entry.as_ref().map_or(true, |entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
    };
    fs::read_dir(directory)?
        .filter(is_file)
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), files::sha256(&entry.path())?))
        })
        .collect()
}

#[test]
fn signed_builds_repeat_and_lose_their_signatures_with_what_was_signed() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("sign")?;
    let (key, out, images) = (data.join("key"), data.join("out"), lab.product.source.join("images"));
    let key = key.display().to_string();
    Answer::of(&lab.product.builder().args(["key", "new", &key]))?.ok()?;
    build_with(&lab, &images, &out, &["--sign", &key])?.ok()?;
    let first = contents(&out)?;
    ensure!(
        first.keys().filter(|name| name.to_string_lossy().ends_with(".minisig")).count() == 2,
        "{first:?}"
    );
    build_with(&lab, &images, &out, &["--sign", &key])?.ok()?;
    ensure!(contents(&out)? == first, "a second build signed other bytes");
    let template = template_in(&out, "debian-13")?.display().to_string();
    let public = format!("{key}.pub");
    let verify = || Answer::of(&lab.product.builder().args(["verify", &template, "--key", &public]));
    verify()?.ok()?;
    build_with(&lab, &images, &out, &[])?.ok()?;
    ensure!(contents(&out)?.len() == first.len() - 2, "signatures of the build before are still there");
    verify()?.exits(4)?;
    lab.leave()
}

#[test]
fn a_template_over_its_budget_is_not_put_in_place() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("budget")?;
    // a recipe's paths lead to its overlay and the agent's unit
    for (what, to) in [("images", "images"), ("guest-agent/smbgw-agent.service", "guest-agent")] {
        fs::create_dir_all(data.join("guest-agent"))?;
        let status =
            Command::new("cp").arg("-r").arg(lab.product.source.join(what)).arg(data.join(to)).status()?;
        ensure!(status.success(), "copying {what}");
    }
    let images = data.join("images");
    let (recipe, out) = (images.join("debian-13.yaml"), data.join("out"));
    // in place of the recipe's own budget
    let mut inside = false;
    let mut other = |line: &&str| {
        if !line.starts_with(' ') {
            inside = line.starts_with("size:");
        }
        !inside
    };
    let text = fs::read_to_string(&recipe)?;
    let text = text.lines().filter(|line| other(line)).collect::<Vec<_>>().join("\n");
    let budget =
        |megabytes: u32| fs::write(&recipe, format!("{text}\nsize: {{lxc: {{quick-mb: {megabytes}}}}}\n"));
    budget(1000)?;
    build_with(&lab, &images, &out, &["--record-sizes"])?.ok()?;
    let (before, recorded) = (contents(&out)?, contents(&images)?);
    budget(1)?;
    let answer = build_with(&lab, &images, &out, &["--record-sizes"])?.exits(2)?;
    ensure!(answer.all().contains("more than its budget of 1 MB"), "{answer}");
    ensure!(contents(&out)? == before, "something was put in place");
    let record = OsString::from("debian-13.sizes.json");
    ensure!(contents(&images)?.get(&record) == recorded.get(&record), "the record is another");
    lab.leave()
}

/// A phase of a build, seen from outside.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Before anything is unpacked.
    Beginning,
    /// The process inside the namespaces is there.
    Unpacking,
    /// dpkg runs the packages' scripts.
    Configuring,
    /// The kernel's ram disk is being made: the last of a virtual machine's packages.
    RamDisk,
    /// The template is being written.
    Packing,
}

impl Moment {
    /// Those of a container's build.
    const CONTAINER: &[Self] = &[Self::Beginning, Self::Unpacking, Self::Configuring, Self::Packing];
    /// Those that a virtual machine's has besides.
    const MACHINE: &[Self] = &[Self::RamDisk, Self::Packing];

    /// Waits until the build has come so far.
    fn wait(self, out: &Path) -> Result<()> {
        let come = || match self {
            Self::Beginning => fs::read_dir(out).is_ok().then_some(()),
            Self::Unpacking => runs("/inside.json").then_some(()),
            Self::Configuring => runs("--configure").then_some(()),
            Self::RamDisk => runs("/mkinitramfs").then_some(()),
            Self::Packing => {
                let aside = fs::read_dir(out).ok()?.flatten().find(|entry| entry.path().is_dir())?;
                let files = fs::read_dir(aside.path()).ok()?.flatten();
                let mut written = files.filter(|file| file.metadata().is_ok_and(|found| found.len() > 0));
                let template = |file: fs::DirEntry| {
                    file.path().extension().is_some_and(|end| end == "zst" || end == "qcow2")
                };
                written.any(template).then_some(())
            }
        };
        Ok(wait_until("the build to come so far", Duration::from_secs(120), &Interrupt::new(), come)?)
    }
}

/// Whether a process has an argument that ends in this.
fn runs(end: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|command| command.split(|byte| *byte == 0).any(|argument| argument.ends_with(end.as_bytes())))
}

#[test]
fn an_interrupted_build_leaves_nothing() -> Result<()> {
    interrupted("lxc", Moment::CONTAINER)
}

#[test]
#[ignore = "takes minutes"]
fn an_interrupted_build_of_a_disk_leaves_nothing() -> Result<()> {
    interrupted("qcow2", Moment::MACHINE)
}

fn interrupted(form: &str, moments: &[Moment]) -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("build")?;
    let cache = bare_cache(&data)?;
    let agent = lab.product.program("smbgw-agent");
    let before = lab.snapshot()?;
    let stray = |out: &Path| -> Vec<String> {
        let entries = fs::read_dir(out).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    for signal in ["INT", "KILL"] {
        for moment in moments {
            let out = data.join(format!("out-{signal}-{moment:?}"));
            let what = format!("SIG{signal} while {moment:?}");
            // the tree of a build that was stopped late must not help the next
            let _ = fs::remove_dir_all(cache.join("trees"));
            let command = build(&lab, &cache, &out, &agent, "debian-13").args(["--format", form]);
            let display = command.display();
            let mut words = display.split(' ');
            let mut child = Command::new(words.next().context("empty")?)
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            moment.wait(&out).with_context(|| what.clone())?;
            Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
            let start = Instant::now();
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
                if start.elapsed() > Duration::from_secs(30) {
                    child.kill()?;
                    anyhow::bail!("{what}: it did not end within 30 s");
                }
                std::thread::sleep(Duration::from_millis(20));
            };
            ensure!(!status.success(), "{what}: it was done already");
            if signal == "INT" {
                ensure!(status.code() == Some(130), "{what}: {status}");
                ensure!(stray(&out).is_empty(), "{what}: {:?} in the output directory", stray(&out));
                before.expect_same(lab.directory()).context(what)?;
            } else {
                // its helpers end on their own; then nobody can clean up but the next build
                let mut running = String::new();
                let ended = || {
                    running = match lab.snapshot() {
                        Ok(now) => before
                            .differences(&now)
                            .into_iter()
                            .filter(|line| line.starts_with("process more"))
                            .map(|line| format!("{line}\n"))
                            .collect(),
                        Err(error) => format!("{error:#}"),
                    };
                    running.is_empty().then_some(())
                };
                wait_until(
                    "the helpers of a killed build",
                    Duration::from_secs(30),
                    &Interrupt::new(),
                    ended,
                )
                .with_context(|| format!("{what}: {running}"))?;
                let template = stray(&out).into_iter().find(|name| name.starts_with("smb-gateway"));
                ensure!(template.is_none(), "{what}: half a template: {template:?}");
                let swept = build(
                    &lab,
                    &PathBuf::from(std::env::var_os("SMBGW_CACHE").context("no cache")?),
                    &out,
                    &agent,
                    "debian-13",
                );
                Answer::of(&swept.args(["--format", form]))?.ok()?;
                ensure!(
                    stray(&out).iter().all(|name| !name.starts_with("smbgw-build-")),
                    "{what}: {:?}",
                    stray(&out)
                );
                before.expect_same(lab.directory()).context(what)?;
            }
        }
    }
    lab.leave()
}

/// The traps of docs/templates.md.
fn traps(template: &str) -> Result<()> {
    let lab = Lab::enter(template)?;
    let one = lab.create("one", &["--template", template])?;
    let two = lab.create("two", &["--template", template])?;
    let run = |args: &[&str]| lab.attach("one", args.iter().copied());
    let sh = |script: &str| run(&["sh", "-c", script]);

    // boots to the end, with no unit that failed
    let wait = run(&["systemctl", "is-system-running", "--wait"])?;
    let failed = run(&["systemctl", "--failed", "--no-legend", "--plain"])?;
    ensure!(wait.stdout.trim() == "running", "{wait}\n{failed}");
    for unit in ["nmbd.service", "systemd-firstboot.service"] {
        let state = run(&["systemctl", "is-enabled", unit])?;
        ensure!(["masked", "not-found", ""].contains(&state.stdout.trim()), "{unit}: {state}");
    }
    for unit in ["nmbd", "ctdb", "winbind", "samba-ad-dc", "systemd-udevd"] {
        ensure!(run(&["systemctl", "is-active", unit])?.code != 0, "{unit} runs");
    }
    let conf = sh("testparm -s 2>/dev/null || cat /etc/samba/smb.conf")?.ok()?.stdout.to_lowercase();
    ensure!(conf.contains("disable netbios = yes"), "{conf}");

    // nothing of one template in two gateways
    ensure!(sh("ls /etc/ssh/ssh_host_*_key")?.code != 0, "host keys");
    let id = |gateway| lab.attach(gateway, ["cat", "/etc/machine-id"]);
    let (a, b) = (id("one")?.ok()?.stdout, id("two")?.ok()?.stdout);
    ensure!(a.trim().len() == 32 && a != b, "machine-id: {a} and {b}");
    let sid = |gateway| lab.attach(gateway, ["net", "getlocalsid"]);
    ensure!(sid("one")?.ok()?.stdout != sid("two")?.ok()?.stdout, "the same SID");

    // no work at the first boot that the build has done
    let journal = run(&["journalctl", "-b", "--no-pager", "-o", "cat"])?.stdout;
    for work in ["Rebuild Dynamic Linker Cache", "Rebuild Hardware Database", "Rebuild Journal Catalog"] {
        ensure!(
            !journal.contains(&format!("Finished {work}")) && !journal.contains(&format!("Starting {work}")),
            "{work} at boot"
        );
    }
    let bounded = sh(
        "cat /etc/systemd/journald.conf /etc/systemd/journald.conf.d/* /usr/lib/systemd/journald.conf.d/* 2>/dev/null | grep -E '^(System|Runtime)MaxUse='",
    )?;
    ensure!(bounded.code == 0, "journald is not bounded");

    // no way in but ours
    let shadow = sh("cut -d: -f1,2 /etc/shadow")?.ok()?.stdout;
    for line in shadow.lines() {
        let (user, hash) = line.split_once(':').context("shadow")?;
        ensure!(hash.starts_with('!') || hash.starts_with('*'), "{user} has a password");
    }
    let listening = sh("ss -Hltn 2>/dev/null || true")?.stdout;
    for line in listening.lines() {
        let local = line.split_whitespace().nth(3).unwrap_or_default();
        ensure!(
            local.ends_with(":445") || local.starts_with("127.") || local.starts_with("[::1]"),
            "listens on {local}"
        );
    }
    lab.round_trip(&one, "one", "alice")?;
    lab.round_trip(&two, "two", "alice")?;
    lab.leave()
}

#[test]
fn debian_13_has_none_of_the_traps() -> Result<()> {
    traps("debian-13")
}

#[test]
fn debian_12_has_none_of_the_traps() -> Result<()> {
    traps("debian-12")
}

#[test]
fn templates_are_installed_once_and_pruned() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    lab.create("team", &[])?;
    let file = lab.product.template("debian-13")?.display().to_string();
    let before = lab.snapshot()?;
    lab.host(["template", "install", &file])?.ok()?;
    before.expect_same(lab.directory()).context("a second installation changed something")?;
    let names = lab.templates()?;
    lab.host(["template", "prune"])?.ok()?;
    ensure!(lab.templates()? == names, "the newest was pruned");
    // not even all of them, while a gateway uses it
    lab.host(["template", "prune", "--all"])?;
    ensure!(
        lab.templates()?.iter().any(|name| name.starts_with("debian-13")),
        "a template in use was pruned"
    );
    lab.host(["delete", "team"])?.ok()?;
    lab.leave()
}
