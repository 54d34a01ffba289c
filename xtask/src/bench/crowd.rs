//! Many shares and many clients of one gateway on the node itself: memory of each connection, and how long a small read takes
//! while all read.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use smbgw_lab::{NativeNode, Session};

use super::Figures;
use crate::say;

/// Shares of the gateway.
const SHARES: usize = 50;
/// Clients of one of them, each with a connection of its own.
const CLIENTS: usize = 100;
/// Reads of each.
const READS: usize = 20;
/// Bytes that are read.
const SIZE: u64 = 4096;

pub(super) fn run(figures: &mut Figures) -> Result<()> {
    say::step("crowd", &format!("a gateway on the node itself with {SHARES} shares"));
    let node = NativeNode::enter("debian-13")?;
    let (address, password) = (node.address(200)?, node.password_file()?);
    let path = node.data("files")?;
    let line = format!(
        "create files --mode native --path {path} --user bob --listen {address} --grant --password-file {password}"
    );
    node.host(line.split(' '))?.ok()?;
    // one by one would restart it each time: the manifest has them all
    let shown = node.script("/usr/bin/pve-smbgateway show files")?;
    let shares: String = (1..SHARES)
        .map(|number| {
            Ok(format!(
                "  - name: share{number}\n    path: {}\n    grant: true\n",
                node.data(&format!("share{number}"))?
            ))
        })
        .collect::<Result<_>>()?;
    let manifest = shown.trim_end().to_owned() + "\n" + &shares;
    node.write("/root/files.yaml", &manifest)?;
    let start = Instant::now();
    node.host(["apply", "-f", "/root/files.yaml"])?.ok()?;
    figures.time("crowd_shares", &format!("{} more shares by one manifest", SHARES - 1), start.elapsed());
    let gateway = node.gateway("files", &address);
    for share in ["files".to_owned(), format!("share{}", SHARES - 1)] {
        node.lab.round_trip(&gateway, &share, "bob")?;
    }

    let sent = node.lab.directory().join("small");
    std::fs::write(&sent, vec![b'x'; usize::try_from(SIZE)?])?;
    node.client(&gateway, "files", "bob")?.put(&sent, "small")?;
    let memory = || -> Result<u64> {
        let status = node.host(["status", "files"])?.ok()?.data()?;
        status["memory_pss_bytes"].as_u64().context("no memory in the status")
    };
    let idle = memory()?;
    figures.add(
        "crowd_idle_pss",
        &format!("memory with {SHARES} shares, idle"),
        format!("{:.1} MiB PSS", idle as f64 / 1048576.0),
        json!(idle),
    );

    say::step("crowd", &format!("{CLIENTS} clients of one share, {READS} reads of {SIZE} bytes each"));
    let mut sessions = (0..CLIENTS)
        .map(|_| Session::open(node.client(&gateway, "files", "bob")?))
        .collect::<Result<Vec<_>>>()?;
    let alone = (0..READS).map(|_| sessions[0].read("small", SIZE)).collect::<Result<Vec<_>>>()?;
    for session in &mut sessions {
        session.read("small", SIZE)?;
    }
    let status = node.host(["status", "files"])?.ok()?.data()?;
    ensure!(status["sessions"].as_u64() == Some(CLIENTS as u64), "not all are connected: {status}");
    let crowded = memory()?;
    let each = crowded.saturating_sub(idle) / CLIENTS as u64;
    figures.add(
        "crowd_connection_pss",
        "memory of each connection",
        format!(
            "{:.2} MiB PSS ({:.0} MiB for {CLIENTS})",
            each as f64 / 1048576.0,
            (crowded - idle) as f64 / 1048576.0
        ),
        json!(each),
    );
    let together = Barrier::new(CLIENTS);
    let start = Instant::now();
    let times: Result<Vec<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                scope.spawn(|| {
                    together.wait();
                    (0..READS).map(|_| session.read("small", SIZE)).collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(times) => times,
                Err(_) => bail!("a client panicked"),
            })
            .collect()
    });
    let mut times = times.context("a read failed")?.concat();
    let took = start.elapsed();
    let mut alone = alone;
    figures.times("crowd_read_alone", "small read (open, read, close), one client", &mut alone);
    figures.times("crowd_read", &format!("small read while {CLIENTS} clients read"), &mut times);
    let p99 = times[(times.len() * 99 / 100).min(times.len() - 1)];
    figures.time("crowd_read_p99", "small read, 99 % within", p99);
    figures.add(
        "crowd_rate",
        "small reads in all, without an error",
        format!(
            "{} in {} ({:.0}/s)",
            times.len(),
            say::seconds(took),
            times.len() as f64 / took.as_secs_f64()
        ),
        json!(times.len() as f64 / took.as_secs_f64()),
    );
    drop(sessions);
    node.host(["delete", "files"])?.ok()?;
    node.leave()
}
