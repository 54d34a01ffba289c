//! What things cost, beside what they cost without us where that can be measured in the same run.
//!
//! * [`template`]: builds of both forms, beside plain mmdebstrap and mkosi
//! * [`gateway`]: create to first byte, memory, the agent's answers
//! * [`throughput`]: SMB through a gateway, beside the same smbd without one
//! * [`machine`]: virtual machines, beside the bare image and a container
//! * [`crowd`]: many shares and clients of a gateway on the node itself
//! * [`domain`]: joins, the first file by Kerberos, memory, a domain that is away
//! * [`monitor`]: the service that watches gateways, and what a look costs in one
//! * [`proxmox`]: what each verb asks of Proxmox VE

mod crowd;
mod domain;
mod gateway;
mod machine;
mod monitor;
mod proxmox;
mod template;
mod throughput;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value};
use smbgw_command::Interrupt;
use smbgw_lab::{Environment, Inside, environment};

use crate::programs::target;
use crate::templates::Level;
use crate::{packages, programs, say, templates, test};

/// For everything inside the environment.
const DEADLINE: Duration = Duration::from_secs(60 * 60);

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Template builds: cold, warm, cached, agent only; and plain mmdebstrap and mkosi
    Template,
    /// Create to first byte, idle memory, the agent's answers
    Gateway,
    /// SMB throughput, and the same smbd without a gateway
    Throughput,
    /// Virtual machines: image builds, boot, the agent's answers, throughput
    Machine,
    /// 50 shares and 100 clients of a gateway on the node itself
    Crowd,
    /// A domain: joins, first access by Kerberos, memory, a domain that is away
    Domain,
    /// The service that watches gateways, with 50 of them, and the cost of a look in a gateway
    Monitor,
    /// Calls of Proxmox VE by each verb, on simulated nodes
    Proxmox,
}

/// Figures by name, in the order they are printed.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: Vec<(String, String)>,
    json: Map<String, Value>,
}

impl Figures {
    /// Adds a figure: a line of the table, and its value for programs.
    pub(crate) fn add(&mut self, key: &str, what: &str, text: String, value: Value) {
        say::line(&format!("{what}: {text}"));
        self.rows.push((what.to_owned(), text));
        self.json.insert(key.to_owned(), value);
    }

    /// Adds a time.
    pub(crate) fn time(&mut self, key: &str, what: &str, time: Duration) {
        self.add(key, what, say::seconds(time), seconds(time));
    }

    /// Adds the spread of several times.
    pub(crate) fn times(&mut self, key: &str, what: &str, times: &mut [Duration]) {
        times.sort();
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
        let (least, median, most) = (times[0], at(50), at(95));
        let text = format!(
            "median {}, least {}, 95 % within {} ({} runs)",
            say::seconds(median),
            say::seconds(least),
            say::seconds(most),
            times.len()
        );
        let value = serde_json::json!({"median_s": seconds(median), "min_s": seconds(least), "p95_s": seconds(most), "runs": times.len()});
        self.add(key, what, text, value);
    }
}

pub(crate) fn seconds(time: Duration) -> Value {
    Value::from((time.as_secs_f64() * 1e6).round() / 1e6)
}

/// The middle one.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// From outside.
pub(crate) fn run(parts: &[Part], interrupt: &Interrupt) -> Result<i32> {
    let parts = if parts.is_empty() { Part::value_variants() } else { parts };
    let mut needs =
        vec![packages::COMPILER, packages::BUILDER, packages::NODE, packages::CLIENT, packages::LAB];
    if parts.contains(&Part::Machine) {
        needs.extend([packages::QEMU, packages::VIRTIOFS]);
    }
    if parts.contains(&Part::Domain) {
        needs.push(packages::DOMAIN);
    }
    if parts.contains(&Part::Proxmox) {
        needs.extend([packages::QEMU, packages::VIRTIOFS, packages::PVE]);
    }
    packages::install(&needs)?;
    programs::build()?;
    if parts.contains(&Part::Crowd) {
        // the node of the lab has both
        programs::build_with_faults()?;
    }
    if parts.contains(&Part::Proxmox) {
        programs::build_simulator()?;
        templates::build_image("debian-13", Level::Quick)?;
    }
    let mut figures = Figures::default();
    if parts.contains(&Part::Template) {
        template::run(&mut figures, interrupt)?;
    }
    if parts.contains(&Part::Machine) {
        machine::builds(&mut figures)?;
        templates::build_image("debian-13", Level::Quick)?;
    }
    let inside: Vec<&Part> = parts.iter().filter(|part| **part != Part::Template).collect();
    let mut rows = figures.rows;
    let mut json = figures.json;
    if !inside.is_empty() {
        let template = templates::build("debian-13", Level::Quick)?;
        let environment = Environment::create(&target(), false)?;
        let out = environment.directory().join("figures.json");
        let mut args: Vec<OsString> = vec!["bench-inside".into(), template.file.into(), out.clone().into()];
        for part in inside {
            let value = part.to_possible_value().context("a part without a name")?;
            args.push(value.get_name().into());
        }
        let (xtask, env) = (programs::own(&environment)?, test::variables(Level::Quick));
        let inside = Inside {
            runner: &xtask,
            program: &xtask,
            args: &args,
            env: &env,
            output: None,
            deadline: DEADLINE,
        };
        let code = environment.run(&inside, interrupt)?;
        ensure!(code == 0, "the benchmarks in the environment failed (exit code {code})");
        let found: Value = serde_json::from_slice(&fs::read(&out)?)?;
        for row in found["rows"].as_array().into_iter().flatten() {
            rows.push((
                row[0].as_str().unwrap_or_default().to_owned(),
                row[1].as_str().unwrap_or_default().to_owned(),
            ));
        }
        json.extend(found["json"].as_object().cloned().unwrap_or_default());
    }
    println!("\n== bench");
    for (what, text) in &rows {
        println!("   {what:<46} {text}");
    }
    let file = target().join("bench.json");
    fs::write(&file, format!("{}\n", serde_json::to_string_pretty(&Value::Object(json))?))?;
    println!("   written to {}", file.display());
    Ok(0)
}

/// In the environment.
pub(crate) fn inside(template: &Path, out: &Path, parts: &[Part]) -> Result<()> {
    let directory = environment::require()?;
    let mut figures = Figures::default();
    let bench = gateway::Bench::prepare(&directory, template)?;
    if parts.contains(&Part::Gateway) {
        gateway::run(&bench, &mut figures)?;
    }
    if parts.contains(&Part::Throughput) {
        throughput::run(&bench, template, &mut figures)?;
    }
    if parts.contains(&Part::Machine) {
        let image = smbgw_lab::Product::from_environment()?.image("debian-13")?;
        machine::run(&bench, &image, &mut figures)?;
    }
    if parts.contains(&Part::Crowd) {
        crowd::run(&mut figures)?;
    }
    if parts.contains(&Part::Domain) {
        domain::run(&mut figures)?;
    }
    if parts.contains(&Part::Monitor) {
        monitor::run(&bench, &mut figures)?;
    }
    if parts.contains(&Part::Proxmox) {
        proxmox::run(&mut figures)?;
    }
    fs::write(out, serde_json::to_vec(&serde_json::json!({"rows": figures.rows, "json": figures.json}))?)?;
    Ok(())
}
