//! What `serve` tells: a known load is what Prometheus and the history say was done; the files of `monitoring/` are sound, and each
//! query of the dashboard finds something.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it waits, and tells what it does"
)]

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Command, Interrupt, wait_until};
use smbgw_lab::domain::lab::words;
use smbgw_lab::monitor::{self, get, get_json, sample};
use smbgw_lab::{Answer, DomainLab, Monitor, Prometheus, files};

const ADDRESS: &str = "127.0.0.1:9853";
const TOKEN: &str = "a-token-of-the-lab-0123456789";
/// Size of the file that is read and written.
const SIZE: u64 = 8 << 20;

/// Files of `monitoring/`, beside a token: what Prometheus is started with.
fn prometheus(lab: &DomainLab) -> Result<Prometheus> {
    let directory = lab.lab.directory().join("prometheus-config");
    std::fs::create_dir_all(&directory)?;
    let source = lab.lab.product.source.join("monitoring/prometheus");
    for name in ["rules.yml", "rules_test.yml"] {
        std::fs::copy(source.join(name), directory.join(name))?;
    }
    let config = std::fs::read_to_string(source.join("scrape.yml"))?;
    ensure!(config.contains("15s") && config.contains(ADDRESS), "another configuration: {config}");
    let config = config.replace("15s", "1s").replace("10s", "1s");
    std::fs::write(directory.join("scrape.yml"), config)?;
    files::secret_file(&directory.join("token"), TOKEN)?;
    let promtool = |args: &[&str]| -> Result<()> {
        let command =
            Command::new("promtool").args(args.iter().copied()).directory(directory.display().to_string());
        let answer = Answer::of(&command)?.ok()?;
        println!("{answer}");
        Ok(())
    };
    promtool(&["check", "config", "scrape.yml"])?;
    promtool(&["check", "rules", "rules.yml"])?;
    promtool(&["test", "rules", "rules_test.yml"])?;
    Prometheus::start(lab.lab.directory(), &directory.join("scrape.yml"))
}

/// All queries of the dashboard, with its variables as Grafana would fill them in.
fn queries(lab: &DomainLab) -> Result<Vec<String>> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let path = lab.lab.product.source.join("monitoring/grafana/pve-smbgateway.json");
    let mut found = Vec::new();
    walk(&serde_json::from_slice(&std::fs::read(path)?)?, &mut found);
    ensure!(found.len() > 30, "{} queries", found.len());
    let fill = |query: &String| {
        let filled = query.replace("$__rate_interval", "10s").replace("$__range", "10s");
        filled.replace("$gateway", ".*").replace("$share", ".*")
    };
    Ok(found.iter().map(fill).collect())
}

fn within_a_hundredth(what: &str, seen: f64, expected: u64) -> Result<()> {
    let expected = expected as f64;
    println!("{what}: {seen} of {expected}");
    ensure!((seen - expected).abs() <= expected / 100.0, "{what}: {seen}, and {expected} was expected");
    Ok(())
}

#[test]
fn a_known_load_reaches_prometheus_and_the_history() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    let directory = lab.lab.directory().to_owned();
    let team = lab.create("team")?;
    lab.wait_healthy("team")?;
    lab.host(&words(&["quota", "set", "team", "64M", "--quota-mode", "report"]))?.ok()?;
    lab.host(&words(&["quota", "refresh"]))?.ok()?;
    let token = directory.join("monitor-token");
    files::secret_file(&token, TOKEN)?;
    let settings = format!("interval: 1\nlisten: {ADDRESS}\ntoken-file: {}\n", token.display());
    let mut monitor = Monitor::start(&lab.lab.product, &directory, &settings)?;
    let first = || {
        get_json("/api/v1/gateways/team/history?span_s=600&step_s=1")
            .ok()
            .filter(|history| history["points"].as_array().is_some_and(|points| points.len() > 1))
    };
    monitor.daemon()?.wait_for("the first samples", Duration::from_secs(30), first)?;

    // without the token there is nothing
    let address: SocketAddr = ADDRESS.parse()?;
    ensure!(monitor::get_tcp(address, "/metrics", "")?.0 == 401);
    ensure!(monitor::get_tcp(address, "/metrics", "wrong")?.0 == 401);
    let mut prometheus = prometheus(&lab)?;

    // one client that writes and one that reads, both gone before anybody looks
    let (sent, got) = (directory.join("sent"), directory.join("got"));
    files::random_file(&sent, SIZE >> 20)?;
    lab.by_ticket(&team, "alice")?.put(&sent, "load.bin")?;
    let _ = std::fs::remove_file(&got);
    lab.by_password(&team, "alice")?.get("load.bin", &got)?;
    let labels = r#"{gateway="team",mode="lxc",share="team"}"#;
    let written = format!("smbgw_share_written_bytes_total{labels}");
    let read = format!("smbgw_share_read_bytes_total{labels}");
    let arrived = || {
        let text = get("/metrics").ok()?;
        (sample(&text, &read)? >= SIZE as f64 * 0.99).then_some(text)
    };
    let text = monitor.daemon()?.wait_for("the load", Duration::from_secs(20), arrived)?;
    for (what, name) in [("written in the share", &written), ("read in the share", &read)] {
        within_a_hundredth(what, sample(&text, name).context("no sample")?, SIZE)?;
    }
    let clean = Answer::of(&Command::new("promtool").args(["check", "metrics"]).stdin(text.clone()))?;
    ensure!(clean.code == 0 && clean.all().trim().is_empty(), "{clean}");
    ensure!(!text.contains("alice"), "a user's name is a label: {text}");

    // some more, so that there are rates
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(12) {
        lab.by_password(&team, "alice")?.put(&sent, "load.bin")?;
        lab.by_password(&team, "alice")?.get("load.bin", &got)?;
    }
    lab.by_password(&team, "alice")?.run_lines("ls\n!sleep 3\n")?.ok()?;
    let session = lab.by_password(&team, "alice")?;
    let hold = std::thread::spawn(move || session.run_lines("ls\n!sleep 8\n"));
    std::thread::sleep(Duration::from_secs(3));
    let mut empty = Vec::new();
    for query in queries(&lab)? {
        if prometheus.query(&query)?.is_empty() {
            empty.push(query);
        }
    }
    ensure!(empty.is_empty(), "queries without a result:\n{}", empty.join("\n"));
    let targets = prometheus.get("/api/v1/targets")?;
    ensure!(targets["data"]["activeTargets"][0]["health"] == "up", "{targets}");
    let rules = prometheus.get("/api/v1/rules")?.to_string();
    ensure!(rules.contains("\"health\":\"ok\"") && !rules.contains("\"health\":\"err\""), "{rules}");
    let up = prometheus.query(r#"smbgw_up{gateway="team"}"#)?;
    ensure!(up.len() == 1 && up[0].1 == 1.0, "{up:?}");
    prometheus.stop()?;
    let _ = hold.join();

    // the history says what the counters say, once all is in
    let last = Cell::new((0.0, 0.0));
    let settled = || {
        let text = get("/metrics").ok()?;
        let history = get_json("/api/v1/gateways/team/history?span_s=3600&step_s=60").ok()?;
        let total: f64 = history["shares"]["team"]
            .as_array()?
            .iter()
            .filter_map(|point| point["traffic"]["write_bytes"].as_f64())
            .sum();
        let counter = sample(&text, &written)?;
        last.set((total, counter));
        (total == counter && counter > 0.0).then_some(total)
    };
    let total =
        wait_until("history and counters to agree", Duration::from_secs(20), &Interrupt::new(), settled)
            .with_context(|| format!("bytes written by history and counter: {:?}", last.get()))?;
    println!("{total} bytes written, by both");
    let figures = get_json("/api/v1/gateways/team/metrics")?;
    ensure!(figures["metrics"]["domain"]["online"] == true, "{figures}");
    ensure!(get_json("/api/v1/gateways/team/quota")?[0]["limit"] == 64 << 20);
    ensure!(get_json("/api/v1/openapi.json")?["openapi"] == "3.1.0");
    let shown = lab.host(&words(&["metrics", "team", "--history", "1h", "--step", "1m"]))?.ok()?.data()?;
    ensure!(shown["shares"]["team"].is_array(), "{shown}");
    monitor.stop()?;
    drop(monitor);
    std::fs::remove_dir_all(directory.join("prometheus"))?;
    lab.leave()
}
