//! What can happen to `serve`, and to those that it looks at: a gateway that hangs, one that talks nonsense, one whose agent is gone;
//! its own death, a full disk, a clock that is set back, a damaged history. The others are not held up, it comes up again and says
//! what was lost, and no gateway notices.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it waits, and tells what it does"
)]

use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::monitor::{HISTORY, get, get_json, sample};
use smbgw_lab::{Lab, Monitor};

const SOON: Duration = Duration::from_secs(40);
const HOOK: &str = "/etc/pve-smbgateway/alert-hook";

fn soon<T>(what: &str, ready: impl FnMut() -> Option<T>) -> Result<T> {
    let last =
        || get_json("/api/v1/gateways").map_or_else(|error| error.to_string(), |list| list.to_string());
    wait_until(what, SOON, &Interrupt::new(), ready).with_context(last)
}

fn state(name: &str) -> Option<String> {
    let overview = get_json(&format!("/api/v1/gateways/{name}")).ok()?;
    overview["state"].as_str().map(str::to_owned)
}

fn points(name: &str, span: u32) -> Result<Vec<Value>> {
    let history = get_json(&format!("/api/v1/gateways/{name}/history?span_s={span}&step_s=1"))?;
    Ok(history["points"].as_array().cloned().unwrap_or_default())
}

fn events() -> Result<String> {
    Ok(get_json("/api/v1/events?limit=1000")?.to_string())
}

/// A hook that writes down what it is told; gone when it is dropped.
struct Hook(PathBuf);

impl Hook {
    fn make(lab: &Lab) -> Result<Self> {
        let told = lab.directory().join("told");
        let _ = std::fs::remove_file(&told);
        std::fs::create_dir_all("/etc/pve-smbgateway")?;
        std::fs::write(HOOK, format!("#!/bin/sh\necho \"$@\" >> {}\n", told.display()))?;
        std::fs::set_permissions(HOOK, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(told))
    }

    /// How often it was told this.
    fn told(&self, words: &str) -> usize {
        let told = std::fs::read_to_string(&self.0).unwrap_or_default();
        told.lines().filter(|line| line.starts_with(words)).count()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(HOOK);
        let _ = std::fs::remove_dir("/etc/pve-smbgateway");
        let _ = std::fs::remove_file(&self.0);
    }
}

fn link(name: &str) -> PathBuf {
    Path::new("/var/lib/pve-smbgateway/links").join(name).join("agent.sock")
}

#[test]
fn one_gateway_does_not_hold_up_another() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let hook = Hook::make(&lab)?;
    let [good, _hung, _garbage, _gone] =
        ["good", "hung", "garbage", "gone"].map(|name| lab.create(name, &[]));
    let good = good?;
    let settings = "interval: 1\nalerts:\n  failed-logons: 3\n";
    let mut monitor = Monitor::start(&lab.product, lab.directory(), settings)?;
    for name in ["good", "hung", "garbage", "gone"] {
        soon("all of them to be up", || state(name).filter(|state| state == "up"))?;
    }

    lab.attach("hung", ["systemctl", "kill", "--signal=STOP", "smbgw-agent.service"])?.ok()?;
    lab.attach("gone", ["systemctl", "stop", "smbgw-agent.service"])?.ok()?;
    lab.attach("garbage", ["systemctl", "stop", "smbgw-agent.service"])?.ok()?;
    let owner = std::fs::metadata(link("good"))?.uid();
    let _ = std::fs::remove_file(link("garbage"));
    let listener = UnixListener::bind(link("garbage"))?;
    std::os::unix::fs::chown(link("garbage"), Some(owner), Some(owner))?;
    let nonsense = listener.try_clone()?;
    let talker = std::thread::spawn(move || {
        while let Ok((mut stream, _)) = nonsense.accept() {
            let _ = stream.write_all(&[0x5a; 10_000]);
        }
    });
    for name in ["hung", "garbage", "gone"] {
        soon(&format!("{name} to be silent"), || state(name).filter(|state| state == "silent"))?;
    }
    for name in ["hung", "garbage", "gone"] {
        soon("the hook to be told", || {
            (hook.told(&format!("raised critical {name} unreachable")) == 1).then_some(())
        })?;
    }
    // the good one is looked at as before: no look waits for that at the hung one, which takes 5 s
    std::thread::sleep(Duration::from_secs(10));
    let seen = points("good", 10)?;
    let longest = seen.iter().filter_map(|point| point["span_ms"].as_u64()).max();
    ensure!(longest.is_some_and(|longest| longest < 4500), "{} looks in 10 s: {seen:?}", seen.len());
    let text = get("/metrics")?;
    let took = sample(&text, r#"smbgw_collect_seconds{gateway="good",mode="lxc"}"#).context("no time")?;
    ensure!(took < 1.0, "a look took {took} s");
    ensure!(sample(&text, r#"smbgw_up{gateway="hung",mode="lxc"}"#) == Some(0.0), "{text}");
    println!("good: {} looks in 10 s, the last one in {took} s", seen.len());

    // they come back; what stood is cleared, each once
    lab.attach("hung", ["systemctl", "kill", "--signal=CONT", "smbgw-agent.service"])?.ok()?;
    std::fs::remove_file(link("garbage"))?;
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both)?;
    let _ = talker.join();
    drop(listener);
    for name in ["gone", "garbage"] {
        lab.attach(name, ["systemctl", "start", "smbgw-agent.service"])?.ok()?;
    }
    for name in ["hung", "garbage", "gone"] {
        let words = format!("cleared critical {name} unreachable");
        let back = || (state(name).as_deref() == Some("up") && hook.told(&words) == 1).then_some(());
        wait_until(&format!("{name} to be back"), Duration::from_secs(120), &Interrupt::new(), back)?;
    }

    // a unit that is down, and many wrong passwords
    lab.attach("good", ["systemctl", "stop", "smbd.service"])?.ok()?;
    soon("smbd's end to be told", || {
        (hook.told("raised critical good service-down smbd") == 1).then_some(())
    })?;
    lab.attach("good", ["systemctl", "start", "smbd.service"])?.ok()?;
    soon("its return to be told", || {
        (hook.told("cleared critical good service-down smbd") == 1).then_some(())
    })?;
    lab.wait_serving(&good, "good", "alice")?;
    for _ in 0..4 {
        let wrong = smbgw_lab::Client::new(lab.directory(), &good.address, "good", "alice", "Wrong-horse-7")?;
        wrong.refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    }
    soon("that to be told", || (hook.told("raised warning good failed-logons") == 1).then_some(()))?;
    let standing = get_json("/api/v1/alerts")?.to_string();
    ensure!(standing.contains("failed-logons"), "{standing}");

    // a gateway that is stopped is none that is silent
    lab.host(["stop", "gone"])?.ok()?;
    soon("it to be off", || state("gone").filter(|state| state == "off"))?;
    ensure!(!get("/metrics")?.contains(r#"smbgw_up{gateway="gone""#));
    ensure!(hook.told("raised critical gone unreachable") == 1, "it was told again");

    // what stands is not said again after a restart
    monitor.stop()?;
    monitor.run()?;
    soon("a look", || state("good").filter(|state| state == "up"))?;
    std::thread::sleep(Duration::from_secs(3));
    for words in ["raised warning good failed-logons", "raised critical good service-down smbd"] {
        ensure!(hook.told(words) == 1, "{words} was told again");
    }
    lab.round_trip(&good, "good", "alice")?;
    drop((monitor, hook));
    lab.leave()
}

#[test]
fn the_history_survives() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let team = lab.create("team", &[])?;
    let mut monitor = Monitor::start(&lab.product, lab.directory(), "interval: 1\n")?;
    let more =
        |least: usize| soon("samples", || points("team", 3600).ok().filter(|points| points.len() >= least));
    more(4)?;

    // killed at any moment
    for _ in 0..5 {
        let before = points("team", 3600)?;
        monitor.daemon.take().context("it does not run")?.kill()?;
        monitor.run()?;
        let after = points("team", 3600)?;
        ensure!(before.iter().all(|point| after.contains(point)), "{before:?}\n{after:?}");
        more(before.len() + 2)?;
    }
    ensure!(!events()?.contains("damaged"), "{}", events()?);

    // damaged while it is away
    monitor.stop()?;
    let file = Path::new(HISTORY).join("figures.db");
    let whole = std::fs::metadata(&file)?.len();
    let before = rows(&lab, &file)?;
    println!("{}", lab.tool("ls", ["-la", HISTORY])?.stdout);
    std::fs::OpenOptions::new().write(true).open(&file)?.write_all_at(&[0xff; 3 * 4096], whole - 3 * 4096)?;
    monitor.run()?;
    let listing = lab.tool("ls", ["-la", HISTORY])?.stdout;
    ensure!(events()?.contains("the history was damaged"), "{}\n{listing}\n{}", events()?, monitor.said());
    println!("{}", monitor.said());
    println!("{before} samples were there, {} were saved", points("team", 3600)?.len());
    monitor.stop()?;
    std::fs::write(&file, "no database at all")?;
    monitor.run()?;
    ensure!(events()?.contains("nothing of it could be saved"), "{}", events()?);
    more(3)?;
    monitor.stop()?;

    // a full disk: everything is told but the history, and it goes on when there is room
    std::fs::remove_dir_all(HISTORY)?;
    std::fs::create_dir(HISTORY)?;
    lab.tool("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", HISTORY])?;
    let result = full_disk(&lab, &mut monitor);
    drop(monitor);
    lab.tool("umount", ["--lazy", HISTORY])?;
    let _ = std::fs::remove_dir_all(HISTORY);
    result?;
    lab.round_trip(&team, "team", "alice")?;
    lab.leave()
}

fn rows(lab: &Lab, file: &Path) -> Result<usize> {
    ensure!(file.exists(), "there is no history");
    let shown = lab.host(["metrics", "team", "--history", "1h", "--step", "1s"])?.ok()?.data()?;
    Ok(shown["points"].as_array().map_or(0, Vec::len))
}

fn full_disk(lab: &Lab, monitor: &mut Monitor) -> Result<()> {
    monitor.run()?;
    soon("samples on a small disk", || points("team", 3600).ok().filter(|points| points.len() >= 3))?;
    let ballast = Path::new(HISTORY).join("ballast");
    let mut full = std::fs::File::create(&ballast)?;
    while full.write_all(&[0; 4096]).is_ok() {}
    let lost =
        || sample(&get("/metrics").ok()?, "smbgw_monitor_lost_samples_total").filter(|lost| *lost > 0.0);
    soon("samples to be lost", lost)?;
    ensure!(state("team").as_deref() == Some("up"), "it tells nothing any more");
    let standing = get_json("/api/v1/alerts")?.to_string();
    ensure!(standing.contains("\"kind\":\"history\""), "{standing}");
    std::fs::remove_file(&ballast)?;
    drop(full);
    let count = points("team", 3600)?.len();
    soon("samples again", || points("team", 3600).ok().filter(|points| points.len() > count))?;
    let over =
        || (!get_json("/api/v1/alerts").ok()?.to_string().contains("\"kind\":\"history\"")).then_some(());
    soon("the alert to be cleared", over)?;
    ensure!(lab.host(["status", "team"])?.ok()?.data()?["ready"] == true);
    Ok(())
}

#[test]
fn a_clock_that_is_set_back() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    lab.create("team", &[])?;
    let offset = lab.directory().join("clock");
    std::fs::write(&offset, "+0\n")?;
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    ensure!(Path::new(library).exists(), "{library} is not there (package libfaketime)");
    let mut monitor = Monitor::new(&lab.product, lab.directory(), "interval: 1\n")?;
    monitor.wrapper = [
        "env".to_owned(),
        format!("LD_PRELOAD={library}"),
        format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ]
    .to_vec();
    monitor.run()?;
    let before = soon("samples", || points("team", 3600).ok().filter(|points| points.len() >= 4))?;
    std::fs::write(&offset, "-1h\n")?;
    soon("that to be said", || events().ok().filter(|events| events.contains("the clock was set back by")))?;
    let lived = |points: &Vec<Value>| points.len() >= 4;
    soon("samples of that hour", || points("team", 600).ok().filter(lived))?;
    std::fs::write(&offset, "+0\n")?;
    soon("that to be said", || events().ok().filter(|events| events.contains("the clock was set ahead by")))?;
    let after = points("team", 4500)?;
    ensure!(before.iter().all(|point| after.contains(point)), "{before:?}\n{after:?}");
    let spans = after.iter().filter_map(|point| point["span_ms"].as_u64());
    ensure!(spans.max().is_some_and(|most| most < 30_000), "a time between two looks is wrong: {after:?}");
    monitor.stop()?;
    drop(monitor);
    lab.leave()
}
