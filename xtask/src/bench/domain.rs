//! A gateway in a domain: what the join takes, the first file by Kerberos, memory, and how long it takes to be told that the domain is
//! away.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_lab::domain::Fault;
use smbgw_lab::domain::lab::words;
use smbgw_lab::{DomainLab, memory};

use super::Figures;

/// Creations.
const RUNS: usize = 5;
/// Until winbindd has nothing more to do.
const SETTLES: Duration = Duration::from_secs(10);

pub(super) fn run(figures: &mut Figures) -> Result<()> {
    let mut lab = DomainLab::enter("debian-13")?;
    let (mut plain, mut joined, mut first, mut left) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = Instant::now();
        lab.lab.create("team", &[])?;
        plain.push(start.elapsed());
        lab.lab.host(["delete", "team"])?.ok()?;

        let start = Instant::now();
        let gateway = lab.create("team")?;
        joined.push(start.elapsed());
        // the ticket for the user is there beforehand, that for the gateway is not
        let client = lab.by_ticket(&gateway, "alice")?;
        let start = Instant::now();
        client.run("ls")?.ok()?;
        first.push(start.elapsed());
        let start = Instant::now();
        lab.delete("team")?;
        left.push(start.elapsed());
    }
    figures.times("domain_create_plain", "create, no domain", &mut plain);
    figures.times("domain_create", "create in a domain", &mut joined);
    let (with, without) = (super::median(&mut joined), super::median(&mut plain));
    figures.time("domain_join", "the join and what follows from it", with.saturating_sub(without));
    figures.times("domain_first_access", "first list of files by Kerberos", &mut first);
    figures.times("domain_delete", "delete, which leaves the domain", &mut left);

    let gateway = lab.create("team")?;
    lab.by_ticket(&gateway, "alice")?.run("ls")?.ok()?;
    std::thread::sleep(SETTLES);
    let (by_name, all) = memory::by_process("team")?;
    let winbind = by_name.iter().filter(|(name, _)| name.contains("winbind") || name.starts_with("wb"));
    let kib: u64 = winbind.map(|(_, memory)| memory.pss).sum();
    let table: Vec<_> =
        by_name.iter().map(|(name, memory)| format!("{name} x{} {} KiB", memory.count, memory.pss)).collect();
    figures.add("domain_winbind_pss_kib", "winbindd, PSS", format!("{kib} KiB"), kib.into());
    figures.add(
        "domain_pss_kib",
        "the whole gateway, PSS",
        format!("{} KiB ({})", all.pss, table.join(", ")),
        all.pss.into(),
    );

    diagnose(&lab, figures, "domain_diagnose", "ad diagnose, all well", 0)?;
    lab.domain.fail(Fault::Silent).context("silencing the domain")?;
    diagnose(&lab, figures, "domain_diagnose_silent", "ad diagnose, the domain silent", 5)?;
    lab.domain.mend()?;
    lab.wait_healthy("team")?;
    lab.delete("team")?;
    lab.leave()
}

/// How long the two verbs take that tell how it is; `code` is the exit code that is right.
fn diagnose(lab: &DomainLab, figures: &mut Figures, key: &str, what: &str, code: i32) -> Result<()> {
    let start = Instant::now();
    let answer = lab.host(&words(&["ad", "diagnose", "team"]))?;
    figures.time(key, what, start.elapsed());
    ensure!(answer.code == code, "{what}: {answer}");
    let start = Instant::now();
    lab.host(&words(&["ad", "status", "team"]))?.ok()?;
    figures.time(&format!("{key}_status"), &what.replace("diagnose", "status"), start.elapsed());
    Ok(())
}
