//! Everything that must hold: formatting, lints, dependencies, documentation, unit tests, and the lab.

use std::ffi::OsString;
use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use smbgw_command::Interrupt;
use smbgw_lab::{Environment, Inside, product};

use crate::programs::{self, cargo, source, succeed, target};
use crate::templates::Level;
use crate::{domain, node, packages, say, templates};

/// Templates that the lab tests.
const TEMPLATES: &[&str] = &["debian-13", "debian-12"];
/// Files of the lab that run at the same time.
const LANES: usize = 3;
/// The files that take longest, the longest first: they must not be what is waited for at the end.
const LONGEST: &[&str] = &[
    "pve_journal",
    "journal",
    "templates",
    "engines",
    "pve_vm_journal",
    "pve",
    "images",
    "vm_journal",
    "ad",
    "ad_native",
    "domain",
];
/// Each file of the lab has an environment of its own, and this long.
const DEADLINE: Duration = Duration::from_secs(90 * 60);

/// Runs the chosen halves.
pub(crate) fn run(
    unit: bool,
    lab: bool,
    thorough: bool,
    level: Level,
    filters: &[String],
    interrupt: &Interrupt,
) -> Result<i32> {
    let start = Instant::now();
    if unit {
        if rustix::process::geteuid().is_root() {
            packages::install(&[packages::COMPILER, packages::BUILDER, packages::ORACLES])?;
        }
        if filters.is_empty() {
            check()?;
        }
        units(filters)?;
    }
    if lab {
        // who names a test wants it
        self::lab(thorough || !filters.is_empty(), level, filters, interrupt)?;
    }
    println!("\n== test: all passed in {}", say::seconds(start.elapsed()));
    Ok(0)
}

/// Formatting, lints, dependencies.
pub(crate) fn check() -> Result<i32> {
    say::step("check", "cargo fmt --check");
    succeed(&mut cargo(&["fmt", "--all", "--check"]))?;
    say::step("check", "cargo clippy, warnings are errors");
    succeed(&mut cargo(&["clippy", "-q", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    succeed(&mut cargo(&[
        "clippy",
        "-q",
        "-p",
        "pve-smbgateway",
        "--all-targets",
        "--features",
        "faults",
        "--",
        "-D",
        "warnings",
    ]))?;
    say::step("check", "cargo doc, warnings are errors");
    succeed(
        cargo(&["doc", "-q", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"),
    )?;
    say::step("check", "cargo deny: licences, sources, bans");
    let installed = cargo(&["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        say::line("cargo-deny is missing: installing it, which takes some minutes");
        succeed(&mut cargo(&["install", "-q", "cargo-deny", "--locked"]))?;
    }
    succeed(&mut cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    Ok(0)
}

fn units(filters: &[String]) -> Result<()> {
    say::step("unit", "cargo test, all but the lab");
    succeed(cargo(programs::UNITS).args(["--no-fail-fast", "--"]).args(filters))?;
    succeed(cargo(&["test", "-p", "smbgw-lab", "--lib", "--"]).args(filters))
}

fn lab(thorough: bool, level: Level, filters: &[String], interrupt: &Interrupt) -> Result<()> {
    let (files, filters): (Vec<&String>, Vec<&String>) = filters.iter().partition(|name| is_file(name));
    ensure!(
        files.is_empty() || filters.is_empty(),
        "{} are files of the lab, {} are not: name either files or tests",
        words(&files),
        words(&filters)
    );
    let more = More::of(&files);
    let mut needs =
        vec![packages::COMPILER, packages::BUILDER, packages::NODE, packages::CLIENT, packages::LAB];
    needs.extend(more.packages());
    packages::install(&needs)?;
    programs::build()?;
    programs::build_with_faults()?;
    if more.nodes {
        programs::build_simulator()?;
    }
    for name in TEMPLATES {
        templates::build(name, level)?;
        // what boots Debian 12 by itself is among the thorough tests
        if more.images && (thorough || *name == "debian-13") {
            templates::build_image(name, level)?;
        }
    }
    if more.node && thorough {
        node::build()?;
    }
    if more.domain && thorough {
        domain::build()?;
    }
    say::step("lab", "building the tests");
    let tests = test_programs()?;
    let chosen: Vec<_> =
        tests.into_iter().filter(|(name, _)| files.is_empty() || files.contains(&name)).collect();
    // emulated machines and single tests have the machine for themselves, and are watched
    if thorough {
        watched(&chosen, level, &filters, interrupt)
    } else {
        side_by_side(&chosen, level, interrupt)
    }
}

/// Whether it is the name of a file of the lab.
fn is_file(name: &str) -> bool {
    source().join("tests/tests").join(format!("{name}.rs")).exists()
}

fn words(names: &[&String]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Runs files of the lab one after the other, and shows what they say while they run.
fn watched(
    files: &[(String, PathBuf)],
    level: Level,
    filters: &[&String],
    interrupt: &Interrupt,
) -> Result<()> {
    let mut results = Vec::new();
    for (name, program) in files {
        ensure!(!interrupt.is_set(), "interrupted");
        say::step("lab", &format!("{name}: real containers, in namespaces of its own"));
        let start = Instant::now();
        let result = one(program, level, true, filters, None, interrupt);
        results.push(Ran { name, result, took: start.elapsed() });
        results.last().map(Ran::tell);
    }
    verdict(&results)
}

/// Runs files of the lab, some at a time: a container's life is mostly waiting. What a file says is shown when it has ended.
fn side_by_side(files: &[(String, PathBuf)], level: Level, interrupt: &Interrupt) -> Result<()> {
    say::step("lab", &format!("{} files, {LANES} at a time, each in namespaces of its own", files.len()));
    let rank = |name: &str| LONGEST.iter().position(|long| *long == name).unwrap_or(LONGEST.len());
    let mut queue: Vec<_> = files.iter().collect();
    queue.sort_by_key(|(name, _)| std::cmp::Reverse(rank(name)));
    let (queue, results) = (Mutex::new(queue), Mutex::new(Vec::new()));
    let lane = || -> Result<()> {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((name, program)) = next else { return Ok(()) };
            ensure!(!interrupt.is_set(), "interrupted");
            let start = Instant::now();
            let mut output = tempfile::tempfile().context("keeping what a test says")?;
            let result = one(program, level, false, &[], Some(&output), interrupt);
            output.rewind()?;
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            say::step("lab", name);
            std::io::copy(&mut output, &mut std::io::stdout().lock())?;
            let ran = Ran { name, result, took: start.elapsed() };
            ran.tell();
            results.push(ran);
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let ended = lanes.into_iter().map(|lane| match lane.join() {
            Ok(result) => result,
            Err(_) => bail!("a lane of the lab panicked"),
        });
        // all of them, whatever the first one says
        ended.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })?;
    verdict(&results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A file of the lab that has ended.
struct Ran<'a> {
    name: &'a str,
    result: Result<i32>,
    took: Duration,
}

impl Ran<'_> {
    fn tell(&self) {
        let word = if matches!(self.result, Ok(0)) { "passed" } else { "FAILED" };
        say::line(&format!("{} {word} in {}", self.name, say::seconds(self.took)));
    }
}

fn verdict(results: &[Ran<'_>]) -> Result<()> {
    ensure!(!results.is_empty(), "the lab has no tests");
    let failed: Vec<_> = results
        .iter()
        .filter_map(|ran| match &ran.result {
            Ok(0) => None,
            Ok(code) => Some(format!("{} (exit code {code})", ran.name)),
            Err(error) => Some(format!("{} ({error:#})", ran.name)),
        })
        .collect();
    ensure!(
        failed.is_empty(),
        "{} of {} lab files failed: {}",
        failed.len(),
        results.len(),
        failed.join(", ")
    );
    Ok(())
}

/// What single files of the lab need beyond what all need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct More {
    /// Virtual machine images, and QEMU.
    images: bool,
    /// A Ceph cluster, and QEMU.
    ceph: bool,
    /// Gateways in virtual machines: images, QEMU and virtiofsd.
    machines: bool,
    /// Simulated Proxmox VE nodes, and QEMU and virtiofsd.
    nodes: bool,
    /// A node of its own in a machine, and QEMU.
    node: bool,
    /// A domain controller.
    domain: bool,
    /// Prometheus.
    prometheus: bool,
}

impl More {
    /// All that these files need. No file is all of them: a filter may mean any test.
    fn of(files: &[&String]) -> Self {
        let all = Self {
            images: true,
            ceph: true,
            machines: true,
            nodes: true,
            node: true,
            domain: true,
            prometheus: true,
        };
        files.iter().map(|file| Self::of_one(file)).reduce(Self::and).unwrap_or(all)
    }

    fn of_one(file: &str) -> Self {
        let none = Self::default();
        match file {
            "images" | "engines" | "templates" => Self { images: true, ..none },
            "quota_node" => Self { node: true, ..none },
            "ad_vm" => Self { images: true, machines: true, domain: true, ..none },
            "pve_ad" => Self { images: true, machines: true, nodes: true, domain: true, ..none },
            "ceph" => Self { ceph: true, ..none },
            "vm_rbd" | "quota_ceph" => Self { images: true, ceph: true, machines: true, ..none },
            name if name == "domain" || name.starts_with("ad") => Self { domain: true, ..none },
            name if name.starts_with("monitor") => Self { prometheus: true, domain: true, ..none },
            name if name.starts_with("vm") => Self { images: true, machines: true, ..none },
            // a guest of those nodes may be a virtual machine
            name if name.starts_with("pve") => Self { images: true, machines: true, nodes: true, ..none },
            _ => none,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            images: self.images || other.images,
            ceph: self.ceph || other.ceph,
            machines: self.machines || other.machines,
            nodes: self.nodes || other.nodes,
            node: self.node || other.node,
            domain: self.domain || other.domain,
            prometheus: self.prometheus || other.prometheus,
        }
    }

    fn packages(self) -> Vec<&'static [packages::Need]> {
        let mut needs = Vec::new();
        if self.images || self.ceph || self.nodes || self.node {
            needs.push(packages::QEMU);
        }
        if self.ceph {
            needs.push(packages::CEPH);
        }
        if self.domain {
            needs.push(packages::DOMAIN);
        }
        if self.prometheus {
            needs.push(packages::PROMETHEUS);
        }
        if self.machines || self.nodes {
            needs.push(packages::VIRTIOFS);
        }
        if self.nodes {
            needs.push(packages::PVE);
        }
        needs
    }
}

/// One test program, in a fresh environment.
fn one(
    program: &Path,
    level: Level,
    thorough: bool,
    filters: &[&String],
    output: Option<&File>,
    interrupt: &Interrupt,
) -> Result<i32> {
    let environment = Environment::create(&target(), false)?;
    let mut args: Vec<OsString> = vec!["--test-threads=1".into(), "--show-output".into()];
    if thorough {
        args.push("--include-ignored".into());
    }
    args.extend(filters.iter().map(OsString::from));
    let (runner, env) = (programs::own(&environment)?, variables(level));
    let inside = Inside { runner: &runner, program, args: &args, env: &env, output, deadline: DEADLINE };
    environment.run(&inside, interrupt)
}

/// A command in an environment of its own.
pub(crate) fn shell(command: &[OsString], interrupt: &Interrupt) -> Result<i32> {
    let default = [OsString::from("bash")];
    let (program, args) = command.split_first().or_else(|| default.split_first()).context("no command")?;
    let environment = Environment::create(&target(), false)?;
    // Ctrl-C is for the shell inside
    let long = Duration::from_secs(24 * 3600);
    let (runner, env) = (programs::own(&environment)?, variables(Level::Quick));
    let program = Path::new(program);
    let inside = Inside { runner: &runner, program, args, env: &env, output: None, deadline: long };
    environment.run(&inside, interrupt)
}

/// What tests, demo and benchmarks find in their environment.
pub(crate) fn variables(level: Level) -> Vec<(&'static str, OsString)> {
    let release = (level == Level::Release).then(|| (product::RELEASE_VARIABLE, "1".into()));
    let always = [
        (product::PROGRAMS_VARIABLE, programs::directory().into()),
        (product::TEMPLATES_VARIABLE, templates::directory(level).into()),
        (product::SOURCE_VARIABLE, source().into()),
        ("SMBGW_CACHE", templates::cache().into()),
        ("RUST_BACKTRACE", "0".into()),
    ];
    always.into_iter().chain(release).collect()
}

/// Builds the lab's test programs; gives name and path of each. Source: `cargo help test`, `--message-format`.
fn test_programs() -> Result<Vec<(String, PathBuf)>> {
    let output = cargo(&[
        "test",
        "-p",
        "smbgw-lab",
        "--tests",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ])
    .stderr(Stdio::inherit())
    .output()
    .context("starting cargo")?;
    ensure!(output.status.success(), "the lab's tests do not build");
    let mut tests = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let is_test = message["target"]["kind"][0] == "test";
        if let (true, Some(path), Some(name)) =
            (is_test, message["executable"].as_str(), message["target"]["name"].as_str())
        {
            tests.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    tests.sort();
    Ok(tests)
}
