//! Building the template in both forms, beside plain mmdebstrap and mkosi with the same packages.
//!
//! * [`lock`]: the packages, and whether others installed the same
//! * [`contest`]: all builders in turn, medians and ratios
//! * [`mmdebstrap`], [`mkosi`]: the others, and what is equal and what is not
//! * [`debian`]: a Debian 13 root that mkosi runs in · [`contained`]: namespaces for what runs as root

mod contained;
mod contest;
mod debian;
mod lock;
mod mkosi;
mod mmdebstrap;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smbgw_command::Interrupt;

use self::contest::Contestant;
use self::debian::Debian;
use self::lock::Lock;
use self::mkosi::Mkosi;
use self::mmdebstrap::Mmdebstrap;
use super::{Figures, median};
use crate::programs;
use crate::programs::target;
use crate::{say, templates};

const NAME: &str = "debian-13";
/// The builder's engines (`build --engine`), each of which is measured.
const ENGINES: &[&str] = &["unpack", "mmdebstrap"];
/// Runs of what is compared with nothing.
const RUNS: usize = 3;
/// Size of a virtual machine's disk in MiB, as the recipe has it.
const DISK_MIB: u64 = 2048;

/// The forms of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `.tar.zst`
    Container,
    /// `.qcow2`
    Machine,
}

impl Form {
    const ALL: [Self; 2] = [Self::Container, Self::Machine];

    /// As the builder's manifests have it.
    fn name(self) -> &'static str {
        match self {
            Self::Container => "lxc",
            Self::Machine => "vm",
        }
    }
}

pub(super) fn run(figures: &mut Figures, interrupt: &Interrupt) -> Result<()> {
    // before anything that takes long
    engines_exist()?;
    let debian = Debian::prepare(interrupt)?;
    // of this run alone: another may be under way
    let directory = target().join("bench").join(std::process::id().to_string());
    fs::create_dir_all(directory.join("cache"))?;
    let outcome = measure(&directory, &debian, figures, interrupt);
    let removed = fs::remove_dir_all(&directory);
    outcome?;
    removed.with_context(|| format!("removing {}", directory.display()))
}

fn measure(directory: &Path, debian: &Debian, figures: &mut Figures, interrupt: &Interrupt) -> Result<()> {
    let (cache, out) = (directory.join("cache"), directory.join("out"));
    say::step("template", "cold: nothing in the cache, packages from the mirror");
    let cold = templates::build_into(NAME, &out, &cache, &[])?;
    figures.time("template_cold_s", "template, cold (with downloads)", cold.took);
    figures.add("template_bytes", "template size, level for CI", say::megabytes(cold.size), json!(cold.size));

    side_by_side(directory, debian, figures, interrupt)?;

    say::step("template", "cached, and with another agent");
    let mut cached = (0..RUNS)
        .map(|_| Ok(templates::build_into(NAME, &out, &cache, &[])?.took))
        .collect::<Result<Vec<_>>>()?;
    figures.time("template_cached_s", "template, nothing changed", median(&mut cached));
    let mut agent_only =
        (0..RUNS).map(|number| other_agent(directory, &out, &cache, number)).collect::<Result<Vec<_>>>()?;
    figures.time("template_agent_only_s", "template, only the agent changed", median(&mut agent_only));
    Ok(())
}

/// All builders, both forms, packages at hand: in one run, for times of two runs cannot be compared.
fn side_by_side(
    directory: &Path,
    debian: &Debian,
    figures: &mut Figures,
    interrupt: &Interrupt,
) -> Result<()> {
    let (cache, out) = (directory.join("cache"), directory.join("out"));
    say::step("template", "filling all caches: the builder's, mmdebstrap's, mkosi's");
    templates::build_image_into(NAME, &out, &cache, &[])?;
    let lock = Lock::read(&cache.join(format!("locks/{NAME}.lock.json")))?;
    let mmdebstrap = Mmdebstrap::prepare(directory.join("mmdebstrap"), &lock, debian, interrupt)?;
    let mkosi = Mkosi::prepare(directory.join("mkosi"), &lock, debian, interrupt)?;
    let load = fs::read_to_string("/proc/loadavg")?;
    // our own work is in it; what is far above 2 was others
    figures.add(
        "template_load",
        "load of the machine before the comparison",
        load.clone(),
        Value::from(load.trim()),
    );
    let version = mkosi.version()?;
    figures.add("mkosi_version", "mkosi's version", version.clone(), Value::from(version));

    let (cache, out) = (&cache, &out);
    let mut contestants: Vec<Contestant<'_>> = Vec::new();
    for form in Form::ALL {
        let form_name = form.name();
        for engine in ENGINES {
            contestants.push(Contestant {
                key: format!("template_{form_name}_{engine}"),
                what: format!("ours, engine {engine}"),
                form,
                ours: true,
                build: Box::new(move || ours(form, engine, out, cache)),
            });
        }
        let mmdebstrap = &mmdebstrap;
        contestants.push(Contestant {
            key: format!("mmdebstrap_{form_name}"),
            what: match form {
                Form::Container => "plain mmdebstrap, zstd -6",
                Form::Machine => "plain mmdebstrap, mke2fs, qemu-img",
            }
            .to_owned(),
            form,
            ours: false,
            build: Box::new(move || theirs(|| mmdebstrap.build(form))),
        });
        let mkosi = &mkosi;
        contestants.push(Contestant {
            key: format!("mkosi_{form_name}"),
            what: match form {
                Form::Container => "mkosi",
                Form::Machine => "mkosi, qemu-img",
            }
            .to_owned(),
            form,
            ours: false,
            build: Box::new(move || theirs(|| mkosi.build(form))),
        });
    }
    contest::run(&contestants, figures, interrupt)
}

/// Ours, from the store: no tree is kept from a build before.
fn ours(form: Form, engine: &str, out: &Path, cache: &Path) -> Result<(Duration, u64)> {
    let trees = cache.join("trees");
    if trees.exists() {
        fs::remove_dir_all(&trees).context("removing the kept trees")?;
    }
    let more: [OsString; 3] = ["--engine".into(), engine.into(), "--offline".into()];
    let built = match form {
        Form::Container => templates::build_into(NAME, out, cache, &more),
        Form::Machine => templates::build_image_into(NAME, out, cache, &more),
    }?;
    Ok((built.took, built.size))
}

fn theirs(build: impl FnOnce() -> Result<u64>) -> Result<(Duration, u64)> {
    say::timed(build).map(|(size, took)| (took, size))
}

/// An engine that the builder does not know is our mistake, and no reason to measure less.
fn engines_exist() -> Result<()> {
    let builder = programs::directory().join("smbgw-builder");
    for engine in ENGINES {
        let output = Command::new(&builder)
            .args(["build", "--engine", engine, "--help"])
            .output()
            .with_context(|| format!("starting {}", builder.display()))?;
        ensure!(
            output.status.success(),
            "`smbgw-builder build --engine {engine}` does not exist, and is to be measured: {}",
            String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default()
        );
    }
    Ok(())
}

/// The same build with an agent that differs: bytes after the end of a program change nothing but its hash.
fn other_agent(directory: &Path, out: &Path, cache: &Path, number: usize) -> Result<Duration> {
    let agent: PathBuf = directory.join("smbgw-agent");
    fs::copy(programs::directory().join("smbgw-agent"), &agent)?;
    fs::OpenOptions::new().append(true).open(&agent)?.write_all(format!("agent {number}").as_bytes())?;
    Ok(templates::build_with_agent(NAME, out, cache, &agent, &[])?.took)
}
