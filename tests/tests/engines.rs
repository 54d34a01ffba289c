//! The two engines make the same templates, bit for bit: whoever builds, wherever, on however many processors. So a template
//! that was published can be built again, and what cannot be is told by path.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_lab::product::template_in;
use smbgw_lab::{Answer, Lab, files};

/// A slow machine needs two minutes for a virtual machine's packages by mmdebstrap.
const DEADLINE: Duration = Duration::from_secs(900);

fn cache() -> Result<PathBuf> {
    Ok(PathBuf::from(std::env::var_os("SMBGW_CACHE").context("SMBGW_CACHE is not set")?))
}

/// `smbgw-builder reproduce` of a finished template, from the packages in the store.
fn reproduce(lab: &Lab, template: &Path, recipe: &str, more: &[&str]) -> Result<Answer> {
    let text = |path: &Path| path.display().to_string();
    let command = lab.product.builder().args([
        "reproduce",
        &text(template),
        "--recipe",
        &text(&lab.product.source.join(format!("images/{recipe}.yaml"))),
        "--cache",
        &text(&cache()?),
        "--offline",
        "--json",
    ]);
    let agent = lab.product.program("smbgw-agent");
    let agent = if more.contains(&"--agent") { vec![] } else { vec!["--agent", agent.as_str()] };
    let start = Instant::now();
    let answer = Answer::of(&command.args(agent).args(more.iter().copied()).deadline(DEADLINE))?;
    println!("{recipe} {more:?}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(answer)
}

/// Nothing may differ between the engines: no path, no time, no attribute.
fn by_mmdebstrap(lab: &Lab, template: &Path, recipe: &str) -> Result<()> {
    let answer = reproduce(lab, template, recipe, &["--engine", "mmdebstrap"])?.ok()?;
    let data = answer.data()?;
    ensure!(data["same"] == true && data["engine"] == "mmdebstrap", "{recipe}: {data:#}");
    let causes = data["causes"].to_string();
    ensure!(causes.contains("mmdebstrap") && causes.contains("unpack"), "the engine is not named: {causes}");
    Ok(())
}

/// Every package of the finished tree is installed, by what dpkg's own database says.
fn all_installed(template: &Path) -> Result<()> {
    let output =
        Command::new("tar").args(["-xO", "-f"]).arg(template).arg("./var/lib/dpkg/status").output()?;
    ensure!(output.status.success(), "no status in {}", template.display());
    let text = String::from_utf8(output.stdout)?;
    let states: Vec<&str> = text.lines().filter(|line| line.starts_with("Status: ")).collect();
    ensure!(
        states.len() > 100 && states.iter().all(|state| *state == "Status: install ok installed"),
        "{states:?}"
    );
    Ok(())
}

/// A virtual machine is installed on its container's packages: this is about both forms.
#[test]
fn debian_13_is_the_same_by_both_engines() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    all_installed(&lab.product.template("debian-13")?)?;
    by_mmdebstrap(&lab, &lab.product.image("debian-13")?, "debian-13")?;
    lab.leave()
}

#[test]
fn debian_12_is_the_same_by_both_engines() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let template = lab.product.template("debian-12")?;
    all_installed(&template)?;
    by_mmdebstrap(&lab, &template, "debian-12")?;
    lab.leave()
}

#[test]
#[ignore = "takes minutes"]
fn other_forms_are_the_same_by_both_engines() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    by_mmdebstrap(&lab, &lab.product.template("debian-13")?, "debian-13")?;
    by_mmdebstrap(&lab, &lab.product.image("debian-12")?, "debian-12")?;
    lab.leave()
}

#[test]
fn a_template_can_be_built_again_and_what_differs_is_told() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let template = lab.product.template("debian-13")?;
    let directory = lab.data("agent")?;
    let again = directory.join("again");
    let answer = reproduce(&lab, &template, "debian-13", &["--keep", &again.display().to_string()])?.ok()?;
    let data = answer.data()?;
    ensure!(data["same"] == true && data["causes"].as_array().is_some_and(Vec::is_empty), "{data:#}");
    // and so is all that belongs to it
    let mut count = 0;
    for entry in fs::read_dir(&again)? {
        let name = entry?.file_name();
        let published = template.with_file_name(&name);
        ensure!(
            files::sha256(&again.join(&name))? == files::sha256(&published)?,
            "{} differs",
            name.to_string_lossy()
        );
        count += 1;
    }
    ensure!(count >= 5, "{count} files");

    // another agent: bytes after the end of a program change nothing but its hash
    let agent = directory.join("smbgw-agent");
    fs::copy(lab.product.program("smbgw-agent"), &agent)?;
    fs::OpenOptions::new().append(true).open(&agent)?.write_all(b"another agent")?;
    let kept = directory.join("kept");
    let (agent, kept_text) = (agent.display().to_string(), kept.display().to_string());
    let answer = reproduce(&lab, &template, "debian-13", &["--agent", &agent, "--keep", &kept_text])?;
    let answer = answer.exits(10)?;
    let data = answer.data()?;
    let paths: Vec<&str> =
        data["paths"].as_array().into_iter().flatten().filter_map(|path| path["path"].as_str()).collect();
    ensure!(data["same"] == false && paths == ["/usr/lib/smbgw/smbgw-agent"], "{data:#}");
    ensure!(data["causes"].to_string().contains("agent"), "{data:#}");
    // what was built is there to be looked at, and `diff` says the same of it
    let built = template_in(&kept, "debian-13")?;
    let texts = [&template, &built].map(|path| path.display().to_string());
    let diff = Answer::of(&lab.product.builder().args(["diff", &texts[0], &texts[1], "--exit-code"]))?;
    let diff = diff.exits(10)?;
    ensure!(diff.stdout.contains("smbgw-agent"), "{diff}");
    lab.leave()
}

#[test]
fn an_ordinary_user_on_one_processor_and_a_disk_builds_the_same() -> Result<()> {
    const UID: &str = "4242";
    let lab = Lab::enter("debian-13")?;
    // /etc is the lab's own
    let accounts = [
        ("/etc/passwd", format!("builder:x:{UID}:{UID}::/nonexistent:/bin/sh\n")),
        ("/etc/group", format!("builder:x:{UID}:\n")),
        ("/etc/subuid", "builder:700000:65536\n".to_owned()),
        ("/etc/subgid", "builder:700000:65536\n".to_owned()),
    ];
    let directory = lab.data("user")?;
    for (file, line) in &accounts {
        // laid over for as long as this takes: the lab sees every file that stays changed
        let copy = directory.join(Path::new(file).file_name().context("no name")?);
        fs::write(&copy, [fs::read(file)?, line.clone().into_bytes()].concat())?;
        ensure!(
            Command::new("mount").arg("--bind").arg(&copy).arg(file).status()?.success(),
            "mounting {file}"
        );
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    // a cache of the user's own, on this disk: the real one may be closed to others
    let cache_of_user = directory.join("cache");
    fs::create_dir(&cache_of_user)?;
    for part in ["locks", "store"] {
        let status = Command::new("cp").arg("-a").arg(cache()?.join(part)).arg(&cache_of_user).status()?;
        ensure!(status.success(), "copying {part}");
    }
    for place in ["out", "tmp"] {
        fs::create_dir(directory.join(place))?;
    }
    let owner = Command::new("chown").args(["-R", &format!("{UID}:{UID}")]).arg(&directory).status()?;
    ensure!(owner.success(), "chown");
    // everything that the user reads is where everybody may: the checkout may be root's alone
    let readable = lab.data("readable")?;
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o755))?;
    for (from, to) in [
        (lab.product.source.join("images"), "images"),
        (lab.product.source.join("guest-agent"), "guest-agent"),
        (PathBuf::from(lab.product.program("smbgw-builder")), "smbgw-builder"),
        (PathBuf::from(lab.product.program("smbgw-agent")), "smbgw-agent"),
    ] {
        let status = Command::new("cp").arg("-rL").arg(from).arg(readable.join(to)).status()?;
        ensure!(status.success(), "copying {to}");
    }
    ensure!(Command::new("chmod").args(["-R", "a+rX"]).arg(&readable).status()?.success(), "chmod");
    let at = |name: &str| directory.join(name).display().to_string();
    let read = |name: &str| readable.join(name).display().to_string();
    let start = Instant::now();
    let command = smbgw_command::Command::new("setpriv")
        .args(["--reuid", UID, "--regid", UID, "--clear-groups", "taskset", "-c", "0", "env"])
        .arg(format!("TMPDIR={}", at("tmp")))
        .arg(read("smbgw-builder"))
        .args(["build", &read("images/debian-13.yaml"), "--offline", "--agent", &read("smbgw-agent")])
        .args(["--cache", &at("cache"), "--out", &at("out")])
        .args(lab.product.level());
    Answer::of(&command.deadline(DEADLINE))?.ok()?;
    println!("as a user, on one processor and a disk: {:.1} s", start.elapsed().as_secs_f64());
    let built = template_in(&directory.join("out"), "debian-13")?;
    let (one, other) = (files::sha256(&built)?, files::sha256(&lab.product.template("debian-13")?)?);
    ensure!(one == other, "an ordinary user's template differs: {one} and {other}");
    let left: Vec<_> =
        fs::read_dir(directory.join("tmp"))?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.is_empty(), "left in TMPDIR: {left:?}");
    for (file, _) in &accounts {
        ensure!(Command::new("umount").arg(file).status()?.success(), "unmounting {file}");
    }
    lab.leave()
}

#[test]
fn a_full_disk_is_told_and_the_next_build_works() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let directory = lab.data("full")?;
    let small = directory.join("small");
    fs::create_dir(&small)?;
    let before = lab.snapshot()?;
    let text = |path: &Path| path.display().to_string();
    let build = |temporary: &Path, out: &str| {
        lab.product
            .builder()
            .args(["build", &text(&lab.product.source.join("images/debian-13.yaml")), "--offline"])
            .args(["--agent", &lab.product.program("smbgw-agent"), "--out", &text(&directory.join(out))])
            .args(["--cache", &text(&directory.join("cache"))])
            .args(lab.product.level())
            .env("TMPDIR", text(temporary))
            .deadline(DEADLINE)
    };
    fs::create_dir(directory.join("cache"))?;
    for part in ["locks", "store"] {
        let status =
            Command::new("cp").arg("-al").arg(cache()?.join(part)).arg(directory.join("cache")).status()?;
        ensure!(status.success(), "copying {part}");
    }
    // enough to begin with, not enough for what is unpacked
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=60m", "none"]).arg(&small).status()?;
    ensure!(mount.success(), "mounting a small file system");
    let answer = Answer::of(&build(&small, "out"))?.exits(4)?;
    ensure!(answer.stderr.contains("No space left") && answer.stderr.contains("TMPDIR"), "{answer}");
    let left: Vec<_> = fs::read_dir(&small)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.is_empty(), "left on the full disk: {left:?}");
    let made: Vec<_> =
        fs::read_dir(directory.join("out"))?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(made.is_empty(), "half a template: {made:?}");
    ensure!(Command::new("umount").arg(&small).status()?.success(), "umount");
    before.expect_same(lab.directory())?;
    Answer::of(&build(&directory, "out"))?.ok()?;
    let built = template_in(&directory.join("out"), "debian-13")?;
    ensure!(files::sha256(&built)? == files::sha256(&lab.product.template("debian-13")?)?, "it differs");
    lab.leave()
}
