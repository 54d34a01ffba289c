//! A simulated Proxmox VE node, for tests: the programs `pct`, `qm`, `pvesh`, `pvesm`, `ha-manager`, `pveversion` in one, and the
//! node they run on. It knows Proxmox VE 8.4 and 9.0 to 9.2 and nothing of what it is used for.
//!
//! * [`node`]: what keeps a node alive, and what is mounted in it
//! * [`world`]: where a node keeps its things
//! * [`cfs`]: the file system /etc/pve
//! * [`schema`], [`options`]: what the programs accept
//! * [`config`], [`storage`], [`mapping`], [`ha`]: the files they change
//! * [`notify`]: the module of notifications, in Perl
//! * [`guests`]: what containers and machines have in common
//! * [`pct`], [`qm`], [`pvesh`], [`pvesm`], [`packages`], [`zfs`], [`remote`]: the programs
//! * [`task`], [`faults`], [`calls`]: how a call runs, what goes wrong in it, and what remembers it

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test's stand-in for programs: it prints, starts guests and reads the clock as they do"
)]

mod calls;
mod cfs;
mod command;
mod config;
mod faults;
mod guests;
mod ha;
mod json;
mod mapping;
mod node;
mod notify;
mod options;
mod packages;
mod pct;
mod pvesh;
mod pvesm;
mod qm;
mod refusal;
mod release;
mod remote;
mod schema;
mod sim;
mod storage;
mod task;
mod world;
mod zfs;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::refusal::Refusal;
use crate::schema::{Table, generate};
use crate::sim::Sim;
use crate::world::Node;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let name =
        Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let arguments: Vec<String> = words.collect();
    let ended =
        if name == "pve-sim" || name == "exe" { own(&arguments) } else { simulated(&name, &arguments) };
    match ended {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(255)),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(1)
        }
    }
}

/// What is no program of Proxmox VE.
fn own(arguments: &[String]) -> Result<i32> {
    let (verb, rest) = arguments.split_first().context("pve-sim node|table|machine|manager …")?;
    match (verb.as_str(), rest) {
        ("node", rest) => node::serve(&node::parse(rest)?).map(|()| 0),
        ("machine", [file]) => qm::machine::main(file),
        ("manager", [kind, vmid, state]) => {
            let sim = sim(None)?;
            ha::act(&sim, kind, vmid.parse()?, state)
                .map(|()| 0)
                .map_err(|refusal| anyhow::anyhow!(refusal.text))
        }
        ("end", []) => {
            qm::machine::stop_all();
            Ok(0)
        }
        ("table", [schemas, facts]) => {
            for file in generate::FILES {
                let text = generate::text(&generate::table(&Path::new(schemas).join(file))?)?;
                std::fs::write(Path::new(facts).join(file), text)?;
            }
            Ok(0)
        }
        _ => bail!("pve-sim does not know `{}`", arguments.join(" ")),
    }
}

fn sim(argv: Option<&[String]>) -> Result<Sim> {
    let node = Node::this()?;
    let table = Table::of(node.release)?;
    let fault = argv.and_then(|argv| faults::take(&node, argv));
    Ok(Sim { node, table, fault })
}

/// A program of Proxmox VE.
fn simulated(name: &str, arguments: &[String]) -> Result<i32> {
    let started = Instant::now();
    let argv: Vec<String> = std::iter::once(name.to_owned()).chain(arguments.iter().cloned()).collect();
    let handed_on = std::env::var_os(remote::HANDED_ON).is_some();
    let sim = sim((!handed_on).then_some(&argv[..]))?;
    // those are cheap, and not Proxmox VE's
    let counted = !handed_on && name != "dpkg-query" && name != "ssh";
    if counted {
        calls::note(&sim.node, &argv, None, 0);
    }
    let result = match name {
        "pct" => pct::main(&sim, arguments),
        "qm" => qm::main(&sim, arguments),
        "pvesh" => pvesh::main(&sim, arguments),
        "pvesm" => pvesm::main(&sim, arguments),
        "ha-manager" => ha::main(&sim, arguments),
        "pveversion" => Ok(packages::version(&sim, arguments)),
        "dpkg-query" => packages::dpkg_query(&sim, arguments),
        "zfs" => zfs::main(&sim, arguments),
        "ssh" => remote::ssh(&sim, arguments),
        other => bail!("nothing is simulated under the name {other}"),
    };
    let result = result.and_then(|code| sim.after().map(|()| code));
    let code = match result {
        Ok(code) => code,
        Err(Refusal { code, text }) => {
            eprintln!("{}", text.trim_end());
            code
        }
    };
    if counted {
        calls::note(&sim.node, &argv, Some(code), started.elapsed().as_millis());
    }
    Ok(code)
}
