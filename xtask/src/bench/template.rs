//! Building the template, beside plain mmdebstrap with the same packages.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smbgw_command::Interrupt;

use super::{Figures, median};
use crate::programs::{self, succeed, target};
use crate::{say, templates};

const NAME: &str = "debian-13";
/// Runs of what is compared.
const RUNS: usize = 3;

pub(super) fn run(figures: &mut Figures, interrupt: &Interrupt) -> Result<()> {
    // of this run alone: another may be under way
    let directory = target().join("bench").join(std::process::id().to_string());
    let (cache, out) = (directory.join("cache"), directory.join("out"));
    fs::create_dir_all(&cache)?;

    say::step("template", "cold: nothing in the cache, packages from the mirror");
    let cold = templates::build_into(NAME, &out, &cache, &[])?;
    figures.time("template_cold_s", "template, cold (with downloads)", cold.took);
    figures.add("template_bytes", "template size, level for CI", say::megabytes(cold.size), json!(cold.size));

    say::step("template", "from the store, beside plain mmdebstrap with the same packages");
    let packages = packages(&cache)?;
    let (mut ours, mut plain, mut packed) = (Vec::new(), Vec::new(), Vec::new());
    let mut plain_size = 0;
    for _ in 0..RUNS {
        ensure!(!interrupt.is_set(), "interrupted");
        fs::remove_dir_all(cache.join("trees")).context("removing the kept trees")?;
        ours.push(templates::build_into(NAME, &out, &cache, &["--offline".into()])?.took);
        let ((), took) = say::timed(|| mmdebstrap(&packages, &directory.join("plain.tar")))?;
        plain.push(took);
        let ((), took) = say::timed(|| compress(&directory.join("plain.tar")))?;
        packed.push(took);
        plain_size = fs::metadata(directory.join("plain.tar.zst"))?.len();
    }
    let (ours, plain, packed) = (median(&mut ours), median(&mut plain), median(&mut packed));
    figures.time("template_warm_s", "template, packages in the store", ours);
    figures.time("mmdebstrap_s", "plain mmdebstrap, same packages, only its tar", plain);
    figures.time("mmdebstrap_zstd_s", "plain mmdebstrap and zstd -9", plain + packed);
    figures.add("mmdebstrap_bytes", "size of that", say::megabytes(plain_size), json!(plain_size));
    let ratio = ours.as_secs_f64() / (plain + packed).as_secs_f64();
    figures.add(
        "template_ratio",
        "template / plain mmdebstrap and zstd",
        format!("{ratio:.2}"),
        json!(ratio),
    );

    say::step("template", "cached, and with another agent");
    let mut cached = (0..RUNS)
        .map(|_| Ok(templates::build_into(NAME, &out, &cache, &[])?.took))
        .collect::<Result<Vec<_>>>()?;
    figures.time("template_cached_s", "template, nothing changed", median(&mut cached));
    let mut agent_only =
        (0..RUNS).map(|number| other_agent(&directory, &out, &cache, number)).collect::<Result<Vec<_>>>()?;
    figures.time("template_agent_only_s", "template, only the agent changed", median(&mut agent_only));
    fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Names of the packages that the lock of the build lists.
fn packages(cache: &Path) -> Result<String> {
    let lock = cache.join(format!("locks/{NAME}.lock.json"));
    let lock: Value =
        serde_json::from_slice(&fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?)?;
    let names: Vec<&str> = lock["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| package["name"].as_str())
        .collect();
    ensure!(names.len() > 50, "the lock lists {} packages", names.len());
    Ok(names.join(","))
}

/// As the builder's own engine: rootless, in memory where it fits.
fn mmdebstrap(packages: &str, tar: &Path) -> Result<()> {
    let sources = "deb http://deb.debian.org/debian trixie main\n\
                   deb http://deb.debian.org/debian trixie-updates main\n\
                   deb http://deb.debian.org/debian-security trixie-security main\n";
    let mut child = Command::new("mmdebstrap")
        .args([
            "--quiet",
            "--mode=unshare",
            "--variant=essential",
            "--aptopt=APT::Install-Recommends \"false\"",
        ])
        .args([
            "--aptopt=Acquire::Languages \"none\"",
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
        ])
        .arg(format!("--include={packages}"))
        .args(["trixie", "-", "-"])
        .env("TMPDIR", "/dev/shm")
        .stdin(Stdio::piped())
        .stdout(fs::File::create(tar)?)
        .spawn()
        .context("starting mmdebstrap")?;
    child.stdin.take().context("no stdin")?.write_all(sources.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "mmdebstrap failed ({status})");
    Ok(())
}

fn compress(tar: &Path) -> Result<()> {
    succeed(Command::new("zstd").args(["-q", "-9", "-T0", "-f"]).arg(tar))
}

/// The same build with an agent that differs: bytes after the end of a program change nothing but its hash.
fn other_agent(directory: &Path, out: &Path, cache: &Path, number: usize) -> Result<Duration> {
    let agent: PathBuf = directory.join("smbgw-agent");
    fs::copy(programs::directory().join("smbgw-agent"), &agent)?;
    fs::OpenOptions::new().append(true).open(&agent)?.write_all(format!("agent {number}").as_bytes())?;
    Ok(templates::build_with_agent(NAME, out, cache, &agent, &[])?.took)
}
